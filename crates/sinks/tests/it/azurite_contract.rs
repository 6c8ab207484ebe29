//! The object store sink on Azurite: the contract of all sinks, two writers, and the troubles that
//! a container can have (F24).

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::TryStreamExt;
use record::{Body, Chain, Checkpoint, Position, Route, Sink, SinkAdvice, SinkError, Uid};
use sinks::{
    object_store::{
        Objects,
        azure::{AzureEnvironment, AzureLocation, sas_ends_at},
    },
    state_admin::StateAdmin,
};
use testkit::{sink_contract, sink_contract::SinkUnderTest};

use crate::{
    azurite::{Container, KEY},
    mail,
    object_store::{copies, wait},
    process,
};

const STATE: &str = "a/prefix/state/owner/bucket/abc@example.com/checkpoint.json";

struct OnAzurite(Container);

impl OnAzurite {
    fn new() -> Self {
        Self(wait(Container::create()))
    }
}

impl SinkUnderTest for OnAzurite {
    fn open(&self) -> Box<dyn Sink> {
        Box::new(self.0.open())
    }

    fn copies(&self, route: &Route) -> Vec<(Uid, Vec<u8>)> {
        let container = self.0.clone();
        wait(async move { copies(&container.open(), route).await })
    }

    fn damage_checkpoint(&self, route: &Route) -> bool {
        let container = self.0.clone();
        wait(async move {
            let mut bytes = container.open().export(route).await.unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let headers = [("x-ms-blob-type", "BlockBlob")];
            assert_eq!(container.administer(STATE, "", &headers, bytes.into()).await, 201);
        });
        true
    }
}

sink_contract!(on_azurite, OnAzurite::new());

fn checkpoint(generation: u64, token: &str) -> Checkpoint {
    let hierarchy = Some(Position::Cursor { token: token.into() });
    Checkpoint { generation, hierarchy, ..Checkpoint::default() }
}

async fn stored_checkpoint(objects: &Objects) -> Checkpoint {
    objects.load_checkpoint(&mail::route()).await.unwrap()
}

#[tokio::test]
async fn the_slower_of_two_writers_is_told_and_changes_nothing() {
    let container = Container::create().await;
    let (old, new, route) = (container.open(), container.open(), mail::route());
    old.save_checkpoint(&route, &checkpoint(1, "old")).await.unwrap();
    stored_checkpoint(&new).await;
    // Both deliver the same email; one copy is there.
    old.write(&route, &[mail::email(1)]).await.unwrap();
    let mut again = mail::email(1);
    again.body = Body::Memory(Bytes::from_static(b"built anew"));
    new.write(&route, &[again]).await.unwrap();
    assert_eq!(copies(&new, &route).await, [(mail::uid(1), mail::body(1))]);
    new.save_checkpoint(&route, &checkpoint(2, "new")).await.unwrap();
    let result = old.save_checkpoint(&route, &checkpoint(2, "old")).await;
    assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
    assert_eq!(stored_checkpoint(&container.open()).await, checkpoint(2, "new"));
}

