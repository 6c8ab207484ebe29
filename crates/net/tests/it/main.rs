//! Sessions against servers on this machine, and against independent implementations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is a failed test"
)]
#![allow(clippy::indexing_slicing, reason = "a panic is a failed test")]

mod client;
mod desk;
mod faults;
mod peers;
mod server;
mod sign_in;
mod tls;
mod token;

use std::{sync::Arc, time::Duration};

use net::{
    Endpoint, HeaderMap, Identity, Limits, NetError, PlainHttp, Session, Tls, TlsSettings,
    Transport,
};
use record::clock::SystemClock;

/// Limits that a healthy server on this machine never reaches.
fn limits() -> Limits {
    let long = Duration::from_secs(30);
    Limits { connect: long, answer: long, idle_body: long, ..Limits::default() }
}

fn transport(tls: &TlsSettings, limits: Limits) -> Transport {
    Transport {
        tls: Tls::new(tls).unwrap(),
        egress: Arc::default(),
        plain_http: PlainHttp::LoopbackOnly,
        limits,
        clock: Arc::new(SystemClock),
    }
}

fn plain_transport() -> Transport {
    transport(&TlsSettings::default(), limits())
}

fn session(url: &str, identity: Identity) -> Session {
    Session::new(Endpoint::new(url, plain_transport()).unwrap(), identity)
}

/// Sends `text` and reads the whole answer.
async fn say(session: &mut Session, text: &'static str) -> Result<(u16, String), NetError> {
    let mut reply = session.send(&HeaderMap::new(), text.into()).await?;
    let body = reply.body.collect(1 << 20).await?;
    Ok((reply.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}
