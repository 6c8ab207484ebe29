//! A mailbox moves from one protocol to another, and back.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use record::{Checkpoint, Clock, Folder, FolderId, Protocol, Sink, Source};
use sync::{
    Carried, Command, FolderFilter, MailboxSettings,
    migrate::{MARGIN, Skip, convert, migrate_now, plan},
};
use testkit::{memory_sink::MemorySink, memory_source::MemoryMailbox};

use crate::world::{Running, SimClock, pace, route, start_at};

const ADDRESS: &str = "abc@example.com";

/// A mailbox, its sink, and the time that goes on while it is served over this or that.
struct World {
    mailbox: MemoryMailbox,
    sink: MemorySink,
    clock: Arc<SimClock>,
    settings: MailboxSettings,
}

impl World {
    fn new() -> Self {
        Self {
            mailbox: MemoryMailbox::new(ADDRESS),
            sink: MemorySink::default(),
            clock: Arc::new(SimClock::after(TimeDelta::zero())),
            settings: MailboxSettings::default(),
        }
    }

    fn forgetful() -> Self {
        let world = Self::new();
        world.sink.forget_all();
        world
    }

    /// Emails that come now.
    fn receive(&self, folder: &FolderId, emails: usize) -> Vec<record::Uid> {
        let now = self.clock.now();
        self.mailbox.set_time(now);
        (0..emails).map(|_| self.mailbox.receive(folder, now)).collect()
    }

    fn serve(&self, protocol: Protocol) -> Running {
        let source = Box::new(self.mailbox.source_over(protocol)) as Box<dyn Source>;
        let sources = vec![(route(ADDRESS), source)];
        let (clock, sink) = (Arc::clone(&self.clock), Arc::new(self.sink.clone()) as Arc<dyn Sink>);
        start_at(clock, &Carried::default(), sources, sink, &self.settings, pace(), 1)
    }

    /// Serves the mailbox until everything is read, and for a while longer.
    async fn catch_up(&self, protocol: Protocol) {
        let service = self.serve(protocol);
        service.catches_up(4).await;
        service.stop().await.unwrap();
    }

    fn state(&self, folder: &str) -> record::FolderState {
        let checkpoint = self.sink.checkpoint();
        let mut states = checkpoint.folders.into_values();
        states.find(|state| state.path == [folder.to_owned()]).unwrap()
    }

    fn assert_holds_everything(&self) {
        let held = self.sink.uids().into_iter().collect();
        assert_eq!(self.mailbox.truth(), held);
    }
}

