//! A platform that keeps its contents in a container: the flags of `serve`, `backup`, `fsck` and
//! `restore`, as an operator types them.

use std::{collections::BTreeSet, fs, path::Path};

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{
    azurite::{ACCOUNT, KEY, azurite},
    platform_contract::client::emails_of,
};

use crate::durable::{Server, call, large, make_bucket, runtime};

const EMAILS: &str = "/api/_private/buckets/project/mail/emails";

/// A process that is not started, with its contents in a container.
fn kept_in(container: &str, folder: &Path, name: &str) -> Server {
    let mut server = Server::at(folder, name, None);
    let place = format!("az://{ACCOUNT}/{container}/kept");
    server.more = vec!["--object-store".to_owned(), place];
    server.variables = vec![("AZURE_STORAGE_CONNECTION_STRING", azurite().connection_string())];
    server
}

/// Runs a command beside the server, and tells how it ended and what it said.
fn run(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let output = server.run(arguments);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!said.contains(KEY), "{said}");
    (output.status.code(), said)
}

/// The large ones; a small one says whose container it is.
fn contents(container: &str) -> BTreeSet<Vec<u8>> {
    azurite().blobs(container).into_values().filter(|own| own.len() > 10_000).collect()
}

#[test]
fn a_platform_in_a_container_is_backed_up_checked_and_restored_into_another() {
    let folder = tempfile::tempdir().unwrap();
    let (container, other) = (azurite().new_container(), azurite().new_container());
    let mut server = kept_in(&container, folder.path(), "data");
    server.start_again();
    server.wait();
    // It listens a moment before it has printed its first token.
    while server.token().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let at = (server.address, server.token().unwrap());
    let texts = BTreeSet::from([large("a"), large("b")]);
    let email = |(number, text): (usize, &String)| {
        json!({ "id": format!("<{number}@example.com>"), "mailbox": "a@example.com",
                "timestamp": "2026-01-01T00:00:00Z", "mime_content": text })
    };
    let emails: Vec<Value> = texts.iter().enumerate().map(email).collect();
    runtime().block_on(async {
        make_bucket(&at).await;
        call(&at, "PUT", &format!("{EMAILS}?no_charge=false"), emails_of(&emails)).await;
    });
    assert_eq!(contents(&container).len(), 2, "they are not in the container");
    let backups = folder.path().join("backups");
    let backups = backups.to_str().unwrap();
    let (code, said) = run(&server, &["backup", backups]);
    assert_eq!(code, Some(0), "{said}");
    server.end(Signal::TERM);
    let (code, said) = run(&server, &["fsck"]);
    assert_eq!(code, Some(0), "{said}");

    let mut restored = kept_in(&other, folder.path(), "restored");
    let (code, said) = run(&restored, &["restore", backups]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(contents(&other).len(), 2, "they were restored to another place");
    let (code, said) = run(&restored, &["fsck"]);
    assert_eq!(code, Some(0), "{said}");
    // A flag that leads elsewhere is noticed before anything is called lost.
    let elsewhere = kept_in(&azurite().new_container(), folder.path(), "restored");
    let (code, said) = run(&elsewhere, &["fsck"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("has none of the contents of this platform"), "{said}");

    restored.start_again();
    restored.wait();
    let at = (restored.address, at.1);
    let shown = runtime().block_on(call(&at, "POST", EMAILS, json!({})));
    let text = |own: &Value| own["mime_content"].as_str().unwrap().to_owned();
    let shown: BTreeSet<_> = shown["emails"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(shown, texts);
    restored.end(Signal::TERM);
}

#[test]
fn what_cannot_be_a_container_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.pem");
    let missing = missing.to_str().unwrap();
    for (flags, expected) in [
        (&["--object-store", "gs://bucket"][..], "`--object-store gs://bucket` is not supported"),
        (&["--object-store", "az://secret@a/b"], "`--object-store \u{2026}` is not supported"),
        (&["--object-store-ca-file", "x.pem"], "--object-store <URL>"),
        (&["--object-store", "s3://bucket", "--object-store-ca-file", missing], "none.pem"),
    ] {
        let mut server = Server::at(folder.path(), "data", None);
        server.more = flags.iter().map(|own| (*own).to_owned()).collect();
        let bind = server.address.to_string();
        let (code, said) = run(&server, &["serve", "--bind", &bind]);
        assert!(code != Some(0) && said.contains(expected), "{flags:?}: {code:?} {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "something was made");
}
