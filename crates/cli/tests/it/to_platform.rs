//! Mail out of Exchange, into the buckets of a platform.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use simulators::{
    exchange::Options as ExchangeOptions,
    platform::{Fault, FaultRule, Op, Options, Platform, Token},
};
use sinks::ascii_safe::to_unicode;

use crate::{
    harness::{Appliance, BUCKET, PROGRAM, TOKEN, World, files, hex},
    health::{free_address, get, sample},
};

/// What a platform should know of an email: mailbox, time, hash of the content.
type Known = (String, DateTime<Utc>, String);

/// The same by id. There can be several copies with one `Message-ID`.
type Emails = BTreeMap<String, BTreeSet<Known>>;

/// What should arrive, read out of the folder of an appliance that is known to be right.
pub fn expected(world: &World) -> Emails {
    let mut appliance = world.appliance();
    let before = appliance.log().matches("is up to date").count();
    appliance.wait_until_up_to_date(before + world.server.mailboxes().len());
    appliance.stop();
    world.assert_complete();
    let mut emails = Emails::new();
    for path in files(&world.prefix().join("data"), "json") {
        let sidecar: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let content = to_unicode(fs::read(path.with_extension("eml")).unwrap());
        let text = |key: &str| sidecar[key].as_str().unwrap().to_owned();
        let hash = hex(&Sha256::digest(content));
        let timestamp = text("timestamp").parse().unwrap();
        emails.entry(text("id")).or_default().insert((text("mailbox"), timestamp, hash));
    }
    emails
}

/// Every expected email is there, nothing else, and nothing would be billed twice.
#[track_caller]
pub fn assert_arrived(platform: &Platform, expected: &Emails) {
    let stored = platform.emails(BUCKET);
    let ids: BTreeSet<_> = stored.iter().map(|email| &email.id).collect();
    let missing: Vec<_> = expected.keys().filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "{} are missing: {:?}", missing.len(), missing.first());
    assert_eq!(stored.len(), expected.len());
    for email in stored {
        let copies = &expected[&email.id];
        let this = (email.mailbox.clone(), email.timestamp, email.sha256.clone());
        assert!(copies.contains(&this), "{this:?} is none of {copies:?}");
        assert!(
            email.content_changes < copies.len() as u64,
            "`{}` was billed {} times for {} copies",
            email.id,
            email.charged(),
            copies.len()
        );
    }
    assert_eq!(platform.leaks().len(), 0, "a secret was seen: {:?}", platform.leaks().first());
}

pub fn start(world: &World, platform: &Platform, more: &[&str]) -> Appliance {
    let endpoint = platform.endpoint();
    let mut arguments = vec!["appliance", "--reinfer-api-endpoint", &endpoint];
    arguments.extend(more);
    world.start_with(PROGRAM, &arguments, &[("REINFER_API_TOKEN", TOKEN)])
}

pub fn uploads(platform: &Platform) -> usize {
    platform.requests().iter().filter(|request| request.op == Op::PutEmails).count()
}

