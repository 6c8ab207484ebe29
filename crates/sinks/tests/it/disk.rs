//! The disk refuses: full, read-only, failing, too large a file, changed bytes.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use record::{Sink, SinkError};
use sinks::local_files::{Flaw, LocalFiles, Stored};

use crate::{
    crash::{has_strace, strace},
    machine::{Mount, Scratch, is_root, needs},
    mail,
    process::STEP,
    writer::{Writer, litter, wait},
};

/// A writer to whom `inject` happens must stop, having acknowledged nothing that is not there,
/// leave nothing half-written, and finish later.
#[track_caller]
fn check_injected(scratch: &Scratch, inject: &str, batch: u64) {
    let (calls, what) = inject.split_once(':').unwrap();
    let name = format!("{batch}-{}", inject.replace(['?', ','], ""));
    let mut writer = Writer::new(&scratch.path().join(name), 60, batch);
    writer.under = strace(calls, what);
    let (running, status) = writer.run();
    assert_eq!(status.code(), Some(3), "{inject}: {}", running.last);
    assert!(running.last.contains("could not write"), "{inject}: {}", running.last);
    assert_eq!(writer.violations(running.acked), Vec::<String>::new(), "{inject}");
    assert_eq!(litter(&writer.prefix), Vec::<std::path::PathBuf>::new(), "{inject}");
    writer.finish();
}

#[test]
fn failing_fsync_is_never_acknowledged() {
    if !has_strace() {
        return;
    }
    let scratch = Scratch::new();
    for when in [3, 6, 7, 12] {
        check_injected(&scratch, &format!("fsync:error=EIO:when={when}"), 10);
    }
    for when in [1, 2] {
        if scratch.is_ext4() {
            check_injected(&scratch, &format!("syncfs:error=EIO:when={when}"), 10);
        }
        check_injected(&scratch, &format!("fdatasync:error=EIO:when={when}"), 2);
    }
    check_injected(&scratch, "fsync:error=EIO:when=20", 1);
}

/// After a failed `fsync`, a second one reports a success that never was: what is visible but may
/// not be durable has to be written anew.
#[test]
fn files_that_may_not_be_durable_are_written_anew() {
    if !has_strace() {
        return;
    }
    let scratch = Scratch::new();
    let mut seen = 0;
    for when in 9..=14 {
        let mut writer = Writer::new(&scratch.path().join(format!("anew-{when}")), 30, 10);
        writer.under = strace("fsync", &format!("error=EIO:when={when}"));
        writer.flags = &[STEP];
        let mut running = writer.start();
        assert_eq!(running.next_line(), "ready");
        while !running.step().starts_with("failed") {}
        let inodes = |from: u64| -> Vec<u64> {
            let folder = LocalFiles::open_read_only(&writer.prefix).unwrap();
            (from..from + 10)
                .filter_map(|n| folder.stored_email(&mail::route(), mail::uid(n)))
                .filter_map(|stored| Some(fs::metadata(stored.eml).ok()?.ino()))
                .collect()
        };
        // Without a visible file, the failure was before the renames, or in the checkpoint.
        let failed_in_data = running.last.contains("/data/");
        let (from, before) = (running.acked, inodes(running.acked));
        assert!(running.step().starts_with("ack"), "{}", running.last);
        if failed_in_data && !before.is_empty() {
            seen += 1;
            let after = inodes(from);
            assert!(before.iter().all(|inode| !after.contains(inode)), "not written anew");
        }
        running.stop();
        writer.finish();
    }
    assert!(seen > 0 || !scratch.is_ext4(), "no failure came after the renames");
}

#[test]
fn failing_write_or_rename_is_never_acknowledged() {
    if !has_strace() {
        return;
    }
    let scratch = Scratch::new();
    for when in ["6+", "30+", "31", "32"] {
        check_injected(&scratch, &format!("write:error=ENOSPC:when={when}"), 10);
    }
    for when in [2, 9, 17, 21] {
        let inject = format!("?rename,?renameat,?renameat2:error=EIO:when={when}");
        check_injected(&scratch, &inject, 10);
    }
}

/// A disk of `size` in memory; `None` if the test is skipped.
fn memory(size: &str) -> Option<Mount> {
    if !needs("root", is_root()) {
        return None;
    }
    Mount::tmpfs(size).map_err(|err| needs(&format!("right to mount ({err})"), false)).ok()
}

#[test]
fn full_disk_is_waited_for() {
    let Some(disk) = memory("1m") else { return };
    let mut writer = Writer::new(&disk.path().join("p"), 400, 10);
    writer.flags = &[STEP];
    let mut running = writer.start();
    assert_eq!(running.next_line(), "ready");
    while running.step().starts_with("ack") {}
    assert!(running.last.contains("os error 28"), "{}", running.last);
    assert!(running.step().starts_with("failed"));
    assert!(running.acked > 30);
    assert_eq!(writer.violations(running.acked), Vec::<String>::new());
    assert_eq!(litter(&writer.prefix), Vec::<std::path::PathBuf>::new());
    let before = running.acked;
    disk.remount("size=32m").unwrap();
    assert_eq!(running.step(), format!("ack {}", before + 10), "it does not recover by itself");
    running.kill();
    writer.finish();
}

