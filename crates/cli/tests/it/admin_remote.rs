//! Operators intervene where the destination is a platform.

use std::{fs, io::ErrorKind, process::Output};

use rustix::process::Signal;
use serde_json::Value;
use simulators::{
    exchange::{Fault, FaultRule},
    platform::{Options, Platform},
};
use tokio::runtime::Runtime;

use crate::{
    harness::{Appliance, PROGRAM, World},
    health,
};

const BUCKET: &str = "project/bucket";
const MAILBOX: [&str; 2] = ["--mailbox", "0@example.com"];

/// A world with a platform beside the Exchange.
struct Remote {
    world: World,
    platform: Platform,
    /// The platform runs on it.
    _runtime: Runtime,
}

fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// One item that the server does not hand out, until its faults are cleared.
fn break_an_item(world: &World, mailbox: &str) -> String {
    let items = world.server.truth(mailbox).unwrap();
    let item = items.into_iter().find(|item| item.is_mail && !item.is_draft).unwrap();
    let corrupt = FaultRule::new(Fault::item_error("ErrorItemCorrupt")).item(&item.id);
    world.server.fault(corrupt.always());
    item.sha256
}

impl Remote {
    fn start() -> Self {
        let mut world = World::generated(1, 30);
        world.variables.push(("REINFER_API_TOKEN", Options::TOKEN.to_owned()));
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let options = Options { buckets: vec![BUCKET.to_owned()], ..Options::default() };
        let platform = runtime.block_on(Platform::start(options)).unwrap();
        Self { world, platform, _runtime: runtime }
    }

