//! What a store answers, in the terms of the seam.

use std::{error::Error, sync::Arc, time::Duration};

use record::SinkError;

/// A request failed in a way that the library has no kind for. Our HTTP service raises it; it
/// travels through the library as a cause, and is found there.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
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
}

/// A cause that can be told more than once.
#[derive(Clone, Debug)]
pub(crate) struct Reason(Arc<dyn Error + Send + Sync>);

impl Reason {
    pub(crate) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
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
        }
    }
}

/// `map_err` for a call about `place`.
pub(crate) fn at(place: String) -> impl FnOnce(object_store::Error) -> SinkError {
    move |err| {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&err);
        while let Some(found) = cause {
            if let Some(failure) = found.downcast_ref::<Failure>() {
                return failure.clone().into();
            }
            cause = found.source();
        }
        SinkError::Unwritable { place, cause: Box::new(err) }
    }
}

pub(crate) fn unwritable(place: String, cause: impl Into<record::Cause>) -> SinkError {
    SinkError::Unwritable { place, cause: cause.into() }
}
