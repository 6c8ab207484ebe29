//! Listing and fetching what mailboxes hold.

use chrono::{DateTime, Utc};
use record::{Body, Fetched, Source};
use simulators::exchange::{Delivery, Fault, FaultRule, Forbidden, Large, Op, Options, Place};
use sources::ews::EwsSettings;

use crate::server::{
    INBOX, MAILBOX, at, basic, bytes, deliver, entries, ews, folder, inbox, list, mime, open,
    outcomes, settings, start,
};

#[tokio::test]
async fn an_email_brings_what_the_server_says_about_it() {
    let exchange = start(Options::default()).await;
    let delivery = Delivery::new(mime(1), at(1)).category("Red").category("Blau & Weiß").read();
    exchange.deliver_as(MAILBOX, INBOX, delivery).unwrap();
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let Fetched::Email(email) = &fetched[0] else { panic!("{fetched:?}") };
    let metadata = &email.metadata;
    assert_eq!(bytes(email), mime(1).as_bytes());
    assert_eq!(metadata.folder, ["Inbox"]);
    assert_eq!(metadata.received_at, Some(at(1)));
    assert_eq!(metadata.categories, ["Red", "Blau & Weiß"]);
    assert_eq!((metadata.is_read, metadata.has_attachments), (Some(true), Some(false)));
    assert_eq!(metadata.importance.as_deref(), Some("Normal"));
    assert_eq!(metadata.sensitivity.as_deref(), Some("Normal"));
    assert!(metadata.size.is_some() && metadata.conversation_id.is_some(), "{metadata:?}");
    assert!(metadata.conversation_topic.is_some(), "{metadata:?}");
}

#[tokio::test]
async fn missing_ids_and_dates_and_fractions_stop_nothing() {
    let exchange = start(Options::default()).await;
    let bare = "From: a@example.org\r\n\r\nno id\r\n";
    for delivery in [
        Delivery::new(mime(1), at(1)).without_received(),
        Delivery::new(bare, at(2)).without_message_id(),
        Delivery::new(bare, at(2)).without_message_id().without_received(),
        Delivery::new(mime(2), at(3)).date_digits(7),
        Delivery::new(mime(3), at(3)).date_digits(12),
    ] {
        exchange.deliver_as(MAILBOX, INBOX, delivery).unwrap();
    }
    let mut source = open(&exchange);
    let (inbox, first) = inbox(&exchange, &mut source).await;
    assert_eq!(outcomes(&source.fetch(&inbox, &first).await.unwrap()), ["email"; 5]);
    let again = entries(&mut open(&exchange), &inbox).await;
    assert_eq!(again, first);
    let mut uids: Vec<_> = first.iter().map(|entry| entry.uid).collect();
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), 5);
}

#[tokio::test]
async fn mail_is_told_from_other_items_by_its_class() {
    let exchange = start(Options::default()).await;
    for class in [
        "IPM.Note",
        "REPORT.IPM.Note.NDR",
        "IPM.Schedule.Meeting.Request",
        "IPM.Schedule.Meeting.Canceled",
        "IPM.Post",
        "IPM.Sharing",
        "IPM.Contact",
        "IPM.Appointment",
        "IPM.Task",
        "IPM.DistList",
    ] {
        let mime = format!("Subject: {class}\r\nMessage-ID: <{class}@example.org>\r\n\r\nx\r\n");
        exchange.deliver_as(MAILBOX, INBOX, Delivery::new(mime, at(1)).class(class)).unwrap();
    }
    exchange.deliver_as(MAILBOX, INBOX, Delivery::new(mime(1), at(2)).draft()).unwrap();
    let mut source = open(&exchange);
    let (_, entries) = inbox(&exchange, &mut source).await;
    assert_eq!(entries.len(), 7, "{entries:#?}");
    assert_eq!(entries.iter().filter(|entry| entry.is_draft).count(), 1);
}

#[tokio::test]
async fn moves_keep_the_identity_and_read_flags_are_no_news() {
    let exchange = start(Options::default()).await;
    let ids = deliver(&exchange, 0..3);
    let mut source = open(&exchange);
    let inbox = folder(&mut source, INBOX).await;
    let first = list(&mut source, &inbox).await;
    exchange.set_read(&ids[0], true).unwrap();
    exchange.move_item(&ids[1], &["Junk Email"]).unwrap();
    let next = source.list(&inbox, Some(&first.next), 512).await.unwrap();
    assert_eq!((next.entries.len(), next.removed), (0, 1));
    let junk = folder(&mut source, &["Junk Email"]).await;
    let moved = list(&mut source, &junk).await.entries.remove(0);
    assert!(first.entries.iter().any(|entry| entry.uid == moved.uid && entry.item != moved.item));
}

