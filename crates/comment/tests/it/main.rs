//! Tests of the whole conversion.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests panic, and one of them prints a table"
)]

mod accuracy;
mod fields;
mod hostile;
mod letters;
mod outlook;

use comment::{Converted, Delivery, Transform, convert};
use record::Metadata;

fn convert_plainly(raw: &[u8]) -> Converted {
    convert_with(raw, &Transform::default())
}

fn convert_with(raw: &[u8], transform: &Transform) -> Converted {
    let metadata = Metadata::default();
    let delivery = Delivery {
        email_id: "<a@b>",
        mailbox: "Claims@example.com",
        timestamp: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000),
        metadata: &metadata,
        listed: &[],
    };
    convert(raw, &delivery, transform)
}
