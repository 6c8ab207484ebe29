//! What the program finds when it starts: configurations in the folder, state of others.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use simulators::exchange::Exchange;

use crate::{harness::World, machine::start_under};

/// The arguments for a configuration that lies in the folder.
const REMOTE: [&str; 4] = ["--remote-config-owner", "project", "--remote-config-key", "ews"];

/// Where [`REMOTE`] means, in a folder that is there.
fn path_in_folder(world: &World) -> PathBuf {
    let dir = world.prefix().join("config/project");
    fs::create_dir_all(&dir).unwrap();
    dir.join("ews.json")
}

fn deliver(server: &Exchange) {
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
}

// Fault F27.
#[test]
fn a_configuration_that_is_missing_or_bad_at_the_start_ends_with_78() {
    let world = World::generated(1, 10);
    let prefix = world.prefix();
    let path = path_in_folder(&world);
    let check = |reason: &str| {
        let mut command = world.command(&["appliance", "--local-files-prefix"]);
        command.arg(&prefix).args(REMOTE).env_remove("REINFER_EWS_CONFIG");
        // Restarting inside is for what has begun.
        let output = command.arg("--restart-on-unrecoverable-errors").output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains(path.to_str().unwrap()) && told.contains(reason), "{told}");
        assert_eq!(told.matches("error:").count(), 1, "{told}");
    };
    check("No such file");
    for (text, reason) in [("{", "EOF"), ("{}", "mailboxes"), ("[1]", "object")] {
        fs::write(&path, text).unwrap();
        check(reason);
    }
    assert!(!prefix.join("data").exists(), "something was begun");
}

// Fault F27.
#[test]
fn a_configuration_in_the_folder_that_goes_away_or_bad_later_stays_in_force() {
    let world = World::generated(1, 10);
    let path = path_in_folder(&world);
    fs::rename(world.config_path(), &path).unwrap();
    let under = ["env", "-u", "REINFER_EWS_CONFIG"];
    let mut appliance = start_under(&world, &under, &REMOTE);
    appliance.wait_until_up_to_date(1);
    fs::remove_file(&path).unwrap();
    appliance.signal(Signal::HUP);
    deliver(&world.server);
    appliance.wait_until("the first email", |_| world.stored() == world.truth());
    fs::write(&path, "{").unwrap();
    appliance.signal(Signal::HUP);
    appliance.wait_until("the complaint", |this| this.log().contains("is not used"));
    deliver(&world.server);
    appliance.wait_until("the second email", |_| world.stored() == world.truth());
    appliance.stop();
    world.write_config();
    world.assert_complete();
}

// Fault F23: the appliance that this one replaces may have left anything.
#[test]
fn state_of_another_program_is_named_and_left_alone() {
    let world = World::generated(1, 10);
    let strangers = [
        "state/0@example.com.json",
        "state/project/offsets.db",
        "state/project/bucket/0@example.com.checkpoint",
        "state/project/bucket/0@example.com/state.json",
        "state/project/bucket/0@example.com/.tmp",
        "state/project/bucket/0@example.com/folders/Inbox.json",
        "state/project/elsewhere/1@example.com/position",
    ]
    .map(|name| world.prefix().join(name));
    for path in &strangers {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, path.to_str().unwrap()).unwrap();
    }
    for start in 1..=2 {
        let mut appliance = world.appliance();
        appliance.wait_until_up_to_date(start);
        let log = appliance.log();
        appliance.stop();
        assert_eq!(log.matches("7 entries of").count(), start, "{log}");
        assert!(log.contains("state/0@example.com.json"), "{log}");
    }
    for path in &strangers {
        assert_eq!(fs::read_to_string(path).unwrap(), path.to_str().unwrap());
    }
    world.assert_complete();
    assert!(world.run(&["status"]).status.success());
}

// Fault F23: a file that has our name and is not ours.
#[test]
fn a_checkpoint_in_a_foreign_format_stops_its_mailbox_and_is_not_overwritten() {
    let world = World::generated(2, 10);
    let dir = world.prefix().join("state/project/bucket/0@example.com");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("checkpoint.json");
    let foreign = r#"{"Inbox": {"sync_state": "H4sI", "last": 1790000000}}"#;
    fs::write(&path, foreign).unwrap();
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.wait_until("the complaint", |this| this.log().contains(path.to_str().unwrap()));
    appliance.stop();
    assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    assert!(world.stored().keys().all(|(mailbox, _)| mailbox == "1@example.com"));

    // What the message advises: out of the way with it.
    fs::rename(&path, world.folder.path().join("away")).unwrap();
    let mut appliance = world.appliance();
    appliance.wait_until("the rest", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}
