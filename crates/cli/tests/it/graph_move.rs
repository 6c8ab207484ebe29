//! Mailboxes move from EWS to Graph and back: nothing is fetched twice, nothing is skipped.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, TimeDelta, Utc};
use record::Clock;
use serde_json::{Value, json};
use simulators::{
    exchange::{Auth, Exchange, Fault, FaultRule, Op, Options},
    platform::{self, Platform},
};

use crate::{
    harness::{Api, BUCKET, TOKEN, World, files},
    to_platform::start,
};

/// Emails that were fetched over either interface since the log was cleared.
fn fetched(server: &Exchange) -> usize {
    let requests = server.requests();
    let over_ews = requests.iter().filter(|it| it.op == Op::GetItem).map(|it| it.asked);
    let over_graph = requests.iter().filter(|it| it.op == Op::MessageValue).count();
    over_ews.sum::<usize>() + over_graph
}

fn count(emails: &BTreeMap<(String, String), usize>) -> usize {
    emails.values().sum()
}

fn deliver(world: &World, subject: &str, received: DateTime<Utc>) {
    let mime = format!("Message-ID: <{subject}@example.org>\r\nSubject: {subject}\r\n\r\n");
    world.server.deliver("0@example.com", &["Inbox"], mime, received).unwrap();
}

fn old() -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000_000, 0).unwrap()
}

/// Runs the appliance until both mailboxes are up to date, and says what it logged.
fn run(world: &World) -> String {
    let mut appliance = world.appliance();
    let before = appliance.log().len();
    let mailboxes = world.server.mailboxes().len();
    appliance.wait_until("being up to date", |this| {
        this.log().get(before..).unwrap_or_default().matches("is up to date").count() >= mailboxes
    });
    let log = appliance.log();
    appliance.stop();
    log.get(before..).unwrap_or_default().to_owned()
}

#[test]
fn half_a_mailbox_over_ews_and_the_rest_over_graph_and_back_is_fetched_once() {
    let mut world = World::generated(2, 150);
    world.set("reinfer_batch_size", json!(5));
    world.set("emails_per_folder", json!(20));
    world.set("poll_message_sleep", json!(0.005));
    let mut appliance = world.appliance();
    appliance.wait_for_emails(80);
    appliance.stop();
    let half = count(&world.stored());
    assert!(half < count(&world.truth()), "nothing is left for Graph");
    world.server.clear_requests();

    // Between the two, mail arrives, and some of it looks old.
    deliver(&world, "between", world.server.now());
    deliver(&world, "imported", old());
    world.switch(Api::Graph);
    let log = run(&world);
    assert!(log.contains("over Microsoft Graph"), "{log}");
    world.assert_complete();
    let rest = count(&world.truth()) - half;
    assert_eq!(fetched(&world.server), rest, "something was fetched twice");

    world.server.clear_requests();
    deliver(&world, "after", world.server.now());
    deliver(&world, "imported later", old());
    world.switch(Api::Ews);
    run(&world);
    world.assert_complete();
    assert_eq!(fetched(&world.server), 2, "the way back fetched something again");
}

fn first_mail(world: &World) -> String {
    let mut items = world.server.truth("0@example.com").unwrap().into_iter();
    items.find(|item| item.is_mail && !item.is_draft).unwrap().id
}

/// Exit code and text of `tributary migrate-source`.
fn migrate(world: &World, more: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["migrate-source"];
    arguments.extend(more);
    let output = world.run(&arguments);
    let told = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), told + &String::from_utf8_lossy(&output.stderr))
}

