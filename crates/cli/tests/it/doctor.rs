//! `tributary doctor` and `tributary plan`, as a person calls them.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use simulators::exchange::{Fault, FaultRule, Options};

use crate::harness::World;

/// Exit code and report.
pub(crate) fn doctor(world: &World, more: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["doctor"];
    arguments.extend(more);
    let output = world.run(&arguments);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(!told.contains(Options::PASSWORD), "a secret is shown:\n{told}");
    (output.status.code(), told + &String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn line<'a>(report: &'a str, check: &str) -> &'a str {
    report
        .lines()
        .find(|line| line.get(5..).is_some_and(|rest| rest.trim_start().starts_with(check)))
        .unwrap_or_else(|| panic!("no `{check}` in\n{report}"))
}

#[track_caller]
pub(crate) fn assert_line(report: &str, check: &str, outcome: &str, words: &[&str]) {
    let line = line(report, check);
    assert!(line.starts_with(outcome), "expected {outcome}: {line}");
    for word in words {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
}

#[test]
fn a_doctor_finds_nothing_where_all_is_well() {
    let world = World::generated(2, 20);
    fs::create_dir(world.prefix()).unwrap();
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "configuration", "ok", &["2 mailboxes"]);
    assert_line(&told, "sharding", "ok", &["serves 2 of 2"]);
    assert_line(&told, "server dns", "ok", &["localhost", "127.0.0.1"]);
    assert_line(&told, "server tcp", "ok", &[" ms"]);
    assert_line(&told, "server tls", "ok", &["TLSv1.", "issued by", "until 20"]);
    assert_line(&told, "sign-in", "ok", &[]);
    assert_line(&told, "rights", "ok", &["0@example.com", "folders"]);
    assert_line(&told, "throttling", "ok", &[" requests, the slowest", "no pause"]);
    assert_line(&told, "folder write", "ok", &["fsync", "condition"]);
    assert_line(&told, "disk", "", &["MiB free"]);
    assert!(told.ends_with("0 failed\n"), "{told}");
    assert_eq!(fs::read_dir(world.prefix()).unwrap().count(), 0, "it left something behind");

    let (_, told) = doctor(&world, &["--json"]);
    let report: Value = serde_json::from_str(&told).unwrap();
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["outcome"] != "fail"));
}

#[test]
fn a_doctor_tells_a_certificate_that_is_not_trusted_from_one_that_is_not_checked() {
    let mut world = World::generated(1, 1);
    world.set("ews_ca_file", Value::Null);
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "server tls", "fail", &["issued by", "Add the certificate"]);
    world.set("ews_ssl_verify", json!(false));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "server tls", "warn", &["not checked", "would not be trusted"]);
    assert_line(&told, "rights", "ok", &[]);
}

#[test]
fn a_doctor_names_a_refused_password_without_telling_it() {
    let mut world = World::generated(1, 1);
    world.set("auth_password", json!("canary-of-a-password"));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "sign-in", "fail", &["refused the credentials", "account is not locked"]);
    assert!(!told.contains("canary"), "{told}");
    let attempts = world.server.requests().iter().filter(|r| r.scheme.is_some()).count();
    assert!(attempts <= 2, "{attempts} attempts could lock the account");
}

#[test]
fn a_doctor_knows_a_tenant_that_blocks_ews_and_names_graph() {
    let world = World::generated(1, 1);
    let blocked = Fault::Http { status: 403, retry_after: None };
    world.server.fault(FaultRule::new(blocked).always());
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(
        &told,
        "rights",
        "fail",
        &["EWS is blocked", "\"microsoft_api\": \"graph\"", "EwsAllowedAppIDs"],
    );
}

#[test]
fn a_doctor_tells_a_missing_right_and_a_pause() {
    let world = World::generated(1, 1);
    world.server.disable_mailbox("0@example.com", Some("ErrorNonExistentMailbox"));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "sign-in", "ok", &[]);
    assert_line(&told, "rights", "fail", &["0@example.com", "ErrorNonExistentMailbox"]);

    world.server.disable_mailbox("0@example.com", None);
    let pause = Some(Duration::from_secs(77));
    world.server.fault(Fault::Http { status: 503, retry_after: pause });
    // The request without credentials would meet the fault first.
    world.server.clear_faults();
    world.server.fault(FaultRule::new(Fault::Http { status: 503, retry_after: pause }).always());
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "throttling", "warn", &["of 77 s", "max_concurrent_mailboxes"]);
}

#[test]
fn a_doctor_tells_a_server_that_is_not_there_and_a_folder_that_cannot_be_written() {
    let mut world = World::generated(3, 1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    world.set("ews_endpoint", json!(format!("https://{address}/EWS/Exchange.asmx")));
    // Not even root writes into a file as if it were a folder.
    fs::write(world.prefix(), "").unwrap();
    let prefix = world.prefix();
    let arguments = ["doctor", "--local-files-prefix", prefix.to_str().unwrap()];
    let output = world
        .command(&arguments)
        .args(["--shard-name", "ews-0", "--total-shards", "200"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_line(&told, "server tcp", "fail", &["firewall"]);
    assert_line(&told, "sharding", "warn", &["serve none"]);
    assert!(told.contains("folder of its own"), "{told}");
    assert_line(&told, "folder", "fail", &["is not a folder"]);
}

#[test]
fn a_doctor_of_a_bad_configuration_ends_with_78() {
    let mut world = World::generated(1, 1);
    world.set("email_per_folder", json!(5));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(78), "{told}");
    assert_line(&told, "configuration", "fail", &["emails_per_folder"]);
}

#[test]
fn a_plan_is_told_before_and_after_the_first_run() {
    let world = World::generated(2, 10);
    let told = |arguments: &[&str]| {
        let output = world.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(told(&["plan"]).contains("nothing is stored yet"));
    assert!(!world.prefix().exists(), "a plan changes nothing");
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert!(told(&["plan"]).contains("goes on where it stopped"));
    let json: Value = serde_json::from_str(&told(&["plan", "--json"])).unwrap();
    assert_eq!(json["mailboxes"][1]["mailbox"], "1@example.com");
    assert_eq!(json["mailboxes"][1]["start"]["from"], "stored");
}