#[test]
fn read_only_disk_is_waited_for() {
    let Some(disk) = memory("32m") else { return };
    let mut writer = Writer::new(&disk.path().join("p"), 400, 10);
    writer.flags = &[STEP];
    let mut running = writer.start();
    assert_eq!(running.next_line(), "ready");
    assert_eq!(running.step(), "ack 10");
    assert_eq!(running.step(), "ack 20");
    // Its checkpoint may still be on the way; a file that is open for writing is in the way.
    while disk.remount("ro").is_err() {}
    let line = running.step();
    assert!(line.starts_with("failed") && line.contains("os error 30"), "{line}");
    assert_eq!(writer.violations(20), Vec::<String>::new());
    disk.remount("rw").unwrap();
    assert!(running.step().starts_with("ack"), "it does not recover by itself");
    running.kill();
    writer.finish();
}

#[test]
fn too_large_a_file_is_an_error_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), 60, 10);
    // 8 KiB; the program ignores SIGXFSZ, as the shell does here.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    writer.under = ["bash", "-c", script, "bash"].map(str::to_owned).to_vec();
    let (running, status) = writer.run();
    assert_eq!(status.code(), Some(3), "{}", running.last);
    assert!(running.last.contains("os error 27"), "{}", running.last);
    assert_eq!(running.acked, 0);
    assert_eq!(litter(dir.path()), Vec::<std::path::PathBuf>::new());
    writer.finish();
}

pub(crate) fn delivered(prefix: &Path) -> LocalFiles {
    Writer::new(prefix, 30, 10).finish();
    LocalFiles::open(prefix).unwrap()
}

#[test]
fn changed_bytes_of_an_email_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let folder = delivered(dir.path());
    let stored = folder.stored_email(&mail::route(), mail::uid(7)).unwrap();
    let mut bytes = fs::read(&stored.eml).unwrap();
    bytes[500] ^= 4;
    fs::write(&stored.eml, bytes).unwrap();
    let flaws = |look: fn(Stored) -> Option<Flaw>| -> Vec<Flaw> {
        let stored = folder.stored(&mail::route()).unwrap();
        stored.filter_map(look).collect()
    };
    // By those who only look, and by those who send it on, from memory and from the file.
    for flaws in [
        flaws(|stored| stored.check().err()),
        flaws(|stored| stored.read(u64::MAX).err()),
        flaws(|stored| stored.read(0).err()),
    ] {
        assert!(matches!(flaws[..], [Flaw::WrongHash]), "{flaws:?}");
    }
}

/// The system claims to have written a byte that it has not: no error tells.
#[test]
fn a_write_that_claims_more_than_it_wrote_is_found() {
    if !has_strace() {
        return;
    }
    let scratch = Scratch::new();
    let mut lies = 0;
    for when in 6..=36 {
        let mut writer = Writer::new(&scratch.path().join(format!("lie-{when}")), 12, 4);
        writer.under = strace("write", &format!("retval=1:when={when}"));
        // A lie about the state may stop it.
        writer.run();
        let folder = LocalFiles::open_read_only(&writer.prefix).unwrap();
        for n in 0..writer.total {
            let Some(stored) = folder.stored_email(&mail::route(), mail::uid(n)) else { continue };
            let is_whole = fs::read(&stored.eml).is_ok_and(|bytes| bytes == mail::body(n));
            let checked = stored.check().map(drop);
            assert!(is_whole || checked.is_err(), "email {n} after write {when} went unnoticed");
            lies += usize::from(!is_whole);
        }
    }
    assert!(lies > 5, "only {lies} lies were about an email");
}

#[test]
fn a_changed_byte_of_the_ledger_is_loud() {
    let dir = tempfile::tempdir().unwrap();
    let folder = delivered(dir.path());
    let path = dir.path().join("state/owner/bucket/abc@example.com/ledger.jsonl");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 2;
        fs::write(&path, bad).unwrap();
        let read =
            folder.ledger(&mail::route()).and_then(|lines| lines.collect::<Result<Vec<_>, _>>());
        assert!(matches!(read, Err(SinkError::Corrupt { .. })), "byte {at} went unnoticed");
    }
    // Who serves the route reads its last settled line only.
    drop(folder);
    let mut bad = good.clone();
    bad[good.len() - 40] ^= 2;
    fs::write(&path, bad).unwrap();
    let folder = LocalFiles::open(dir.path()).unwrap();
    let found = wait(folder.find(&mail::route(), &[]));
    assert!(matches!(found, Err(SinkError::Corrupt { .. })), "{found:?}");
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    let written = wait(folder.write(&mail::route(), &[mail::email(99)]));
    assert!(matches!(written, Err(SinkError::Corrupt { .. })), "a settled line is missing");
}

#[test]
fn a_torn_line_that_no_checkpoint_covers_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    drop(delivered(dir.path()));
    let path = dir.path().join("state/owner/bucket/abc@example.com/ledger.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    let line = bytes.split(|b| *b == b'\n').nth(3).unwrap().to_vec();
    bytes.extend_from_slice(&line[..line.len() / 2]);
    fs::write(&path, bytes).unwrap();
    let folder = LocalFiles::open(dir.path()).unwrap();
    assert_eq!(folder.ledger(&mail::route()).unwrap().filter(Result::is_ok).count(), 30);
    wait(folder.write(&mail::route(), &[mail::email(30)])).unwrap();
    let uids: Vec<_> =
        folder.ledger(&mail::route()).unwrap().map(|entry| entry.unwrap().uid).collect();
    assert_eq!(uids.len(), 31);
    assert_eq!(uids.last(), Some(&mail::uid(30)));
}

#[test]
fn nothing_else_appears_under_the_prefix() {
    let dir = tempfile::tempdir().unwrap();
    drop(delivered(dir.path()));
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["data", "state"]);
}
