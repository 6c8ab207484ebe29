//! Looks at the way to a server step by step, for a diagnosis. Signs in nowhere.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::{HeaderMap, header::DATE};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    nid::Nid,
    ssl::{SslRef, SslVerifyMode},
    x509::{X509NameRef, X509Ref, X509VerifyResult},
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_openssl::SslStream;

use crate::{
    Endpoint, NetError, Stage,
    connection::{Connection, dial, timed_out},
    request::{Content, post},
};

/// Most certificates of a chain that are told of.
const MAX_CHAIN: usize = 8;

/// Longest name in a certificate that is told.
const MAX_NAME: usize = 200;

/// What was found, as far as one came. A step that could not be tried is `None`.
#[derive(Debug)]
pub struct Way {
    pub addresses: Result<Vec<IpAddr>, NetError>,
    pub tcp: Option<Result<Reached, NetError>>,
    /// Also `None` for an `http` URL.
    pub tls: Option<Result<Tls, NetError>>,
    pub answer: Option<Result<Answer, NetError>>,
}

/// A TCP connection that came about.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub address: SocketAddr,
    pub took: Duration,
}

/// A TLS handshake that came to its end, whether or not the certificate was accepted.
#[derive(Debug)]
pub struct Tls {
    /// `TLSv1.3`
    pub version: &'static str,
    pub cipher: String,
    /// The server's certificate first.
    pub chain: Vec<Certificate>,
    /// Why the certificate is not trusted, whatever the settings make of it.
    pub distrust: Option<String>,
    /// Why a connection fails with the settings as they are.
    pub refused: Option<NetError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub not_after: Option<DateTime<Utc>>,
}

/// The reply to a request without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The server's clock.
    pub date: Option<DateTime<Utc>>,
    pub took: Duration,
}

/// Goes the way to `endpoint`, each step under the limits of the endpoint.
pub async fn look(endpoint: &Endpoint) -> Way {
    let mut way = Way { addresses: resolve(endpoint).await, tcp: None, tls: None, answer: None };
    if way.addresses.is_err() {
        return way;
    }
    let stream = match connect(endpoint).await {
        Ok((reached, stream)) => {
            way.tcp = Some(Ok(reached));
            stream
        }
        Err(err) => {
            way.tcp = Some(Err(err));
            return way;
        }
    };
    if endpoint.secure() {
        let tls = shake_hands(endpoint, stream).await;
        let refused = !matches!(tls, Ok(Tls { refused: None, .. }));
        way.tls = Some(tls);
        if refused {
            return way;
        }
    }
    way.answer = Some(ask(endpoint).await);
    way
}

