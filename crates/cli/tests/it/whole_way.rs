//! Mail out of Exchange, onto the disk.

use std::fs;

use serde_json::{Value, json};
use simulators::exchange::{App, Auth, ChannelBinding, Delivery, Options};

use crate::harness::{World, files};

fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

#[test]
fn every_email_of_every_mailbox_arrives_once_and_new_ones_follow() {
    let world = World::generated(3, 150);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(3);
    world.assert_complete();

    let count = files(&world.prefix().join("data"), "json").len();
    world
        .server
        .deliver("1@example.com", &["Inbox"], "Subject: new\r\n\r\nnew\r\n", now())
        .unwrap();
    appliance.wait_for_emails(count + 1);
    appliance.stop();
    world.assert_complete();
    let mut top: Vec<_> =
        fs::read_dir(world.prefix()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    top.sort();
    assert_eq!(top, ["data", "state"], "nothing else may appear");
}

#[test]
fn ntlm_with_required_channel_binding_works() {
    let options = Options { auth: Auth::ntlm(ChannelBinding::Require), ..Options::default() };
    let world = World::empty(options);
    world.server.add_mailbox("abc@example.com");
    world.server.deliver("abc@example.com", &["Inbox"], "Subject: x\r\n\r\nx\r\n", now()).unwrap();
    let mut world = world.configured();
    world.set("auth_type", json!("ntlm"));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    world.assert_complete();
}

#[test]
fn oauth_with_a_secret_and_impersonation_works() {
    let world = World::empty(Options {
        auth: Auth::bearer(),
        apps: vec![App::with_secret(Options::CLIENT_ID, Options::CLIENT_SECRET)],
        ..Options::default()
    });
    world.server.add_mailbox("abc@example.com");
    world.server.deliver("abc@example.com", &["Inbox"], "Subject: x\r\n\r\nx\r\n", now()).unwrap();
    let mut world = world.configured();
    let keys = world.config.as_object_mut().unwrap();
    keys.remove("auth_user");
    keys.remove("auth_password");
    world.set("auth_type", json!("oauth2"));
    world.set("access_type", json!("impersonation"));
    world.set("auth_oauth_authority", json!(world.server.authority_url()));
    world.set("auth_oauth_client_id", json!(Options::CLIENT_ID));
    world.set("auth_oauth_client_secret", json!(Options::CLIENT_SECRET));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    world.assert_complete();
}

#[test]
fn moves_renames_and_odd_items_leave_one_copy_each() {
    let world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    let address = "abc@example.com";
    world.server.add_mailbox(address);
    world.server.add_folder(address, &["Inbox", "Claims/2026"], "IPF.Note").unwrap();
    let deliver =
        |delivery: Delivery| world.server.deliver_as(address, &["Inbox"], delivery).unwrap();
    let moved = deliver(Delivery::new("Subject: moved\r\n\r\n1\r\n", now()));
    deliver(Delivery::new("Subject: no id\r\n\r\n2\r\n", now()).without_message_id());
    deliver(Delivery::new("Subject: no date\r\n\r\n3\r\n", now()).without_received());
    deliver(Delivery::new("Subject: digits\r\n\r\n4\r\n", now()).date_digits(7));
    deliver(
        Delivery::new("Subject: meeting\r\n\r\n5\r\n", now()).class("IPM.Schedule.Meeting.Request"),
    );
    deliver(Delivery::new("Subject: report\r\n\r\n6\r\n", now()).class("REPORT.IPM.Note.NDR"));
    let world = world.configured();
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    world.assert_complete();

    world.server.move_item(&moved, &["Inbox", "Claims/2026"]).unwrap();
    world.server.deliver(address, &["Inbox"], "Subject: last\r\n\r\n7\r\n", now()).unwrap();
    appliance.wait_for_emails(7);
    appliance.wait_until("the moved email's folder", |_| {
        files(&world.prefix().join("data"), "json").iter().any(|path| {
            let sidecar: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            sidecar["metadata"]["folder"] == json!(["Inbox", "Claims/2026"])
        })
    });
    appliance.stop();
    world.assert_complete();
}

#[test]
fn the_same_message_in_two_mailboxes_is_one_copy_in_each() {
    let world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    let mime = "Message-ID: <same@example.org>\r\nSubject: x\r\n\r\nx\r\n";
    for address in ["a@example.com", "b@example.com"] {
        world.server.add_mailbox(address);
        world.server.deliver(address, &["Inbox"], mime, now()).unwrap();
    }
    let world = world.configured();
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert_eq!(files(&world.prefix().join("data"), "eml").len(), 2);
    world.assert_complete();
}

#[test]
fn start_timestamp_leaves_out_what_is_older_and_keeps_what_is_equal() {
    let world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    let address = "abc@example.com";
    world.server.add_mailbox(address);
    for (text, seconds) in [("old", -1), ("equal", 0), ("new", 1)] {
        let at = now() + chrono::TimeDelta::seconds(seconds);
        world.server.deliver(address, &["Inbox"], format!("Subject: {text}\r\n\r\n"), at).unwrap();
    }
    let mut world = world.configured();
    world.config["mailboxes"][address]["start_timestamp"] = json!(now().to_rfc3339());
    world.write_config();
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    let stored: Vec<String> = files(&world.prefix().join("data"), "eml")
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert!(stored.iter().all(|text| !text.contains("old")), "{stored:?}");
    assert!(world.run(&["verify"]).status.success());
}

#[test]
fn reinfer_ews_is_the_same_program_in_both_argument_forms() {
    let world = World::generated(1, 10);
    let prefix = world.prefix();
    let flag = format!("--local-files-prefix={}", prefix.display());
    for first in [&[][..], &["reinfer-ews"][..]] {
        let mut arguments = first.to_vec();
        arguments.extend([flag.as_str(), "--debug-level", "1"]);
        arguments.extend(["--shard-name", "ews-0", "--total-shards=1"]);
        let mut appliance = world.start(env!("CARGO_BIN_EXE_reinfer-ews"), &arguments);
        let before = appliance.log().matches("is up to date").count();
        appliance.wait_until_up_to_date(before + 1);
        appliance.stop();
        world.assert_complete();
    }
}

// Promise I6: whoever looks, at any moment, sees whole files.
#[test]
fn a_reader_never_sees_half_a_file() {
    let mut world = World::generated(3, 200);
    world.set("reinfer_batch_size", json!(10));
    let mut appliance = world.appliance();
    let mut looks = 0;
    while appliance.log().matches("is up to date").count() < 3 {
        for path in files(&world.prefix(), "json") {
            // A file may be replaced between listing and reading, but not be cut.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let value: Value = serde_json::from_str(&text)
                .unwrap_or_else(|err| panic!("{}: {err}: {text}", path.display()));
            if let (Some(size), Some(_)) = (value["size"].as_u64(), value["sha256"].as_str()) {
                let eml = fs::metadata(path.with_extension("eml")).unwrap();
                assert_eq!(eml.len(), size, "{}", path.display());
                looks += 1;
            }
        }
        appliance.wait_until("life", |_| true);
    }
    assert!(looks > 100, "{looks} looks are too few to tell");
    appliance.stop();
}