#[tokio::test]
async fn forbidden_characters_stop_neither_listing_nor_fetching() {
    let references = [0, 1, 0x0B, 0x1F, 0xFFFE, 0xFFFF, 0x1FFFE, 0xD800, 0xDFFF];
    let bytes = [0x00, 0x0B, 0xED, 0xFF];
    let all = references.map(Forbidden::Reference).into_iter().chain(bytes.map(Forbidden::Byte));
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..3);
    for what in all {
        for place in [Place::Subject, Place::InternetMessageId] {
            exchange.fault(FaultRule::new(Fault::ForbiddenCharacters { place, what }).always());
            let mut source = open(&exchange);
            let (inbox, entries) = inbox(&exchange, &mut source).await;
            let fetched = source.fetch(&inbox, &entries).await.unwrap();
            assert_eq!(outcomes(&fetched), ["email"; 3], "{what:?} in {place:?}");
            exchange.clear_faults();
        }
    }
}

#[tokio::test]
async fn a_mail_of_a_hundred_megabytes_needs_little_memory() {
    let exchange = start(Options::default()).await;
    exchange.deliver(MAILBOX, INBOX, Large::new(7, 100_000_000), at(1)).unwrap();
    deliver(&exchange, 2..4);
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    let before = peak_memory();
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let grown = peak_memory() - before;
    assert_eq!(outcomes_of_size(&fetched), 1);
    // A body in memory would take more, as base64 text or decoded.
    assert!(grown < 64 * 1024, "the peak grew by {grown} KiB");
    let truth = exchange.truth(MAILBOX).unwrap();
    for (entry, fetched) in entries.iter().zip(&fetched) {
        let Fetched::Email(email) = fetched else { panic!("{fetched:?}") };
        let item = truth.iter().find(|item| item.id == entry.item.0).unwrap();
        assert_eq!(sha256(&email.body), item.sha256);
    }
}

/// Emails that wait in a file.
fn outcomes_of_size(fetched: &[Fetched]) -> usize {
    let spooled = |fetched: &&Fetched| matches!(fetched, Fetched::Email(email) if matches!(email.body, Body::Spool { .. }));
    fetched.iter().filter(spooled).count()
}

/// The largest resident size of this process so far, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn sha256(body: &Body) -> String {
    use sha2::{Digest, Sha256};
    use std::io::Read;
    let (mut hash, mut reader, mut block) = (Sha256::new(), body.reader(), vec![0; 64 * 1024]);
    loop {
        let read = reader.read(&mut block).unwrap();
        if read == 0 {
            return hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        }
        hash.update(&block[..read]);
    }
}

#[tokio::test]
async fn a_mail_beyond_the_limit_is_refused_and_the_others_come() {
    let exchange = start(Options::default()).await;
    exchange.deliver(MAILBOX, INBOX, Large::new(7, 1_200_000), at(1)).unwrap();
    exchange.deliver(MAILBOX, INBOX, Large::new(8, 5_000_000), at(1)).unwrap();
    deliver(&exchange, 2..4);
    let limited = EwsSettings { max_email_size: 1_000_000, ..settings() };
    let mut source = ews(&exchange, basic(), limited).mailbox(&MAILBOX.parse().unwrap());
    let (inbox, mut entries) = inbox(&exchange, &mut source).await;
    entries.sort_by_key(|entry| entry.size);
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email", "email", "TooLarge", "TooLarge"]);
    let asked: usize = exchange.requests().iter().map(|request| request.asked).sum();
    assert_eq!(asked, 3, "the largest one was asked for");
}

#[tokio::test]
async fn a_listed_item_that_does_not_exist_is_gone() {
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..2);
    exchange.fault(FaultRule::new(Fault::PhantomItem).op(Op::SyncFolderItems));
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    let mut outcomes = outcomes(&source.fetch(&inbox, &entries).await.unwrap());
    outcomes.sort();
    assert_eq!(outcomes, ["email", "email", "gone"]);
}

#[tokio::test]
async fn requests_are_batched() {
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..45);
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 45]);
    let asked: Vec<usize> = exchange.requests().iter().map(|request| request.asked).collect();
    assert_eq!(asked, [20, 20, 5]);
}

#[tokio::test]
async fn a_folder_of_more_than_one_page_is_listed_whole_in_both_orders() {
    for newest_first in [true, false] {
        let exchange = start(Options { newest_first, ..Options::default() }).await;
        deliver(&exchange, 0..1100);
        let mut source = open(&exchange);
        let inbox = folder(&mut source, INBOX).await;
        let mut received: Vec<DateTime<Utc>> =
            entries(&mut source, &inbox).await.iter().filter_map(|entry| entry.received).collect();
        received.sort();
        assert_eq!(received, (0..1100).map(at).collect::<Vec<_>>());
    }
}
