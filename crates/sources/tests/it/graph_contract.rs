//! The promises of every source, kept by Graph.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use record::Source;
use simulators::exchange::{Exchange, Fault as Broken, FaultRule, GraphOptions, Op, Shape};
use testkit::source_contract::{FakeServer, Fault};

use crate::{
    graph_server::{open, start},
    server::{INBOX, MAILBOX},
};

struct FakeGraph {
    exchange: Exchange,
    last: Mutex<String>,
}

async fn fake() -> FakeGraph {
    FakeGraph { exchange: start(GraphOptions::default()).await, last: Mutex::default() }
}

/// A server that lists no extended properties and none of the hints that it could give.
async fn reticent() -> FakeGraph {
    let options = GraphOptions { expand_in_delta: false, ..GraphOptions::default() };
    FakeGraph { exchange: start(options).await, last: Mutex::default() }
}

impl FakeGraph {
    fn last(&self) -> String {
        self.last.lock().unwrap().clone()
    }
}

#[async_trait]
impl FakeServer for FakeGraph {
    async fn deliver(&self, mime: &[u8], received: DateTime<Utc>) {
        let id = self.exchange.deliver(MAILBOX, INBOX, mime.to_vec(), received).unwrap();
        *self.last.lock().unwrap() = id;
    }

    async fn move_last(&self) {
        let id = self.exchange.move_item(&self.last(), &["Junk Email"]).unwrap();
        *self.last.lock().unwrap() = id;
    }

    async fn delete_last(&self) {
        self.exchange.delete_item(&self.last()).unwrap();
    }

    async fn break_with(&self, fault: Fault) {
        let rule = match fault {
            Fault::Unauthorized => FaultRule::new(Broken::Unauthorized),
            Fault::Throttled(pause) => FaultRule::new(Broken::ServerBusy {
                back_off: Some(pause),
                shape: Shape::SoapFault,
            }),
            Fault::Disconnected => FaultRule::new(Broken::DropConnection { after_bytes: None }),
            Fault::Garbled => FaultRule::new(Broken::BadXml),
            Fault::CursorExpired => return self.exchange.invalidate_sync_states(MAILBOX),
            Fault::LastRefused => FaultRule::new(Broken::item_error("ErrorItemCorrupt"))
                .op(Op::MessageValue)
                .item(&self.last()),
        };
        self.exchange.fault(rule.always());
    }

    async fn mend(&self) {
        self.exchange.clear_faults();
    }

    async fn open(&self) -> Box<dyn Source> {
        Box::new(open(&self.exchange))
    }
}

testkit::source_contract!(graph, fake);
testkit::source_contract!(graph_without_properties_in_listings, reticent);

/// The pause outlives the call that was told of it.
#[tokio::test]
async fn no_request_is_made_before_the_end_of_a_pause() {
    let fake = fake().await;
    let mut source = fake.open().await;
    fake.break_with(Fault::Throttled(Duration::from_secs(45))).await;
    source.survey(&Default::default(), false).await.unwrap_err();
    fake.mend().await;
    fake.exchange.clear_requests();
    let err = source.survey(&Default::default(), false).await.unwrap_err();
    assert!(matches!(err, record::SourceError::Throttled { retry_after: Some(_), .. }), "{err:?}");
    assert_eq!(fake.exchange.requests().len(), 0);
}
