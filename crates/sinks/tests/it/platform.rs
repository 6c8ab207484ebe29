//! The platform sink against a strict platform on this machine.

mod memory;
mod remote;
mod state;
mod upload;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use net::{Limits, PlainHttp, Tls, TlsSettings, Transport};
use record::{
    Body, BucketId, Checkpoint, Email, FolderId, FolderState, ItemId, Metadata, Position, Route,
    Secret, Sink, Uid, Unmetered, clock::SystemClock,
};
use serde_json::Value;
use simulators::platform::{Options, Platform, Token};
use sinks::{
    ascii_safe::to_unicode,
    platform_api::{Api, ApiSettings, PlatformApi, Retry, Settings},
};
use testkit::{sink_contract, sink_contract::SinkUnderTest};

/// Must never be seen outside `Authorization`.
const CANARY: &str = "canary-7f3a9c";
const BUCKET: &str = "owner/bucket";

struct Fixture {
    server: Platform,
    limits: Limits,
    total: Duration,
    batch_size: usize,
    uploads: usize,
}

impl Fixture {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let options = Options {
            tokens: vec![Token::new(CANARY)],
            buckets: vec![BUCKET.into(), "owner/other".into()],
            ..options
        };
        Self {
            server: Platform::start(options).await.unwrap(),
            limits: Limits::default(),
            total: Duration::from_secs(2),
            batch_size: 80,
            uploads: 4,
        }
    }

    fn api(&self) -> Api {
        Api::new(self.api_settings(self.server.endpoint(), CANARY)).unwrap()
    }

    fn api_settings(&self, endpoint: String, token: &str) -> ApiSettings {
        let transport = Transport {
            tls: Tls::new(&TlsSettings::default()).unwrap(),
            egress: Arc::default(),
            plain_http: PlainHttp::LoopbackOnly,
            limits: self.limits,
            clock: Arc::new(SystemClock),
        };
        let ms = Duration::from_millis;
        ApiSettings {
            endpoint,
            token: Secret::from(token),
            max_concurrent_uploads: self.uploads,
            transport,
            meter: Arc::new(Unmetered),
            retry: Retry { first: ms(5), longest: ms(50), total: self.total },
        }
    }

    fn sink(&self) -> PlatformApi {
        self.sink_to(&self.server.endpoint())
    }

    fn sink_to(&self, endpoint: &str) -> PlatformApi {
        let settings = Settings {
            batch_size: self.batch_size,
            max_concurrent_uploads: self.uploads,
            spool_dir: std::env::temp_dir(),
            appliance: None,
        };
        let api = Api::new(self.api_settings(endpoint.to_owned(), CANARY)).unwrap();
        PlatformApi::new(api, settings)
    }

    fn sync_state(&self) -> String {
        let state = self.server.sync_state(BUCKET).unwrap_or(Value::Null);
        state["sync_state"].as_str().unwrap_or_default().to_owned()
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> =
            self.server.emails(BUCKET).into_iter().map(|email| email.id).collect();
        ids.sort();
        ids
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.server.leaks().len(), 0, "the token was seen");
        }
    }
}

fn route() -> Route {
    mailbox("abc@example.com")
}

fn mailbox(address: &str) -> Route {
    Route { mailbox: address.parse().unwrap(), bucket: BucketId::new("owner", "bucket").unwrap() }
}

fn uid(n: u64) -> Uid {
    Uid::derive("test", &route().mailbox, &n.to_be_bytes(), "")
}

fn id(n: u64) -> String {
    format!("<{n}@example.com>")
}

fn second(n: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + n as i64)
}

fn email(n: u64) -> Email {
    email_with(n, format!("Subject: {n}\r\n\r\n{}", "text ".repeat(200)).into_bytes())
}

fn emails(range: std::ops::Range<u64>) -> Vec<Email> {
    range.map(email).collect()
}

fn email_with(n: u64, body: Vec<u8>) -> Email {
    Email {
        uid: uid(n),
        item: ItemId(format!("item-{n}")),
        message_id: Some(id(n)),
        timestamp: second(n),
        metadata: Metadata { folder: vec!["Inbox".into()], ..Metadata::default() },
        body: Body::Memory(Bytes::from(body)),
    }
}

fn checkpoint(generation: u64, token: &str) -> Checkpoint {
    let mut new = Checkpoint { generation, ..Checkpoint::default() };
    let state = FolderState {
        path: vec!["Inbox".into()],
        position: Some(Position::Cursor { token: token.into() }),
        caught_up: true,
        newest: Some(second(generation)),
        ..FolderState::default()
    };
    new.folders.insert(FolderId("f".into()), state);
    new
}

impl SinkUnderTest for Fixture {
    fn open(&self) -> Box<dyn Sink> {
        Box::new(self.sink())
    }

    fn copies(&self, route: &Route) -> Vec<(Uid, Vec<u8>)> {
        let stored = self.server.emails(&route.bucket.to_string());
        let stored = stored.into_iter().filter(|email| email.mailbox == route.mailbox.as_str());
        let copy = |email: simulators::platform::Email| {
            let n = email.id.trim_start_matches('<').split('@').next().unwrap().parse().unwrap();
            (testkit::sink_contract::uid(n), email.body.unwrap().to_vec())
        };
        stored.map(copy).collect()
    }

    fn as_kept(&self, content: &[u8]) -> Vec<u8> {
        to_unicode(content.to_vec()).into_bytes()
    }

    fn can_tell_what_it_holds(&self) -> bool {
        false
    }

    fn damage_checkpoint(&self, _: &Route) -> bool {
        let mut text = self.sync_state().into_bytes();
        let middle = text.len() / 2;
        text[middle] ^= 1;
        self.server.set_sync_state(BUCKET, std::str::from_utf8(&text).unwrap());
        true
    }
}

sink_contract!(contract, Fixture::start().await);
