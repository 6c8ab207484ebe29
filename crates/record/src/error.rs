//! What can go wrong at the seams, and what to do about it.

use std::{error::Error, fmt, time::Duration};

use crate::FolderId;

/// The reason behind an error, for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Whom a source's failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Mailbox,
    /// Every mailbox behind the same server and identity.
    Service,
}

/// A call to a source failed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// HTTP 401 twice on a fresh handshake, a refused token request.
    #[error("`{host}` refused the credentials")]
    Unauthorized {
        host: String,
        #[source]
        cause: Option<Cause>,
    },
    /// HTTP 403, `ErrorAccessDenied`, `ErrorImpersonateUserDenied`: signed in, not allowed.
    #[error("access to the mailbox was denied ({code})")]
    Denied { code: String, scope: Scope, hint: Option<String> },
    /// `ErrorNonExistentMailbox`, `ErrorAccountDisabled` and the like.
    #[error("the mailbox is not available ({code})")]
    NoMailbox { code: String, hint: Option<String> },
    /// HTTP 429 and 503, EWS `ErrorServerBusy`.
    #[error("`{host}` asked for a pause")]
    Throttled { host: String, scope: Scope, retry_after: Option<Duration> },
    /// DNS, TCP, time-out, a connection cut short: no complete answer.
    #[error("could not reach `{host}`")]
    Unreachable {
        host: String,
        #[source]
        cause: Cause,
    },
    /// The server answered that it cannot at the moment: `ErrorMailboxMoveInProgress`, HTTP 500.
    #[error("`{host}` cannot answer now ({code})")]
    Unavailable { host: String, code: String, scope: Scope },
    /// The server gave up on the amount asked for: `ErrorTimeoutExpired`.
    #[error("`{host}` could not answer so large a request ({code})")]
    TooMuch { host: String, code: String },
    /// `ErrorInvalidSyncStateData`, Graph 410: the saved cursor is worth nothing now.
    #[error("the server no longer knows the saved position in folder `{}`", .folder.0)]
    CursorExpired { folder: FolderId },
    /// `ErrorFolderNotFound`: renamed away, deleted, or no right to it.
    #[error("the server no longer has folder `{}`", .folder.0)]
    FolderGone { folder: FolderId },
    /// The reply does not have the shape that the protocol prescribes.
    #[error("could not read the reply of `{host}` to {operation}")]
    BadReply {
        host: String,
        operation: &'static str,
        #[source]
        cause: Cause,
    },
    /// Wrong address, wrong certificate, a login page instead of the service.
    #[error("`{host}` is not usable as configured")]
    Misconfigured {
        host: String,
        hint: String,
        #[source]
        cause: Option<Cause>,
    },
    /// The disk of this machine failed while a body was spooled.
    #[error("could not spool an email on this machine")]
    Spool {
        #[source]
        cause: std::io::Error,
    },
}

/// What the engine does about a failed call to a source. Matched in `sync::recovery` for folder and
/// mailbox, in `sync::page` for a single item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The same call again: after exactly this long, or after a growing pause.
    Retry { scope: Scope, after: Option<Duration> },
    /// The same work in smaller requests.
    Split,
    /// Read the folder again from its start.
    RestartFolder,
    /// Read the folder list again.
    ReviewFolders,
    /// Leave this mailbox alone for a long while and tell the operator.
    PauseMailbox,
    /// Nothing can work until the operator acts.
    StopService,
}

impl SourceError {
    /// Total: a new variant does not compile until it has its line here.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unauthorized { .. } | Self::Misconfigured { .. } => Advice::StopService,
            Self::Denied { scope: Scope::Service, .. } => Advice::StopService,
            Self::Denied { scope: Scope::Mailbox, .. } | Self::NoMailbox { .. } => {
                Advice::PauseMailbox
            }
            Self::Throttled { scope, retry_after, .. } => {
                Advice::Retry { scope: *scope, after: *retry_after }
            }
            Self::Unavailable { scope, .. } => Advice::Retry { scope: *scope, after: None },
            Self::Unreachable { .. } | Self::Spool { .. } => {
                Advice::Retry { scope: Scope::Mailbox, after: None }
            }
            Self::TooMuch { .. } | Self::BadReply { .. } => Advice::Split,
            Self::CursorExpired { .. } => Advice::RestartFolder,
            Self::FolderGone { .. } => Advice::ReviewFolders,
        }
    }

    /// What the operator can do, as a complete sentence, if we know.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Denied { hint, .. } | Self::NoMailbox { hint, .. } => hint.as_deref(),
            Self::Misconfigured { hint, .. } => Some(hint),
            Self::Unauthorized { .. } => Some(
                "Check user and password, or the client id with its secret or certificate. \
                 No further attempt is made, so that the account is not locked.",
            ),
            Self::Spool { .. } => Some("Check the free space of the spool directory."),
            _ => None,
        }
    }
}

