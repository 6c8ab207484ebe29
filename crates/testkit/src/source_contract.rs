//! What every source promises. [`source_contract!`](crate::source_contract!) makes each promise a
//! test of its own.

use std::{io::Read, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use record::{
    Advice, Checkpoint, Email, Entry, Fetched, Folder, Position, Scope, Source, SourceError,
};

/// Calls of `list` after which a listing counts as endless.
const MAX_PAGES: usize = 100;

/// A server under the control of a test, with one mailbox whose inbox is empty at first.
#[async_trait]
pub trait FakeServer: Send + Sync {
    /// Adds an email to the inbox.
    async fn deliver(&self, mime: &[u8], received: DateTime<Utc>);
    /// Moves the email of the inbox that was delivered last into another mail folder.
    async fn move_last(&self);
    /// Deletes the email of the inbox that was delivered last.
    async fn delete_last(&self);
    /// Strikes from the next request on, until [`mend`](Self::mend).
    async fn break_with(&self, fault: Fault);
    async fn mend(&self);
    /// Opens a source as a program does that starts.
    async fn open(&self) -> Box<dyn Source>;
}

/// What a test can break. A server that cannot do one leaves it out of `break_with` by a panic
/// that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The credentials are refused.
    Unauthorized,
    /// The server asks for a pause of this length.
    Throttled(Duration),
    /// Connections are cut before an answer.
    Disconnected,
    /// Answers are no protocol.
    Garbled,
    /// The server forgets all positions that it gave out.
    CursorExpired,
    /// The email delivered last cannot be handed out in any form.
    LastRefused,
}

/// Makes the contract of sources a module of tests.
///
/// `start` is an async function that returns a new [`FakeServer`].
#[macro_export]
macro_rules! source_contract {
    ($module:ident, $start:path) => {
        $crate::source_contract!(@cases $module, $start:
            an_empty_inbox_has_nothing_to_fetch,
            body_is_passed_on_byte_for_byte,
            large_body_is_passed_on_byte_for_byte,
            results_stand_in_the_order_of_the_entries,
            the_same_position_yields_the_same_again,
            a_position_leads_to_what_is_new,
            pages_are_bounded_and_cover_everything,
            a_mark_changes_with_the_mail_and_only_then,
            a_moved_email_keeps_its_identity,
            a_deleted_email_is_gone_and_the_others_are_not,
            a_refused_email_stops_no_other,
            each_fault_gets_its_advice,
            work_goes_on_after_a_fault,
            late_mail_with_an_old_date_is_found,
        );
    };
    (@cases $module:ident, $start:path: $($case:ident,)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    $crate::source_contract::$case(&$start().await).await;
                }
            )*
        }
    };
}

fn mime(number: usize) -> Vec<u8> {
    format!(
        "From: a@example.org\r\nTo: b@example.com\r\nSubject: number {number}\r\n\
         Message-ID: <{number}@example.org>\r\n\r\nBody \u{e4} of {number}.\r\n.\r\n"
    )
    .into_bytes()
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap()
}

async fn deliver(server: &dyn FakeServer, numbers: std::ops::Range<usize>) {
    for number in numbers {
        server.deliver(&mime(number), noon() + TimeDelta::minutes(number as i64)).await;
    }
}

fn bytes(email: &Email) -> Vec<u8> {
    let mut bytes = Vec::new();
    email.body.reader().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, email.body.size());
    bytes
}

fn email(fetched: &Fetched) -> &Email {
    match fetched {
        Fetched::Email(email) => email,
        other => panic!("no email: {other:?}"),
    }
}

async fn folders(source: &mut dyn Source) -> Vec<Folder> {
    source.survey(&Checkpoint::default(), true).await.unwrap().folders
}

/// All entries of `folder` after `from`, and the position behind them.
async fn read_on(
    source: &mut dyn Source,
    folder: &Folder,
    mut from: Option<Position>,
    limit: usize,
) -> Result<(Vec<Entry>, Position), SourceError> {
    let mut entries = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = source.list(folder, from.as_ref(), limit).await?;
        assert!(page.entries.len() <= limit, "{} entries, asked for {limit}", page.entries.len());
        entries.extend(page.entries);
        if !page.more {
            return Ok((entries, page.next));
        }
        assert_ne!(from.as_ref(), Some(&page.next), "a page leads nowhere");
        from = Some(page.next);
    }
    panic!("the listing has no end");
}

/// Every folder with its entries.
async fn read_all(source: &mut dyn Source) -> Vec<(Folder, Vec<Entry>)> {
    let mut all = Vec::new();
    for folder in folders(source).await {
        let (entries, _) = read_on(source, &folder, None, 100).await.unwrap();
        all.push((folder, entries));
    }
    all
}

