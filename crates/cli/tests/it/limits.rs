//! Little CPU time, few threads, a full disk for large emails.

use std::fs;

use serde_json::json;
use simulators::exchange::Large;

use crate::{
    harness::World,
    machine::{Group, Limit, SmallDisk},
};

fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

// Fault F21.
#[test]
fn a_twentieth_of_a_cpu_is_enough() {
    let Some(group) = Group::create("cpu", Limit::Cpu(5)) else { return };
    let world = World::generated(2, 15);
    let mut appliance = group.appliance(&world);
    appliance.wait_until_up_to_date(2);
    assert!(group.strikes() > 0, "it had all the time that it wanted");
    appliance.stop();
    world.assert_complete();
}

/// Threads of the program when it does nothing: the first one, that of the log, two that run
/// tasks, one for file work.
const LEAST_THREADS: u64 = 5;

// Fault F25.
#[test]
fn few_threads_are_enough_and_too_few_are_a_clear_error() {
    let Some(group) = Group::create("threads", Limit::Threads(1)) else { return };
    let world = World::generated(3, 40);
    for count in 1..LEAST_THREADS {
        group.set(Limit::Threads(count)).unwrap();
        let mut appliance = group.appliance(&world);
        assert_eq!(appliance.wait().code(), Some(75), "{count} threads: {}", appliance.log());
    }
    for count in LEAST_THREADS..LEAST_THREADS + 2 {
        group.set(Limit::Threads(count)).unwrap();
        let mut appliance = group.appliance(&world);
        let before = appliance.log().matches("is up to date").count();
        appliance.wait_until_up_to_date(before + 3);
        let log = appliance.log();
        appliance.stop();
        assert!(!log.contains("panicked"), "{count} threads: {log}");
        assert_eq!(log.matches("could not start 4 threads").count(), 4, "{log}");
        world.assert_complete();
        fs::remove_dir_all(world.prefix()).unwrap();
    }
}

// Fault F25: others take the threads that were there.
#[test]
fn threads_that_run_out_later_do_no_harm() {
    let Some(group) = Group::create("later", Limit::Threads(100)) else { return };
    let mut world = World::generated(3, 40);
    // Threads that do nothing for 10 s end, unless they are kept.
    world.set("poll_frequency", json!(12));
    let mut appliance = group.appliance(&world);
    appliance.wait_until_up_to_date(3);
    group.set(Limit::Threads(1)).unwrap();
    for mailbox in world.server.mailboxes() {
        world.server.deliver(&mailbox, &["Inbox"], "Subject: x\r\n\r\n", now()).unwrap();
    }
    appliance.wait_until("the new mail", |_| world.stored() == world.truth());
    let log = appliance.log();
    appliance.stop();
    assert!(!log.contains("panicked"), "{log}");
    world.assert_complete();
}

// Fault F3: large emails wait in a spool, which is full.
#[test]
fn a_full_spool_is_waited_for_and_holds_up_no_other_mailbox() {
    let world = World::generated(1, 20);
    world.server.add_mailbox("large@example.com");
    for size in [5_000_000, 6_000_000] {
        let mail = Large::new(size, size);
        world.server.deliver("large@example.com", &["Inbox"], mail, now()).unwrap();
    }
    let world = world.configured();
    let spool = world.prefix().join("state/.spool");
    fs::create_dir_all(&spool).unwrap();
    let Some(disk) = SmallDisk::mount(&spool, "1m") else { return };
    let mut appliance = world.appliance();
    appliance.wait_until("a report", |this| this.log().contains("No space left on device"));
    appliance.wait_until_up_to_date(1);
    assert!(world.stored().keys().all(|(mailbox, _)| mailbox == "0@example.com"));
    disk.resize("64m");
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    world.assert_complete();
}
