//! Operators look at the state, take it away, put it back, begin again.

use std::fs;

use record::{Checkpoint, Position, Sink, SinkError};
use sinks::{local_files::LocalFiles, state_admin::StateAdmin};

use crate::{
    disk::delivered,
    mail,
    writer::{Writer, wait},
};

fn position(checkpoint: &Checkpoint) -> Option<Position> {
    checkpoint.folders.get(&mail::folder())?.position.clone()
}

fn command(prefix: &std::path::Path) -> LocalFiles {
    LocalFiles::open_for_command(prefix).unwrap()
}

#[test]
fn after_a_reset_everything_is_read_again_and_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = delivered(dir.path());
    let before = wait(folder.load_checkpoint(&mail::route())).unwrap();
    let refused = wait(command(dir.path()).reset(&mail::route()));
    assert!(matches!(refused, Err(SinkError::Busy { .. })), "{refused:?}");
    wait(folder.release_others(&[])).unwrap();

    wait(command(dir.path()).reset(&mail::route())).unwrap();
    let after = wait(folder.load_checkpoint(&mail::route())).unwrap();
    assert!(after.folders.is_empty() && after.generation > before.generation);
    // Whoever remembers the state of before must not put it back.
    let stale = Checkpoint { generation: before.generation + 1, ..before };
    let saved = wait(folder.save_checkpoint(&mail::route(), &stale));
    assert!(matches!(saved, Err(SinkError::Superseded { .. })), "{saved:?}");
    drop(folder);
    // Reads from the start, and checks that the ledger has one line for each email.
    Writer::new(dir.path(), 40, 10).finish();
}

#[test]
fn an_export_is_put_back_with_a_higher_generation() {
    let dir = tempfile::tempdir().unwrap();
    Writer::new(dir.path(), 20, 10).finish();
    let exported = wait(command(dir.path()).export(&mail::route())).unwrap();
    let folder = delivered(dir.path());
    let later = wait(folder.load_checkpoint(&mail::route())).unwrap();
    drop(folder);
    wait(command(dir.path()).import(&mail::route(), &exported)).unwrap();
    let now = wait(command(dir.path()).load_checkpoint(&mail::route())).unwrap();
    assert_eq!(position(&now), Some(Position::Cursor { token: "20".into() }));
    assert!(now.generation > later.generation);
    Writer::new(dir.path(), 40, 10).finish();
}

#[test]
fn foreign_and_damaged_exports_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(delivered(dir.path()));
    let command = command(dir.path());
    let exported = wait(command.export(&mail::route())).unwrap();
    let other = record::Route { mailbox: "x@example.com".parse().unwrap(), ..mail::route() };
    let refused = wait(command.import(&other, &exported));
    assert!(matches!(refused, Err(SinkError::Corrupt { .. })), "{refused:?}");
    for at in (0..exported.len() - 1).step_by(31) {
        let mut bad = exported.clone();
        bad[at] ^= 1;
        let refused = wait(command.import(&mail::route(), &bad));
        assert!(matches!(refused, Err(SinkError::Corrupt { .. })), "byte {at}: {refused:?}");
    }
    let checkpoint = dir.path().join("state/owner/bucket/abc@example.com/checkpoint.json");
    let refused = wait(command.import(&mail::route(), &fs::read(checkpoint).unwrap()));
    assert!(matches!(refused, Err(SinkError::Corrupt { .. })), "{refused:?}");
}

#[test]
fn a_reset_mends_a_damaged_checkpoint_and_keeps_what_was_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let folder = delivered(dir.path());
    let before = wait(folder.load_checkpoint(&mail::route())).unwrap();
    drop(folder);
    let state = dir.path().join("state/owner/bucket/abc@example.com");
    for (name, copy) in [("checkpoint.json", 1), ("quarantine.json", 1), ("checkpoint.json", 2)] {
        fs::write(state.join(name), "{\"generation\":17,").unwrap();
        wait(command(dir.path()).reset(&mail::route())).unwrap();
        assert!(state.join(format!("{name}.damaged-{copy}")).exists());
    }
    let after = wait(command(dir.path()).load_checkpoint(&mail::route())).unwrap();
    assert!(after.generation > before.generation + 1_000_000);
    Writer::new(dir.path(), 30, 10).finish();
}

#[test]
fn state_is_shown_while_the_mailbox_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let folder = delivered(dir.path());
    wait(folder.load_checkpoint(&mail::route())).unwrap();
    let reader = LocalFiles::open_read_only(dir.path()).unwrap();
    assert_eq!(wait(StateAdmin::routes(&reader)).unwrap(), [mail::route()]);
    let shown = wait(reader.show(&mail::route())).unwrap();
    assert_eq!((shown.served, shown.stored, shown.quarantined), (Some(true), Some(30), 0));
    assert!(shown.folders[0].begun && shown.folders[0].delivered == 30);
    wait(reader.export(&mail::route())).unwrap();
    drop(folder);
    assert_eq!(wait(reader.show(&mail::route())).unwrap().served, Some(false));
}
