//! The program is killed, frozen and told to stop at any moment.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;
use simulators::exchange::{Fault, FaultRule, Op};

use crate::{
    harness::{Api, Guarded, PATIENCE, World, over_each_api},
    machine::{needs, run},
};

over_each_api!(kill_at_any_time_loses_and_doubles_nothing, stopping_at_any_time_is_graceful);

/// A cheap source of pauses that differ from run to run of the loop, but not of the test.
pub fn pause(round: u64) -> Duration {
    Duration::from_millis(round.wrapping_mul(2_654_435_761) % 400)
}

// Faults F1 and, with the lock that a killed process leaves, its restart.
fn kill_at_any_time_loses_and_doubles_nothing(api: Api) {
    let mut world = World::generated(4, 300).over(api);
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
fn stopping_at_any_time_is_graceful(api: Api) {
    let world = World::generated(2, 300).over(api);
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

// Promise I13: what a server never finishes is given up.
#[test]
fn a_stop_does_not_wait_for_a_reply_that_never_ends() {
    let world = World::generated(1, 60);
    let stall = FaultRule::new(Fault::Stall { after_bytes: 5000 }).op(Op::GetItem);
    world.server.fault(stall);
    let mut appliance = world.appliance_with(&["--shutdown-grace", "2s"]);
    appliance.wait_until("the stall", |_| world.server.outstanding_faults() == 0);
    let began = Instant::now();
    appliance.stop();
    assert!(began.elapsed() < Duration::from_secs(2 + 5), "{:?}", began.elapsed());
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    world.assert_complete();
}

/// Lets every synchronization of a file take longer than anybody waits. Returns once the process
/// is under its control.
fn hang_the_disk(process: u32, log: &Path) -> Guarded {
    let inject = "inject=fsync,fdatasync,syncfs:delay_enter=600s";
    let mut strace = Command::new("strace");
    let strace = strace.args(["-f", "-p", &process.to_string(), "-e", inject]);
    let child = strace.stdin(Stdio::null()).stderr(File::create(log).unwrap()).spawn();
    let child = Guarded(child.unwrap());
    let began = Instant::now();
    let hangs = |log: &str| log.contains("sync(") || log.contains("syncfs(");
    while !hangs(&fs::read_to_string(log).unwrap()) {
        assert!(began.elapsed() < PATIENCE, "{}", fs::read_to_string(log).unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

// Promise I13: the grace runs out, because the disk hangs.
#[test]
fn a_grace_that_runs_out_ends_with_75_and_loses_nothing() {
    let Some(()) = needs("strace", run(&["strace", "-V"])) else { return };
    let mut world = World::generated(2, 200);
    world.set("reinfer_batch_size", json!(10));
    let mut appliance = world.appliance_with(&["--shutdown-grace", "1s"]);
    appliance.wait_for_emails(20);
    let strace = hang_the_disk(appliance.id(), &world.folder.path().join("strace"));
    let began = Instant::now();
    appliance.signal(Signal::TERM);
    while !appliance.log().contains("did not end within the 1 s of --shutdown-grace") {
        // One second more is for the last writes; the rest is for a busy machine.
        assert!(began.elapsed() < Duration::from_secs(1 + 1 + 5), "{}", appliance.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    // A process under control is not gone before the one that controls it.
    drop(strace);
    assert_eq!(appliance.wait().code(), Some(75), "{}", appliance.log());
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    world.assert_complete();
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
