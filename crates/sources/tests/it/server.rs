//! A simulated Exchange with one mailbox, and a source that reads it.

use std::{cell::RefCell, io::Read, num::NonZeroUsize, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use net::{Egress, Endpoint, Identity, Limits, Login, PlainHttp, Tls, TlsSettings, egress::Level};
use record::{
    Checkpoint, Email, Entry, Fetched, Folder, Page, Position, Source, clock::SystemClock,
};
use simulators::exchange::{Exchange, Options};
use sources::ews::{Access, Ews, EwsMailbox, EwsSettings};

pub(crate) const MAILBOX: &str = "abc@example.com";
pub(crate) const INBOX: &[&str] = &["Inbox"];

pub(crate) fn settings() -> EwsSettings {
    EwsSettings {
        version: sources::ews::Version::NEWEST,
        access: Access::Delegate,
        connections: NonZeroUsize::new(2).unwrap(),
        max_email_size: 200 * 1024 * 1024,
        spool_dir: std::env::temp_dir(),
        meter: Arc::new(record::Unmetered),
    }
}

pub(crate) fn basic() -> Identity {
    Identity::Password(Login::basic(Options::USER, Options::PASSWORD.into()))
}

/// The way out, with short time-outs, to a server on this machine.
pub(crate) fn transport(exchange: &Exchange) -> net::Transport {
    let tls = TlsSettings { ca_file: Some(exchange.ca_file()), ..TlsSettings::default() };
    net::Transport { tls: Tls::new(&tls).unwrap(), ..offline_transport() }
}

/// The same without anybody's certificate.
pub(crate) fn offline_transport() -> net::Transport {
    net::Transport {
        tls: Tls::new(&TlsSettings::default()).unwrap(),
        egress: Arc::new(Egress::new(Level::Off)),
        plain_http: PlainHttp::LoopbackOnly,
        limits: Limits {
            answer: Duration::from_secs(10),
            idle_body: Duration::from_secs(5),
            ..Limits::default()
        },
        clock: Arc::new(SystemClock),
    }
}

pub(crate) fn ews(exchange: &Exchange, identity: Identity, settings: EwsSettings) -> Arc<Ews> {
    let endpoint = Endpoint::new(&exchange.ews_url(), transport(exchange)).unwrap();
    Ews::new(endpoint, identity, settings)
}

/// An Exchange whose only mailbox is [`MAILBOX`].
pub(crate) async fn start(options: Options) -> Exchange {
    let exchange = Exchange::start(options).await.unwrap();
    exchange.add_mailbox(MAILBOX);
    exchange
}

pub(crate) fn open(exchange: &Exchange) -> EwsMailbox {
    ews(exchange, basic(), settings()).mailbox(&MAILBOX.parse().unwrap())
}

pub(crate) fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap() + TimeDelta::minutes(minute)
}

pub(crate) fn mime(number: i64) -> String {
    format!(
        "From: a@example.org\r\nTo: b@example.com\r\nSubject: number {number}\r\n\
         Message-ID: <{number}@example.org>\r\n\r\nBody of {number}.\r\n"
    )
}

/// Delivers messages to the inbox; returns their ids.
pub(crate) fn deliver(exchange: &Exchange, numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers
        .map(|number| exchange.deliver(MAILBOX, INBOX, mime(number), at(number)).unwrap())
        .collect()
}

thread_local! {
    /// What a checkpoint would keep from one survey to the next; each test has its own thread.
    static HIERARCHY: RefCell<Option<Position>> = const { RefCell::new(None) };
}

pub(crate) async fn survey(source: &mut EwsMailbox, thorough: bool) -> Vec<Folder> {
    let known = Checkpoint { hierarchy: HIERARCHY.take(), ..Checkpoint::default() };
    let survey = source.survey(&known, thorough).await.unwrap();
    HIERARCHY.set(survey.hierarchy);
    survey.folders
}

pub(crate) async fn folder(source: &mut EwsMailbox, path: &[&str]) -> Folder {
    let folders = survey(source, true).await;
    folders.into_iter().find(|folder| folder.path == path).expect("no such folder")
}

pub(crate) async fn list(source: &mut EwsMailbox, folder: &Folder) -> Page {
    source.list(folder, None, 512).await.unwrap()
}

/// All entries of a folder.
pub(crate) async fn entries(source: &mut EwsMailbox, folder: &Folder) -> Vec<Entry> {
    let mut from: Option<Position> = None;
    let mut entries = Vec::new();
    loop {
        let page = source.list(folder, from.as_ref(), 512).await.unwrap();
        entries.extend(page.entries);
        if !page.more {
            return entries;
        }
        from = Some(page.next);
    }
}

/// The inbox, its entries, and the requests so far forgotten.
pub(crate) async fn inbox(exchange: &Exchange, source: &mut EwsMailbox) -> (Folder, Vec<Entry>) {
    let inbox = folder(source, INBOX).await;
    let entries = entries(source, &inbox).await;
    exchange.clear_requests();
    (inbox, entries)
}

pub(crate) fn bytes(email: &Email) -> Vec<u8> {
    let mut bytes = Vec::new();
    email.body.reader().read_to_end(&mut bytes).unwrap();
    bytes
}

/// In a word, what became of each entry.
pub(crate) fn outcomes(fetched: &[Fetched]) -> Vec<String> {
    let outcome = |fetched: &Fetched| match fetched {
        Fetched::Email(email) => {
            let rebuilt = String::from_utf8_lossy(&bytes(email)).contains("X-Tributary-Rebuilt");
            if rebuilt { "rebuilt".to_owned() } else { "email".to_owned() }
        }
        Fetched::Gone => "gone".to_owned(),
        Fetched::Refused { code, .. } => code.clone(),
        Fetched::Later => "later".to_owned(),
    };
    fetched.iter().map(outcome).collect()
}
