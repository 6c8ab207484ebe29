//! The program is killed, frozen and told to stop at any moment.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::World;

/// A cheap source of pauses that differ from run to run of the loop, but not of the test.
fn pause(round: u64) -> Duration {
    Duration::from_millis(round.wrapping_mul(2_654_435_761) % 400)
}

// Faults F1 and, with the lock that a killed process leaves, its restart.
#[test]
fn kill_at_any_time_loses_and_doubles_nothing() {
    let mut world = World::generated(4, 300);
    world.set("reinfer_batch_size", json!(10));
    world.set("emails_per_folder", json!(30));
    for round in 0..25 {
        let appliance = world.appliance();
        std::thread::sleep(pause(round));
        appliance.kill();
    }
    let mut appliance = world.appliance();
    let before = appliance.log().matches("is up to date").count();
    appliance.wait_until_up_to_date(before + 4);
    appliance.stop();
    world.assert_complete();
}

// Fault F22: SIGTERM at any time ends well, and the next start goes on.
#[test]
fn stopping_at_any_time_is_graceful() {
    let world = World::generated(2, 300);
    for round in 0..10 {
        let mut appliance = world.appliance();
        // Signals are handled from the moment that the service announces itself.
        let served = appliance.log().matches("Serving").count();
        appliance
            .wait_until("start", |this| this.log().matches("Serving").count() > served.min(round));
        std::thread::sleep(pause(round as u64) / 4);
        appliance.stop();
    }
    let mut appliance = world.appliance();
    let before = appliance.log().matches("is up to date").count();
    appliance.wait_until_up_to_date(before + 2);
    appliance.stop();
    world.assert_complete();
}

#[test]
fn a_second_signal_aborts() {
    let world = World::generated(1, 5);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    world
        .server
        .deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", chrono::DateTime::UNIX_EPOCH)
        .unwrap();
    appliance.signal(Signal::STOP);
    // Both are pending when it wakes up; one alone would end with 0.
    appliance.signal(Signal::TERM);
    appliance.signal(Signal::INT);
    appliance.signal(Signal::CONT);
    assert_eq!(appliance.wait().code(), Some(143));
}

// Fault F16: a frozen process that comes back finds everything as it should be.
#[test]
fn a_frozen_process_goes_on() {
    let world = World::generated(2, 200);
    let mut appliance = world.appliance();
    appliance.wait_for_emails(20);
    appliance.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(2));
    appliance.signal(Signal::CONT);
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    world.assert_complete();
}

// Fault F17 on one machine: the second process waits, says so, and takes over.
#[test]
fn a_second_process_on_the_folder_waits_and_takes_over() {
    let world = World::generated(2, 20);
    let mut first = world.appliance();
    first.wait_until_up_to_date(2);
    let mut second = world.appliance();
    second.wait_until("the warning", |this| {
        let log = this.log();
        log.contains("as this shard already") && log.contains("another process serves `project/")
    });
    let status = world.status();
    assert_eq!(status[0]["served"], json!(true));
    assert_ne!(status[0]["state"], json!("retrying"), "that is the second one's");
    first.kill();
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    for mailbox in ["0@example.com", "1@example.com"] {
        world.server.deliver(mailbox, &["Inbox"], "Subject: late\r\n\r\n", now).unwrap();
    }
    second.wait_until("the rest", |_| world.stored() == world.truth());
    second.stop();
    world.assert_complete();
}
