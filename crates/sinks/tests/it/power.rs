//! The power fails: what never reached the disk is gone.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    crash::strace,
    machine::{Mount, cut_power, is_root, needs, random},
    process::{CHECKPOINT_FIRST, HOLD},
    writer::Writer,
};

/// A file system of its own whose power can be cut; `None` if the test is skipped.
fn disk() -> Option<Mount> {
    if !needs("root", is_root()) {
        return None;
    }
    match Mount::ext4() {
        Ok(disk) => Some(disk),
        Err(err) => {
            needs(&format!("loop device with ext4 ({err})"), false);
            None
        }
    }
}

/// Cuts the power of one file system `rounds` times while a writer is at work there, until
/// something is found broken. Each round has a folder of its own.
fn power_loop(
    rounds: u64,
    flags: &'static [&'static str],
    under: &[String],
) -> Option<Vec<String>> {
    let disk = disk()?;
    for round in 0..rounds {
        let prefix = disk.path().join(format!("round-{round}"));
        let mut writer = Writer::new(&prefix, 3_000, 10);
        writer.flags = flags;
        writer.under = under.to_vec();
        let mut running = writer.start();
        running.next_line();
        let life = Duration::from_micros(50_000 + random(round) % 250_000);
        running.listen_until(Instant::now() + life);
        cut_power(&disk.path());
        running.kill();
        let acked = running.acked;
        assert!(acked > 0, "the writer had no time to acknowledge anything");
        disk.unmount().unwrap();
        disk.mount().unwrap();
        let mut found = writer.violations(acked);
        if !found.is_empty() {
            found.truncate(3);
            return Some(found);
        }
        if flags.is_empty() {
            // The rest takes a while; a little more than before is enough to see the repair.
            writer.total = acked + 200;
            writer.finish();
        }
        fs::remove_dir_all(&prefix).unwrap();
    }
    Some(Vec::new())
}

#[test]
fn power_cut_at_any_moment_loses_nothing() {
    let Some(found) = power_loop(7, &[], &[]) else { return };
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn power_cut_finds_a_checkpoint_that_comes_first() {
    let Some(found) = power_loop(12, &[CHECKPOINT_FIRST], &[]) else { return };
    assert_ne!(found, Vec::<String>::new(), "the bug went unnoticed");
}

/// The last moment at which nothing else has come to the disk after the files.
#[test]
fn power_cut_right_after_the_acknowledgement_loses_nothing() {
    let Some(disk) = disk() else { return };
    for batch in [1, 2, 10] {
        let mut writer = Writer::new(&disk.path().join(format!("batch-{batch}")), 100, batch);
        writer.flags = &[HOLD];
        let mut running = writer.start();
        assert_eq!(running.next_line(), "ready");
        assert_eq!(running.next_line(), format!("ack {batch}"));
        assert_eq!(running.step(), format!("ack {}", 2 * batch));
        cut_power(&disk.path());
        running.kill();
        disk.unmount().unwrap();
        disk.mount().unwrap();
        assert_eq!(writer.violations(2 * batch), Vec::<String>::new(), "batches of {batch}");
        writer.finish();
    }
}

/// Shows that a forgotten `fsync` would be seen: here, none of them does anything.
#[test]
fn power_cut_finds_writes_that_never_reached_the_disk() {
    let lies = strace("fsync,fdatasync,syncfs", "retval=0");
    let Some(found) = power_loop(6, &[], &lies) else { return };
    assert_ne!(found, Vec::<String>::new(), "the bug went unnoticed");
}
