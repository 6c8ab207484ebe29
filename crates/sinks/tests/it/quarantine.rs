//! The quarantine list, short and long, whole and damaged.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use record::{Quarantined, Sink, SinkError};
use sinks::local_files::LocalFiles;

use crate::{mail, writer::wait};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_790_000_000)
}

fn set_aside(n: u64) -> Quarantined {
    let email = mail::email(n);
    Quarantined {
        uid: email.uid,
        protocol: record::Protocol::Ews,
        item: email.item,
        folder: mail::folder(),
        folder_path: vec!["Inbox".into()],
        message_id: email.message_id,
        received: None,
        size: Some(7),
        code: "ErrorItemCorrupt".into(),
        detail: "the server will not hand it out".into(),
        since: now(),
        attempts: 1,
    }
}

fn state(prefix: &Path, name: &str) -> PathBuf {
    prefix.join("state/owner/bucket/abc@example.com").join(name)
}

fn add(folder: &LocalFiles, numbers: std::ops::Range<u64>) {
    let items: Vec<_> = numbers.map(set_aside).collect();
    wait(folder.quarantine(&mail::route(), &items)).unwrap();
}

fn list(folder: &LocalFiles) -> Vec<Quarantined> {
    wait(folder.quarantined(&mail::route())).unwrap()
}

/// A folder whose list is long enough for a log.
fn long(prefix: &Path) -> LocalFiles {
    let folder = LocalFiles::open(prefix).unwrap();
    add(&folder, 0..500);
    assert!(state(prefix, "quarantine-changes.jsonl").exists());
    folder
}

#[test]
fn a_long_list_is_changed_by_appending() {
    let dir = tempfile::tempdir().unwrap();
    let folder = long(dir.path());
    let written = fs::read(state(dir.path(), "quarantine.json")).unwrap();
    add(&folder, 500..510);
    add(&folder, 7..8);
    wait(folder.write(&mail::route(), &[mail::email(3), mail::email(505)])).unwrap();
    assert_eq!(fs::read(state(dir.path(), "quarantine.json")).unwrap(), written);
    let mut expected: Vec<_> = (0..510).filter(|n| ![3, 7, 505].contains(n)).collect();
    expected.push(7);
    let expected: Vec<_> = expected.into_iter().map(set_aside).collect();
    assert!(list(&folder) == expected, "in memory");
    drop(folder);
    let folder = LocalFiles::open(dir.path()).unwrap();
    assert!(list(&folder) == expected, "after a restart");
    // A program that knows no log must not take the old list for the whole one.
    assert!(String::from_utf8(written).unwrap().contains("\"version\":2"));
}

#[test]
fn twenty_thousand_entries_are_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LocalFiles::open(dir.path()).unwrap();
    let began = std::time::Instant::now();
    for n in 0..400 {
        add(&folder, n * 50..(n + 1) * 50);
    }
    println!("{:?}", began.elapsed());
    assert_eq!(list(&folder).len(), 20_000);
    let log = fs::metadata(state(dir.path(), "quarantine-changes.jsonl")).unwrap().len();
    assert!(log < 6 << 20, "the log is never made short again: {log} bytes");
    let all: Vec<_> = (0..20_000).map(mail::uid).collect();
    assert_eq!(folder.drop_from_quarantine(&mail::route(), &all, now()).unwrap(), 20_000);
    add(&folder, 1..2);
    drop(folder);
    assert_eq!(list(&LocalFiles::open_read_only(dir.path()).unwrap()), [set_aside(1)]);
}

