//! Little memory, hostile and enormous emails, and a limit for the size of files.

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt};

use serde_json::json;
use sha2::{Digest, Sha256};
use simulators::exchange::{Auth, Exchange, Large, Options};
use tempfile::TempDir;

use crate::{
    harness::{Api, World, hex, over_each_api},
    machine::{Group, Limit, start_after},
};

/// Mailboxes that hold one large email each.
const MAILBOXES: u64 = 8;
/// Bytes of each large email, and of the memory that all of them may take: one email that is held
/// whole is too much. `cargo xtask bench large` measures the same with the release build.
const SIZE: u64 = 150_000_000;
const LIMIT: u64 = 128 << 20;

/// Largest file that the second test allows, in the blocks of `ulimit -f` (POSIX): 128 KiB.
const FILE_BLOCKS: u64 = 256;

over_each_api!(
    eight_large_emails_at_once_fit_into_little_memory,
    hostile_emails_arrive_byte_for_byte_with_little_memory,
);

fn deliver_large(server: &Exchange, address: &str, size: u64) {
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    server.deliver(address, &["Inbox"], Large::new(size, size), now).unwrap();
}

/// Most memory that a process ever had resident, in bytes.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

// Faults F20 and F21.
fn eight_large_emails_at_once_fit_into_little_memory(api: Api) {
    let Some(group) = Group::create(&format!("large-{api:?}"), Limit::Memory(LIMIT)) else {
        return;
    };
    let mut world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    // The system's temporary folder may be in memory, which would count.
    world.folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for number in 0..MAILBOXES {
        let address = format!("{number}@example.com");
        world.server.add_mailbox(&address);
        deliver_large(&world.server, &address, SIZE + number);
    }
    let world = world.configured().over(api);
    let mut appliance = group.appliance(&world);
    appliance.wait_until_up_to_date(MAILBOXES as usize);
    let peak = peak(appliance.id());
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

// Fault F21.
#[test]
fn a_kill_for_lack_of_memory_loses_and_doubles_nothing() {
    let Some(group) = Group::create("kill", Limit::Memory(0)) else { return };
    let mut world = World::generated(2, 200);
    world.set("reinfer_batch_size", json!(10));
    for round in 1..=2 {
        let mut appliance = world.appliance();
        appliance.wait_for_emails(round * 30);
        // From here on, the next page that it needs is one too many.
        group.take_in(appliance.id());
        assert_eq!(appliance.wait().signal(), Some(9), "{}", appliance.log());
    }
    assert!(group.strikes() >= 2, "it was not the kernel that killed it");
    assert!(world.stored() != world.truth(), "nothing was left to do");
    group.set(Limit::Memory(LIMIT)).unwrap();
    let mut appliance = group.appliance(&world);
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    world.assert_complete();
}

/// Emails that have brought down programs which look into them.
fn hostile() -> Vec<Vec<u8>> {
    let recipients: Vec<String> =
        (0..100_000).map(|n| format!("\"Person {n}\" <person-{n}@example.com>")).collect();
    let continuations: String =
        (0..200_000).map(|n| format!(";\r\n filename*{n}*=%{:02X}", n % 256)).collect();
    let fields = |fields: &str| format!("Message-ID: <hostile@example.com>\r\n{fields}\r\n\r\n");
    let multipart = fields("Content-Type: multipart/mixed; boundary=b");
    let mut broken = b"Subject: =?utf-9?B?//8?= =?iso-2022-jp?Q?=1B$B?= =?utf-8?B?w\r\n\
        From: \xff\xfe\x80 <\xc3@example.com>\r\nTo: \x00\r\nDate: Thu, 99 Nov 20266\r\n\
        Content-Type: text/plain; charset=\"\xe2\x80\xae=?\"; charset=utf-7\r\n\
        Content-Transfer-Encoding: base64, 8bit\r\n\r\n\xff\xfe\x00\xd8+AAA\r\r\n\n\x1b$B"
        .to_vec();
    broken.extend(0..=255);
    vec![
        fields(&format!("To: {}", recipients.join(",\r\n "))).into(),
        // Messages in one another.
        "Content-Type: message/rfc822\r\n\r\n".repeat(50_000).into(),
        // Parts without content.
        (multipart + &"--b\r\n\r\n".repeat(1_000_000)).into(),
        // A parameter in 200,000 pieces (RFC 2231 section 3).
        fields(&format!("Content-Disposition: attachment{continuations}")).into(),
        broken,
        // One line.
        vec![b'x'; 2_000_000],
        vec![0; 100_000],
    ]
}

// Fault F20.
fn hostile_emails_arrive_byte_for_byte_with_little_memory(api: Api) {
    let Some(group) = Group::create(&format!("hostile-{api:?}"), Limit::Memory(LIMIT)) else {
        return;
    };
    let mut world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    world.folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    world.server.add_mailbox("abc@example.com");
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let mut expected = BTreeMap::new();
    for mime in hostile() {
        let hash = hex(&Sha256::digest(&mime));
        expected.insert(("abc@example.com".to_owned(), hash), 1);
        world.server.deliver("abc@example.com", &["Inbox"], mime, now).unwrap();
    }
    let world = world.configured().over(api);
    let mut appliance = group.appliance(&world);
    appliance.wait_until_up_to_date(1);
    let peak = peak(appliance.id());
    appliance.stop();
    assert!(peak < LIMIT, "{peak} bytes were resident");
    assert_eq!(world.stored(), expected);
    world.assert_complete();
}
