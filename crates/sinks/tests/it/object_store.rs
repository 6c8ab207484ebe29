//! The object store sink over a store in memory: the contract of all sinks, and what the layout
//! and the lists promise.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use record::{Body, Quarantined, Route, Sink, SinkError, Uid};
use sinks::{
    object_store::Objects,
    state_admin::{NOTE, StateAdmin},
};
use testkit::{sink_contract, sink_contract::SinkUnderTest};

use crate::mail;

struct Memory(Arc<InMemory>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(InMemory::new()))
    }

    fn objects(&self) -> Objects {
        Objects::in_memory(Arc::clone(&self.0), "a/prefix").unwrap()
    }

    fn checkpoint(route: &Route) -> Path {
        let (owner, name) = (route.bucket.owner(), route.bucket.name());
        let mailbox = &route.mailbox;
        Path::from(format!("a/prefix/state/{owner}/{name}/{mailbox}/checkpoint.json"))
    }
}

/// Runs `work` to its end within a test that is asynchronous itself.
pub(crate) fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work)
        });
        thread.join().unwrap()
    })
}

/// Every email of `route`, with its bytes.
pub(crate) async fn copies(objects: &Objects, route: &Route) -> Vec<(Uid, Vec<u8>)> {
    let stored: Vec<_> = objects.stored(route).try_collect().await.unwrap();
    let mut copies = Vec::new();
    for email in stored {
        let pieces: Vec<Bytes> = email.body().await.unwrap().unwrap().try_collect().await.unwrap();
        copies.push((email.sidecar.uid, pieces.concat()));
    }
    copies
}

impl SinkUnderTest for Memory {
    fn open(&self) -> Box<dyn Sink> {
        Box::new(self.objects())
    }

    fn copies(&self, route: &Route) -> Vec<(Uid, Vec<u8>)> {
        wait(copies(&self.objects(), route))
    }

    fn damage_checkpoint(&self, route: &Route) -> bool {
        wait(async {
            let path = Self::checkpoint(route);
            let mut bytes = self.0.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            self.0.put(&path, bytes.into()).await.unwrap();
        });
        true
    }
}

sink_contract!(in_memory, Memory::new());

#[tokio::test]
async fn a_long_page_is_found_by_one_listing() {
    let memory = Memory::new();
    let sink = memory.objects();
    let emails: Vec<_> = (0..30).map(mail::email).collect();
    sink.write(&mail::route(), &emails[..20]).await.unwrap();
    let uids: Vec<Uid> = emails.iter().map(|email| email.uid).collect();
    let held = |found: Vec<Option<_>>| found.iter().filter(|held| held.is_some()).count();
    assert_eq!(held(sink.find(&mail::route(), &uids).await.unwrap()), 20);
    // What is stored after the listing is found, too.
    sink.write(&mail::route(), &emails[20..]).await.unwrap();
    assert_eq!(held(sink.find(&mail::route(), &uids).await.unwrap()), 30);
    // And what others have taken away is not taken for there.
    let gone = format!("a/prefix/data/owner/bucket/abc@example.com/{}.json", uids[0]);
    memory.0.delete(&Path::from(gone)).await.unwrap();
    assert_eq!(held(sink.find(&mail::route(), &uids).await.unwrap()), 29);
}

#[tokio::test]
async fn a_sidecar_speaks_of_the_bytes_that_are_there() {
    let memory = Memory::new();
    let sink = memory.objects();
    sink.write(&mail::route(), &[mail::email(1)]).await.unwrap();
    // As if the process had died between the two blobs, and the server built other bytes since.
    let sidecar = format!("a/prefix/data/owner/bucket/abc@example.com/{}.json", mail::uid(1));
    memory.0.delete(&Path::from(sidecar)).await.unwrap();
    assert_eq!(sink.find(&mail::route(), &[mail::uid(1)]).await.unwrap(), [None]);
    let mut again = mail::email(1);
    again.body = Body::Memory(Bytes::from_static(b"built anew"));
    sink.write(&mail::route(), &[again]).await.unwrap();
    let stored = sink.stored_email(&mail::route(), mail::uid(1)).await.unwrap().unwrap();
    assert_eq!(stored.sidecar.size, mail::body(1).len() as u64);
    assert_eq!(copies(&sink, &mail::route()).await, [(mail::uid(1), mail::body(1))]);
}

#[tokio::test]
async fn a_spooled_body_that_was_cut_is_not_stored() {
    for whole in [100, 20 << 20] {
        let memory = Memory::new();
        let spool = tempfile::tempfile().unwrap();
        spool.set_len(whole).unwrap();
        let mut cut = mail::email(1);
        cut.body = Body::Spool { file: Arc::new(spool), size: whole + 1 };
        let result = memory.objects().write(&mail::route(), &[cut]).await;
        assert!(matches!(result, Err(SinkError::Unwritable { .. })), "{result:?}");
        let left: Vec<_> = memory.0.list(None).try_collect().await.unwrap();
        assert!(left.is_empty(), "half an email was left: {left:?}");
    }
}

