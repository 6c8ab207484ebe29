//! Places for work that would take all memory, or every reader of the database, if everybody did it
//! at once: a few are at work, some wait, and the rest are told to come again.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::refusal::Refusal;

/// How long one waits, and when to come again.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: u32 = 5;

/// Tables that are read at once, each up to four times as large in memory as it came, and those
/// that wait with their 32 MiB.
const TABLES: usize = 2;
const WAITING_TABLES: usize = 6;
/// Requests that look through comments one by one, for as long as that takes. Of the readers of the
/// database, some are left to everybody else.
const SCANS: usize = 3;
const WAITING_SCANS: usize = 64;

pub(crate) struct Places {
    pub(crate) tables: Gate,
    pub(crate) scans: Gate,
}

impl Default for Places {
    fn default() -> Self {
        let tables = "too many tables are being read at the same time";
        let scans = "too many requests look through comments at the same time";
        Self {
            tables: Gate::new(TABLES, WAITING_TABLES, tables),
            scans: Gate::new(SCANS, WAITING_SCANS, scans),
        }
    }
}

pub(crate) struct Gate {
    places: Arc<Semaphore>,
    queue: Semaphore,
    busy: &'static str,
}

impl Gate {
    fn new(places: usize, waiting: usize, busy: &'static str) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), queue: Semaphore::new(waiting), busy }
    }

    /// A place, which is given back when it is dropped.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let busy = || Refusal::busy(self.busy, PAUSE);
        let _waiting = self.queue.try_acquire().map_err(|_| busy())?;
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        place.map_err(|_| busy())?.map_err(|_| busy())
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use record::clock::SystemClock;
    use serde_json::{Value, json};
    use store::Store;
    use testkit::platform_contract::client::{Client, whole};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{Options, Server, first_start};

    #[tokio::test(start_paused = true)]
    async fn some_wait_and_the_rest_are_told_to_come_again() {
        let gate = Gate::new(1, 1, "busy");
        let first = gate.enter().await.unwrap();
        let (second, third) = tokio::join!(gate.enter(), gate.enter());
        for refused in [second, third] {
            let refused = refused.err().unwrap();
            assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(PAUSE)));
        }
        let (next, ()) = tokio::join!(gate.enter(), async { drop(first) });
        drop(next.unwrap());
    }

    /// Places that are closed are given to nobody, and say so at once.
    #[tokio::test]
    async fn what_takes_long_or_much_needs_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
        let first = first_start(&store).await.unwrap().unwrap();
        let server = Server::bind(store, Options::default()).await.unwrap();
        let (shared, address) = (Arc::clone(&server.shared), server.address());
        let over = CancellationToken::new();
        let _guard = over.clone().drop_guard();
        tokio::spawn(server.serve(over, Duration::from_secs(1)));
        let mut client = Client::connect(address, first.token.reveal()).await;
        let (source, dataset) = ("/api/v1/sources/own/letters", "/api/v1/datasets/own/ds");
        for (path, body) in [
            ("/api/_private/projects/own", json!({ "project": {} })),
            (source, json!({ "source": {} })),
            (dataset, json!({ "dataset": { "source_ids": [] } })),
        ] {
            let made = client.call("PUT", path, body).await;
            assert_eq!(made.status, 200, "{path}: {}", made.message());
        }
        let filter = json!({ "comment_filter": { "reviewed": "only_reviewed" } });
        let scans = [
            (format!("{source}/statistics"), filter.clone()),
            ("/api/_private/datasets/own/ds/statistics".to_owned(), filter),
            ("/api/_private/datasets/own/ds/query".to_owned(), json!({})),
            ("/api/_private/datasets/own/ds/summary".to_owned(), json!({})),
        ];
        let tables = [
            "/api/_private/sources/sniff-csv",
            "/api/_private/sources/own%2Fletters/sync-csv?text=A&timestamp=B",
        ];
        for status in [200, 429] {
            for (path, body) in &scans {
                let answer = client.call("POST", path, body.clone()).await;
                assert_eq!(answer.status, status, "{path}: {}", answer.message());
            }
            for path in tables {
                let request = Request::put(path).header("content-type", "application/octet-stream");
                let file = b"A,B\nx,2026-01-01\n".to_vec();
                let answer = client.try_send(request, whole(file)).await.unwrap();
                assert_eq!(answer.status, status, "{path}: {}", answer.message());
            }
            assert_eq!(client.call("GET", source, Value::Null).await.status, 200);
            shared.places.scans.places.close();
            shared.places.tables.places.close();
        }
    }
}
