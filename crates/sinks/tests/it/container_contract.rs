//! The object store sink on Azurite and `SeaweedFS`: the contract of all sinks, two writers, and the
//! troubles that a container can have (F24).

use bytes::Bytes;
use futures_util::{TryStreamExt, future::join_all};
use record::{Body, Checkpoint, Position, Route, Sink, SinkError, Uid};
use sinks::{object_store::Objects, state_admin::StateAdmin};
use testkit::{sink_contract, sink_contract::SinkUnderTest};

use crate::{
    mail,
    object_store::{copies, wait},
    outside::{Outside, in_containers},
};

const STATE: &str = "state/owner/bucket/abc@example.com/checkpoint.json";

impl SinkUnderTest for Outside {
    fn open(&self) -> Box<dyn Sink> {
        Box::new(self.open())
    }

    fn copies(&self, route: &Route) -> Vec<(Uid, Vec<u8>)> {
        wait(copies(&self.open(), route))
    }

    fn damage_checkpoint(&self, route: &Route) -> bool {
        let mut bytes = wait(self.open().export(route)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        wait(async { self.set(STATE, &bytes) });
        true
    }
}

sink_contract!(on_azurite, Outside::on_azurite());
sink_contract!(on_seaweedfs, Outside::on_seaweedfs());

in_containers!(
    the_slower_of_two_writers_is_told_and_changes_nothing,
    a_sidecar_keeps_what_two_writers_change_at_once,
    a_large_email_never_replaces_a_copy_that_is_there,
    the_first_checkpoint_has_one_winner,
    of_many_owners_at_once_one_wins_each_round,
    two_writers_share_one_quarantine_list,
    a_missing_container_is_no_empty_one,
    names_with_every_kind_of_letter_come_back,
    the_probe_finds_what_is_promised_also_beside_others,
);

pub(crate) fn checkpoint(generation: u64, token: &str) -> Checkpoint {
    let hierarchy = Some(Position::Cursor { token: token.into() });
    Checkpoint { generation, hierarchy, ..Checkpoint::default() }
}

pub(crate) async fn stored_checkpoint(objects: &Objects) -> Checkpoint {
    objects.load_checkpoint(&mail::route()).await.unwrap()
}

async fn the_slower_of_two_writers_is_told_and_changes_nothing(container: Outside) {
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
async fn a_sidecar_keeps_what_two_writers_change_at_once(container: Outside) {
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
async fn a_large_email_never_replaces_a_copy_that_is_there(container: Outside) {
    let (sink, route) = (container.open(), mail::route());
    let eml = format!("data/owner/bucket/abc@example.com/{}.eml", mail::uid(1));
    container.set(&eml, b"first");
    let mut large = mail::email(1);
    large.body = Body::Memory(vec![b'x'; 9 << 20].into());
    sink.write(&route, &[large]).await.unwrap();
    let copies = copies(&sink, &route).await;
    assert!(copies.len() == 1 && copies[0].1 == b"first", "the copy was replaced");
    let stored = sink.stored_email(&route, mail::uid(1)).await.unwrap().unwrap();
    assert_eq!(stored.sidecar.size, 5);
}

async fn the_first_checkpoint_has_one_winner(container: Outside) {
    let (one, two, route) = (container.open(), container.open(), mail::route());
    // Both have seen that there is none.
    assert_eq!(stored_checkpoint(&one).await, stored_checkpoint(&two).await);
    one.save_checkpoint(&route, &checkpoint(1, "one")).await.unwrap();
    let result = two.save_checkpoint(&route, &checkpoint(1, "two")).await;
    assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
    // The same content is no conflict: the answer to it may have been lost.
    two.save_checkpoint(&route, &checkpoint(1, "one")).await.unwrap();
}

async fn two_writers_share_one_quarantine_list(container: Outside) {
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

async fn a_missing_container_is_no_empty_one(container: Outside) {
    let (code, advice) = match container {
        Outside::Azurite(_) => ("HTTP 404 ContainerNotFound", "Create the container"),
        Outside::SeaweedFs(_) => ("HTTP 404 NoSuchBucket", "Create the bucket"),
    };
    let sink = container.missing().open();
    for result in [
        sink.load_checkpoint(&mail::route()).await.map(drop),
        sink.write(&mail::route(), &[mail::email(1)]).await.map(drop),
        sink.save_checkpoint(&mail::route(), &checkpoint(1, "a")).await,
        sink.find(&mail::route(), &[mail::uid(1)]).await.map(drop),
        sink.routes().await.map(drop),
    ] {
        let err = result.unwrap_err();
        let SinkError::Denied { detail, hint, .. } = &err else { panic!("{err:?}") };
        assert_eq!(detail, code);
        assert!(hint.as_deref().unwrap().starts_with(advice), "{hint:?}");
    }
    let steps = sink.probe().await;
    assert!(steps.len() == 1 && steps[0].result.is_err(), "{steps:?}");
}

async fn names_with_every_kind_of_letter_come_back(container: Outside) {
    let sink = container.open_at("a b/ä", &container.server());
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

/// Each owner has seen the same: whoever is refused finds the state of another, and no state is lost.
async fn of_many_owners_at_once_one_wins_each_round(container: Outside) {
    let route = mail::route();
    let owners: Vec<_> = (0..4).map(|_| container.open()).collect();
    join_all(owners.iter().map(|owner| async { owner.prove().await.unwrap() })).await;
    for generation in 1..=3 {
        join_all(owners.iter().map(stored_checkpoint)).await;
        let new = |owner| checkpoint(generation, &format!("{generation} of {owner}"));
        let saves = owners.iter().enumerate().map(async |(number, owner)| {
            let saved = owner.save_checkpoint(&route, &new(number)).await;
            assert!(matches!(saved, Ok(()) | Err(SinkError::Superseded { .. })), "{saved:?}");
            saved.is_ok()
        });
        let won = join_all(saves).await;
        let winner = won.iter().position(|won| *won).expect("nobody won");
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        assert_eq!(stored_checkpoint(&container.open()).await, new(winner));
    }
}

async fn the_probe_finds_what_is_promised_also_beside_others(container: Outside) {
    let shards: Vec<_> = (0..3).map(|_| container.open()).collect();
    for steps in join_all(shards.iter().map(Objects::probe)).await {
        assert_eq!(steps.len(), 6);
        assert!(steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
    }
    assert_eq!(wait(async { container.count() }), 1);
}
