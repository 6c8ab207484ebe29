//! One mailbox, read over EWS and over Graph: what comes out must be the same.

use std::collections::BTreeMap;

use net::{Identity, TokenSource, oauth};
use record::{Email, Fetched, Metadata, Protocol, Source, Uid};
use simulators::exchange::{
    Delivery, Exchange, Fault, FaultRule, Forbidden, GraphOptions, Large, Options, Place,
};
use sources::ews::{Access, EwsSettings};

use crate::{
    graph_server::{self, folders, read_on, start},
    server::{INBOX, MAILBOX, at, bytes, ews, mime, settings, transport},
};

fn over_ews(exchange: &Exchange) -> Box<dyn Source> {
    let credentials = oauth::ClientCredentials {
        authority: exchange.authority_url(),
        client_id: Options::CLIENT_ID.to_owned(),
        proof: oauth::Proof::Secret(Options::CLIENT_SECRET.into()),
        scope: "https://outlook.office365.com/.default".to_owned(),
    };
    let token = TokenSource::new(credentials, transport(exchange)).unwrap();
    let settings = EwsSettings { access: Access::Impersonation, ..settings() };
    let service = ews(exchange, Identity::Token(token), settings);
    Box::new(service.mailbox(&MAILBOX.parse().unwrap()))
}

fn over_graph(exchange: &Exchange) -> Box<dyn Source> {
    Box::new(graph_server::open(exchange))
}

/// All that a sink would see of an email.
#[derive(Debug, PartialEq)]
struct Seen {
    uid: Uid,
    message_id: Option<String>,
    timestamp: chrono::DateTime<chrono::Utc>,
    metadata: Metadata,
    mime: Vec<u8>,
    is_draft: bool,
}

/// The emails of a mailbox, by folder and uid.
async fn read(mut source: Box<dyn Source>) -> BTreeMap<Vec<String>, Vec<Seen>> {
    let mut mailbox = BTreeMap::new();
    for folder in folders(&mut *source).await {
        let (entries, _) = read_on(&mut *source, &folder, None).await;
        let fetched = source.fetch(&folder, &entries).await.unwrap();
        let seen = |(entry, fetched): (&record::Entry, &Fetched)| {
            let Fetched::Email(email) = fetched else { panic!("{fetched:?}") };
            let Email { uid, message_id, timestamp, metadata, .. } = (**email).clone();
            assert_eq!(uid, entry.uid);
            assert_eq!(entry.size, metadata.size);
            let (mime, is_draft) = (bytes(email), entry.is_draft);
            Seen { uid, message_id, timestamp, metadata, mime, is_draft }
        };
        let mut emails: Vec<Seen> = entries.iter().zip(&fetched).map(seen).collect();
        emails.sort_by_key(|email| email.uid);
        assert!(mailbox.insert(folder.path, emails).is_none());
    }
    mailbox
}

async fn varied(graph: GraphOptions) -> Exchange {
    let exchange = start(graph).await;
    exchange.add_folder(MAILBOX, &["Inbox", "Claims/2026"], "IPF.Note").unwrap();
    exchange.add_folder(MAILBOX, &["Inbox", "Claims/2026", "Ö \u{1F4E7} %2F"], "IPF.Note").unwrap();
    exchange.add_folder_without_class(MAILBOX, &["Classless"]).unwrap();
    exchange.add_folder(MAILBOX, &["Imported"], "IPF.Imap").unwrap();
    exchange.add_folder(MAILBOX, &["Birthdays"], "IPF.Appointment").unwrap();
    exchange.add_search_folder(MAILBOX, &["Unread"]).unwrap();
    let deliver =
        |path: &[&str], delivery: Delivery| exchange.deliver_as(MAILBOX, path, delivery).unwrap();
    let odd = "From: a@example.org\r\nMessage-ID:  <odd id@example.org> \r\nSubject: RE: \u{e4}\r\n\
        Importance: high\r\nSensitivity: company-confidential\r\n\r\nBytes \u{fe}.\r\n.\r\n";
    deliver(INBOX, Delivery::new(mime(1), at(1)).category("Red").category("Blau & Weiß").read());
    deliver(INBOX, Delivery::new(odd, at(2)));
    deliver(INBOX, Delivery::new(mime(3), at(3)).draft());
    deliver(INBOX, Delivery::new(mime(4), at(4)).without_message_id());
    deliver(INBOX, Delivery::new(mime(5), at(5)).without_received());
    deliver(INBOX, Delivery::new(mime(6), at(6)).class("REPORT.IPM.Note.NDR"));
    deliver(INBOX, Delivery::new(mime(7), at(7)).class("IPM.Schedule.Meeting.Request"));
    deliver(INBOX, Delivery::new(mime(8), at(8)).class("IPM.Contact"));
    exchange.deliver(MAILBOX, INBOX, Large::new(9, 3_000_000), at(9)).unwrap();
    deliver(&["Inbox", "Claims/2026"], Delivery::new(mime(10), at(10)));
    deliver(&["Inbox", "Claims/2026", "Ö \u{1F4E7} %2F"], Delivery::new(mime(11), at(11)));
    deliver(&["Imported"], Delivery::new(mime(12), at(12)));
    let moved = deliver(INBOX, Delivery::new(mime(13), at(13)));
    exchange.move_item(&moved, &["Junk Email"]).unwrap();
    for number in 20..70 {
        deliver(&["Sent Items"], Delivery::new(mime(number), at(number)));
    }
    exchange
}

