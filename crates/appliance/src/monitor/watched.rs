//! A sink whose calls are watched: how many, how long, what is under way, whether it works.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use record::{
    Checkpoint, Email, Held, Meter, Peer, Quarantined, Refusal, Route, Sink, SinkError, Uid,
};
use tokio::time::Instant;

use super::Monitor;

/// Who counts the requests of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedBy {
    /// The sink reports each request to its [`Meter`].
    Sink,
    /// Nobody else: each call counts as one request.
    Monitor,
}

/// Passes every call on to another sink.
pub(super) struct Watched {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) monitor: Arc<Monitor>,
    pub(super) counted_by: CountedBy,
}

impl Watched {
    /// Counts a call that began at `began` and passes its result on.
    fn after<T>(
        &self,
        operation: &'static str,
        began: Instant,
        result: Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let code = result.as_ref().err().map_or("ok", code);
        if self.counted_by == CountedBy::Monitor {
            self.monitor.request(Peer::Sink, operation, code, began.elapsed());
        }
        result
    }

    /// The same for a call that changes something, which tells whether the sink works.
    fn after_write<T>(
        &self,
        operation: &'static str,
        route: &Route,
        began: Instant,
        result: Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        match &result {
            Ok(_) => self.monitor.sink_health().wrote(route),
            Err(err) => self.monitor.sink_health().failed(route, err),
        }
        self.after(operation, began, result)
    }
}

/// One more write under way for as long as this lives, also if the call is abandoned.
struct Flight<'a>(&'a Monitor);

impl<'a> Flight<'a> {
    fn begin(monitor: &'a Monitor) -> Self {
        monitor.uploads_in_flight.fetch_add(1, Ordering::Relaxed);
        Self(monitor)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.uploads_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Sink for Watched {
    fn knows_what_it_holds(&self) -> bool {
        self.sink.knows_what_it_holds()
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        let began = Instant::now();
        let loaded = self.sink.load_checkpoint(route).await;
        self.after("load_checkpoint", began, loaded)
    }

    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        let began = Instant::now();
        let found = self.sink.find(route, uids).await;
        self.after("find", began, found)
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        let began = Instant::now();
        let _flight = Flight::begin(&self.monitor);
        let written = self.sink.write(route, emails).await;
        self.after_write("write", route, began, written)
    }

    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        let began = Instant::now();
        let relocated = self.sink.relocate(route, moved).await;
        self.after_write("relocate", route, began, relocated)
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        let began = Instant::now();
        let kept = self.sink.quarantine(route, items).await;
        self.after_write("quarantine", route, began, kept)
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        let began = Instant::now();
        let listed = self.sink.quarantined(route).await;
        self.after("quarantined", began, listed)
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        let began = Instant::now();
        let saved = self.sink.save_checkpoint(route, new).await;
        self.after_write("save_checkpoint", route, began, saved)
    }
}

/// A word for a failure.
fn code(err: &SinkError) -> &'static str {
    match err {
        SinkError::Corrupt { .. } => "corrupt",
        SinkError::TooNew { .. } => "too_new",
        SinkError::Superseded { .. } => "superseded",
        SinkError::Busy { .. } => "busy",
        SinkError::Unwritable { .. } => "unwritable",
        SinkError::Unreachable { .. } => "unreachable",
        SinkError::Unavailable { .. } => "unavailable",
        SinkError::Throttled { .. } => "throttled",
        SinkError::Unauthorized { .. } => "unauthorized",
        SinkError::Denied { .. } => "denied",
    }
}
