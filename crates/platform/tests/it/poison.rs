//! Emails that panic the converter, that it does not come to the end of, or that end the process:
//! each is named, and stops nobody else.

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use platform::{Options, Raw, Server, first_start};
use record::clock::SystemClock;
use serde_json::{Value, json};
use store::Store;
use testkit::platform_contract::client::{BUCKET, Client, emails_of};
use tokio_util::sync::CancellationToken;

use crate::conversion::{CONVERSION, TAG, comments, converted, letter, start, subjects};

/// What the converter of these tests panics at, does not end at, or ends the process at.
const POISON: &str = "POISON";
const SYNC: &str = "/api/v1/sources/example%2Fletters/sync-raw-emails";

/// Does as the converter does, but for some emails.
fn with_poison(poison: impl Fn() + Send + Sync + 'static) -> Options {
    let convert: platform::Convert = Arc::new(move |raw, delivery, transform| {
        let bytes = match raw {
            Raw::Whole(raw) => raw,
            Raw::Pieces(pieces) => pieces.headers,
        };
        if bytes.windows(POISON.len()).any(|own| own == POISON.as_bytes()) {
            poison();
        }
        raw.convert(delivery, transform)
    });
    Options { convert: Some(convert), ..Options::default() }
}

#[tokio::test]
async fn an_email_that_panics_the_converter_is_named_and_passed_over() {
    let (server, mut client) = start(with_poison(|| panic!("poison"))).await;
    server.add_source("example", Some(TAG)).await;
    let emails = [letter(1, "one", "text"), letter(2, "two", POISON), letter(3, "three", "text")];
    assert_eq!(client.put(&emails).await.status, 200);
    let done = converted(&mut client).await;
    assert_eq!((&done["quarantined"], &done["converted"]), (&json!(1), &json!(2)));
    assert_eq!(done["quarantine"][0]["email_id"], "<2@example.com>");
    assert_eq!(done["quarantine"][0]["reason"], "the converter panicked");
    assert_eq!(subjects(&comments(&mut client).await), ["one", "three"]);
    assert_eq!(client.count().await, 3, "the raw email stays");
    let metrics = client.call("GET", "/metrics", Value::Null).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("\ntributary_conversions_quarantined 1\n"), "{metrics}");
    assert!(metrics.contains("\ntributary_comments_written_total 2\n"), "{metrics}");
    // Another content is tried at once, and what was set aside when somebody asks.
    let retry = client.call("POST", &format!("{CONVERSION}/retry"), json!({})).await;
    assert_eq!(retry.json()["retried"], 1);
    assert_eq!(converted(&mut client).await["quarantined"], 1);
    assert_eq!(client.put(&[letter(2, "two", "text")]).await.status, 200);
    assert_eq!(converted(&mut client).await["quarantined"], 0);
    assert_eq!(subjects(&comments(&mut client).await), ["one", "three", "two"]);
}

/// Does not come to the end of some emails, as long as the sender is there. The time is long for
/// all others, on whatever machine.
fn with_endless_poison() -> (Options, mpsc::Sender<()>) {
    let (sender, ends) = mpsc::channel();
    let ends = Mutex::new(ends);
    let options = with_poison(move || ends.lock().unwrap().recv().unwrap_or_default());
    (Options { convert_time: Duration::from_secs(3), ..options }, sender)
}

#[tokio::test]
async fn an_email_that_the_converter_does_not_end_with_is_named_and_passed_over() {
    let (options, _ends) = with_endless_poison();
    let (server, mut client) = start(options).await;
    server.add_source("example", Some(TAG)).await;
    let emails = [letter(1, "one", "text"), letter(2, "two", POISON), letter(3, "three", "text")];
    assert_eq!(client.put(&emails).await.status, 200);
    let done = converted(&mut client).await;
    assert_eq!((&done["quarantined"], &done["converted"]), (&json!(1), &json!(2)));
    assert_eq!(done["quarantine"][0]["email_id"], "<2@example.com>");
    assert_eq!(done["quarantine"][0]["reason"], "converting it took more than 3s");
    assert_eq!(subjects(&comments(&mut client).await), ["one", "three"]);
    // Its thread is lost, and others are not.
    assert_eq!(client.put(&[letter(4, "four", "text")]).await.status, 200);
    assert_eq!(converted(&mut client).await["waiting"], 0);
    assert_eq!(comments(&mut client).await.len(), 3);
}

