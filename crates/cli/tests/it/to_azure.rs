//! Mail out of Exchange, into a container of Azure Blob Storage.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::azurite::{ACCOUNT, KEY, azurite};

use crate::harness::{Appliance, PROGRAM, World, hex};

pub const VARIABLE: &str = "AZURE_STORAGE_CONNECTION_STRING";

pub fn place(container: &str) -> String {
    format!("az://{ACCOUNT}/{container}/some/prefix")
}

fn start(world: &World, container: &str, more: &[&str]) -> Appliance {
    let place = place(container);
    let mut arguments = vec!["appliance", "--private-file-prefix", &place];
    arguments.extend(more);
    let secret = azurite().connection_string();
    world.start_with(PROGRAM, &arguments, &[(VARIABLE, secret.as_str())])
}

/// What the container holds, in the form of [`World::truth`].
pub fn stored(container: &str) -> BTreeMap<(String, String), usize> {
    let blobs = azurite().blobs(container);
    let mut stored = BTreeMap::new();
    for (name, bytes) in blobs.iter().filter(|(name, _)| name.ends_with(".eml")) {
        assert!(name.starts_with("some/prefix/data/project/bucket/"), "{name}");
        let sidecar = &blobs[&name.replace(".eml", ".json")];
        let sidecar: Value = serde_json::from_slice(sidecar).unwrap();
        let hash = hex(&Sha256::digest(bytes));
        assert_eq!(sidecar["sha256"], json!(hash), "{name}");
        let mailbox = sidecar["mailbox"].as_str().unwrap().to_owned();
        *stored.entry((mailbox, hash)).or_default() += 1;
    }
    let data = blobs.keys().filter(|name| name.contains("/data/")).count();
    assert_eq!(data, 2 * stored.values().sum::<usize>(), "a file without its other half");
    stored
}

/// The tags of the emails.
fn tags(container: &str) -> BTreeMap<String, String> {
    let mut tags = azurite().tags(container);
    tags.retain(|name, _| name.contains("/data/"));
    tags
}

#[test]
fn every_email_becomes_two_blobs_and_a_restart_goes_on() {
    let world = World::generated(2, 80);
    let container = azurite().new_container();
    let mut appliance = start(&world, &container, &[]);
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert_eq!(stored(&container), world.truth());
    let all = azurite().tags(&container);
    let states = all.keys().filter(|name| name.starts_with("some/prefix/state/")).count();
    assert!(states >= 2, "{states}");

    let before = tags(&container);
    let mut appliance = start(&world, &container, &[]);
    appliance.wait_until_up_to_date(4);
    assert_eq!(tags(&container), before, "what is there is written again");
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("1@example.com", &["Inbox"], "Subject: n\r\n\r\nn\r\n", now).unwrap();
    appliance.wait_until("new mail", |_| tags(&container).len() == before.len() + 2);
    let log = appliance.log();
    assert!(!log.contains(KEY) && log.contains(&container), "{log}");
    appliance.stop();
    assert_eq!(stored(&container), world.truth());
}

// Fault F17: from two shards to three. Some mailboxes have two owners meanwhile.
#[test]
fn a_roll_out_from_two_to_three_shards_loses_and_doubles_nothing() {
    let mut world = World::generated(8, 25);
    world.set("reinfer_batch_size", json!(10));
    world.set("emails_per_folder", json!(20));
    let container = azurite().new_container();
    let shard = |ordinal: u32, total: u32| {
        let (name, total) = (format!("ews-{ordinal}"), total.to_string());
        start(&world, &container, &["--shard-name", &name, "--total-shards", &total])
    };
    let (mut first, second) = (shard(0, 2), shard(1, 2));
    first.wait_until("some emails", |_| tags(&container).len() > 40);
    let mut new = vec![shard(2, 3)];
    second.kill();
    new.push(shard(1, 3));
    first.stop();
    new.push(shard(0, 3));
    // Who met another owner stepped back, and goes on only after some quiet, or when it starts.
    let up_to_date = |shard: &Appliance| shard.log().matches("is up to date").count();
    new.drain(..).for_each(Appliance::stop);
    let mut new: Vec<_> = (0..3).map(|ordinal| shard(ordinal, 3)).collect();
    let before = up_to_date(&new[0]);
    new[0].wait_until_up_to_date(before + 8);
    new.into_iter().for_each(Appliance::stop);
    assert_eq!(stored(&container), world.truth());
}

#[test]
fn a_doctor_tells_what_azure_lacks() {
    let world = World::generated(1, 3);
    let doctor = |container: &str, secret: &str| {
        let place = place(container);
        let mut command = world.command(&["doctor", "--private-file-prefix", &place]);
        let output = command.env(VARIABLE, secret).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(!told.contains(KEY), "{told}");
        (output.status.code(), told + &String::from_utf8_lossy(&output.stderr))
    };
    let secret = azurite().connection_string();
    let (code, told) = doctor(&azurite().new_container(), &secret);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("container "), "{told}");

    let (code, told) = doctor("missing", &secret);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("container") && told.contains("Create"), "{told}");

    let wrong = secret.replace("Eby8", "Abc8");
    let (code, told) = doctor(&azurite().new_container(), &wrong);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("403") && told.contains("check the rights"), "{told}");
}
