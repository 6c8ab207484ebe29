//! What operators see and ask.

use std::{fs, process::Stdio};

use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest, Sha256};
use simulators::exchange::{Fault, FaultRule};

use crate::harness::{Guarded, World, drain, files, hex};

#[test]
fn a_wrong_key_ends_with_78_and_one_message() {
    let mut world = World::generated(1, 1);
    world.set("email_per_folder", json!(5));
    let output = world.run(&["appliance"]);
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("email_per_folder") && told.contains("emails_per_folder"), "{told}");
    assert!(!told.contains("panicked") && !told.contains("hunter2"), "{told}");
    assert_eq!(told.matches("error:").count(), 1, "{told}");
}

#[test]
fn a_wrong_flag_ends_with_78_and_names_the_nearest() {
    let world = World::generated(1, 1);
    let output = world.command(&["appliance", "--local-file-prefix", "/tmp/x"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("--local-files-prefix"), "{told}");
}

#[test]
fn a_refused_password_ends_with_77_after_two_attempts() {
    let mut world = World::generated(3, 5);
    world.set("auth_password", json!("wrong-canary-password"));
    let output = world.run(&["appliance"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(77), "{told}");
    assert!(told.contains("refused the credentials"), "{told}");
    assert!(!told.contains("wrong-canary-password"), "{told}");
    let attempts = world.server.requests().iter().filter(|r| r.scheme.is_some()).count();
    assert!(attempts <= 3, "{attempts} attempts could lock the account");
}

#[test]
fn verify_names_every_difference() {
    let world = World::generated(1, 40);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    let emails = files(&world.prefix().join("data"), "eml");
    fs::remove_file(&emails[0]).unwrap();
    fs::remove_file(emails[1].with_extension("json")).unwrap();
    let mut bytes = fs::read(&emails[2]).unwrap();
    bytes[0] ^= 1;
    fs::write(&emails[2], bytes).unwrap();
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: late\r\n\r\n", now).unwrap();

    let output = world.run(&["verify"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for problem in [
        "the `.eml` file is missing",
        "the `.json` file is missing",
        "the content of the `.eml` file has changed",
        "is at the source, but was not delivered",
        "4 differences",
    ] {
        assert!(told.contains(problem), "`{problem}` is not in\n{told}");
    }
    for email in &emails[..3] {
        assert!(told.contains(email.file_stem().unwrap().to_str().unwrap()), "{told}");
    }
}

#[test]
fn verify_gives_an_idle_mailbox_the_time_that_it_has() {
    let mut world = World::generated(1, 20);
    world.set("idle_poll_limit", 900.into());
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let now = chrono::Utc::now();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: new\r\n\r\n", now).unwrap();
    let old = now - chrono::TimeDelta::hours(1);

    let output = world.run(&["verify"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("0 differences, 1 just come and not looked at yet"), "{told}");
    assert_eq!(output.status.code(), Some(0), "{told}");

    // What came before the last look is missing, and without an appliance nobody will look.
    world.server.deliver("0@example.com", &["Inbox"], "Subject: old\r\n\r\n", old).unwrap();
    let told = String::from_utf8_lossy(&world.run(&["verify"]).stdout).into_owned();
    assert!(told.contains("1 differences, 1 just come and not looked at yet"), "{told}");
    appliance.stop();
    let told = String::from_utf8_lossy(&world.run(&["verify"]).stdout).into_owned();
    assert!(told.contains("2 differences\n"), "{told}");
}

#[test]
fn status_tells_counts_folders_and_the_last_error() {
    let world = World::generated(2, 30);
    world.server.disable_mailbox("1@example.com", Some("ErrorAccountDisabled"));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.wait_until("the failing mailbox in the status", |_| {
        let status = world.status();
        status[0]["state"] == "ok" && status[1]["state"] == "error"
    });
    let status = world.status();
    assert_eq!(status[0]["mailbox"], "0@example.com");
    assert_eq!(status[0]["delivered"], world.truth().values().sum::<usize>() / 2);
    assert!(status[0]["folders"].as_array().unwrap().len() > 2, "{status}");
    let table = world.run(&["status"]);
    let told = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(told.contains("ErrorAccountDisabled"), "{told}");
    assert_eq!(table.status.code(), Some(1), "a mailbox in error shows in the exit code");
    appliance.stop();
}

#[test]
fn quarantine_is_listed_and_retried_on_demand() {
    let world = World::generated(1, 30);
    let item = world
        .server
        .truth("0@example.com")
        .unwrap()
        .into_iter()
        .find(|item| item.is_mail && !item.is_draft)
        .unwrap();
    let corrupt = FaultRule::new(Fault::item_error("ErrorItemCorrupt")).item(&item.id).always();
    world.server.fault(corrupt);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let list = world.run(&["quarantine", "list"]);
    let told = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(told.contains("ErrorItemCorrupt") && told.contains("1 items"), "{told}");
    let verified = world.run(&["verify"]);
    assert_eq!(verified.status.code(), Some(1), "what is set aside is not delivered");

    world.server.clear_faults();
    assert!(world.run(&["quarantine", "retry"]).status.success());
    appliance.wait_until("the item's arrival", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}

// Fault F22: a bad configuration while running.
#[test]
fn a_bad_configuration_keeps_the_old_one_and_a_good_one_is_taken() {
    let mut world = World::generated(2, 10);
    let good = world.config.clone();
    world.config["mailboxes"].as_object_mut().unwrap().remove("1@example.com");
    world.write_config();
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);

    fs::write(world.config_path(), "{\"mailboxes\": 7").unwrap();
    appliance.signal(Signal::HUP);
    appliance.wait_until("the complaint", |this| this.log().contains("is not used"));
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let before = files(&world.prefix().join("data"), "json").len();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
    appliance.wait_for_emails(before + 1);

    world.config = good;
    world.write_config();
    appliance.signal(Signal::HUP);
    appliance.wait_until("the other mailbox", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}

#[test]
fn the_log_at_full_level_shows_no_secret_and_no_content() {
    let mut world = World::generated(1, 20);
    let mime = "Subject: canary-subject\r\n\r\ncanary-body\r\n";
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], mime, now).unwrap();
    let busy = Fault::Http { status: 503, retry_after: Some(std::time::Duration::from_secs(1)) };
    world.server.fault(busy);
    world.set("poll_message_sleep", json!(0));
    let mut appliance = world.appliance_with(&["--debug-level", "2"]);
    appliance.wait_until_up_to_date(1);
    let log = appliance.log();
    appliance.stop();
    let password = simulators::exchange::Options::PASSWORD;
    for canary in [password, "canary-subject", "canary-body", "Basic ", "Authorization"] {
        assert!(!log.contains(canary), "`{canary}` is in the log:\n{log}");
    }
}

// Fault F26: nobody reads the log.
#[test]
fn a_blocked_log_does_not_stop_the_mail() {
    let world = World::generated(2, 200);
    let prefix = world.prefix();
    let arguments =
        ["appliance", "--local-files-prefix", prefix.to_str().unwrap(), "--debug-level", "2"];
    let child = world.command(&arguments).env("RUST_LOG", "trace").stderr(Stdio::piped()).spawn();
    let mut child = Guarded(child.unwrap());
    let began = std::time::Instant::now();
    while world.stored() != world.truth() {
        assert!(began.elapsed() < crate::harness::PATIENCE, "the mail has stopped");
        assert!(child.0.try_wait().unwrap().is_none(), "ended");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), Signal::TERM)
        .unwrap();
    drop(drain(child.0.stderr.take().unwrap()));
    assert!(child.0.wait().unwrap().success());
}

// Fault F23: state of a newer version is not touched.
#[test]
fn state_of_a_newer_version_stops_the_mailbox_loudly() {
    let world = World::generated(1, 10);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    let found = files(&world.prefix().join("state"), "json");
    let path = found.iter().find(|path| path.ends_with("checkpoint.json")).unwrap();
    let newer = of_version(&fs::read_to_string(path).unwrap(), 999);
    fs::write(path, &newer).unwrap();
    let mut again = world.appliance();
    let status = again.wait();
    assert_ne!(status.code(), Some(0), "{}", again.log());
    assert!(again.log().contains("format 999"), "{}", again.log());
    assert_eq!(fs::read_to_string(path).unwrap(), newer, "it was overwritten");
}

/// The state file as a later version would have written it.
fn of_version(text: &str, version: u64) -> String {
    let payload = text.split_once("\"payload\":").unwrap().1;
    let payload = payload.trim_end().strip_suffix('}').unwrap();
    let envelope: serde_json::Value = serde_json::from_str(text).unwrap();
    let part = |name: &str| match &envelope[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let head = format!("checkpoint\n{version}\n{}\n", part("generation"));
    let head = format!("{head}{}\n{}\n{payload}", part("bucket"), part("mailbox"));
    let checksum = hex(&Sha256::digest(head));
    text.replacen(&part("sha256"), &checksum, 1).replacen("\"version\":1", "\"version\":999", 1)
}

// A refused sign-in that is tried again and again locks the account.
#[test]
fn restarting_inside_does_not_lock_the_account() {
    let mut world = World::generated(1, 5);
    let good = world.config.clone();
    world.set("auth_password", json!("wrong"));
    let mut appliance = world.appliance_with(&["--restart-on-unrecoverable-errors"]);
    appliance.wait_until("the refusal", |this| this.log().contains("restarts in 3600 s"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let attempts = world.server.requests().iter().filter(|r| r.scheme.is_some()).count();
    assert!(attempts <= 3, "{attempts} attempts");
    // A mended configuration is taken at once.
    world.config = good;
    world.write_config();
    appliance.signal(Signal::HUP);
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    world.assert_complete();
}

#[test]
fn a_new_configuration_that_cannot_be_used_keeps_the_old_one() {
    let mut world = World::generated(1, 5);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    world.set("ews_ca_file", json!("/nonexistent/ca.pem"));
    appliance.signal(Signal::HUP);
    appliance.wait_until("the complaint", |this| this.log().contains("is not used"));
    let checked = world.command(&["config", "check"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("/nonexistent/ca.pem"));
    appliance.stop();
}

#[test]
fn a_replaced_secret_file_is_read_again() {
    let mut world = World::generated(1, 5);
    let secret = world.folder.path().join("password");
    fs::write(&secret, "wrong\n").unwrap();
    world.config.as_object_mut().unwrap().remove("auth_password");
    world.write_config();
    let prefix = world.prefix();
    let log = world.folder.path().join("log");
    let child = world
        .command(&["appliance", "--local-files-prefix", prefix.to_str().unwrap()])
        .arg("--restart-on-unrecoverable-errors")
        .env("REINFER_EWS_AUTH_PASS_FILE", &secret)
        .stderr(fs::File::create(&log).unwrap())
        .spawn();
    let _child = Guarded(child.unwrap());
    let began = std::time::Instant::now();
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        while !done() {
            assert!(began.elapsed() < crate::harness::PATIENCE, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    wait("the refusal", &|| fs::read_to_string(&log).unwrap().contains("restarts in"));
    fs::write(&secret, simulators::exchange::Options::PASSWORD).unwrap();
    wait("the mail", &|| world.stored() == world.truth());
}

#[test]
fn every_request_to_try_quarantine_again_is_obeyed() {
    let world = World::generated(20, 3);
    world.server.fault(FaultRule::new(Fault::item_error("ErrorItemCorrupt")).always());
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(20);
    assert!(world.stored().is_empty());
    world.server.clear_faults();
    assert!(world.run(&["quarantine", "retry"]).status.success());
    appliance.wait_until("everything", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}
