//! The emails that the writer writes and the tests expect: all that is known of one follows from
//! its number.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use record::{Body, BucketId, Email, FolderId, ItemId, Metadata, Route, Uid};

pub(crate) fn route() -> Route {
    Route {
        mailbox: "abc@example.com".parse().unwrap(),
        bucket: BucketId::new("owner", "bucket").unwrap(),
    }
}

pub(crate) fn folder() -> FolderId {
    FolderId("inbox".into())
}

pub(crate) fn uid(n: u64) -> Uid {
    Uid::derive("test", &route().mailbox, &n.to_be_bytes(), "")
}

/// 1 to 13 KB that no other email shares.
pub(crate) fn body(n: u64) -> Vec<u8> {
    let size = 1_000 + n * 7_919 % 12_000;
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut body = format!("Subject: {n}\r\n\r\n").into_bytes();
    while (body.len() as u64) < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        body.extend_from_slice(&state.to_be_bytes());
    }
    body
}

pub(crate) fn email(n: u64) -> Email {
    Email {
        uid: uid(n),
        item: ItemId(format!("item-{n}")),
        message_id: Some(format!("<{n}@example.com>")),
        timestamp: DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + n as i64),
        metadata: Metadata { folder: vec!["Inbox".into()], ..Metadata::default() },
        body: Body::Memory(Bytes::from(body(n))),
    }
}
