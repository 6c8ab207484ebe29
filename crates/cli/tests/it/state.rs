//! Operators intervene: state is shown, taken away, put back, forgotten; entries are dropped.

use std::fs;

use serde_json::Value;
use simulators::exchange::{Fault, FaultRule};

use crate::harness::World;

fn told(output: &std::process::Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn generation(world: &World) -> u64 {
    let output = world.run(&["state", "show", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    shown[0]["generation"].as_u64().unwrap()
}

#[test]
fn a_reset_mailbox_is_read_again_and_stored_once() {
    let world = World::generated(1, 30);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let reset = ["state", "reset", "--mailbox", "0@example.com", "--yes"];
    let refused = world.run(&reset);
    assert_eq!(refused.status.code(), Some(75), "{}", told(&refused));
    assert!(told(&refused).contains("Stop the process"), "{}", told(&refused));
    appliance.stop();

    let before = generation(&world);
    let unconfirmed = world.run(&reset[..4]);
    assert_eq!(unconfirmed.status.code(), Some(78), "{}", told(&unconfirmed));
    assert!(told(&unconfirmed).contains("--yes"), "{}", told(&unconfirmed));
    assert_eq!(generation(&world), before);
    let done = world.run(&reset);
    assert!(done.status.success(), "{}", told(&done));
    assert!(generation(&world) > before);

    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: late\r\n\r\n", now).unwrap();
    let mut appliance = world.appliance();
    appliance.wait_until("the late email", |_| world.stored() == world.truth());
    appliance.stop();
    // `verify` finds one line of the ledger for each email.
    world.assert_complete();
}

#[test]
fn exported_state_is_imported_again() {
    let world = World::generated(1, 30);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let file = world.folder.path().join("state.json");
    let (file, mailbox) = (file.to_str().unwrap(), "0@example.com");
    let exported = world.run(&["state", "export", "--mailbox", mailbox, "--output", file]);
    assert!(exported.status.success(), "{}", told(&exported));
    appliance.stop();
    let import = ["state", "import", "--mailbox", mailbox, "--input", file, "--yes"];
    fs::remove_dir_all(world.prefix().join("state/project")).unwrap();
    let unknown = world.run(&import);
    assert_eq!(unknown.status.code(), Some(78), "{}", told(&unknown));
    let reset = world.run(&["state", "reset", "--mailbox", mailbox, "--yes"]);
    assert_eq!(reset.status.code(), Some(78), "{}", told(&reset));
    let mut with_bucket = import.to_vec();
    with_bucket.extend(["--bucket", "project/bucket"]);
    let imported = world.run(&with_bucket);
    assert!(imported.status.success(), "{}", told(&imported));
    let shown = world.run(&["state", "show"]);
    assert!(told(&shown).contains("up to date"), "{}", told(&shown));
}

#[test]
fn entries_are_dropped_from_the_quarantine_while_the_appliance_runs() {
    let world = World::generated(1, 30);
    let items = world.server.truth("0@example.com").unwrap();
    let items: Vec<_> = items.into_iter().filter(|item| item.is_mail && !item.is_draft).collect();
    for item in &items[..2] {
        let corrupt = FaultRule::new(Fault::item_error("ErrorItemCorrupt")).item(&item.id);
        world.server.fault(corrupt.always());
    }
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let list = || -> Vec<Value> {
        let output = world.run(&["quarantine", "list", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(list().len(), 2);
    let drop = |more: &[&str]| {
        let mut all = vec!["quarantine", "drop", "--mailbox", "0@example.com"];
        all.extend(more);
        world.run(&all)
    };
    let none = drop(&[]);
    assert_eq!(none.status.code(), Some(78), "{}", told(&none));

    world.server.delete_item(&items[0].id).unwrap();
    world.server.clear_faults();
    let nothing = drop(&["--gone"]);
    assert!(told(&nothing).contains("No such entry"), "{}", told(&nothing));
    assert!(world.run(&["quarantine", "retry"]).status.success());
    appliance.wait_until("the other item", |_| world.stored() == world.truth());
    appliance.wait_until("the second attempt", |_| list()[0][1]["attempts"] == 2);
    let gone = drop(&["--gone"]);
    assert!(told(&gone).contains("Asked the appliance to drop 1"), "{}", told(&gone));
    appliance.wait_until("the drop", |_| list().is_empty());
    appliance.stop();
    let note = world.prefix().join("state/project/bucket/0@example.com/quarantine-dropped.jsonl");
    assert!(fs::read_to_string(note).unwrap().contains("ErrorItemCorrupt"));
    world.assert_complete();
}
