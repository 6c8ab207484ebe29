//! What keeps the sync state of a bucket from being read or written.

use record::SinkError;

use super::{document::Unusable, failure::Failure};

/// Why a state could not be read or written. Cloned for all that waited for it.
#[derive(Clone, Debug)]
pub(super) enum StateError {
    Failure(Failure),
    Unusable(Unusable),
    Superseded,
    /// The text is larger than so many bytes.
    TooLarge(usize),
}

impl From<Failure> for StateError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Unusable> for StateError {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(unusable)
    }
}

impl StateError {
    pub(super) fn unprintable(_: serde_json::Error) -> Self {
        Self::Unusable(Unusable::Corrupt("it cannot be written as JSON"))
    }

    /// In the terms of the seam; `place` names the state.
    pub(super) fn into_sink_error(self, host: &str, place: String) -> SinkError {
        match self {
            Self::Superseded => SinkError::Superseded { place },
            Self::TooLarge(limit) => SinkError::Denied {
                place,
                detail: format!("the state of its mailboxes is larger than {} MiB", limit >> 20),
                hint: Some(
                    "Spread the mailboxes over several buckets, so that each holds the state of \
                     fewer."
                        .to_owned(),
                ),
            },
            Self::Unusable(unusable) => unusable.into_sink_error(place),
            Self::Failure(failure) => failure.into_sink_error(
                host,
                &place,
                "the permissions `buckets-read` and `buckets-append`",
            ),
        }
    }
}
