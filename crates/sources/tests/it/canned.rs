//! What the simulated Exchange never does: replies written by hand.

use std::sync::{Arc, Mutex};

use net::{Endpoint, Identity};
use record::{Checkpoint, Folder, FolderId, Source, Uid};
use sources::ews::{Access, Ews, EwsMailbox, EwsSettings};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::server::{MAILBOX, offline_transport, settings};

/// Answers the n-th request with the n-th of `replies`; returns a source and the requests.
async fn canned(replies: Vec<String>) -> (EwsMailbox, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/EWS/Exchange.asmx", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    drop(tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        for reply in replies {
            let request = read_request(&mut stream).await;
            log.lock().unwrap().push(request);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: ";
            let answer = format!("{head}{}\r\n\r\n{reply}", reply.len());
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        }
    }));
    let endpoint = Endpoint::new(&url, offline_transport()).unwrap();
    let settings = EwsSettings { access: Access::Impersonation, ..settings() };
    let service = Ews::new(endpoint, Identity::Anonymous, settings);
    (service.mailbox(&MAILBOX.parse().unwrap()), requests)
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> String {
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    text + &String::from_utf8(body).unwrap()
}

fn envelope(operation: &str, messages: &str) -> String {
    format!(
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Body><m:{operation}Response><m:ResponseMessages>{messages}</m:ResponseMessages></m:{operation}Response></s:Body></s:Envelope>"#
    )
}

fn success(operation: &str, inside: &str) -> String {
    format!(
        r#"<m:{operation}ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inside}</m:{operation}ResponseMessage>"#
    )
}

fn failure(operation: &str, code: &str, xml: &str) -> String {
    format!(
        r#"<m:{operation}ResponseMessage ResponseClass="Error"><m:MessageText>No.</m:MessageText><m:ResponseCode>{code}</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>{xml}</m:{operation}ResponseMessage>"#
    )
}

const KEY: &str = r#"<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x300b" PropertyType="Binary"/><t:Value>AAEC</t:Value></t:ExtendedProperty>"#;

fn listing(items: &str) -> String {
    let inside = format!(
        "<m:SyncState>S1</m:SyncState><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange><m:Changes>{items}</m:Changes>"
    );
    envelope("SyncFolderItems", &success("SyncFolderItems", &inside))
}

fn item(id: &str, properties: &str) -> String {
    format!(r#"<t:Message><t:ItemId Id="{id}"/>{properties}</t:Message>"#)
}

fn inbox() -> Folder {
    Folder {
        id: FolderId("F1".to_owned()),
        path: vec!["Inbox".to_owned()],
        mark: None,
        total: None,
    }
}

#[tokio::test]
async fn search_keys_that_the_listing_lacks_are_asked_for() {
    let listed = ["I1", "I2", "I3"].map(|id| format!("<t:Create>{}</t:Create>", item(id, "")));
    let id = "<t:InternetMessageId>&lt;1@example.org&gt;</t:InternetMessageId>";
    let items = |inside: String| success("GetItem", &format!("<m:Items>{inside}</m:Items>"));
    let keys = items(item("I1", &format!("{KEY}{id}")))
        + &failure("GetItem", "ErrorItemNotFound", "<m:Items/>")
        + &items(item("I3", ""));
    let (mut source, requests) =
        canned(vec![listing(&listed.concat()), envelope("GetItem", &keys)]).await;
    let page = source.list(&inbox(), None, 100).await.unwrap();
    let mailbox = MAILBOX.parse().unwrap();
    let uids: Vec<Uid> = page.entries.iter().map(|entry| entry.uid).collect();
    assert_eq!(
        uids,
        [
            Uid::derive("exchange", &mailbox, &[0, 1, 2], "<1@example.org>"),
            Uid::derive("exchange", &mailbox, b"I2", ""),
            Uid::derive("exchange", &mailbox, b"I3", ""),
        ]
    );
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_in_trouble_does_not_change_identities() {
    let listed = format!("<t:Create>{}</t:Create>", item("I1", ""));
    let keys = failure("GetItem", "ErrorMailboxStoreUnavailable", "<m:Items/>");
    let (mut source, _) = canned(vec![listing(&listed), envelope("GetItem", &keys)]).await;
    source.list(&inbox(), None, 100).await.unwrap_err();
}

#[tokio::test]
async fn the_primary_address_is_learned_and_kept() {
    let other =
        r#"<m:MessageXml><t:Value Name="Primary">first@example.com</t:Value></m:MessageXml>"#;
    let refused = failure("SyncFolderItems", "ErrorNonPrimarySmtpAddress", other);
    let (mut source, requests) =
        canned(vec![envelope("SyncFolderItems", &refused), listing(""), listing("")]).await;
    for _ in 0..2 {
        source.list(&inbox(), None, 100).await.unwrap();
    }
    let requests = requests.lock().unwrap();
    let address = |request: &String| {
        let primary = request.contains("<t:PrimarySmtpAddress>first@example.com<")
            && request.to_ascii_lowercase().contains("x-anchormailbox: first@example.com");
        if primary { "first" } else { "configured" }
    };
    let addresses: Vec<&str> = requests.iter().map(address).collect();
    assert_eq!(addresses, ["configured", "first", "first"]);
}

#[tokio::test]
async fn answers_under_another_order_stay_with_their_items() {
    let entry = |id: &str| format!("<t:Create>{}</t:Create>", item(id, KEY));
    let email = |id: &str, mime: &str| {
        let body = format!(
            r#"<t:Message><t:MimeContent>{mime}</t:MimeContent><t:ItemId Id="{id}"/></t:Message>"#
        );
        success("GetItem", &format!("<m:Items>{body}</m:Items>"))
    };
    let swapped = email("I2", "REVG") + &email("I1", "QUJD");
    let replies = vec![listing(&(entry("I1") + &entry("I2"))), envelope("GetItem", &swapped)];
    let (mut source, _) = canned(replies).await;
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    for (fetched, expected) in fetched.iter().zip(["ABC", "DEF"]) {
        let record::Fetched::Email(email) = fetched else { panic!("{fetched:?}") };
        assert_eq!(crate::server::bytes(email), expected.as_bytes());
    }
}

#[tokio::test]
async fn a_hostile_reply_is_refused() {
    let bomb = r#"<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">]><s:Envelope xmlns:s="x">&b;</s:Envelope>"#;
    let (mut source, _) = canned(vec![bomb.to_owned(); 20]).await;
    let err = source.survey(&Checkpoint::default(), true).await.unwrap_err();
    let shown = record::Chain(&err).to_string();
    assert!(shown.contains("document type"), "{shown}");
}
