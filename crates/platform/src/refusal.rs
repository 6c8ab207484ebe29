//! Why a request is not granted: the status, and the words for the client.

use std::{fmt, io};

use hyper::StatusCode;
use record::Chain;
use store::StoreError;

/// What a request hears that others got in the way of.
const BUSY: &str = "others changed the same at the same time";

/// An error answer: `{"status":"error","message":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Seconds after which it may be tried again.
    pub(crate) retry_after: Option<u32>,
    /// Where in a text of the request the mistake is.
    pub(crate) position: Option<Position>,
    /// Methods that the path knows, if it does not know this one.
    pub(crate) allow: Option<String>,
}

/// A range of a text in the units of markup, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) char_start: usize,
    pub(crate) char_end: usize,
    pub(crate) utf16_byte_start: usize,
    pub(crate) utf16_byte_end: usize,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, position: None, allow: None }
    }

    /// What does not follow the schema.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} was not found"))
    }

    pub(crate) fn forbidden(permission: &str) -> Self {
        let message = format!("this needs the permission `{permission}`, which the token has not");
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// Too much at once; `seconds` later there may be room.
    pub(crate) fn busy(message: &str, seconds: u32) -> Self {
        let retry_after = Some(seconds);
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// Whether nothing was written, and the same may pass now.
    pub(crate) fn may_pass_now(&self) -> bool {
        self.message == BUSY
    }

    pub(crate) fn too_large(limit: u64) -> Self {
        let message = format!("the body has more than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

// A reader can only fail with an `io::Error`; it carries the refusal to whoever reads.
impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(refusal) => refusal,
            Err(error) => Self::invalid(format!("the body could not be read: {error}")),
        }
    }
}

impl From<StoreError> for Refusal {
    /// What goes wrong here is told to the operator; to the client only that it did.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Exists { .. } => return Self::new(StatusCode::CONFLICT, error.to_string()),
            StoreError::Changed { .. } => {
                return Self::new(StatusCode::PRECONDITION_FAILED, error.to_string());
            }
            // Sent again, it were refused again.
            _ if error.is_about_a_value() => {
                tracing::warn!("A request was refused: {}", Chain(&error));
                let message = "the database cannot hold a value of this request: a text has the \
                               character U+0000, or something is too long; leave it out";
                return Self::new(StatusCode::UNPROCESSABLE_ENTITY, message);
            }
            StoreError::Busy(_) => {
                // Whoever calls tries again, or tells the client to.
                return Self {
                    retry_after: Some(1),
                    ..Self::new(StatusCode::SERVICE_UNAVAILABLE, BUSY)
                };
            }
            StoreError::Database(_)
            | StoreError::Unreachable { .. }
            | StoreError::Denied { .. }
            | StoreError::Unsuitable { .. }
            | StoreError::BadBackup { .. }
            | StoreError::Occupied { .. }
            | StoreError::TooOld { .. }
            | StoreError::TooNew { .. }
            | StoreError::Contents { .. }
            | StoreError::File { .. }
            | StoreError::Stopped { .. }
            | StoreError::Damaged { .. } => {}
        }
        let hint = error.hint().unwrap_or("Look at the database and its disk.");
        tracing::error!(hint, "A request failed: {}", Chain(&error));
        let message = "the server could not do this now; its log has the reason";
        // Not 500: what is sent again later may pass.
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }
}
