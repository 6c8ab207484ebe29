//! Why a request is not granted: the status, and the words for the client.

use std::{fmt, io};

use hyper::StatusCode;

/// An error answer: `{"status":"error","message":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `None`: the client went away, nobody waits for an answer.
    pub(crate) status: Option<StatusCode>,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status: Some(status), message: message.into() }
    }

    /// What does not follow the schema.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} was not found"))
    }

    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self { status: None, message: message.into() }
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
            // Only decompression fails by itself.
            Err(error) => Self::invalid(format!("the body could not be decompressed: {error}")),
        }
    }
}
