//! What the answers of Exchange have in common, whatever the protocol.

use std::time::Duration;

use chrono::DateTime;
use net::{HeaderMap, header};

/// How long the headers ask to wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    pause(text(header::RETRY_AFTER)?, text(header::DATE))
}

/// How long a `Retry-After` asks to wait, in seconds or until a date; at most a day.
pub(crate) fn pause(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let wanted = retry_after.trim();
    let seconds: u64 = match wanted.parse() {
        Ok(seconds) => seconds,
        // A date (RFC 9110 §10.2.3) is compared with the server's own clock, not with ours.
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(wanted).ok()?;
            let now = DateTime::parse_from_rfc2822(date?.trim()).ok()?;
            u64::try_from((until - now).num_seconds()).ok()?
        }
    };
    Some(Duration::from_secs(seconds.min(24 * 3600)))
}

/// Whether a code says that Exchange cannot make a message of an item.
pub(crate) fn breaks_an_item(code: &str) -> bool {
    matches!(
        code,
        "ErrorContentConversionFailed"
            | "ErrorMimeContentConversionFailed"
            | "ErrorItemCorrupt"
            | "ErrorCorruptData"
            | "ErrorObjectCorrupt"
            | "ErrorItemPropertyRequestFailed"
            | "ErrorPropertyRequestFailed"
            | "ErrorUnsupportedMimeConversion"
            | "ErrorDataSizeLimitExceeded"
            | "ErrorMessageSizeExceeded"
            | "ErrorVirusDetected"
            | "ErrorVirusMessageDeleted"
    ) || code.starts_with("ErrorRightsManagement")
}

const OTHER_CLASSES: &[&str] = &[
    "IPM.Activity",
    "IPM.Appointment",
    "IPM.Configuration",
    "IPM.Contact",
    "IPM.DistList",
    "IPM.StickyNote",
    "IPM.Task",
];

/// Whether an item of this class is mail. What is unknown is: rather one item too many than one
/// lost.
pub(crate) fn is_mail_item(class: &str) -> bool {
    !OTHER_CLASSES.iter().any(|other| is_class(class, other))
}

/// `IPM.Task.Team` is a kind of `IPM.Task`, `IPM.TaskRequest` is not.
fn is_class(class: &str, base: &str) -> bool {
    let Some((head, tail)) = class.split_at_checked(base.len()) else { return false };
    head.eq_ignore_ascii_case(base) && (tail.is_empty() || tail.starts_with('.'))
}

/// Whether the answer is a web page.
pub(crate) fn is_html(headers: &HeaderMap, head: &[u8]) -> bool {
    let by_header = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("text/html"));
    let start: Vec<u8> =
        head.trim_ascii_start().iter().take(14).map(u8::to_ascii_lowercase).collect();
    by_header || start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}