/// The one folder that holds mail, and its entries.
async fn read_inbox(source: &mut dyn Source) -> (Folder, Vec<Entry>) {
    let mut full = read_all(source).await;
    full.retain(|(_, entries)| !entries.is_empty());
    assert_eq!(full.len(), 1, "folders with mail: {full:?}");
    full.remove(0)
}

pub async fn an_empty_inbox_has_nothing_to_fetch(server: &dyn FakeServer) {
    let mut source = server.open().await;
    let all = read_all(&mut *source).await;
    assert!(!all.is_empty(), "a mailbox has folders");
    for (folder, entries) in all {
        assert_eq!(entries, [], "{folder:?}");
        assert!(source.fetch(&folder, &[]).await.unwrap().is_empty());
        assert!(!folder.path.is_empty(), "{folder:?}");
    }
}

pub async fn body_is_passed_on_byte_for_byte(server: &dyn FakeServer) {
    deliver(server, 0..1).await;
    let mut source = server.open().await;
    let (folder, entries) = read_inbox(&mut *source).await;
    let fetched = source.fetch(&folder, &entries).await.unwrap();
    let email = email(&fetched[0]);
    assert_eq!(bytes(email), mime(0));
    assert_eq!((email.uid, &email.item), (entries[0].uid, &entries[0].item));
    assert_eq!(email.timestamp, noon());
    assert_eq!(email.message_id.as_deref(), Some("<0@example.org>"));
    assert_eq!(email.metadata.folder, folder.path);
}

pub async fn large_body_is_passed_on_byte_for_byte(server: &dyn FakeServer) {
    let mut large = mime(0);
    large.extend((0..3_000_001_u32).map(|i| b"0123456789abcdef\r\n"[i as usize % 18]));
    server.deliver(&large, noon()).await;
    deliver(server, 1..3).await;
    let mut source = server.open().await;
    let (folder, entries) = read_inbox(&mut *source).await;
    let fetched = source.fetch(&folder, &entries).await.unwrap();
    let sizes: Vec<usize> = fetched.iter().map(|fetched| bytes(email(fetched)).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), large.len() + mime(1).len() + mime(2).len());
    assert!(fetched.iter().any(|fetched| bytes(email(fetched)) == large));
}

pub async fn results_stand_in_the_order_of_the_entries(server: &dyn FakeServer) {
    deliver(server, 0..30).await;
    let mut source = server.open().await;
    let (folder, mut entries) = read_inbox(&mut *source).await;
    entries.reverse();
    entries.swap(3, 25);
    let fetched = source.fetch(&folder, &entries).await.unwrap();
    assert_eq!(fetched.len(), 30);
    for (entry, fetched) in entries.iter().zip(&fetched) {
        let email = email(fetched);
        let number = ((entry.received.unwrap() - noon()).num_minutes()) as usize;
        assert_eq!((email.uid, bytes(email)), (entry.uid, mime(number)));
    }
}

pub async fn the_same_position_yields_the_same_again(server: &dyn FakeServer) {
    deliver(server, 0..3).await;
    let mut source = server.open().await;
    let (folder, first) = read_inbox(&mut *source).await;
    let again = read_on(&mut *source, &folder, None, 100).await.unwrap().0;
    assert_eq!(again, first);
    let after_restart = read_inbox(&mut *server.open().await).await;
    assert_eq!(after_restart, (folder, first));
}

pub async fn a_position_leads_to_what_is_new(server: &dyn FakeServer) {
    deliver(server, 0..3).await;
    let mut source = server.open().await;
    let (folder, _) = read_inbox(&mut *source).await;
    let (_, position) = read_on(&mut *source, &folder, None, 100).await.unwrap();
    let none = read_on(&mut *source, &folder, Some(position.clone()), 100).await.unwrap().0;
    assert_eq!(none, []);
    deliver(server, 3..5).await;
    let mut restarted = server.open().await;
    let new = read_on(&mut *restarted, &folder, Some(position), 100).await.unwrap().0;
    assert_eq!(new.len(), 2);
}

pub async fn pages_are_bounded_and_cover_everything(server: &dyn FakeServer) {
    deliver(server, 0..7).await;
    let mut source = server.open().await;
    let (folder, all) = read_inbox(&mut *source).await;
    for limit in [1, 2, 3, 7, 8] {
        let mut paged = read_on(&mut *source, &folder, None, limit).await.unwrap().0;
        paged.sort_by_key(|entry| entry.uid);
        let mut all = all.clone();
        all.sort_by_key(|entry| entry.uid);
        assert_eq!(paged, all, "in pages of {limit}");
    }
}