#[test]
fn a_torn_change_is_removed_and_damage_is_loud() {
    let dir = tempfile::tempdir().unwrap();
    let folder = long(dir.path());
    add(&folder, 500..501);
    let path = state(dir.path(), "quarantine-changes.jsonl");
    let before = fs::read(&path).unwrap();
    add(&folder, 501..502);
    drop(folder);
    let whole = fs::read(&path).unwrap();
    for cut in [before.len() + 1, before.len() + 100, whole.len() - 1] {
        let mut zeros = whole.clone();
        zeros[cut..].fill(0);
        for torn in [whole[..cut].to_vec(), zeros] {
            fs::write(&path, torn).unwrap();
            let folder = LocalFiles::open(dir.path()).unwrap();
            assert_eq!(list(&folder).len(), 501, "cut at {cut}");
            add(&folder, 600..601);
            assert_eq!(list(&folder).len(), 502);
        }
    }
    for at in (0..whole.len() - 1).step_by(13) {
        let mut bad = whole.clone();
        bad[at] ^= 2;
        fs::write(&path, bad).unwrap();
        let folder = LocalFiles::open(dir.path()).unwrap();
        let read = wait(folder.quarantined(&mail::route()));
        assert!(matches!(read, Err(SinkError::Corrupt { .. })), "byte {at}: {read:?}");
        let changed = wait(folder.quarantine(&mail::route(), &[set_aside(9)]));
        assert!(matches!(changed, Err(SinkError::Corrupt { .. })), "byte {at} was overwritten");
    }
}

#[test]
fn a_log_of_another_list_is_not_applied() {
    let dir = tempfile::tempdir().unwrap();
    let folder = long(dir.path());
    add(&folder, 500..501);
    let (list_path, log_path) =
        (state(dir.path(), "quarantine.json"), state(dir.path(), "quarantine-changes.jsonl"));
    let (old_list, old_log) = (fs::read(&list_path).unwrap(), fs::read(&log_path).unwrap());
    let all: Vec<_> = (0..501).map(mail::uid).collect();
    folder.drop_from_quarantine(&mail::route(), &all, now()).unwrap();
    // So long a log that the list is written anew, and short.
    for _ in 0..8 {
        add(&folder, 0..500);
        folder.drop_from_quarantine(&mail::route(), &all, now()).unwrap();
    }
    add(&folder, 1..2);
    drop(folder);
    let folder = LocalFiles::open(dir.path()).unwrap();
    assert_eq!(list(&folder), [set_aside(1)]);
    // As after a crash between the new list and the removal of its old log.
    fs::write(&log_path, &old_log).unwrap();
    assert_eq!(list(&LocalFiles::open_read_only(dir.path()).unwrap()), [set_aside(1)]);
    drop(folder);
    // And as after one file of the two was restored from a backup.
    let folder = long(dir.path());
    add(&folder, 500..501);
    fs::write(&list_path, &old_list).unwrap();
    let read = wait(folder.quarantined(&mail::route()));
    assert!(matches!(read, Err(SinkError::Corrupt { .. })), "{read:?}");
}

#[test]
fn entries_are_dropped_by_the_process_that_serves_the_mailbox() {
    let dir = tempfile::tempdir().unwrap();
    let folder = LocalFiles::open(dir.path()).unwrap();
    add(&folder, 0..3);
    let command = LocalFiles::open_for_command(dir.path()).unwrap();
    let refused = command.drop_from_quarantine(&mail::route(), &[mail::uid(1)], now());
    assert!(matches!(refused, Err(SinkError::Busy { .. })), "{refused:?}");
    let uids = [mail::uid(1), mail::uid(77)];
    command.request_quarantine_drop(&mail::route(), &uids, now()).unwrap();
    let second = command.request_quarantine_drop(&mail::route(), &[mail::uid(2)], now());
    assert!(matches!(second, Err(SinkError::Busy { .. })), "the first one was replaced");
    assert_eq!(list(&folder).len(), 3);
    assert!(!folder.take_retry_request(&mail::route()).unwrap());
    assert_eq!(list(&folder), [set_aside(0), set_aside(2)]);
    let dropped = command.dropped(&mail::route()).unwrap();
    assert_eq!(dropped.len(), 1);
    assert_eq!((dropped[0].item.clone(), dropped[0].dropped_at), (set_aside(1), now()));
    // Without such a process the command does it itself.
    drop(folder);
    let uids = [mail::uid(0), mail::uid(1)];
    assert_eq!(command.drop_from_quarantine(&mail::route(), &uids, now()).unwrap(), 1);
    assert_eq!(list(&command), [set_aside(2)]);
    assert_eq!(command.dropped(&mail::route()).unwrap().len(), 2);
}