/// A call to a sink failed. Nothing is lost: the same emails are written again later.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The stored state does not have the shape that we wrote, or its checksum is wrong.
    #[error("the stored state `{place}` cannot be read")]
    Corrupt {
        place: String,
        #[source]
        cause: Option<Cause>,
    },
    /// The stored state was written by a newer version of this program.
    #[error("the stored state `{place}` has format {found}, this program knows up to {known}")]
    TooNew { place: String, found: u64, known: u64 },
    /// Somebody else has written this route since we loaded it.
    #[error("another process has written the state `{place}`")]
    Superseded { place: String },
    /// Another process serves this route at the moment.
    #[error("another process serves `{place}`")]
    Busy { place: String },
    /// Disk full, read-only, an I/O error.
    #[error("could not write `{place}`")]
    Unwritable {
        place: String,
        #[source]
        cause: Cause,
    },
    /// DNS, TCP, TLS, a time-out, an answer cut short: it may be stored or not.
    #[error("could not reach `{host}`")]
    Unreachable {
        host: String,
        #[source]
        cause: Cause,
    },
    /// HTTP 5xx and the like: it cannot at the moment.
    #[error("`{host}` cannot take it now ({code})")]
    Unavailable { host: String, code: String },
    /// HTTP 429, or 503 with a time: it asks for a pause.
    #[error("`{host}` asked for a pause")]
    Throttled { host: String, retry_after: Option<Duration> },
    /// HTTP 401: the token or the key is not accepted.
    #[error("`{host}` refused the credentials")]
    Unauthorized {
        host: String,
        #[source]
        cause: Option<Cause>,
    },
    /// HTTP 403, a bucket or container that is not there, a request that it does not understand:
    /// the operator has to act. `detail` is what the other side says.
    #[error("`{place}` does not take what is sent ({detail})")]
    Denied { place: String, detail: String, hint: Option<String> },
}

/// What the engine does about a failed call to a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkAdvice {
    /// The same call again; nothing is acknowledged until it succeeds. After exactly this long,
    /// or after a growing pause.
    Retry { after: Option<Duration> },
    /// Leave this mailbox alone for a long while and tell the operator.
    PauseMailbox,
    /// Leave this mailbox to whoever else writes it, and look later whether somebody still does.
    StepBack,
    /// Stop this mailbox and tell the operator.
    StopMailbox,
    /// Nothing can work until the operator acts.
    StopService,
}

impl SinkError {
    /// Total: a new variant does not compile until it has its line here.
    pub fn advice(&self) -> SinkAdvice {
        match self {
            Self::Unwritable { .. }
            | Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::Busy { .. } => SinkAdvice::Retry { after: None },
            Self::Throttled { retry_after, .. } => SinkAdvice::Retry { after: *retry_after },
            Self::Denied { .. } => SinkAdvice::PauseMailbox,
            Self::Superseded { .. } => SinkAdvice::StepBack,
            Self::Corrupt { .. } | Self::TooNew { .. } => SinkAdvice::StopMailbox,
            Self::Unauthorized { .. } => SinkAdvice::StopService,
        }
    }

    /// What the operator can do, as a complete sentence, if we know.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Corrupt { .. } => Some(
                "Restore it from a backup. Without one, stop the process that serves the mailbox and \
                 run `tributary state reset` for it: it is read again from its start.",
            ),
            Self::TooNew { .. } => Some("Run the newer version again."),
            Self::Superseded { .. } => Some("See that only one process serves this mailbox."),
            Self::Unauthorized { .. } => {
                Some("Check the token or the credentials of the destination.")
            }
            Self::Denied { hint, .. } => hint.as_deref(),
            Self::Busy { .. }
            | Self::Unwritable { .. }
            | Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::Throttled { .. } => None,
        }
    }
}

/// Prints an error with all its causes, once, where it is handled.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut cause = self.0.source();
        while let Some(err) = cause {
            let text = err.to_string();
            // An error of one layer often says the same as that of the next, or a little less.
            match text.strip_prefix(&last) {
                Some(more) => f.write_str(more)?,
                None => write!(f, ": {text}")?,
            }
            last = text;
            cause = err.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        cause: Option<Box<Layer>>,
    }

    #[test]
    fn a_chain_says_each_thing_once() {
        let layer = |text, cause: Option<Layer>| Layer { text, cause: cause.map(Box::new) };
        let inner = layer("no route", None);
        let middle = layer("could not reach `x` (timed out)", Some(inner));
        let outer = layer("could not reach `x`", Some(middle));
        assert_eq!(Chain(&outer).to_string(), "could not reach `x` (timed out): no route");
    }
}