/// What the platform's official client prints.
fn official_client(platform: &Platform, mode: &str, more: &[&str]) -> Vec<Value> {
    let output = Command::new(testkit::official_client::program())
        .args([mode, &platform.url(), BUCKET])
        .args(more)
        .env("REINFER_PEER_TOKEN", TOKEN)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// What the official client reads, without the states.
fn read_back(platform: &Platform) -> Vec<(String, Known)> {
    let lines = official_client(platform, "dump", &[]);
    let emails = lines.iter().filter(|line| line["id"].is_string());
    emails
        .map(|email| {
            let text = |key: &str| email[key].as_str().unwrap().to_owned();
            let timestamp = text("timestamp").parse().unwrap();
            (text("id"), (text("mailbox"), timestamp, text("sha256")))
        })
        .collect()
}

// The manifest of the replaced appliance: its arguments and variables, nothing else.
#[test]
fn the_founding_manifest_runs_unchanged_and_every_email_can_be_read_back() {
    let mut world = World::generated(3, 120);
    let expected = expected(&world);
    world.config.as_object_mut().unwrap().remove("auth_password");
    world.write_config();
    let platform = world.platform(Options::default());
    let address = free_address();
    let start = || {
        let arguments = [
            "reinfer-ews",
            "--bind",
            &address.to_string(),
            "--reinfer-api-endpoint",
            &platform.endpoint(),
            "--shard-name",
            "reinfer-ews-appliance-0",
            "--total-shards",
            "1",
        ];
        let variables = [
            ("REINFER_API_TOKEN", TOKEN),
            ("REINFER_EWS_AUTH_PASS", ExchangeOptions::PASSWORD),
            ("POD_NAME", "reinfer-ews-appliance-0"),
            // What Kubernetes sets for a service of that name.
            ("REINFER_EWS_APPLIANCE_PORT", "tcp://192.0.2.1:8000"),
        ];
        world.start_with(env!("CARGO_BIN_EXE_reinfer-ews"), &arguments, &variables)
    };
    let told = fs::read_to_string(world.folder.path().join("log")).unwrap();
    let up_to_date = told.matches("is up to date").count();
    let mut appliance = start();
    appliance.wait_until_up_to_date(up_to_date + 3);
    assert_eq!(get(address, "/readyz").0, 200);
    let metrics = get(address, "/metrics").1;
    let name = "tributary_sink_requests_total{op=\"PutEmails\",code=\"200\"}";
    assert!(sample(&metrics, name).is_some_and(|count| count > 0.0), "{metrics}");
    appliance.stop();
    assert_arrived(&platform, &expected);
    for email in platform.emails(BUCKET) {
        assert_eq!(email.writes, expected[&email.id].len() as u64, "{}", email.id);
    }

    let read = read_back(&platform);
    assert_eq!(read.len(), expected.len());
    for (id, this) in read {
        assert!(expected[&id].contains(&this), "{id}: {this:?}");
    }
    let lines = official_client(&platform, "dump", &[]);
    let states = lines.iter().map(|line| &line["keyed_sync_state"]);
    let mailboxes: BTreeSet<_> =
        states.filter_map(|state| state["mailbox_name"].as_str()).collect();
    assert_eq!(mailboxes.len(), 3, "{mailboxes:?}");
    assert!(platform.sync_state(BUCKET).is_some());

    platform.clear_requests();
    let mut appliance = start();
    appliance.wait_until_up_to_date(up_to_date + 6);
    assert_eq!(uploads(&platform), 0, "what is there is sent again");
    world.server.deliver("1@example.com", &["Inbox"], "Subject: n\r\n\r\nn\r\n", now()).unwrap();
    let count = expected.len() + 1;
    appliance.wait_until("new mail", |_| platform.email_count(BUCKET) == count);
    appliance.stop();
    assert_eq!(uploads(&platform), 1);
    assert_eq!(platform.leaks().len(), 0);
    let log = fs::read_to_string(world.folder.path().join("log")).unwrap();
    assert!(!log.contains(TOKEN) && !log.contains(ExchangeOptions::PASSWORD));
}

// Faults F1, F6 and F7: killed at any time, while answers are lost and the platform is busy.
#[test]
fn kill_at_any_time_loses_nothing_and_nothing_is_billed_twice() {
    let mut world = World::generated(4, 150);
    world.set("reinfer_batch_size", json!(10));
    let expected = expected(&world);
    let platform = world.platform(Options::default());
    let faults = [
        Fault::DropAfterCommit,
        Fault::HttpAfterCommit { status: 500 },
        Fault::CommitSome { emails: 3, status: 503 },
        Fault::http(503),
        Fault::busy(429, 1),
    ];
    for round in 0..12_usize {
        platform.clear_faults();
        let fault = faults[round % faults.len()].clone();
        platform.fault(FaultRule::new(fault).op(Op::PutEmails).skip(round % 3).times(2));
        platform.fault(FaultRule::new(Fault::DropAfterCommit).op(Op::PutSyncState).skip(2));
        let appliance = start(&world, &platform, &[]);
        let pause = (round as u64).wrapping_mul(2_654_435_761) % 400;
        std::thread::sleep(Duration::from_millis(100 + pause));
        appliance.kill();
    }
    // The last one meets one of each kind, and lives on.
    platform.clear_faults();
    for (skip, fault) in (0..).zip(faults) {
        platform.fault(FaultRule::new(fault).op(Op::PutEmails).skip(skip));
    }
    let mut appliance = start(&world, &platform, &[]);
    let before = appliance.log().matches("is up to date").count();
    appliance.wait_until_up_to_date(before + 4);
    appliance.stop();
    assert_arrived(&platform, &expected);
    let again: u64 = platform.emails(BUCKET).iter().map(|email| email.writes).sum();
    assert!(again > expected.values().map(BTreeSet::len).sum::<usize>() as u64, "too few faults");
}

#[test]
fn an_export_is_accepted_by_the_official_client_as_it_is() {
    let world = World::generated(2, 80);
    let expected = expected(&world);
    let file = world.folder.path().join("emails.jsonl");
    let exported = world.run(&["export", "jsonl"]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    fs::write(&file, &exported.stdout).unwrap();
    let lines = exported.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.count();
    let platform = world.platform(Options::default());
    let told = official_client(&platform, "upload", &[file.to_str().unwrap()]);
    assert_eq!(told, [json!({"uploaded": lines, "failed": 0})]);
    assert_arrived(&platform, &expected);
    let copies: usize = expected.values().map(BTreeSet::len).sum();
    assert_eq!(lines, copies, "an email is not in the export");
}

// Fault F17: both keep their state in one bucket.
#[test]
fn two_shards_share_a_bucket_whether_or_not_it_has_conditional_writes() {
    let mut world = World::generated(6, 40);
    world.set("reinfer_batch_size", json!(10));
    let expected = expected(&world);
    for conditional_writes in [true, false] {
        let platform = world.platform(Options { conditional_writes, ..Options::default() });
        let run = || {
            let mut shards = ["ews-0", "ews-1"].map(|name| {
                start(&world, &platform, &["--shard-name", name, "--total-shards", "2"])
            });
            let before = shards[0].log().matches("is up to date").count();
            shards[0].wait_until_up_to_date(before + 6);
            for shard in shards {
                shard.stop();
            }
        };
        run();
        assert_arrived(&platform, &expected);
        for email in platform.emails(BUCKET) {
            assert_eq!(email.writes, expected[&email.id].len() as u64, "{}", email.id);
        }
        platform.clear_requests();
        run();
        // Without conditions, one shard's last words can be lost to the other's: then what they
        // were about is sent again, as it was.
        assert!(uploads(&platform) == 0 || !conditional_writes, "what is there is sent again");
        assert_arrived(&platform, &expected);
    }
}

fn doctor(world: &World, platform: &Platform) -> (Option<i32>, String) {
    let arguments = ["doctor", "--reinfer-api-endpoint", &platform.endpoint()];
    let mut command = world.command(&arguments);
    let output = command.env("REINFER_API_TOKEN", TOKEN).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(!told.contains(TOKEN) && !told.contains(ExchangeOptions::PASSWORD), "{told}");
    (output.status.code(), told + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_doctor_tells_what_the_platform_lacks() {
    let mut world = World::generated(1, 3);
    let platform = world.platform(Options::default());
    let (code, told) = doctor(&world, &platform);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("bucket project/bucket"), "{told}");
    assert_eq!(platform.email_count(BUCKET), 0);

    world.config["mailboxes"]["0@example.com"]["bucket"]["name"] = json!("nowhere");
    world.write_config();
    let (code, told) = doctor(&world, &platform);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("project/nowhere") && told.contains("Create the bucket"), "{told}");

    platform.set_tokens(vec![Token::new("another")]);
    let (code, told) = doctor(&world, &platform);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("refused") && told.contains("Check the token"), "{told}");
    assert_eq!(platform.leaks().len(), 0);
}
