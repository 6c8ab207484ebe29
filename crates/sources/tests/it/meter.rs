//! What the meter is told of the requests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use record::{Checkpoint, Meter, Peer, Source};
use simulators::exchange::{Fault, FaultRule, Op, Options, Shape};
use sources::ews::EwsSettings;

use crate::server::{MAILBOX, basic, deliver, ews, inbox, settings, start};

/// Keeps operation and code of each request.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Meter for Notes {
    fn request(&self, peer: Peer, operation: &'static str, code: &str, _: Duration) {
        assert_eq!(peer, Peer::Source);
        self.0.lock().unwrap().push(format!("{operation} {code}"));
    }
}

#[tokio::test]
async fn each_request_is_told_with_its_operation_and_its_code() {
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..1);
    let notes = Arc::new(Notes::default());
    let meter = Arc::clone(&notes) as Arc<dyn Meter>;
    let service = ews(&exchange, basic(), EwsSettings { meter, ..settings() });
    let mut source = service.mailbox(&MAILBOX.parse().unwrap());
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    let taken = || std::mem::take(&mut *notes.0.lock().unwrap());
    let listed = taken();
    assert!(listed.contains(&"SyncFolderItems NoError".to_owned()), "{listed:?}");

    source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(taken(), ["GetItem NoError"]);

    for (code, told) in [("ErrorMailboxStoreUnavailable", None), ("Made \"up\"", Some("unknown"))] {
        let fault = Fault::RequestError { code: code.to_owned(), shape: Shape::SoapFault };
        exchange.fault(FaultRule::new(fault).op(Op::GetItem).times(1));
        // Asked again at once, or left to the engine.
        drop(source.fetch(&inbox, &entries).await);
        assert_eq!(taken()[0], format!("GetItem {}", told.unwrap_or(code)));
    }
    drop(exchange);
    source.survey(&Checkpoint::default(), true).await.unwrap_err();
    let last = taken().pop().unwrap();
    assert!(last.ends_with(" unreachable") || last.ends_with(" timeout"), "{last}");
}
