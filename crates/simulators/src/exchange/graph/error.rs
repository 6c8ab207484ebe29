//! How Graph says no.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::throttle::Exceeded;

/// A request is refused: the status, and what the body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), retry_after: None }
    }

    /// 400 for what was asked in a wrong way.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn item_not_found() -> Self {
        Self::code(404, "ErrorItemNotFound")
    }

    /// A status and a code, with a text that says what is known of them.
    pub(crate) fn code(status: u16, code: &str) -> Self {
        let message = match code {
            "ErrorItemNotFound" => "The specified object was not found in the store.",
            "ErrorInvalidIdMalformed" => "Id is malformed.",
            "ErrorAccessDenied" => "Access is denied. Check credentials and try again.",
            "ErrorInvalidOperation" => "The operation is not possible on this folder.",
            "MailboxNotEnabledForRESTAPI" => {
                "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            }
            "ErrorMailboxMoveInProgress" => "Mailbox move in progress. Try again later.",
            "ResourceNotFound" => "Resource could not be discovered.",
            "InvalidAuthenticationToken" => "Lifetime validation failed, the token is expired.",
            "ApplicationThrottled" => "Application is over its MailboxConcurrency limit.",
            "serviceNotAvailable" => "The service is temporarily unavailable. Try again later.",
            "SyncStateNotFound" | "syncStateNotFound" => {
                "The sync state generation is not found; start again without a token."
            }
            "resyncRequired" => "Resync required. Start again without a token.",
            _ => "The operation failed.",
        };
        Self::new(status, code, message)
    }

    /// The usual code of a status that a fault brings.
    pub(crate) fn status(status: u16, retry_after: Option<Duration>) -> Self {
        let code = match status {
            401 => "InvalidAuthenticationToken",
            403 => "ErrorAccessDenied",
            404 => "ErrorItemNotFound",
            410 => "SyncStateNotFound",
            429 => "ApplicationThrottled",
            500 => "ErrorInternalServerError",
            502 => "BadGateway",
            503 => "serviceNotAvailable",
            504 => "GatewayTimeout",
            507 => "insufficientStorage",
            _ => "UnknownError",
        };
        Self { retry_after, ..Self::code(status, code) }
    }

    /// The error of an item or a folder, for a code of Exchange.
    pub(crate) fn of_object(code: &str) -> Self {
        let status = if code.ends_with("NotFound") {
            404
        } else if code.ends_with("AccessDenied") {
            403
        } else if code.starts_with("ErrorInvalid") {
            400
        } else {
            500
        };
        Self::code(status, code)
    }

    pub(crate) fn throttled(limit: Exceeded, retry_after: Duration) -> Self {
        let refusal = match limit {
            Exceeded::MailboxConcurrency => Self::code(429, "ApplicationThrottled"),
            Exceeded::MailboxRequests => Self::new(
                429,
                "ApplicationThrottled",
                "Application is over its MailboxRequestCount limit.",
            ),
            Exceeded::AppRequests => {
                Self::new(429, "TooManyRequests", "Too many requests from this application.")
            }
        };
        Self { retry_after: Some(retry_after), ..refusal }
    }

    pub(crate) fn body(&self, request_id: &str, client_id: &str, now: DateTime<Utc>) -> Value {
        json!({
            "error": {
                "code": self.code,
                "message": self.message,
                "innerError": {
                    "date": now.format("%Y-%m-%dT%H:%M:%S").to_string(),
                    "request-id": request_id,
                    "client-request-id": client_id,
                },
            },
        })
    }
}
