//! What makes comments of emails, and the threads that it has for that.

use std::{sync::Arc, thread::available_parallelism, time::Duration};

use comment::{Converted, Delivery, Pieces, Transform, convert, convert_pieces};
use store::{Store, StoreError};
use tokio::sync::{Notify, OnceCell};

use crate::{original::MAX_OPENED, watched::Threads};

/// How long one email may take: hundreds of times what the worst of known ones takes.
pub(crate) const TIME: Duration = Duration::from_secs(30);
/// Conversions that do not end, beside which others go on.
const MAX_STUCK: usize = 4;
/// Uploads of raw emails that are read at once.
const MAX_UPLOADS: usize = 16;

/// An email as it came.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    Whole(&'a [u8]),
    Pieces(&'a Pieces<'a>),
}

impl Raw<'_> {
    /// The comment of this email.
    pub fn convert(self, delivery: &Delivery<'_>, transform: &Transform) -> Converted {
        match self {
            Self::Whole(raw) => convert(raw, delivery, transform),
            Self::Pieces(pieces) => convert_pieces(pieces, delivery, transform),
        }
    }
}

/// Makes a comment of an email.
pub type Convert = Arc<dyn Fn(Raw<'_>, &Delivery<'_>, &Transform) -> Converted + Send + Sync>;

/// What conversions share.
pub(crate) struct Converter {
    pub(super) woken: Notify,
    pub(crate) convert: Convert,
    /// For emails of buckets.
    pub(super) threads: Threads,
    /// For emails that come with a request.
    pub(crate) uploads: Threads,
    /// For emails that somebody looks into.
    pub(crate) opened: Threads,
    name: OnceCell<String>,
}

/// As many as there are processors.
pub(super) fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

impl Converter {
    /// `time`: how long one email may take.
    pub(crate) fn new(convert: Option<Convert>, time: Duration) -> Self {
        let threads = |most| Threads::new(most, time);
        Self {
            woken: Notify::new(),
            convert: convert.unwrap_or_else(|| {
                Arc::new(|raw, delivery, transform| raw.convert(delivery, transform))
            }),
            threads: threads(processors() + MAX_STUCK),
            uploads: threads(MAX_UPLOADS),
            opened: threads(MAX_OPENED + MAX_STUCK),
            name: OnceCell::new(),
        }
    }

    /// Tells that there may be something in the queue.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// A name that no other process has, and this one has had for all its life.
    pub(crate) async fn name(&self, store: &Store) -> Result<&str, StoreError> {
        let name = self.name.get_or_try_init(|| async { store.read().await?.new_name() });
        Ok(name.await?.as_str())
    }
}
