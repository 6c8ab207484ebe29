//! A plain client of the platform: one connection, one request at a time.

use std::{convert::Infallible, io::Write, net::SocketAddr};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http1, http::request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The path of the bucket of most tests.
pub const BUCKET: &str = "/api/_private/buckets/example%2Fmail";

pub type SendBody = UnsyncBoxBody<Bytes, Infallible>;

/// A connection to a platform without TLS.
pub struct Client {
    sender: http1::SendRequest<SendBody>,
    pub token: String,
    /// More headers of every request.
    pub headers: Vec<(&'static str, String)>,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The body came to its end.
    pub whole: bool,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    pub fn message(&self) -> String {
        let body = self.json();
        assert_eq!(body["status"], "error", "{body}");
        body["message"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    /// Connects to a platform; `token` goes with each request unless it is empty.
    ///
    /// # Panics
    ///
    /// Nobody listens there.
    pub async fn connect(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, token: token.to_owned(), headers: Vec::new() }
    }

    /// How many emails are in the bucket of most tests.
    ///
    /// # Panics
    ///
    /// The platform does not say.
    pub async fn count(&mut self) -> u64 {
        let answer = self.call("GET", &format!("{BUCKET}/statistics"), Value::Null).await;
        answer.json()["statistics"]["count"]["value"].as_u64().unwrap()
    }

    /// Sends a request; the token and the other headers are added.
    ///
    /// # Errors
    ///
    /// The connection broke.
    ///
    /// # Panics
    ///
    /// The request is none.
    pub async fn try_send(
        &mut self,
        request: request::Builder,
        body: SendBody,
    ) -> Result<Answer, hyper::Error> {
        let mut request = request.header("host", "localhost");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(body).unwrap()).await?;
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut whole) = (Vec::new(), true);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body: bytes, whole })
    }

    /// The same with JSON.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn try_call(
        &mut self,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Answer, hyper::Error> {
        let mut request = Request::builder().method(method).uri(path);
        let body = if body.is_null() {
            Bytes::new()
        } else {
            request = request.header("content-type", "application/json");
            body.to_string().into()
        };
        self.try_send(request, whole(body)).await
    }

    /// Sends JSON; `null` stands for no body.
    pub async fn call(&mut self, method: &str, path: &str, body: Value) -> Answer {
        self.try_call(method, path, body).await.unwrap()
    }

    /// Uploads emails to the bucket of most tests.
    pub async fn put(&mut self, emails: &[Value]) -> Answer {
        self.call("PUT", &format!("{BUCKET}/emails?no_charge=false"), emails_of(emails)).await
    }

    /// Uploads emails in a compressed body.
    pub async fn put_gzip(&mut self, emails: &[Value]) -> Answer {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(emails_of(emails).to_string().as_bytes()).unwrap();
        let request = Request::put(format!("{BUCKET}/emails"))
            .header("content-type", "application/json")
            .header("content-encoding", "gzip");
        self.try_send(request, whole(encoder.finish().unwrap())).await.unwrap()
    }
}

pub fn whole(body: impl Into<Bytes>) -> SendBody {
    Full::new(body.into()).boxed_unsync()
}

pub fn emails_of(emails: &[Value]) -> Value {
    json!({ "emails": emails })
}

/// An email with everything that an email can have.
pub fn email(number: u32) -> Value {
    json!({
        "id": format!("<{number}@example.com>"),
        "mailbox": "abc@example.com",
        "timestamp": format!("2026-01-01T00:00:{:02}Z", number % 60),
        "mime_content": format!("Subject: {number}\r\n\r\nGr\u{fc}\u{df}e \u{1f600}\r\n"),
        "metadata": {
            "folder": ["Inbox", "a/b"], "received_at": "2026-01-01T00:00:00.123Z", "size": 20,
            "categories": ["Red"], "importance": "Normal", "sensitivity": "Normal",
            "has_attachments": true, "is_read": false, "conversation_id": "c",
            "conversation_topic": "t",
        },
        "attachments": [{
            "name": "a.txt", "size": 3, "content_type": ".txt", "content_hash": "ab".repeat(32),
        }],
    })
}
