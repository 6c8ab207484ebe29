//! The process dies: at any moment, and at each step towards the disk.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    machine::{Scratch, needs, random},
    process::CHECKPOINT_FIRST,
    writer::{Writer, was_killed},
};

/// Kills a writer at `rounds` random moments; returns the violations seen after each.
fn kill_loop(writer: &Writer, rounds: u64) -> Vec<String> {
    let mut found = Vec::new();
    let mut acked = 0;
    for round in 0..rounds {
        let mut running = writer.start();
        running.next_line();
        let life = Duration::from_micros(2_000 + random(round) % 60_000);
        running.listen_until(Instant::now() + life);
        running.kill();
        acked = running.acked.max(acked);
        found.extend(writer.violations(acked));
        if !found.is_empty() {
            break;
        }
    }
    found
}

#[test]
fn kill_at_any_moment_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path(), 1_500, 10);
    assert_eq!(kill_loop(&writer, 24), Vec::<String>::new());
    writer.finish();
}

#[test]
fn kill_at_any_moment_finds_a_checkpoint_that_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), 6_000, 10);
    writer.flags = &[CHECKPOINT_FIRST];
    assert_ne!(kill_loop(&writer, 40), Vec::<String>::new(), "the bug went unnoticed");
}

const STEPS: [&str; 7] =
    ["?rename,?renameat,?renameat2", "fsync", "fdatasync", "syncfs", "write", "?mkdir", "?unlink"];
/// Crash points for each kind of step, spread over the run.
const POINTS: u64 = 9;

/// Kills the writer on entering call number `n` of `step`; `None` if there are fewer calls.
fn crash_at(
    dir: &Path,
    step: &str,
    n: u64,
    batch: u64,
    flags: &'static [&'static str],
) -> Option<Vec<String>> {
    let prefix = dir.join(format!("{}-{n}-{batch}", step.replace(['?', ','], "")));
    let mut writer = Writer::new(&prefix, 12, batch);
    writer.flags = flags;
    writer.under = strace(step, &format!("signal=KILL:when={n}"));
    let (running, status) = writer.run();
    if status.success() {
        fs::remove_dir_all(&prefix).unwrap();
        return None;
    }
    assert!(was_killed(status), "ended with {status}: {}", running.last);
    let found = writer.violations(running.acked);
    if found.is_empty() && flags.is_empty() {
        writer.finish();
    }
    fs::remove_dir_all(&prefix).unwrap_or_default();
    Some(found.into_iter().map(|what| format!("killed at {step} number {n}: {what}")).collect())
}

/// The words that let strace do `what` (`error=EIO:when=3`) to the calls named `calls`.
pub(crate) fn strace(calls: &str, what: &str) -> Vec<String> {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{what}"));
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]
        .map(str::to_owned)
        .to_vec()
}

/// How often a run without faults enters `step`, as strace counts: per thread.
fn calls(dir: &Path, step: &str, batch: u64) -> u64 {
    let prefix = dir.join(format!("count-{}-{batch}", step.replace(['?', ','], "")));
    let log = dir.join("log");
    let mut writer = Writer::new(&prefix, 12, batch);
    writer.under = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("trace={step}")])
        .collect();
    let (running, status) = writer.run();
    assert!(status.success(), "{}", running.last);
    let log = fs::read_to_string(log).unwrap();
    let mut threads = std::collections::BTreeMap::<&str, u64>::new();
    for line in log.lines().filter(|line| line.contains('(') && !line.contains("resumed")) {
        *threads.entry(line.split_whitespace().next().unwrap()).or_default() += 1;
    }
    fs::remove_dir_all(&prefix).unwrap();
    threads.into_values().max().unwrap_or_default()
}

/// Crashes at up to [`POINTS`] calls of each step; returns how many there were, and what broke.
fn sweep(batch: u64, flags: &'static [&'static str]) -> (u64, Vec<String>) {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let (mut crashes, mut found) = (0, Vec::new());
    for step in STEPS {
        let calls = calls(&dir, step, batch);
        let stride = calls.div_ceil(POINTS).max(1);
        let mut n = 1;
        while n <= calls {
            if let Some(violations) = crash_at(&dir, step, n, batch, flags) {
                crashes += 1;
                found.extend(violations);
            }
            n += stride;
        }
    }
    (crashes, found)
}

pub(crate) fn has_strace() -> bool {
    needs("strace", Command::new("strace").arg("-V").output().is_ok())
}

#[test]
fn crash_at_each_step_loses_nothing_with_one_sync_for_the_batch() {
    if !has_strace() {
        return;
    }
    let (crashes, found) = sweep(4, &[]);
    assert_eq!(found, Vec::<String>::new());
    assert!(crashes >= 30, "only {crashes} crashes");
}

#[test]
fn crash_at_each_step_loses_nothing_with_a_sync_for_each_file() {
    if !has_strace() {
        return;
    }
    let (crashes, found) = sweep(2, &[]);
    assert_eq!(found, Vec::<String>::new());
    assert!(crashes >= 25, "only {crashes} crashes");
}

#[test]
fn crash_at_each_step_finds_a_checkpoint_that_comes_first() {
    if !has_strace() {
        return;
    }
    let (_, found) = sweep(4, &[CHECKPOINT_FIRST]);
    assert_ne!(found, Vec::<String>::new(), "the bug went unnoticed");
}