/// An upload of emails in pieces.
fn pieces(subjects: &[&str]) -> Value {
    let document = |subject: &&str| {
        let raw = format!("Message-ID: <{subject}@example.com>\r\nSubject: {subject}\r\n");
        json!({ "raw_email": { "headers": { "raw": raw }, "body": { "plain": "text" } } })
    };
    json!({ "documents": subjects.iter().map(document).collect::<Vec<_>>() })
}

#[tokio::test]
async fn an_upload_names_the_email_that_the_converter_does_not_end_with() {
    let (options, _ends) = with_endless_poison();
    let (server, mut client) = start(options).await;
    server.add_source("example", None).await;
    let refused = client.call("POST", SYNC, pieces(&["one", POISON, "three"])).await;
    assert_eq!(refused.status, 422);
    let expected =
        "`documents[1].raw_email`: converting this email takes more than 3s; leave it out";
    assert_eq!(refused.message(), expected);
    assert!(comments(&mut client).await.is_empty(), "nothing is half stored");
    let taken = client.call("POST", SYNC, pieces(&["one", "three"])).await;
    assert_eq!(taken.json()["new"], 2);
}

#[tokio::test]
async fn an_upload_names_the_email_that_ended_the_process() {
    let name = "poison::an_upload_names_the_email_that_ended_the_process";
    if let Some(folder) = alone() {
        return upload_until_refused(&folder).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
    let token = first_start(&store).await.unwrap().unwrap().token.reveal().to_owned();
    fill(&store, Options::default(), &token, &[]).await;
    std::fs::write(folder.path().join("token"), token).unwrap();
    store.close().await;
    assert_eq!(run_until_success(name, folder.path()).await, 3);
}

/// Sends what ends the process, as a client does that tries again.
async fn upload_until_refused(folder: &Path) {
    let token = std::fs::read_to_string(folder.join("token")).unwrap();
    let store = Store::open(folder, Arc::new(SystemClock)).await.unwrap();
    let server = Server::bind(store.clone(), with_poison(|| std::process::abort())).await.unwrap();
    let address = server.address();
    let over = CancellationToken::new();
    let serving = tokio::spawn(server.serve(over.clone(), Duration::from_secs(5)));
    let mut client = Client::connect(address, &token).await;
    let refused = client.call("POST", SYNC, pieces(&["one", POISON, "three"])).await;
    assert_eq!(refused.status, 422);
    let expected = "`documents[1].raw_email`: the server ended 3 times while it converted this \
                    email, and does not try it again; leave it out";
    assert_eq!(refused.message(), expected);
    // The others are not to blame, wherever they stood.
    let taken = client.call("POST", SYNC, pieces(&["one", "three", "four"])).await;
    assert_eq!(taken.json()["new"], 3);
    let refused = client.call("POST", SYNC, pieces(&[POISON])).await;
    assert!(refused.message().starts_with("`documents[0].raw_email`"), "{refused:?}");
    drop(client);
    over.cancel();
    serving.await.unwrap();
}

/// Says to a process of this program in which folder it is to convert.
const ALONE: &str = "TRIBUTARY_TEST_CONVERT_IN";

/// The folder of a process that such a test has started.
fn alone() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings but these")]
    std::env::var_os(ALONE).map(PathBuf::from)
}

/// Starts a test in processes of its own until one of them ends well; counts the others.
async fn run_until_success(name: &str, folder: &Path) -> u32 {
    let mut ended = 0;
    loop {
        let mut program = tokio::process::Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", name, "--nocapture"]).env(ALONE, folder);
        let output = program.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return ended;
        }
        assert_eq!(output.status.signal(), Some(SIGABRT), "{said}");
        ended += 1;
        assert!(ended < 10, "{said}");
    }
}

/// What `abort` ends a process with. Spec: `signal(7)`.
const SIGABRT: i32 = 6;