/// Graph writes the same conversation id with another alphabet for its base64, since its ids stand
/// in URLs. Nothing else may differ.
fn in_the_words_of_ews(
    mut mailbox: BTreeMap<Vec<String>, Vec<Seen>>,
) -> BTreeMap<Vec<String>, Vec<Seen>> {
    for email in mailbox.values_mut().flatten() {
        let id = &mut email.metadata.conversation_id;
        *id = id.take().map(|id| id.replace('-', "/").replace('_', "+"));
    }
    mailbox
}

#[tokio::test]
async fn a_mailbox_reads_the_same_over_ews_and_over_graph() {
    for expand_in_delta in [true, false] {
        let exchange = varied(GraphOptions { expand_in_delta, ..GraphOptions::default() }).await;
        let (mut first, second) =
            (read(over_ews(&exchange)).await, read(over_graph(&exchange)).await);
        // Graph lists the folders that Outlook fills itself, not those that it imported from an
        // IMAP account: see docs/graph.md.
        assert_eq!(first.remove(&vec!["Imported".to_owned()]).map(|emails| emails.len()), Some(1));
        let paths = |mailbox: &BTreeMap<Vec<String>, Vec<Seen>>| {
            mailbox.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(paths(&first), paths(&second));
        assert_eq!(first.values().flatten().count(), 61);
        let second = in_the_words_of_ews(second);
        for (path, emails) in in_the_words_of_ews(first) {
            for (over_ews, over_graph) in emails.iter().zip(&second[&path]) {
                assert_eq!(over_ews, over_graph, "{path:?}");
            }
            assert_eq!(emails.len(), second[&path].len(), "{path:?}");
        }
    }
}

#[tokio::test]
async fn forbidden_characters_change_no_identity() {
    let exchange = start(GraphOptions::default()).await;
    exchange.deliver(MAILBOX, INBOX, mime(1), at(1)).unwrap();
    for what in [Forbidden::Reference(1), Forbidden::Reference(0xD800), Forbidden::Byte(0x0B)] {
        let place = Place::InternetMessageId;
        exchange.fault(FaultRule::new(Fault::ForbiddenCharacters { place, what }).always());
        let mut uids = Vec::new();
        for mut source in [over_ews(&exchange), over_graph(&exchange)] {
            let inbox = graph_server::folder(&mut *source, INBOX).await;
            let (entries, _) = read_on(&mut *source, &inbox, None).await;
            uids.push((entries[0].uid, entries[0].message_id.clone()));
        }
        assert_eq!(uids[0], uids[1], "{what:?}");
        exchange.clear_faults();
    }
}

#[tokio::test]
async fn what_ews_named_is_found_over_graph() {
    let exchange = start(GraphOptions::default()).await;
    for number in 0..3 {
        exchange.deliver(MAILBOX, INBOX, mime(number), at(number)).unwrap();
    }
    let mut first = over_ews(&exchange);
    let inbox = graph_server::folder(&mut *first, INBOX).await;
    let (named, _) = read_on(&mut *first, &inbox, None).await;
    let mut second = over_graph(&exchange);
    let inbox = graph_server::folder(&mut *second, INBOX).await;
    let (listed, _) = read_on(&mut *second, &inbox, None).await;
    let ids: Vec<_> = named.iter().map(|entry| entry.item.clone()).collect();
    let translated = second.translate(Protocol::Ews, &ids).await.unwrap();
    for (entry, id) in named.iter().zip(translated) {
        let found = listed.iter().find(|listed| Some(&listed.item) == id.as_ref()).unwrap();
        assert_eq!(found.uid, entry.uid);
    }
    let exchange = start(GraphOptions { translate: false, ..GraphOptions::default() }).await;
    let translated = over_graph(&exchange).translate(Protocol::Ews, &ids).await.unwrap();
    assert_eq!(translated, vec![None; 3]);
}
