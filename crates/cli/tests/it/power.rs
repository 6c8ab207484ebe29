//! The power fails under a platform with its embedded database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    durable::{
        Acknowledged, Server, call, make_bucket, runtime, stored, succeeded, upload, wait_for,
    },
    harness::PATIENCE,
    machine::{Disk, run},
};

const EMAILS: &str = "/api/_private/buckets/project/mail/emails";

/// Cuts the power while emails are uploaded and converted, `rounds` times, and tells which
/// emails that were acknowledged are not there, or what is broken; `None` if the test is skipped.
fn lost(rounds: u64, under: &[&str]) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::make(folder.path())?;
    let mut server = Server::at(folder.path(), "disk/data", None);
    server.output = folder.path().join("platform");
    server.start_again();
    server.wait();
    let began = Instant::now();
    while server.token().is_none() {
        assert!(began.elapsed() < PATIENCE);
    }
    let at = (server.address, server.token().unwrap());
    let runtime = runtime();
    runtime.block_on(async {
        make_bucket(&at).await;
        let bucket = call(&at, "GET", "/api/_private/buckets/project/mail", json!({})).await;
        let source = json!({ "source": { "bucket_id": bucket["bucket"]["id"] } });
        call(&at, "PUT", "/api/v1/sources/project/mail", source).await;
    });
    let acknowledged = Acknowledged::default();
    for round in 0..rounds {
        server.end(Signal::KILL);
        server.under = under.iter().map(|word| (*word).to_owned()).collect();
        server.start_again();
        server.wait();
        let over = Arc::new(AtomicBool::new(false));
        let uploads: Vec<_> = (0..4)
            .map(|uploader| {
                let (at, acknowledged) = (at.clone(), Arc::clone(&acknowledged));
                let uploader = u32::try_from(round).unwrap() * 4 + uploader;
                runtime.spawn(upload(at, uploader, Arc::clone(&over), acknowledged, true))
            })
            .collect();
        wait_for(&acknowledged, 40, &server);
        thread::sleep(Duration::from_millis(37 * round % 150));
        disk.cut_power();
        // The words that it runs under would leave it behind.
        run(&["pkill", "-KILL", "-f", server.data.to_str().unwrap()]).unwrap();
        server.end(Signal::KILL);
        over.store(true, Ordering::Relaxed);
        for upload in uploads {
            runtime.block_on(upload).unwrap();
        }
        disk.come_back();
        server.under.clear();
        server.start_again();
        server.wait();
        let stored = runtime.block_on(stored(&at, EMAILS));
        let mut found = Vec::new();
        for (id, hash) in acknowledged.lock().unwrap().iter() {
            if stored.get(id) != Some(hash) {
                found.push(id.clone());
            }
        }
        let checked = server.run(&["fsck", "--json"]);
        let report: Value = serde_json::from_str(&succeeded(&checked)).unwrap();
        if report["damaged"] != false {
            found.push(report.to_string());
        }
        if !found.is_empty() {
            return Some(found);
        }
    }
    server.end(Signal::TERM);
    Some(Vec::new())
}

#[test]
fn what_was_acknowledged_is_there_when_the_power_comes_back() {
    let Some(found) = lost(6, &[]) else { return };
    assert_eq!(found, Vec::<String>::new());
}

/// Shows that a commit which does not wait for the disk would be seen.
#[test]
fn a_cut_finds_commits_that_never_reached_the_disk() {
    let lie = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    let lie = [&lie[..], &["-e", "inject=fdatasync:retval=0"]].concat();
    let Some(found) = lost(4, &lie) else { return };
    assert_ne!(found, Vec::<String>::new(), "the bug went unnoticed");
}