/// Every checkpoint under the folder, byte for byte.
fn state(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files(&world.prefix().join("state"), "json").into_iter();
    files
        .filter(|path| path.ends_with("checkpoint.json"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn a_dry_run_tells_what_a_move_does_and_changes_nothing() {
    let mut world = World::generated(1, 60);
    world.server.add_folder("0@example.com", &["Gone later"], "IPF.Note").unwrap();
    let corrupt = Fault::item_error("ErrorItemCorrupt");
    world.server.fault(FaultRule::new(corrupt).item(&first_mail(&world)).always());
    run(&world);
    let delivered = count(&world.stored());
    world.server.delete_folder("0@example.com", &["Gone later"]).unwrap();
    world.server.add_folder("0@example.com", &["Inbox", "New"], "IPF.Note").unwrap();
    world.switch(Api::Graph);
    world.set("folders_deny", json!(["Junk Email"]));
    let before = state(&world);
    world.server.clear_requests();
    let (code, told) = migrate(&world, &["--dry-run"]);
    assert_eq!(code, Some(0), "{told}");
    for words in [
        "over Microsoft Graph",
        "0@example.com -> project/bucket: would move from EWS to Graph",
        " 1 new, 1 no longer there, 1 left out; ",
        "what the destination holds is passed over",
        "quarantine: 1 items; 1 under a translated id, 0 found again",
        "new       Inbox / New: 0 items, 0 delivered",
        "gone      Gone later: 0 delivered",
        "left out  Junk Email: ",
        "Nothing was changed.",
    ] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    let plan = world.run(&["plan"]);
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains("moves from EWS, see `tributary migrate-source`"), "{plan}");
    let (_, json) = migrate(&world, &["--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let plan = &json["mailboxes"][0];
    assert_eq!(plan["outcome"], "planned");
    assert_eq!(plan["delivered"]["by"], "held");
    let folders = plan["folders"].as_array().unwrap();
    let sum: u64 = folders.iter().map(|folder| folder["delivered"].as_u64().unwrap()).sum();
    assert_eq!(sum as usize, delivered, "{plan}");
    assert_eq!(state(&world), before, "a dry run has changed something");
    assert_eq!(fetched(&world.server), 0, "a dry run has fetched something");
}

#[test]
fn mailboxes_are_converted_only_while_nobody_serves_them() {
    let mut world = World::generated(2, 60);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    // A file of its own: the appliance goes on over EWS.
    let ews = fs::read(world.config_path()).unwrap();
    world.switch(Api::Graph);
    let graph = fs::read(world.config_path()).unwrap();
    fs::write(world.config_path(), ews).unwrap();
    let path = world.folder.path().join("graph.json");
    fs::write(&path, graph).unwrap();
    let prefix = world.prefix();
    let arguments = ["migrate-source", "--local-files-prefix", prefix.to_str().unwrap()];
    let migrate = |more: &[&str]| {
        let mut command = world.command(&arguments);
        let output = command.args(more).env("REINFER_EWS_CONFIG", &path).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), told + &String::from_utf8_lossy(&output.stderr))
    };
    let before = state(&world);
    let (code, told) = migrate(&["--dry-run"]);
    assert_eq!((code, told.matches("would move").count()), (Some(0), 2), "{told}");
    let (code, told) = migrate(&[]);
    assert_eq!(code, Some(75), "{told}");
    assert_eq!(told.matches("Stop the appliance").count(), 2, "{told}");
    assert_eq!(state(&world), before);
    appliance.stop();

    let (code, told) = migrate(&[]);
    assert_eq!((code, told.matches("has moved from EWS to Graph").count()), (Some(0), 2), "{told}");
    assert_ne!(state(&world), before);
    let (code, told) = migrate(&[]);
    assert_eq!((code, told.matches("has moved already").count()), (Some(0), 2), "{told}");

    deliver(&world, "between", world.server.now());
    world.server.clear_requests();
    fs::copy(&path, world.config_path()).unwrap();
    run(&world);
    assert_eq!(fetched(&world.server), 1, "what was held is fetched again");
    world.assert_complete();
}

// A mailbox that Graph does not have stays where it is.
#[test]
fn a_mailbox_that_cannot_be_read_over_graph_is_not_converted() {
    let mut world = World::generated(2, 20);
    run(&world);
    world.server.set_rest_enabled("1@example.com", false);
    let before = state(&world);
    world.switch(Api::Graph);
    let (code, told) = migrate(&world, &[]);
    assert_eq!(code, Some(77), "{told}");
    assert!(told.contains("0@example.com -> project/bucket: has moved"), "{told}");
    assert!(told.contains("1@example.com -> project/bucket: stays as it is"), "{told}");
    assert!(told.contains("MailboxNotEnabledForRESTAPI"), "{told}");
    let after = state(&world);
    let changed = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).count();
    assert_eq!(changed, 1);
}

// What the server would not hand out over EWS is asked for over Graph under the translated id, also
// where nothing is listed.
#[test]
fn an_item_in_quarantine_is_had_after_the_move() {
    let mut world = World::generated(1, 30);
    let corrupt = FaultRule::new(Fault::item_error("ErrorItemCorrupt"));
    world.server.fault(corrupt.item(&first_mail(&world)).always());
    run(&world);
    assert_eq!(count(&world.stored()) + 1, count(&world.truth()));
    world.server.clear_faults();
    world.switch(Api::Graph);
    let mut appliance = world.appliance();
    appliance.wait_until("the item", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}

/// A clock that a test sets.
struct SetClock(Mutex<DateTime<Utc>>);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

// A platform cannot tell what it holds: what counts as delivered is decided by the time at which an
// email came into the mailbox.
#[test]
fn a_move_with_a_platform_sends_little_twice_and_skips_nothing() {
    let begin = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let clock = Arc::new(SetClock(Mutex::new(begin)));
    let server_clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let world =
        World::empty(Options { auth: Auth::basic(), clock: server_clock, ..Options::default() });
    world.server.add_mailbox("0@example.com");
    // One an hour.
    for number in 0..60 {
        deliver(&world, &format!("first {number}"), clock.now());
        *clock.0.lock().unwrap() += TimeDelta::hours(1);
    }
    let mut world = world.configured();
    let platform = world.platform(platform::Options::default());
    let mut appliance = start(&world, &platform, &[]);
    appliance.wait_until("the first emails", |_| platform.email_count(BUCKET) == 60);
    let export = ["state", "export", "--mailbox", "0@example.com"];
    appliance.wait_until("a note of when the mailbox was complete", |_| {
        platform_command(&world, &platform, &export).contains("complete_at")
    });
    appliance.stop();
    let first = uploads_of(&platform);

    // While nobody reads: new mail, old mail that is imported, old mail that is moved in.
    deliver(&world, "new", clock.now());
    deliver(&world, "imported", old());
    world.switch(Api::Graph);
    platform.clear_requests();
    let dry = platform_command(&world, &platform, &["migrate-source", "--dry-run"]);
    assert!(dry.contains("counts as delivered"), "{dry}");
    let mut appliance = start(&world, &platform, &[]);
    appliance.wait_until("the rest", |_| platform.email_count(BUCKET) == 62);
    let before = appliance.log().matches("is up to date").count();
    appliance.wait_until_up_to_date(before.max(2));
    appliance.stop();
    assert_eq!(first, 60);
    let again = uploads_of(&platform) - first - 2;
    assert!(again <= 2, "{again} emails were sent twice");

    deliver(&world, "back", clock.now());
    deliver(&world, "imported again", old());
    let sent = uploads_of(&platform);
    world.switch(Api::Ews);
    let mut appliance = start(&world, &platform, &[]);
    appliance.wait_until("the last", |_| platform.email_count(BUCKET) == 64);
    appliance.stop();
    // EWS lists no time at which an item came into the mailbox: all is sent again there, once.
    let again = uploads_of(&platform) - sent;
    assert!(again <= 64, "{again} emails were sent");
    for email in platform.emails(BUCKET) {
        assert_eq!(email.content_changes, 0, "`{}` was billed again", email.id);
    }
}

/// How often an email was written, all together.
fn uploads_of(platform: &Platform) -> u64 {
    platform.emails(BUCKET).iter().map(|email| email.writes).sum()
}

fn platform_command(world: &World, platform: &Platform, arguments: &[&str]) -> String {
    let endpoint = platform.endpoint();
    let mut command = world.command(arguments);
    command.args(["--reinfer-api-endpoint", &endpoint]).env("REINFER_API_TOKEN", TOKEN);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

// Fault F1, and the state of each interface read by the other at any moment.
#[test]
fn killed_at_any_time_while_the_interface_changes_to_and_fro() {
    let mut world = World::generated(3, 200);
    world.set("reinfer_batch_size", json!(10));
    world.set("emails_per_folder", json!(30));
    for round in 0..14_u64 {
        world.switch(if round % 2 == 0 { Api::Graph } else { Api::Ews });
        let appliance = world.appliance();
        std::thread::sleep(crate::crashes::pause(round) * 2);
        appliance.kill();
    }
    run(&world);
    world.assert_complete();
}
