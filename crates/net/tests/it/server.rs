//! An HTTP/1.1 server that does what a test tells it, byte for byte.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use openssl::ssl::{Ssl, SslAcceptor};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::TcpListener,
    task::JoinSet,
};
use tokio_openssl::SslStream;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What to do after the bytes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Continue,
    Close,
    /// Keep the connection and say nothing more.
    Stall,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply(pub(crate) Vec<u8>, pub(crate) Then);

/// A reply with these status and header lines: `reply("401 No", &["WWW-Authenticate: NTLM"], "")`.
pub(crate) fn reply(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|line| bytes.extend([line, "\r\n"]));
    bytes.push_str("\r\n");
    Reply([bytes.as_bytes(), body].concat(), Then::Continue)
}

pub(crate) fn ok(body: &str) -> Reply {
    reply("200 OK", &[], body)
}

/// Bytes as they are.
pub(crate) fn raw(bytes: impl AsRef<[u8]>, then: Then) -> Reply {
    Reply(bytes.as_ref().to_vec(), then)
}

type Answer = Arc<Mutex<dyn FnMut(&Request) -> Reply + Send>>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    _connections: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        Self::listen(None, answer).await
    }

    pub(crate) async fn start_tls(
        acceptor: SslAcceptor,
        answer: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> Self {
        Self::listen(Some(acceptor), answer).await
    }

    async fn listen(
        tls: Option<SslAcceptor>,
        answer: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer: Answer = Arc::new(Mutex::new(answer));
        let log = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let (log, answer, tls) = (Arc::clone(&log), Arc::clone(&answer), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(tcp, number, log, answer).await,
                        Some(acceptor) => {
                            let ssl = Ssl::new(acceptor.context()).unwrap();
                            let mut stream = SslStream::new(ssl, tcp).unwrap();
                            if Pin::new(&mut stream).accept().await.is_ok() {
                                serve(stream, number, log, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, _connections: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/EWS/Exchange.asmx", self.address)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections brought a request.
    pub(crate) fn connections(&self) -> usize {
        self.seen().iter().map(|request| request.connection + 1).max().unwrap_or(0)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    connection: usize,
    log: Arc<Mutex<Vec<Request>>>,
    answer: Answer,
) {
    let mut stream = BufStream::new(stream);
    while let Some(request) = read_request(&mut stream, connection).await {
        log.lock().unwrap().push(request.clone());
        let Reply(bytes, then) = answer.lock().unwrap()(&request);
        // The client may be gone, which is its right.
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match then {
            Then::Continue => {}
            Then::Close => return,
            Then::Stall => std::future::pending().await,
        }
    }
}

async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    connection: usize,
) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut request = Request { connection, head, body: Vec::new() };
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).ok()? + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            chunk.truncate(chunk.len() - 2);
            if chunk.is_empty() {
                return Some(request);
            }
            request.body.extend(chunk);
        }
    }
    request.body = vec![0; request.header("content-length").map_or(0, |n| n.parse().unwrap())];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}
