//! Limits of the machine on one process: memory, and the size of its files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use simulators::exchange::{Auth, Exchange, Large, Options};
use tempfile::TempDir;

use crate::harness::{Appliance, PROGRAM, World};

/// Mailboxes that hold one large email each.
const MAILBOXES: u64 = 8;
/// Bytes of each large email, and of the memory that all of them may take: one email that is held
/// whole is too much. `cargo xtask bench large` measures the same with the release build.
const SIZE: u64 = 150_000_000;
const LIMIT: u64 = 128 << 20;

/// Largest file that the second test allows, in the blocks of `ulimit -f` (POSIX): 128 KiB.
const FILE_BLOCKS: u64 = 256;

/// A control group with [`LIMIT`] bytes of memory, removed in the end.
struct Group(PathBuf);

impl Group {
    fn create() -> Result<Self, String> {
        let name = format!("tributary-test-{}", std::process::id());
        let version1 = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes");
        let (parent, limit) = match version1.exists() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let path = Path::new(parent).join(name);
        fs::create_dir(&path).map_err(|err| format!("`{}`: {err}", path.display()))?;
        let group = Self(path);
        let limit = group.0.join(limit);
        fs::write(&limit, LIMIT.to_string())
            .map_err(|err| format!("`{}`: {err}", limit.display()))?;
        Ok(group)
    }

    fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Most memory that the only process in the group ever had resident, in bytes.
    fn peak(&self) -> u64 {
        let id = fs::read_to_string(self.processes()).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", id.trim())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was just reaped can hold the group for a moment longer.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The group, or `None` if the test is skipped; in CI that is a failure.
fn group() -> Option<Group> {
    match Group::create() {
        Ok(group) => Some(group),
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "CI must have control groups: {reason}");
            println!("skipped: no control group ({reason})");
            None
        }
    }
}

fn deliver_large(server: &Exchange, address: &str, size: u64) {
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    server.deliver(address, &["Inbox"], Large::new(size, size), now).unwrap();
}

/// Starts the appliance after a command of the shell.
fn start_after(world: &World, command: &str) -> Appliance {
    let script = format!("{command} && exec \"$@\"");
    let prefix = world.prefix();
    let prefix = prefix.to_str().unwrap();
    let arguments = ["-c", &script, "sh", PROGRAM, "appliance", "--local-files-prefix", prefix];
    world.start("/bin/sh", &arguments)
}

// Faults F20 and F21.
#[test]
fn eight_large_emails_at_once_fit_into_little_memory() {
    let Some(group) = group() else { return };
    let mut world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    // The system's temporary folder may be in memory, which would count.
    world.folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for number in 0..MAILBOXES {
        let address = format!("{number}@example.com");
        world.server.add_mailbox(&address);
        deliver_large(&world.server, &address, SIZE + number);
    }
    let world = world.configured();
    let enter = format!("echo $$ >{}", group.processes().display());
    let mut appliance = start_after(&world, &enter);
    appliance.wait_until_up_to_date(MAILBOXES as usize);
    let peak = group.peak();
    appliance.stop();
    assert!(peak < LIMIT, "{peak} bytes were resident");
    assert_eq!(world.truth().len(), MAILBOXES as usize);
    world.assert_complete();
}

#[test]
fn a_file_that_may_not_become_large_is_reported_and_stored_by_the_next_process() {
    let world = World::generated(1, 20);
    world.server.add_mailbox("large@example.com");
    deliver_large(&world.server, "large@example.com", 4 * FILE_BLOCKS * 512);
    let world = world.configured();
    // Where the kernel sends SIGXFSZ, a process that does not care dies.
    let mut appliance = start_after(&world, &format!("ulimit -f {FILE_BLOCKS}"));
    appliance.wait_until_up_to_date(1);
    appliance.wait_until("a report", |this| this.log().contains("File too large"));
    appliance.stop();
    assert!(world.stored().keys().all(|(mailbox, _)| mailbox == "0@example.com"));

    let before = world.status();
    assert!(before.to_string().contains("File too large"), "{before}");
    let mut appliance = world.appliance();
    appliance.wait_for_emails(world.truth().values().sum());
    appliance.stop();
    world.assert_complete();
}
