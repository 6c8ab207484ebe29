//! The folder tree, and the cheap check that replaces it.

use record::{Checkpoint, Source, SourceError};
use simulators::exchange::{Fault, FaultRule, FolderSet, Forbidden, Op, Options, Place};

use crate::server::{INBOX, MAILBOX, deliver, folder, inbox, list, open, start, survey};

fn paths(folders: &[record::Folder]) -> Vec<String> {
    let mut paths: Vec<String> = folders.iter().map(|folder| folder.path.join(" > ")).collect();
    paths.sort();
    paths
}

fn minimal() -> Options {
    Options { folders: FolderSet::Minimal, ..Options::default() }
}

#[tokio::test]
async fn an_idle_round_costs_one_request() {
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..3);
    let mut source = open(&exchange);
    let first = survey(&mut source, true).await;
    for _ in 0..3 {
        exchange.clear_requests();
        assert_eq!(survey(&mut source, false).await, first);
        assert_eq!(exchange.requests().len(), 1);
    }
}

#[tokio::test]
async fn finds_all_mail_folders_and_no_others() {
    let exchange = start(Options::default()).await;
    exchange.add_folder(MAILBOX, &["Inbox", "Claims/2026"], "IPF.Note").unwrap();
    exchange.add_folder(MAILBOX, &["Inbox", "Claims/2026", "Open"], "IPF.Note").unwrap();
    exchange.add_folder_without_class(MAILBOX, &["Classless"]).unwrap();
    exchange.add_folder(MAILBOX, &["Imported"], "IPF.Imap").unwrap();
    exchange.add_folder(MAILBOX, &["Birthdays"], "IPF.Appointment").unwrap();
    exchange.add_search_folder(MAILBOX, &["Unread"]).unwrap();
    let found = paths(&survey(&mut open(&exchange), true).await);
    for path in [
        "Inbox",
        "Inbox > Claims/2026",
        "Inbox > Claims/2026 > Open",
        "Classless",
        "Imported",
        "Sent Items",
        "Junk Email",
        "Deleted Items",
    ] {
        assert!(found.iter().any(|found| found == path), "no {path} in {found:?}");
    }
    for path in ["Birthdays", "Unread", "Calendar", "Contacts", "Tasks", "Sync Issues"] {
        assert!(!found.iter().any(|found| found == path), "{path} in {found:?}");
    }
}

#[tokio::test]
async fn changes_of_the_tree_are_seen_without_a_thorough_survey() {
    let exchange = start(minimal()).await;
    exchange.add_folder(MAILBOX, &["Projects"], "IPF.Note").unwrap();
    let mut source = open(&exchange);
    let before = survey(&mut source, false).await;
    let projects = folder(&mut source, &["Projects"]).await.id;

    exchange.add_folder(MAILBOX, &["Projects", "New"], "IPF.Note").unwrap();
    let added = survey(&mut source, false).await;
    assert_eq!(added.len(), before.len() + 1);

    exchange.rename_folder(MAILBOX, &["Projects"], "Old/Projects").unwrap();
    let renamed = survey(&mut source, false).await;
    let found = renamed.iter().find(|folder| folder.id == projects).unwrap();
    assert_eq!(found.path, ["Old/Projects"]);
    assert!(paths(&renamed).contains(&"Old/Projects > New".to_owned()), "{renamed:?}");

    exchange.move_folder(MAILBOX, &["Old/Projects"], INBOX).unwrap();
    let moved = survey(&mut source, false).await;
    assert!(paths(&moved).contains(&"Inbox > Old/Projects > New".to_owned()), "{moved:?}");

    exchange.delete_folder(MAILBOX, &["Inbox", "Old/Projects"]).unwrap();
    let deleted = survey(&mut source, false).await;
    assert_eq!(
        paths(&deleted),
        paths(&before).into_iter().filter(|path| path != "Projects").collect::<Vec<_>>()
    );

    exchange.clear_requests();
    assert_eq!(survey(&mut source, false).await, deleted);
    assert_eq!(exchange.requests().len(), 1);
}