#[tokio::test]
async fn state_is_exported_imported_and_reset() {
    let memory = Memory::new();
    let (sink, route) = (memory.objects(), mail::route());
    let first = record::Checkpoint { generation: 1, ..Default::default() };
    sink.save_checkpoint(&route, &first).await.unwrap();
    let exported = sink.export(&route).await.unwrap();
    assert_eq!(sink.routes().await.unwrap(), std::slice::from_ref(&route));

    memory.objects().reset(&route).await.unwrap();
    let next = record::Checkpoint { generation: 2, ..Default::default() };
    let stopped = sink.save_checkpoint(&route, &next).await;
    assert!(stopped.is_ok() || matches!(stopped, Err(SinkError::Superseded { .. })));
    memory.objects().import(&route, &exported).await.unwrap();
    assert_eq!(memory.objects().load_checkpoint(&route).await.unwrap().generation, 3);
    let changed = record::Checkpoint { paused_until: Some(mail::email(1).timestamp), ..next };
    let stopped = sink.save_checkpoint(&route, &changed).await;
    assert!(matches!(stopped, Err(SinkError::Superseded { .. })), "{stopped:?}");

    let other = Route { mailbox: "x@example.com".parse().unwrap(), ..route };
    let refused = sink.import(&other, &exported).await;
    assert!(matches!(refused, Err(SinkError::Corrupt { .. })), "{refused:?}");
}

/// What is said of an email that was set aside.
fn set_aside(n: u64, code: &str) -> Quarantined {
    let email = mail::email(n);
    Quarantined {
        uid: email.uid,
        protocol: record::Protocol::Ews,
        item: email.item,
        folder: mail::folder(),
        folder_path: vec!["Inbox".into()],
        message_id: email.message_id,
        received: None,
        size: None,
        code: code.into(),
        detail: String::new(),
        since: email.timestamp,
        attempts: 1,
    }
}

async fn uids_set_aside(sink: &Objects) -> Vec<Uid> {
    let list = sink.quarantined(&mail::route()).await.unwrap();
    list.into_iter().map(|item| item.uid).collect()
}

#[tokio::test]
async fn an_import_keeps_what_is_missing_in_quarantine() {
    let memory = Memory::new();
    let (sink, route) = (memory.objects(), mail::route());
    let first = record::Checkpoint { generation: 1, ..Default::default() };
    sink.save_checkpoint(&route, &first).await.unwrap();
    let items = [set_aside(1, "Error"), set_aside(2, "Error"), set_aside(3, NOTE)];
    sink.quarantine(&route, &items).await.unwrap();
    let shown = sink.show(&route).await.unwrap();
    assert_eq!((shown.generation, shown.quarantined), (1, 2), "a note is not set aside");
    let exported = sink.export(&route).await.unwrap();

    // One arrives, one is forgotten, one more is set aside.
    sink.write(&route, &[mail::email(1)]).await.unwrap();
    let forgotten = memory.objects().forget_quarantined(&route, &[mail::uid(2)]).await.unwrap();
    assert_eq!(forgotten, items[1..2]);
    sink.quarantine(&route, &[set_aside(4, "Error")]).await.unwrap();
    assert_eq!(uids_set_aside(&sink).await, [mail::uid(3), mail::uid(4)]);

    memory.objects().import(&route, &exported).await.unwrap();
    let mut now = uids_set_aside(&memory.objects()).await;
    now.sort();
    let mut expected = [2, 3, 4].map(mail::uid);
    expected.sort();
    assert_eq!(now, expected);
}

#[tokio::test]
async fn a_reset_gets_out_of_damaged_state() {
    let memory = Memory::new();
    let (sink, route) = (memory.objects(), mail::route());
    let first = record::Checkpoint { generation: 1, ..Default::default() };
    sink.save_checkpoint(&route, &first).await.unwrap();
    sink.quarantine(&route, &[set_aside(1, "Error")]).await.unwrap();
    let checkpoint = Memory::checkpoint(&route);
    memory.0.put(&checkpoint, "{}".into()).await.unwrap();
    assert!(memory.objects().show(&route).await.is_err());
    memory.objects().reset(&route).await.unwrap();
    assert_eq!(uids_set_aside(&sink).await, [mail::uid(1)], "it is still to be delivered");
    // Whoever remembers the state of before must not put it back.
    let next = record::Checkpoint { generation: 2, ..Default::default() };
    let stale = sink.save_checkpoint(&route, &next).await;
    assert!(matches!(stale, Err(SinkError::Superseded { .. })), "{stale:?}");

    let list = checkpoint.to_string().replace("checkpoint", "quarantine");
    memory.0.put(&Path::from(list), "{}".into()).await.unwrap();
    assert!(memory.objects().show(&route).await.is_err());
    memory.objects().reset(&route).await.unwrap();
    assert_eq!(memory.objects().show(&route).await.unwrap().quarantined, 0);
}

#[tokio::test]
async fn a_route_under_a_shortened_name_is_listed() {
    let memory = Memory::new();
    let sink = memory.objects();
    let long = format!("{}@example.com", "é".repeat(100));
    let route = Route { mailbox: long.parse().unwrap(), ..mail::route() };
    let first = record::Checkpoint { generation: 1, ..Default::default() };
    sink.save_checkpoint(&route, &first).await.unwrap();
    assert_eq!(sink.routes().await.unwrap(), [route]);
}

#[tokio::test]
async fn a_store_that_keeps_its_conditions_passes_the_probe() {
    let memory = Memory::new();
    let steps = memory.objects().probe().await;
    assert_eq!(steps.len(), 6);
    assert!(steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
    // It can be repeated.
    assert!(memory.objects().probe().await.iter().all(|step| step.result.is_ok()));
}