pub async fn a_mark_changes_with_the_mail_and_only_then(server: &dyn FakeServer) {
    deliver(server, 0..1).await;
    let mut source = server.open().await;
    let (inbox, _) = read_inbox(&mut *source).await;
    if inbox.mark.is_none() {
        return;
    }
    let known = Checkpoint::default();
    let first = source.survey(&known, false).await.unwrap();
    let second = source.survey(&known, false).await.unwrap();
    assert_eq!(first.folders, second.folders);
    deliver(server, 1..2).await;
    let third = source.survey(&known, false).await.unwrap();
    let mark = |folders: &[Folder]| {
        folders.iter().find(|folder| folder.id == inbox.id).unwrap().mark.clone()
    };
    assert_ne!(mark(&third.folders), mark(&second.folders));
}

pub async fn a_moved_email_keeps_its_identity(server: &dyn FakeServer) {
    deliver(server, 0..1).await;
    let mut source = server.open().await;
    let (inbox, before) = read_inbox(&mut *source).await;
    server.move_last().await;
    let (elsewhere, after) = read_inbox(&mut *source).await;
    assert_ne!(elsewhere.id, inbox.id);
    assert_eq!(after[0].uid, before[0].uid);
}

pub async fn a_deleted_email_is_gone_and_the_others_are_not(server: &dyn FakeServer) {
    deliver(server, 0..3).await;
    let mut source = server.open().await;
    let (inbox, entries) = read_inbox(&mut *source).await;
    server.delete_last().await;
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let gone = fetched.iter().filter(|fetched| matches!(fetched, Fetched::Gone)).count();
    let emails = fetched.iter().filter(|fetched| matches!(fetched, Fetched::Email(_))).count();
    assert_eq!((gone, emails), (1, 2));
}

pub async fn a_refused_email_stops_no_other(server: &dyn FakeServer) {
    deliver(server, 0..5).await;
    let mut source = server.open().await;
    let (inbox, entries) = read_inbox(&mut *source).await;
    server.break_with(Fault::LastRefused).await;
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let refused =
        fetched.iter().filter(|fetched| matches!(fetched, Fetched::Refused { .. })).count();
    let emails = fetched.iter().filter(|fetched| matches!(fetched, Fetched::Email(_))).count();
    assert_eq!((refused, emails), (1, 4));
}

pub async fn each_fault_gets_its_advice(server: &dyn FakeServer) {
    deliver(server, 0..2).await;
    let mut source = server.open().await;
    let (inbox, _) = read_inbox(&mut *source).await;
    let (_, position) = read_on(&mut *source, &inbox, None, 100).await.unwrap();
    let pause = Duration::from_secs(45);
    let faults = [
        (Fault::Disconnected, "again"),
        (Fault::Garbled, "split"),
        (Fault::CursorExpired, "restart folder"),
        (Fault::Throttled(pause), "pause"),
        (Fault::Unauthorized, "stop"),
    ];
    for (fault, expected) in faults {
        let mut source = server.open().await;
        server.break_with(fault).await;
        let err = source.list(&inbox, Some(&position), 100).await.unwrap_err();
        let advice = match err.advice() {
            Advice::Retry { after: Some(after), .. } if after <= pause && after > pause / 2 => {
                "pause"
            }
            Advice::Retry { after: None, scope: Scope::Mailbox } => "again",
            Advice::Split => "split",
            Advice::RestartFolder => "restart folder",
            Advice::StopService => "stop",
            _ => "something else",
        };
        assert_eq!(advice, expected, "{fault:?} became {err:?}");
        server.mend().await;
    }
}

pub async fn work_goes_on_after_a_fault(server: &dyn FakeServer) {
    deliver(server, 0..3).await;
    let mut source = server.open().await;
    let (inbox, entries) = read_inbox(&mut *source).await;
    for fault in [Fault::Disconnected, Fault::Garbled] {
        server.break_with(fault).await;
        // Either nothing at all, or items put off: never an item given up.
        match source.fetch(&inbox, &entries).await {
            Err(_) => {}
            Ok(fetched) => assert!(
                fetched.iter().all(|fetched| matches!(fetched, Fetched::Email(_) | Fetched::Later)),
                "{fault:?}: {fetched:?}"
            ),
        }
        server.mend().await;
        let fetched = source.fetch(&inbox, &entries).await.unwrap();
        assert_eq!(
            fetched.iter().map(email).filter(|email| email.body.size() > 0).count(),
            3,
            "{fault:?}"
        );
    }
}

pub async fn late_mail_with_an_old_date_is_found(server: &dyn FakeServer) {
    deliver(server, 5..8).await;
    let mut source = server.open().await;
    let (inbox, _) = read_inbox(&mut *source).await;
    let (_, position) = read_on(&mut *source, &inbox, None, 100).await.unwrap();
    deliver(server, 0..1).await;
    let late = read_on(&mut *source, &inbox, Some(position), 100).await.unwrap().0;
    assert_eq!(late.iter().filter_map(|entry| entry.received).collect::<Vec<_>>(), [noon()]);
}