/// When the first certificate of the server's chain ends; `None` if that cannot be found out.
pub async fn certificate_end(endpoint: &Endpoint) -> Option<DateTime<Utc>> {
    if !endpoint.secure() {
        return None;
    }
    let (_, stream) = connect(endpoint).await.ok()?;
    let (_, tls) = encrypt(endpoint, stream).await.ok()?;
    let chain = tls.ssl().peer_cert_chain()?;
    chain.iter().filter_map(|certificate| time(certificate.not_after())).min()
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<IpAddr>, NetError> {
    if let Some(address) = endpoint.address() {
        return Ok(vec![address]);
    }
    let limit = endpoint.limits().connect;
    let found = tokio::net::lookup_host((endpoint.host(), endpoint.port()));
    let found = timeout(limit, found)
        .await
        .map_err(|_| timed_out(endpoint, Stage::Connect, limit))?
        .map_err(|err| NetError::unreachable(endpoint.name(), err))?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

async fn connect(endpoint: &Endpoint) -> Result<(Reached, TcpStream), NetError> {
    let began = Instant::now();
    let limit = endpoint.limits().connect;
    let stream = timeout(limit, dial(endpoint, began + limit))
        .await
        .map_err(|_| timed_out(endpoint, Stage::Connect, limit))??;
    let took = began.elapsed();
    let address = stream.peer_addr().map_err(|err| NetError::unreachable(endpoint.name(), err))?;
    Ok((Reached { address, took }, stream))
}

/// Accepts any certificate, to be able to tell what is wrong with it, and sends nothing: neither
/// may the caller. The first value tells whether the certificate would be trusted.
async fn encrypt(
    endpoint: &Endpoint,
    tcp: TcpStream,
) -> Result<(X509VerifyResult, SslStream<TcpStream>), NetError> {
    let name = endpoint.name();
    let tls = &endpoint.transport().tls;
    let crypto = |err| NetError::crypto(name, err);
    let mut ssl = tls.start(endpoint.host()).map_err(crypto)?;
    // Checked in any case, so that its verdict can be told.
    expect_host(&mut ssl, endpoint).map_err(crypto)?;
    ssl.set_verify(SslVerifyMode::NONE);
    let mut stream = SslStream::new(ssl, tcp).map_err(crypto)?;
    let limit = endpoint.limits().connect;
    timeout(limit, Pin::new(&mut stream).connect())
        .await
        .map_err(|_| timed_out(endpoint, Stage::Connect, limit))?
        .map_err(|err| tls.explain(name, stream.ssl(), err))?;
    Ok((stream.ssl().verify_result(), stream))
}

/// Whether the settings accept the certificate as well is tried on a second connection.
async fn shake_hands(endpoint: &Endpoint, tcp: TcpStream) -> Result<Tls, NetError> {
    let (verdict, stream) = encrypt(endpoint, tcp).await?;
    let ssl = stream.ssl();
    let distrust = match verdict {
        X509VerifyResult::OK => None,
        verdict => Some(verdict.error_string().to_owned()),
    };
    let chain = ssl.peer_cert_chain().map(|chain| chain.iter().take(MAX_CHAIN).map(describe));
    let refused = match &distrust {
        None => None,
        Some(_) => Connection::open(endpoint).await.err(),
    };
    Ok(Tls {
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or_else(String::new, |one| one.name().to_owned()),
        chain: chain.map(Iterator::collect).unwrap_or_default(),
        distrust,
        refused,
    })
}

/// Without verification, nobody has told OpenSSL which name to expect.
fn expect_host(ssl: &mut SslRef, endpoint: &Endpoint) -> Result<(), openssl::error::ErrorStack> {
    match endpoint.address() {
        Some(address) => ssl.param_mut().set_ip(address),
        None => ssl.param_mut().set_host(endpoint.host()),
    }
}

fn describe(certificate: &X509Ref) -> Certificate {
    Certificate {
        subject: common_name(certificate.subject_name()),
        issuer: common_name(certificate.issuer_name()),
        not_after: time(certificate.not_after()),
    }
}

/// What people call it: the common name, or else the first part of the name.
fn common_name(name: &X509NameRef) -> String {
    let entry = name.entries_by_nid(Nid::COMMONNAME).next().or_else(|| name.entries().next());
    let text = entry.and_then(|entry| entry.data().to_string().ok());
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.unwrap_or_default().chars().map(shown).take(MAX_NAME).collect()
}

fn time(time: &Asn1TimeRef) -> Option<DateTime<Utc>> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    DateTime::from_timestamp(i64::from(since.days) * 86_400 + i64::from(since.secs), 0)
}

async fn ask(endpoint: &Endpoint) -> Result<Answer, NetError> {
    let headers = HeaderMap::new();
    let content =
        Content { headers: &headers, cookies: None, authorization: None, body: Bytes::new() };
    let request = post(endpoint, content).map_err(|err| NetError::crypto(endpoint.name(), err))?;
    let mut connection = Connection::open(endpoint).await?;
    let began = Instant::now();
    let reply = connection.send(endpoint, request, Stage::SignIn).await;
    let reply = reply.map_err(|lost| lost.error)?;
    let date = reply.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    Ok(Answer {
        status: reply.status().as_u16(),
        date: date.map(|date| date.to_utc()),
        took: began.elapsed(),
    })
}
