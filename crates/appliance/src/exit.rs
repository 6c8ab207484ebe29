//! Exit codes, from `sysexits.h`: `docs/exit-codes.md` explains them to operators.

use std::fmt;

use net::NetError;
use record::{Chain, SinkError, SourceError};
use sync::{Failure, StopReason};

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Success,
    /// `verify` or `status` found something that the operator should see.
    Difference,
    /// Disk, data or state cannot be read or written.
    Io,
    /// Trying again later may help.
    Temporary,
    /// The server refused user, application or mailbox.
    Refused,
    /// A flag, a variable, the configuration, or state of a newer version.
    Config,
    /// Aborted by a second signal.
    Aborted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Difference => 1,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::Refused => 77,
            Self::Config => 78,
            Self::Aborted => 143,
        }
    }
}

/// A failure with its exit code and everything that the operator should read, in one message.
#[derive(Debug)]
pub struct Ending {
    pub exit: Exit,
    pub message: String,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ending {}

impl Ending {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub fn config(err: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(Exit::Config, Chain(err).to_string())
    }
}

fn with_hint(text: String, hint: Option<&str>) -> String {
    hint.map_or_else(|| text.clone(), |hint| format!("{text}\nHint: {hint}"))
}

/// What the operator can do about `err`, as exactly as anybody knows: who refused a sign-in may
/// have said why.
pub(crate) fn hint_of(err: &SourceError) -> Option<&str> {
    let exact = match err {
        SourceError::Unauthorized { cause: Some(cause), .. } => {
            cause.downcast_ref::<NetError>().and_then(NetError::hint)
        }
        _ => None,
    };
    exact.or_else(|| err.hint())
}

impl From<&SourceError> for Ending {
    fn from(err: &SourceError) -> Self {
        let exit = match err {
            SourceError::Unauthorized { .. }
            | SourceError::Denied { .. }
            | SourceError::NoMailbox { .. } => Exit::Refused,
            SourceError::Misconfigured { .. } => Exit::Config,
            SourceError::Spool { .. } => Exit::Io,
            SourceError::Throttled { .. }
            | SourceError::Unreachable { .. }
            | SourceError::Unavailable { .. }
            | SourceError::TooMuch { .. }
            | SourceError::CursorExpired { .. }
            | SourceError::FolderGone { .. }
            | SourceError::BadReply { .. } => Exit::Temporary,
        };
        Self::new(exit, with_hint(Chain(err).to_string(), hint_of(err)))
    }
}

impl From<&SinkError> for Ending {
    fn from(err: &SinkError) -> Self {
        let exit = match err {
            SinkError::TooNew { .. } => Exit::Config,
            SinkError::Unauthorized { .. } | SinkError::Denied { .. } => Exit::Refused,
            SinkError::Superseded { .. }
            | SinkError::Busy { .. }
            | SinkError::Unreachable { .. }
            | SinkError::Unavailable { .. }
            | SinkError::Throttled { .. } => Exit::Temporary,
            SinkError::Corrupt { .. } | SinkError::Unwritable { .. } => Exit::Io,
        };
        Self::new(exit, with_hint(Chain(err).to_string(), err.hint()))
    }
}

impl From<&Failure> for Ending {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Source(err) => Self::from(err),
            Failure::Sink(err) => Self::from(err),
            Failure::AllBlocked { .. } => {
                Self::new(Exit::Refused, format!("{failure}\nHint: The log names each cause."))
            }
            Failure::AllStopped { last, .. } => {
                let exit = match last {
                    Some(StopReason::TooNew) => Exit::Config,
                    Some(StopReason::Corrupt | StopReason::Shutdown) | None => Exit::Io,
                };
                Self::new(exit, format!("{failure}\nHint: The log names each cause."))
            }
        }
    }
}