async fn hours(hours: u64) {
    tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_twice_into_a_sink_that_knows_what_it_holds() {
    let world = World::new();
    let (inbox, sent) = (world.mailbox.add_folder("Inbox"), world.mailbox.add_folder("Sent"));
    for protocol in [Protocol::Ews, Protocol::Graph, Protocol::Ews, Protocol::Graph] {
        world.receive(&inbox, 700);
        let moved = world.receive(&sent, 30);
        world.catch_up(protocol).await;
        assert_eq!(world.sink.checkpoint().protocol, protocol);
        world.mailbox.move_email(moved[0], &inbox);
        world.assert_holds_everything();
    }
    assert_eq!(world.mailbox.fetched_again(), 0);
    assert_eq!(world.sink.writes(), 4 * 730);
    assert!(world.sink.checkpoint().complete_at.is_none(), "of use to other sinks only");
    let counts = world.state("Inbox");
    assert_eq!((counts.delivered, counts.caught_up), (4 * 700, true));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_cannot_tell_is_sent_only_what_may_be_missing() {
    let world = World::forgetful();
    let inbox = world.mailbox.add_folder("Inbox");
    world.receive(&inbox, 1000);
    hours(1).await;
    world.catch_up(Protocol::Ews).await;
    hours(2).await;
    world.receive(&inbox, 5);
    world.catch_up(Protocol::Ews).await;
    assert_eq!(world.sink.writes(), 1005);
    hours(5).await;
    let missed = world.receive(&inbox, 3);
    world.catch_up(Protocol::Graph).await;
    world.assert_holds_everything();
    assert!(world.sink.has(missed[0]));
    assert_eq!(world.sink.writes(), 1005 + 5 + 3, "the last five are within the margin");
    assert!(world.state("Inbox").delivered_until.is_none());
}

#[tokio::test(start_paused = true)]
async fn imported_mail_with_an_old_date_is_not_passed_over() {
    for forgetful in [false, true] {
        let world = if forgetful { World::forgetful() } else { World::new() };
        let inbox = world.mailbox.add_folder("Inbox");
        world.receive(&inbox, 10);
        world.catch_up(Protocol::Ews).await;
        hours(2).await;
        world.receive(&inbox, 1);
        world.catch_up(Protocol::Ews).await;
        world.mailbox.set_time(world.clock.now());
        let old = world.clock.now() - TimeDelta::hours(1000);
        let imported = world.mailbox.receive(&inbox, old);
        world.catch_up(Protocol::Graph).await;
        assert!(world.sink.has(imported), "forgetful: {forgetful}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_passes_nothing_over() {
    let world = World::forgetful();
    let inbox = world.mailbox.add_folder("Inbox");
    world.receive(&inbox, 10);
    let received = world.clock.now();
    *world.clock.shift.lock().unwrap() = TimeDelta::days(300);
    world.catch_up(Protocol::Ews).await;
    world.mailbox.set_time(received + TimeDelta::hours(1));
    let late = world.mailbox.receive(&inbox, received + TimeDelta::hours(1));
    world.catch_up(Protocol::Graph).await;
    assert!(world.sink.has(late));
}

#[tokio::test(start_paused = true)]
async fn an_item_set_aside_is_neither_forgotten_nor_stored_twice() {
    for forgetful in [false, true] {
        let world = if forgetful { World::forgetful() } else { World::new() };
        let inbox = world.mailbox.add_folder("Inbox");
        let uids = world.receive(&inbox, 5);
        let (corrupt, mended, deleted) = (uids[0], uids[1], uids[2]);
        for uid in [corrupt, mended, deleted] {
            world.mailbox.corrupt(uid);
        }
        // They are old enough to count as delivered by their time.
        hours(1).await;
        world.catch_up(Protocol::Ews).await;
        hours(2).await;
        world.receive(&inbox, 1);
        world.catch_up(Protocol::Ews).await;
        let before = world.sink.set_aside();
        assert_eq!((before.len(), world.state("Inbox").quarantined), (3, 3));

        world.mailbox.delete(deleted);
        world.mailbox.heal();
        world.mailbox.corrupt(corrupt);
        world.catch_up(Protocol::Graph).await;
        let now = world.sink.set_aside();
        let of = |uid| now.iter().find(|item| item.uid == uid);
        assert!(of(mended).is_none() && world.sink.uids().contains(&mended));
        let still = of(corrupt).unwrap();
        let first = before.iter().find(|item| item.uid == corrupt).unwrap();
        assert_eq!((still.protocol, still.since), (Protocol::Graph, first.since));
        assert_ne!(still.item, first.item);
        assert_eq!(of(deleted), before.iter().find(|item| item.uid == deleted));
        assert_eq!(world.state("Inbox").quarantined, 2, "forgetful: {forgetful}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_no_listing_shows_is_tried_again_under_its_new_id() {
    for translates in [true, false] {
        let mut world = World::new();
        let (inbox, junk) = (world.mailbox.add_folder("Inbox"), world.mailbox.add_folder("Junk"));
        world.receive(&inbox, 1);
        let uid = world.receive(&junk, 1)[0];
        world.mailbox.corrupt(uid);
        world.catch_up(Protocol::Ews).await;
        world.mailbox.heal();
        if !translates {
            world.mailbox.refuse_to_translate();
        }
        // From now on the folder is not read.
        world.settings.folders = FolderFilter::new(|path| path != ["Junk"]);
        let service = world.serve(Protocol::Graph);
        service.catches_up(1).await;
        let before = world.sink.set_aside();
        assert_eq!((before.len(), before[0].protocol), (1, Protocol::Ews));
        service.commands.send(Command::RetryQuarantine(route(ADDRESS))).await.unwrap();
        service.catches_up(2).await;
        service.stop().await.unwrap();
        assert_eq!(world.sink.uids().contains(&uid), translates);
        assert_eq!(world.sink.set_aside(), if translates { Vec::new() } else { before });
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_the_move_then_does() {
    for forgetful in [false, true] {
        let world = if forgetful { World::forgetful() } else { World::new() };
        let (inbox, old) = (world.mailbox.add_folder("Inbox"), world.mailbox.add_folder("Old"));
        world.receive(&inbox, 20);
        world.receive(&old, 1);
        hours(1).await;
        world.catch_up(Protocol::Ews).await;
        hours(1).await;
        world.receive(&inbox, 1);
        world.catch_up(Protocol::Ews).await;
        world.mailbox.rename_folder(&old, "New");
        let survey =
            world.mailbox.source_over(Protocol::Graph).survey(&Checkpoint::default(), true).await;
        let folders = survey.unwrap().folders;
        let before = world.sink.checkpoint();
        let plan = plan(&before, Protocol::Graph, !forgetful, &folders);
        assert_eq!((plan.from, plan.to), (Protocol::Ews, Protocol::Graph));
        match plan.skip {
            Skip::ByIdentity => assert!(!forgetful),
            Skip::ByTime { until } => {
                assert!(forgetful);
                assert!(until > world.clock.now() - TimeDelta::hours(2) - MARGIN);
            }
            Skip::Nothing => panic!("nothing would be passed over"),
        }
        let known = |from: &Option<FolderId>| from.is_some();
        let shown: Vec<_> =
            plan.folders.iter().map(|f| (f.path[0].as_str(), known(&f.from))).collect();
        assert_eq!(shown, [("Inbox", true), ("New", false)]);
        assert_eq!(plan.folders[0].state.delivered, 21);
        assert_eq!(plan.lost[0].path, ["Old"]);

        // Ahead of time, and once.
        let moved = migrate_now(&world.sink, &route(ADDRESS), Protocol::Graph).await.unwrap();
        assert_eq!(moved.as_ref(), Some(&world.sink.checkpoint()));
        assert_eq!(moved.unwrap().generation, before.generation + 1);
        let again = migrate_now(&world.sink, &route(ADDRESS), Protocol::Graph).await.unwrap();
        assert!(again.is_none());
        let writes = world.sink.writes();
        world.catch_up(Protocol::Graph).await;
        world.assert_holds_everything();
        let sent = world.sink.writes() - writes;
        assert_eq!(sent, if forgetful { 2 } else { 0 }, "the newest, and what has no folder");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_was_empty_for_long_is_in_the_terms_of_its_source() {
    let world = World::new();
    let service = world.serve(Protocol::Graph);
    service.catches_up(3).await;
    assert_eq!(world.sink.checkpoint(), Checkpoint::default(), "nothing is worth a save");
    let inbox = world.mailbox.add_folder("Inbox");
    world.receive(&inbox, 1);
    service.catches_up(3).await;
    service.stop().await.unwrap();
    assert_eq!(world.sink.checkpoint().protocol, Protocol::Graph);
    world.assert_holds_everything();
}

#[test]
fn a_checkpoint_of_the_same_protocol_stays_as_it_is() {
    let folder = FolderId("1".to_owned());
    let state = record::FolderState {
        position: Some(record::Position::Cursor { token: "x".to_owned() }),
        caught_up: true,
        mark: Some("1".to_owned()),
        ..record::FolderState::default()
    };
    let mut checkpoint = Checkpoint { generation: 7, ..Checkpoint::default() };
    checkpoint.folders.insert(folder.clone(), state);
    assert_eq!(convert(&checkpoint, Protocol::Ews, false), checkpoint);
    let moved = convert(&checkpoint, Protocol::Graph, false);
    let left = &moved.folders[&folder];
    assert_eq!((moved.generation, moved.protocol), (7, Protocol::Graph));
    assert!(left.position.is_none() && left.mark.is_none() && !left.caught_up);
    // Nobody knows since when it is complete: everything is sent again.
    assert!(left.delivered_until.is_none());
    let folders =
        [Folder { id: FolderId("2".to_owned()), path: Vec::new(), mark: None, total: Some(3) }];
    assert_eq!(plan(&checkpoint, Protocol::Graph, false, &folders).skip, Skip::Nothing);
}