#[tokio::test]
async fn the_mark_sees_every_change_of_the_items() {
    let exchange = start(minimal()).await;
    let ids = deliver(&exchange, 0..2);
    let mut source = open(&exchange);
    let mut marks = vec![folder(&mut source, INBOX).await.mark.unwrap()];
    let new = deliver(&exchange, 2..3);
    marks.push(folder(&mut source, INBOX).await.mark.unwrap());
    exchange.delete_item(&ids[0]).unwrap();
    marks.push(folder(&mut source, INBOX).await.mark.unwrap());
    exchange.move_item(&new[0], &["Sent Items"]).unwrap();
    marks.push(folder(&mut source, INBOX).await.mark.unwrap());
    let mut distinct = marks.clone();
    distinct.dedup();
    assert_eq!(distinct, marks);
}

#[tokio::test]
async fn a_tree_in_pages_and_hundreds_of_folders_is_read_whole() {
    let exchange = start(Options { hierarchy_page: 40, ..minimal() }).await;
    for number in 0..300 {
        exchange.add_folder(MAILBOX, &["Inbox", &format!("n{number:03}")], "IPF.Note").unwrap();
    }
    let mut source = open(&exchange);
    let folders = survey(&mut source, true).await;
    assert_eq!(folders.iter().filter(|folder| folder.path.len() == 2).count(), 300);
    exchange.clear_requests();
    assert_eq!(survey(&mut source, false).await, folders);
    assert_eq!(exchange.requests().len(), 2);
}

#[tokio::test]
async fn forbidden_characters_in_a_name_hide_no_folder() {
    let exchange = start(minimal()).await;
    let mut source = open(&exchange);
    let clean = survey(&mut source, true).await.len();
    let references = [0, 0xD800].map(Forbidden::Reference);
    let bytes = [0x0B, 0xFF].map(Forbidden::Byte);
    for what in references.into_iter().chain(bytes) {
        let rule = FaultRule::new(Fault::ForbiddenCharacters { place: Place::DisplayName, what });
        exchange.fault(rule.folder("Inbox").always());
        let spoiled = survey(&mut source, true).await;
        assert_eq!(spoiled.len(), clean, "{what:?}");
        assert!(spoiled.iter().any(|folder| folder.path[0].contains('\u{FFFD}')), "{spoiled:?}");
        exchange.clear_requests();
        assert_eq!(survey(&mut source, false).await, spoiled);
        assert_eq!(exchange.requests().len(), 1, "{what:?}");
        exchange.clear_faults();
    }
}

#[tokio::test]
async fn a_deleted_folder_leads_to_a_review() {
    let exchange = start(minimal()).await;
    exchange.add_folder(MAILBOX, &["Old"], "IPF.Note").unwrap();
    let mut source = open(&exchange);
    let old = folder(&mut source, &["Old"]).await;
    exchange.delete_folder(MAILBOX, &["Old"]).unwrap();
    let err = source.list(&old, None, 100).await.unwrap_err();
    assert!(matches!(&err, SourceError::FolderGone { folder } if *folder == old.id), "{err:?}");
}

#[tokio::test]
async fn a_folder_that_may_not_be_read_is_left_out_and_the_others_stay() {
    let exchange = start(minimal()).await;
    deliver(&exchange, 0..1);
    exchange.add_folder(MAILBOX, &["Private"], "IPF.Note").unwrap();
    let mut source = open(&exchange);
    let private = folder(&mut source, &["Private"]).await;
    let rule = FaultRule::new(Fault::folder_error("ErrorAccessDenied")).folder("Private");
    exchange.fault(rule.op(Op::SyncFolderItems).always());
    let err = source.list(&private, None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::FolderGone { .. }), "{err:?}");
    for thorough in [false, true] {
        let folders = survey(&mut source, thorough).await;
        assert!(!paths(&folders).contains(&"Private".to_owned()), "{folders:?}");
    }
    let (inbox, _) = inbox(&exchange, &mut source).await;
    assert_eq!(list(&mut source, &inbox).await.entries.len(), 1);
}

#[tokio::test]
async fn a_failed_check_does_not_cost_the_next_one_its_cheapness() {
    let exchange = start(minimal()).await;
    let mut source = open(&exchange);
    survey(&mut source, true).await;
    exchange.fault(FaultRule::new(Fault::http(500)));
    source.survey(&Checkpoint::default(), false).await.unwrap_err();
    exchange.clear_requests();
    survey(&mut source, false).await;
    assert_eq!(exchange.requests().len(), 1);
}