/// Whoever corrects a folder has read the sidecar before: it must not undo what another writes then.
#[tokio::test]
async fn a_sidecar_keeps_what_two_writers_change_at_once() {
    let container = Container::create().await;
    let (one, two, route) = (container.open(), container.open(), mail::route());
    one.write(&route, &[mail::email(1)]).await.unwrap();
    for round in 0..15 {
        let mut newer = mail::email(1);
        newer.metadata.categories = vec![format!("category {round}")];
        let moves = async {
            for place in 0..6 {
                let folder = vec![format!("folder {round} {place}")];
                two.relocate(&route, &[(mail::uid(1), folder)]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(one.write(&route, std::slice::from_ref(&newer)), moves);
        written.unwrap();
        let stored = one.stored_email(&route, mail::uid(1)).await.unwrap().unwrap();
        assert_eq!(stored.sidecar.metadata.categories, newer.metadata.categories);
    }
}

/// Another process stored the bytes and died before the sidecar; the server has built others since.
#[tokio::test]
async fn a_large_email_never_replaces_a_copy_that_is_there() {
    let container = Container::create().await;
    let (sink, route) = (container.open(), mail::route());
    let eml = format!("a/prefix/data/owner/bucket/abc@example.com/{}.eml", mail::uid(1));
    let headers = [("x-ms-blob-type", "BlockBlob")];
    assert_eq!(container.administer(&eml, "", &headers, Bytes::from_static(b"first")).await, 201);
    let mut large = mail::email(1);
    large.body = Body::Memory(vec![b'x'; 9 << 20].into());
    sink.write(&route, &[large]).await.unwrap();
    let copies = copies(&sink, &route).await;
    assert!(copies.len() == 1 && copies[0].1 == b"first", "the copy was replaced");
    let stored = sink.stored_email(&route, mail::uid(1)).await.unwrap().unwrap();
    assert_eq!(stored.sidecar.size, 5);
}

#[tokio::test]
async fn the_first_checkpoint_has_one_winner() {
    let container = Container::create().await;
    let (one, two, route) = (container.open(), container.open(), mail::route());
    // Both have seen that there is none.
    assert_eq!(stored_checkpoint(&one).await, stored_checkpoint(&two).await);
    one.save_checkpoint(&route, &checkpoint(1, "one")).await.unwrap();
    let result = two.save_checkpoint(&route, &checkpoint(1, "two")).await;
    assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
    // The same content is no conflict: the answer to it may have been lost.
    two.save_checkpoint(&route, &checkpoint(1, "one")).await.unwrap();
}

#[tokio::test]
async fn two_writers_share_one_quarantine_list() {
    let container = Container::create().await;
    let item = |n: u64| record::Quarantined {
        uid: mail::uid(n),
        protocol: record::Protocol::Ews,
        item: mail::email(n).item,
        folder: mail::folder(),
        folder_path: vec!["Inbox".into()],
        message_id: None,
        received: None,
        size: None,
        code: "ErrorItemCorrupt".into(),
        detail: "cannot be read".into(),
        since: mail::email(n).timestamp,
        attempts: 1,
    };
    let (one, two, route) = (container.open(), container.open(), mail::route());
    let (first, second): (Vec<_>, Vec<_>) =
        ((0..4).map(item).collect(), (4..8).map(item).collect());
    let one_by_one = async |sink: &Objects, items: &[record::Quarantined]| {
        for item in items {
            sink.quarantine(&route, std::slice::from_ref(item)).await.unwrap();
        }
    };
    tokio::join!(one_by_one(&one, &first), one_by_one(&two, &second));
    assert_eq!(container.open().quarantined(&route).await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_missing_container_is_no_empty_one() {
    let container = Container { name: "not-there".into() };
    let sink = container.open();
    for result in [
        sink.load_checkpoint(&mail::route()).await.map(drop),
        sink.write(&mail::route(), &[mail::email(1)]).await.map(drop),
        sink.save_checkpoint(&mail::route(), &checkpoint(1, "a")).await,
        sink.find(&mail::route(), &[mail::uid(1)]).await.map(drop),
        sink.routes().await.map(drop),
    ] {
        let err = result.unwrap_err();
        let SinkError::Denied { detail, hint, .. } = &err else { panic!("{err:?}") };
        assert_eq!(detail, "HTTP 404 ContainerNotFound");
        assert!(hint.as_deref().unwrap().starts_with("Create the container"), "{hint:?}");
    }
    let steps = sink.probe().await;
    assert!(steps.len() == 1 && steps[0].result.is_err(), "{steps:?}");
}

#[tokio::test]
async fn a_lease_on_the_state_is_told_as_such() {
    let container = Container::create().await;
    let (sink, route) = (container.open(), mail::route());
    sink.save_checkpoint(&route, &checkpoint(1, "a")).await.unwrap();
    sink.write(&route, &[mail::email(1)]).await.unwrap();
    let lease = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    assert_eq!(container.administer(STATE, "comp=lease", &lease, Bytes::new()).await, 201);
    let err = sink.save_checkpoint(&route, &checkpoint(2, "b")).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err:?}");
    assert!(err.hint().unwrap().starts_with("Somebody holds a lease"), "{err:?}");
    // An email that is there needs no write.
    let eml = format!("a/prefix/data/owner/bucket/abc@example.com/{}.eml", mail::uid(1));
    assert_eq!(container.administer(&eml, "comp=lease", &lease, Bytes::new()).await, 201);
    sink.write(&route, &[mail::email(1)]).await.unwrap();
}

fn by_sas(sas: &str) -> AzureEnvironment {
    let sas_token = Some(record::Secret::from(sas));
    AzureEnvironment { sas_token, account_key: None, ..Container::environment() }
}

#[tokio::test]
async fn a_shared_access_signature_works_until_it_ends() {
    let container = Container::create().await;
    let good = by_sas(&container.sas("racwl", TimeDelta::hours(1)));
    assert!(sas_ends_at(&container.location(), &good).is_some());
    let sink = container.open_with(good);
    sink.write(&mail::route(), &[mail::email(1)]).await.unwrap();
    assert!(sink.probe().await.iter().all(|step| step.result.is_ok()));

    let sas = container.sas("racwl", TimeDelta::hours(-1));
    let err = container.open_with(by_sas(&sas)).load_checkpoint(&mail::route()).await.unwrap_err();
    assert!(matches!(err, SinkError::Unauthorized { .. }), "{err:?}");
    assert_eq!(err.advice(), SinkAdvice::StopService);
    let told = Chain(&err).to_string();
    assert!(told.contains("the shared access signature is not valid now; it ends at"), "{told}");
}

#[tokio::test]
async fn a_signature_that_may_only_read_is_denied_with_the_rights_it_lacks() {
    let container = Container::create().await;
    let sink = container.open_with(by_sas(&container.sas("rl", TimeDelta::hours(1))));
    assert_eq!(stored_checkpoint(&sink).await, Checkpoint::default());
    let err = sink.write(&mail::route(), &[mail::email(1)]).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err:?}");
    assert!(err.hint().unwrap().contains("Storage Blob Data Contributor"), "{err:?}");
}

#[tokio::test]
async fn no_secret_is_shown_when_a_key_or_a_signature_is_refused() {
    let container = Container::create().await;
    let key = KEY.replace("Eby8", "Canary00");
    let wrong_key = AzureEnvironment {
        account_key: Some(record::Secret::from(key.as_str())),
        ..Container::environment()
    };
    let sas = container.sas("racwl", TimeDelta::hours(1)).replace("sig=", "sig=Canary00");
    for environment in [wrong_key, by_sas(&sas)] {
        let shown = format!("{environment:?}");
        assert!(!shown.contains("Canary"), "{shown}");
        let sink = container.open_with(environment);
        let err = sink.write(&mail::route(), &[mail::email(1)]).await.unwrap_err();
        let shown = format!("{err:?} {} {:?}", Chain(&err), err.hint());
        assert!(!shown.contains("Canary"), "{shown}");
        assert!(
            matches!(err, SinkError::Unauthorized { .. } | SinkError::Denied { .. }),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn names_with_every_kind_of_letter_come_back() {
    let container = Container::create().await;
    let location = AzureLocation { prefix: "a b/ä".into(), ..container.location() };
    let sink = Objects::azure(sinks::object_store::azure::AzureOptions {
        location,
        environment: Container::environment(),
        transport: crate::azurite::transport(),
        max_concurrent_uploads: 1,
        meter: Arc::new(record::Unmetered),
    })
    .unwrap();
    let route = Route { mailbox: "jürgen+x'~@example.com".parse().unwrap(), ..mail::route() };
    sink.write(&route, &[mail::email(1), mail::email(2)]).await.unwrap();
    sink.save_checkpoint(&route, &checkpoint(1, "a")).await.unwrap();
    assert_eq!(sink.routes().await.unwrap(), std::slice::from_ref(&route));
    let uids: Vec<Uid> = sink.stored_uids(&route).try_collect().await.unwrap();
    assert_eq!(uids.len(), 2);
    let many: Vec<Uid> = (0..20).map(mail::uid).collect();
    let held = sink.find(&route, &many).await.unwrap();
    assert_eq!(held.iter().filter(|held| held.is_some()).count(), 2);
}

/// Size of the largest emails that Exchange takes by default in the cloud, in bytes.
const LARGE: u64 = 150 << 20;
const LARGE_TEST: &str = "azurite_contract::stores_large_emails_when_it_is_told_to";
const LARGE_ORDERS: &str = "SINKS_TEST_LARGE";

/// Does nothing in an ordinary run of the tests.
#[test]
fn stores_large_emails_when_it_is_told_to() {
    #[expect(clippy::disallowed_methods, reason = "the arguments belong to the test harness")]
    let Ok(orders) = std::env::var(LARGE_ORDERS) else { return };
    let orders: Vec<&str> = orders.split('\t').collect();
    let (endpoint, name, count) = (orders[0], orders[1], orders[2].parse().unwrap());
    let environment = AzureEnvironment {
        endpoint: Some(endpoint.into()),
        account_key: Some(record::Secret::from(KEY)),
        ..AzureEnvironment::default()
    };
    let sink = Container { name: name.into() }.open_with(environment);
    wait(async {
        let emails: Vec<_> = (0..count).map(large).collect();
        sink.write(&mail::route(), &emails).await.unwrap();
        // Sent once more, it is not read into memory, either.
        sink.write(&mail::route(), &emails[..1]).await.unwrap();
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("\n> peak {}", peak.trim());
}

/// An email of zeros that takes no room on the disk.
fn large(n: u64) -> record::Email {
    let file = tempfile::tempfile().unwrap();
    file.set_len(LARGE).unwrap();
    record::Email { body: Body::Spool { file: Arc::new(file), size: LARGE }, ..mail::email(n) }
}

#[tokio::test]
async fn an_email_of_150_mb_passes_through_little_memory() {
    let container = Container::create().await;
    let orders = format!("{}\t{}\t2", crate::azurite::azurite().url, container.name);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", LARGE_TEST, "--nocapture"])
        .env(LARGE_ORDERS, orders)
        .env_remove(process::ORDERS)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let peak = said.lines().find_map(|line| line.strip_prefix("> peak ")).expect(&said);
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 64 << 10, "two emails of 150 MB took {kib} KiB");
    let sink = container.open();
    let stored = sink.stored_email(&mail::route(), mail::uid(1)).await.unwrap().unwrap();
    assert_eq!(stored.sidecar.size, LARGE);
    let body = stored.body().await.unwrap().unwrap();
    let size = body.try_fold(0, |size, piece| async move { Ok(size + piece.len() as u64) });
    assert_eq!(size.await.unwrap(), LARGE);
}