/// A server in a process of its own, which some email ends.
#[tokio::test]
async fn an_email_that_ends_the_process_is_found_and_passed_over() {
    if let Some(folder) = alone() {
        return convert_until_idle(&folder).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
    let token = first_start(&store).await.unwrap().unwrap().token.reveal().to_owned();
    // Nothing is converted in this process, so that the emails wait for the others.
    let waiting = Options { convert: None, ..Options::default() };
    let emails: Vec<Value> = (0..40)
        .map(|number| {
            letter(number, &format!("{number:02}"), if number == 17 { POISON } else { "x" })
        })
        .collect();
    fill(&store, waiting, &token, &emails).await;
    store.close().await;
    let name = "poison::an_email_that_ends_the_process_is_found_and_passed_over";
    let ended = run_until_success(name, folder.path()).await;
    assert!(ended > 0, "nothing ended the process");
    let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
    let mut session = store.read().await.unwrap();
    let source = session.sources().await.unwrap().remove(0);
    let counts = session.conversion(&source.id).await.unwrap();
    assert_eq!((counts.waiting, counts.quarantined), (0, 1));
    assert_eq!(session.count_comments(&source.id, None, None).await.unwrap(), 39);
    let aside = session.quarantined(&source.id, 9).await.unwrap().remove(0);
    assert_eq!(aside.email_id, "<17@example.com>");
    assert_eq!(aside.hash.len(), 64);
}

/// Emails that were claimed while others were converted have done nothing: a stop gives them back.
#[tokio::test]
async fn what_was_only_claimed_is_not_suspected_after_a_stop() {
    // More than are converted at once.
    const EMAILS: u32 = 500;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
    let token = first_start(&store).await.unwrap().unwrap().token.reveal().to_owned();
    let text = |number| if number == 0 { POISON } else { "text" };
    let emails: Vec<Value> = (0..EMAILS).map(|own| letter(own, "x", text(own))).collect();
    fill(&store, Options::default(), &token, &emails).await;
    // The first email is converted until it is told to end; those behind the first batch wait.
    let (end, waits) = mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    let options = with_poison(move || waits.lock().unwrap().recv().unwrap_or_default());
    let server = Server::bind(store.clone(), options).await.unwrap();
    let over = CancellationToken::new();
    let serving = tokio::spawn(server.serve(over.clone(), Duration::from_secs(60)));
    let other = store::Claimant {
        name: "other".to_owned(),
        format: i64::MAX,
        lease: chrono::TimeDelta::seconds(60),
        emails: 1000,
        bytes: u64::MAX,
        strikes: 3,
    };
    let source = store.read().await.unwrap().sources().await.unwrap().remove(0);
    loop {
        let mut session = store.write().await.unwrap();
        let waiting = session.conversion(&source.id).await.unwrap();
        // What is left is seen without being taken: this transaction is undone.
        let left = session.claim_conversions(&other, store::Wanted::NoSuspects).await.unwrap();
        if left.is_empty() && waiting.waiting == u64::from(EMAILS) && !waiting.scanning {
            break;
        }
        drop(session);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    over.cancel();
    end.send(()).unwrap();
    serving.await.unwrap();
    let mut session = store.write().await.unwrap();
    let made = session.count_comments(&source.id, None, None).await.unwrap();
    let left = session.claim_conversions(&other, store::Wanted::Any).await.unwrap();
    assert!(made > 0 && !left.is_empty(), "{made} comments, {} left", left.len());
    assert_eq!(made + left.len() as u64, u64::from(EMAILS));
    assert!(left.iter().all(|claim| !claim.is_suspect), "{left:?}");
}

async fn fill(store: &Store, options: Options, token: &str, emails: &[Value]) {
    let server = Server::bind(store.clone(), options).await.unwrap();
    let address = server.address();
    let over = CancellationToken::new();
    let serving = tokio::spawn(server.serve(over.clone(), Duration::from_secs(5)));
    let mut client = Client::connect(address, token).await;
    for (path, body) in [
        ("/api/_private/projects/example", json!({ "project": {} })),
        (BUCKET, json!({ "bucket": { "bucket_type": "emails" } })),
        (&format!("{BUCKET}/emails"), emails_of(emails)),
    ] {
        assert_eq!(client.call("PUT", path, body).await.status, 200, "{path}");
    }
    let bucket = client.call("GET", BUCKET, Value::Null).await.json()["bucket"]["id"].clone();
    drop(client);
    over.cancel();
    serving.await.unwrap();
    let mut session = store.write().await.unwrap();
    let details = store::SourceDetails {
        bucket_id: bucket.as_str().map(str::to_owned),
        ..store::SourceDetails::default()
    };
    session.create_source("example", "letters", details).await.unwrap();
    session.commit().await.unwrap();
}

async fn convert_until_idle(folder: &std::path::Path) {
    let store = Store::open(folder, Arc::new(SystemClock)).await.unwrap();
    let server = Server::bind(store.clone(), with_poison(|| std::process::abort())).await.unwrap();
    let over = CancellationToken::new();
    let serving = tokio::spawn(server.serve(over.clone(), Duration::from_secs(5)));
    loop {
        let mut session = store.read().await.unwrap();
        let source = session.sources().await.unwrap().remove(0);
        if session.conversion(&source.id).await.unwrap().waiting == 0 {
            break;
        }
        drop(session);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    over.cancel();
    serving.await.unwrap();
}
