//! Several processes share a folder: each mailbox belongs to one of them.

use record::{Route, Sink, SinkError};
use sinks::local_files::LocalFiles;

use crate::{
    mail,
    process::STEP,
    writer::{Writer, wait},
};

fn other() -> Route {
    Route { mailbox: "other@example.com".parse().unwrap(), ..mail::route() }
}

#[track_caller]
fn assert_busy<T: std::fmt::Debug>(result: Result<T, SinkError>) {
    let Err(SinkError::Busy { place }) = &result else { panic!("{result:?}") };
    assert!(place.contains("owner/bucket/") && place.contains("@example.com"), "{place}");
}

#[test]
fn a_second_process_waits_for_the_mailboxes_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), 10, 10);
    writer.flags = &[STEP];
    let mut first = writer.start();
    assert_eq!(first.next_line(), "ready");
    let second = LocalFiles::open(dir.path()).unwrap();
    assert_eq!(second.same_shard(), Some(first.id().to_string()));
    assert_busy(wait(second.load_checkpoint(&mail::route())));
    assert_busy(wait(second.find(&mail::route(), &[])));
    assert_busy(wait(second.write(&mail::route(), &[mail::email(1)])));
    wait(second.write(&other(), &[mail::email(1)])).unwrap();
    assert_eq!(second.served(&[mail::route(), other()]).unwrap(), [mail::route(), other()]);

    first.kill();
    assert_eq!(second.served(&[mail::route(), other()]).unwrap(), [other()]);
    wait(second.write(&mail::route(), &[mail::email(1)])).unwrap();
    assert_eq!(second.same_shard(), None, "it has the place of the first now");
}

#[test]
fn shards_have_places_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let only = LocalFiles::open(dir.path()).unwrap();
    let first = LocalFiles::open_shard(dir.path(), 0, 3).unwrap();
    let third = LocalFiles::open_shard(dir.path(), 2, 3).unwrap();
    let of_four = LocalFiles::open_shard(dir.path(), 2, 4).unwrap();
    for shard in [&only, &first, &third, &of_four] {
        assert_eq!(shard.same_shard(), None);
    }
    assert!(LocalFiles::open_shard(dir.path(), 2, 3).unwrap().same_shard().is_some());
}

// A frozen process cannot be overtaken, so that it finds everything as it left it.
#[test]
fn a_frozen_process_keeps_its_mailboxes() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), 30, 10);
    writer.flags = &[STEP];
    let mut frozen = writer.start();
    assert_eq!(frozen.next_line(), "ready");
    assert_eq!(frozen.step(), "ack 10");
    let process = rustix::process::Pid::from_raw(i32::try_from(frozen.id()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let second = LocalFiles::open(dir.path()).unwrap();
    assert_busy(wait(second.load_checkpoint(&mail::route())));
    rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    assert_eq!(frozen.step(), "ack 20");
    assert_eq!(frozen.step(), "ack 30");
    frozen.stop();
    let checkpoint = wait(second.load_checkpoint(&mail::route())).unwrap();
    assert_eq!(checkpoint.folders[&mail::folder()].delivered, 30);
}

#[test]
fn what_is_no_longer_served_is_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let first = LocalFiles::open_shard(dir.path(), 0, 2).unwrap();
    let second = LocalFiles::open_shard(dir.path(), 1, 2).unwrap();
    for route in [mail::route(), other()] {
        wait(first.write(&route, &[mail::email(1)])).unwrap();
        assert_busy(wait(second.load_checkpoint(&route)));
    }
    wait(first.release_others(&[other()])).unwrap();
    wait(second.write(&mail::route(), &[mail::email(2)])).unwrap();
    assert_busy(wait(second.load_checkpoint(&other())));
    assert_busy(wait(first.write(&mail::route(), &[mail::email(3)])));
    let stored = second.stored(&mail::route()).unwrap();
    assert_eq!(stored.count(), 2);
}
