//! Why an object store did not do what it was asked.

use std::{error::Error, sync::Arc, time::Duration};

use record::SinkError;

/// A call failed. Most of these are raised by our HTTP service, since the library has no kinds for
/// them; they travel through the library as a cause, and are found there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    #[error("could not reach `{host}`")]
    Unreachable {
        host: String,
        #[source]
        cause: Reason,
    },
    #[error("`{host}` cannot answer now ({code})")]
    Unavailable { host: String, code: String },
    #[error("`{host}` asked for a pause")]
    Throttled { host: String, retry_after: Option<Duration> },
    #[error("`{host}` refused the credentials")]
    Unauthorized {
        host: String,
        #[source]
        cause: Reason,
    },
    #[error("`{place}` does not take what is sent ({detail})")]
    Denied { place: String, detail: String, hint: Option<String> },
    /// What is there is not what was written.
    #[error("`{place}` cannot be read")]
    Corrupt {
        place: String,
        #[source]
        cause: Option<Reason>,
    },
    #[error("could not write `{place}`")]
    Unwritable {
        place: String,
        #[source]
        cause: Reason,
    },
}

impl Failure {
    pub fn unwritable(place: String, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unwritable { place, cause: Reason::new(cause) }
    }

    /// What the operator can do, as complete sentences, if we know.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Denied { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// The failure that our service raised, among the causes of `err`.
    pub(crate) fn among(err: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(err);
        while let Some(found) = cause {
            if let Some(failure) = found.downcast_ref::<Self>() {
                return Some(failure.clone());
            }
            cause = found.source();
        }
        None
    }
}

/// A cause that can be told more than once.
#[derive(Clone, Debug)]
pub struct Reason(Arc<dyn Error + Send + Sync>);

impl Reason {
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable { host, cause } => Self::Unreachable { host, cause: cause.into() },
            Failure::Unavailable { host, code } => Self::Unavailable { host, code },
            Failure::Throttled { host, retry_after } => Self::Throttled { host, retry_after },
            Failure::Unauthorized { host, cause } => {
                Self::Unauthorized { host, cause: Some(cause.into()) }
            }
            Failure::Denied { place, detail, hint } => Self::Denied { place, detail, hint },
            Failure::Corrupt { place, cause } => {
                Self::Corrupt { place, cause: cause.map(Into::into) }
            }
            Failure::Unwritable { place, cause } => Self::Unwritable { place, cause: cause.into() },
        }
    }
}

/// `map_err` for a call about `place`.
pub fn at(place: String) -> impl FnOnce(object_store::Error) -> Failure {
    move |err| Failure::among(&err).unwrap_or_else(|| Failure::unwritable(place, err))
}