    fn run(&self, arguments: &[&str], more: &[&str]) -> Output {
        let endpoint = self.platform.endpoint();
        let all = [arguments, &["--reinfer-api-endpoint", &endpoint], more].concat();
        self.world.command(&all).output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str], more: &[&str]) -> String {
        let output = self.run(arguments, more);
        assert!(output.status.success(), "{}", told(&output));
        told(&output)
    }

    /// What is refused with exit code 78.
    #[track_caller]
    fn refused(&self, arguments: &[&str], more: &[&str]) -> String {
        let output = self.run(arguments, more);
        assert_eq!(output.status.code(), Some(78), "{}", told(&output));
        told(&output)
    }

    fn appliance(&self) -> Appliance {
        let endpoint = self.platform.endpoint();
        self.world.start(PROGRAM, &["appliance", "--reinfer-api-endpoint", &endpoint])
    }

    /// Reads all there is, and tells how many emails the platform has then.
    fn copy(&self) -> usize {
        // That of an earlier run says that it is up to date.
        if let Err(err) = fs::remove_file(self.world.folder.path().join("log")) {
            assert_eq!(err.kind(), ErrorKind::NotFound);
        }
        let mut appliance = self.appliance();
        appliance.wait_until_up_to_date(1);
        appliance.stop();
        self.platform.email_count(BUCKET)
    }

    fn state(&self) -> Value {
        let output = self.run(&["state", "show"], &["--json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0].clone()
    }

    fn generation(&self) -> u64 {
        self.state()["generation"].as_u64().unwrap()
    }

    fn quarantined(&self) -> Vec<Value> {
        let output = self.run(&["quarantine", "list"], &["--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn has(&self, sha256: &str) -> bool {
        let emails = self.platform.emails(BUCKET);
        emails.iter().any(|email| email.sha256 == sha256)
    }
}

#[test]
fn the_state_on_a_platform_is_exported_imported_and_reset() {
    let remote = Remote::start();
    let copied = remote.copy();
    let first = remote.generation();
    let folders = |state: &Value| state["folders"].as_array().unwrap().len();
    assert!(folders(&remote.state()) > 0);
    let named = remote.succeeds(&["state", "show"], &["--bucket", BUCKET]);
    assert!(named.contains("up to date") && named.contains("0@example.com"), "{named}");
    let file = remote.world.folder.path().join("state.json");
    let file = file.to_str().unwrap();
    remote.succeeds(&["state", "export"], &[&MAILBOX[..], &["--output", file]].concat());

    let unconfirmed = remote.refused(&["state", "reset"], &MAILBOX);
    assert!(unconfirmed.contains("--yes"), "{unconfirmed}");
    assert_eq!(remote.generation(), first);
    let yes = [&MAILBOX[..], &["--yes"]].concat();
    remote.succeeds(&["state", "reset"], &yes);
    assert!(remote.generation() > first && folders(&remote.state()) == 0);

    let import = [&yes[..], &["--input", file]].concat();
    remote.succeeds(&["state", "import"], &import);
    assert!(remote.generation() > first + 1 && folders(&remote.state()) > 0);
    remote.platform.clear_requests();
    assert_eq!(remote.copy(), copied);
    let sent = remote.platform.requests().iter().map(|request| request.emails.len()).sum::<usize>();
    assert_eq!(sent, 0, "positions that were put back hold");
    let plan = remote.succeeds(&["plan"], &[]);
    assert!(plan.contains("goes on where it stopped"), "{plan}");

    remote.succeeds(&["state", "reset"], &yes);
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let late = "Message-ID: <late@example.com>\r\nSubject: late\r\n\r\n";
    remote.world.server.deliver("0@example.com", &["Inbox"], late, now).unwrap();
    assert_eq!(remote.copy(), copied + 1);
    let emails = remote.platform.emails(BUCKET);
    assert!(emails.iter().any(|email| email.writes > 1), "it was read again");
    assert!(emails.iter().all(|email| email.content_changes == 0), "and nothing was doubled");
}

#[test]
fn a_bucket_of_another_program_is_taken_over_only_on_request() {
    let remote = Remote::start();
    remote.platform.set_sync_state(BUCKET, "opaque-0815");
    let foreign = remote.platform.sync_state(BUCKET);
    let shown = remote.succeeds(&["state", "show"], &[]);
    assert!(shown.contains("belongs to another program"), "{shown}");
    let one = remote.refused(&["state", "reset"], &[&MAILBOX[..], &["--yes"]].concat());
    assert!(one.contains("belongs to another program"), "{one}");
    let unconfirmed = remote.refused(&["state", "reset"], &["--bucket", BUCKET]);
    assert!(unconfirmed.contains("belongs to another program"), "{unconfirmed}");
    assert!(unconfirmed.contains("--yes"), "{unconfirmed}");
    let copied = remote.copy();
    let plan = remote.succeeds(&["plan"], &[]);
    assert!(plan.contains("belongs to another program"), "{plan}");
    assert_eq!(remote.platform.sync_state(BUCKET), foreign);

    let taken = remote.succeeds(&["state", "reset"], &["--bucket", BUCKET, "--yes"]);
    assert!(taken.contains("taken over"), "{taken}");
    assert_eq!(remote.copy(), copied);
    assert!(remote.generation() > 0);
    let emails = remote.platform.emails(BUCKET);
    assert!(emails.iter().all(|email| email.writes > 1), "all is read again");
    assert!(emails.iter().all(|email| email.content_changes == 0), "and nothing was doubled");
}

#[test]
fn sigusr1_tries_the_quarantine_again() {
    let remote = Remote::start();
    let broken = break_an_item(&remote.world, "0@example.com");
    let mut appliance = remote.appliance();
    appliance.wait_until_up_to_date(1);
    assert_eq!(remote.quarantined().len(), 1);
    let refused = remote.refused(&["quarantine", "retry"], &[]);
    assert!(refused.contains("SIGUSR1"), "{refused}");
    assert!(!remote.has(&broken));

    remote.world.server.clear_faults();
    appliance.signal(Signal::USR1);
    appliance.wait_until("the item", |_| remote.has(&broken) && remote.quarantined().is_empty());
    appliance.stop();
}

#[test]
fn sigusr1_works_with_a_folder_as_well() {
    let world = World::generated(2, 20);
    for mailbox in world.server.mailboxes() {
        break_an_item(&world, &mailbox);
    }
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    assert_ne!(world.stored(), world.truth());
    world.server.clear_faults();
    appliance.signal(Signal::USR1);
    appliance.wait_until("all items", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}

#[test]
fn entries_are_dropped_from_the_quarantine_on_a_platform() {
    let remote = Remote::start();
    break_an_item(&remote.world, "0@example.com");
    remote.copy();
    let uid = remote.quarantined()[0][1]["uid"].as_str().unwrap().to_owned();
    let drop = [&MAILBOX[..], &["--uid", &uid]].concat();
    let dropped = remote.succeeds(&["quarantine", "drop"], &drop);
    assert!(dropped.contains("ErrorItemCorrupt") && dropped.contains("Dropped 1"), "{dropped}");
    assert_eq!(remote.quarantined(), Vec::<Value>::new());
    let again = remote.succeeds(&["quarantine", "drop"], &drop);
    assert!(again.contains("No such entry"), "{again}");
}

#[test]
fn status_is_told_by_a_running_appliance() {
    let world = World::generated(2, 5);
    let (mut appliance, address) = health::serving(&world);
    appliance.wait_until_up_to_date(2);
    let status = |url: &str, more: &[&str]| {
        world.command(&[&["status", "--url", url], more].concat()).output().unwrap()
    };
    let url = format!("http://{address}");
    let table = status(&url, &[]);
    assert!(table.status.success(), "{}", told(&table));
    assert!(told(&table).contains("1@example.com -> project/bucket: ok"), "{}", told(&table));
    let json: Value = serde_json::from_slice(&status(&url, &["--json"]).stdout).unwrap();
    assert_eq!(json[0]["mailbox"], "0@example.com");
    assert!(json[0]["delivered"].as_u64().unwrap() > 0, "{json}");
    appliance.stop();
    let nobody = status(&url, &[]);
    assert_eq!(nobody.status.code(), Some(75), "{}", told(&nobody));
    assert!(told(&nobody).contains("--bind"), "{}", told(&nobody));
}
