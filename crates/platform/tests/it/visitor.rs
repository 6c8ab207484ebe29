//! A browser as far as signing in needs one: cookies for each host, and the headers that no page
//! can set.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;

/// Where the platform of these tests is, as its people see it: a proxy has the certificate.
pub(crate) const PUBLIC: &str = "https://mail.example.com/base";

pub(crate) struct Browser {
    platform: SocketAddr,
    /// By host and port, then by name.
    pub(crate) cookies: HashMap<String, BTreeMap<String, String>>,
    pub(crate) agent: &'static str,
    /// Headers that are not sent, and others that are.
    pub(crate) without: &'static [&'static str],
    pub(crate) with: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) url: Url,
}

impl Page {
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn location(&self) -> Option<Url> {
        let location = self.header("location")?;
        Some(self.url.join(location).unwrap())
    }
}

impl Browser {
    pub(crate) fn new(platform: SocketAddr) -> Self {
        let (cookies, with) = (HashMap::new(), Vec::new());
        Self { platform, cookies, agent: "Test Browser", without: &[], with }
    }

    /// The value of the platform's cookie whose name begins so.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let own = self.cookies.get("mail.example.com")?;
        own.iter().find(|(own, _)| own.starts_with(name)).map(|(_, value)| value.clone())
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.visit(&Url::parse(&format!("{PUBLIC}{path}")).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Page {
        self.call("POST", path, body).await
    }

    pub(crate) async fn call(&mut self, method: &str, path: &str, body: Value) -> Page {
        let url = Url::parse(&format!("{PUBLIC}{path}")).unwrap();
        self.send(method, &url, &body).await
    }

    pub(crate) async fn visit(&mut self, url: &Url) -> Page {
        self.send("GET", url, &Value::Null).await
    }

    /// Follows redirects until there are no more, or the next one leads to a page beginning with
    /// `until`; the last page and the address that was not opened.
    pub(crate) async fn follow(&mut self, mut page: Page, until: &str) -> (Page, Option<Url>) {
        for _ in 0..20 {
            match page.location() {
                None => return (page, None),
                Some(next) if next.as_str().starts_with(until) => return (page, Some(next)),
                Some(next) => page = self.visit(&next).await,
            }
        }
        panic!("the redirects have no end: {page:?}")
    }

    /// Sends the form of a page.
    pub(crate) async fn submit(&mut self, url: &Url, fields: &[(&str, &str)]) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(fields).finish();
        self.request("POST", url, "application/x-www-form-urlencoded", form).await
    }

    async fn send(&mut self, method: &str, url: &Url, body: &Value) -> Page {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, url, "application/json", text).await
    }

    async fn request(&mut self, method: &str, url: &Url, kind: &str, body: String) -> Page {
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let own = url.as_str().starts_with("https://mail.example.com");
        let address: SocketAddr = if own { self.platform } else { host.parse().unwrap() };
        // What a proxy passes on: the path as it was, below the base path.
        let target = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        let mut request = Request::builder().method(method).uri(target);
        let cookies = self.cookies.get(&host);
        let pairs: Vec<String> =
            cookies.into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = vec![
            ("host", host.clone()),
            ("user-agent", self.agent.to_owned()),
            ("x-tributary-csrf", "1".to_owned()),
            ("sec-fetch-site", if own { "same-origin" } else { "cross-site" }.to_owned()),
            ("origin", "https://mail.example.com".to_owned()),
        ];
        if !pairs.is_empty() {
            headers.push(("cookie", pairs.join("; ")));
        }
        if !body.is_empty() {
            headers.push(("content-type", kind.to_owned()));
        }
        headers.retain(|(name, _)| !self.without.contains(name));
        headers.retain(|(name, _)| self.with.iter().all(|(other, _)| other != name));
        for (name, value) in headers.iter().chain(&self.with) {
            request = request.header(*name, value);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let jar = self.cookies.entry(host).or_default();
        for set in head.headers.get_all("set-cookie") {
            keep(jar, set.to_str().unwrap());
        }
        Page { status: head.status.as_u16(), headers: head.headers, body, url: url.clone() }
    }
}

/// Keeps a cookie, or forgets it when its time is over. The value says nothing about that: one of
/// a thousand random ones has a `1970` in it.
fn keep(jar: &mut BTreeMap<String, String>, set: &str) {
    let mut parts = set.split(';').map(str::trim);
    let (name, value) = parts.next().unwrap().split_once('=').unwrap();
    let is_over = |attribute: &str| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        name.eq_ignore_ascii_case("max-age") && value == "0"
            || name.eq_ignore_ascii_case("expires") && value.contains(" 1970 ")
    };
    if value.is_empty() || parts.any(is_over) {
        jar.remove(name);
    } else {
        jar.insert(name.to_owned(), value.to_owned());
    }
}

#[test]
fn a_cookie_is_kept_whatever_its_value_is() {
    let mut jar = BTreeMap::new();
    keep(&mut jar, "a=31970f; Path=/; Max-Age=60; HttpOnly");
    keep(&mut jar, "b=1; Path=/; expires=Fri, 01 Jan 2027 00:00:00 GMT");
    assert_eq!(jar.len(), 2);
    keep(&mut jar, "a=31970f; Path=/; Max-Age=0; HttpOnly");
    keep(&mut jar, "b=1; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly");
    assert_eq!(jar.len(), 0);
}
