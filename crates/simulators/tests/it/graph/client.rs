//! A plain client of Graph: one connection, one request at a time.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use simulators::exchange::{Exchange, FolderSet, Options};

use crate::client::{ABC, Client, Reply};

pub(crate) const SCOPE: &str = "https://graph.microsoft.com/.default";

/// A connection that has a token.
pub(crate) struct Graph {
    pub(crate) client: Client,
}

/// A time so many minutes after the first.
pub(crate) fn at(minutes: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 8, 0, 0).unwrap() + TimeDelta::minutes(minutes)
}

/// A server with `count` messages in the inbox of [`ABC`], and their EWS ids.
pub(crate) async fn server_with(count: i64, options: Options) -> (Exchange, Vec<String>) {
    let options = Options { folders: FolderSet::Minimal, ..options };
    let server = Exchange::start(options).await.unwrap();
    server.add_mailbox(ABC);
    let ids = (0..count).map(|number| deliver(&server, number)).collect();
    (server, ids)
}

pub(crate) async fn server(count: i64) -> (Exchange, Vec<String>) {
    server_with(count, Options::default()).await
}

pub(crate) fn deliver(server: &Exchange, number: i64) -> String {
    let message = format!("Message-ID: <{number}@x>\r\nSubject: {number}\r\n\r\nbody {number}\r\n");
    server.deliver(ABC, &["Inbox"], message, at(number)).unwrap()
}

/// A token for `scope`, or the reply that refuses it.
pub(crate) async fn token(server: &Exchange, scope: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("scope", scope);
    form.append_pair("client_id", Options::CLIENT_ID);
    form.append_pair("client_secret", Options::CLIENT_SECRET);
    let request = Request::post(format!("/{}/oauth2/v2.0/token", Options::TENANT))
        .header("host", "localhost")
        .body(Full::new(Bytes::from(form.finish())));
    let reply = Client::anonymous(server).await.send(request.unwrap()).await.unwrap();
    json_of(&reply)["access_token"].as_str().unwrap().to_owned()
}

#[track_caller]
pub(crate) fn json_of(reply: &Reply) -> Value {
    let text = reply.text();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The code of an error.
#[track_caller]
pub(crate) fn code(reply: &Reply) -> String {
    let body = json_of(reply);
    body["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {body}")).to_owned()
}

/// One property of every entry of a page.
#[track_caller]
pub(crate) fn column(page: &Value, name: &str) -> Vec<String> {
    let entries = page["value"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
    entries.iter().map(|entry| entry[name].as_str().unwrap_or_default().to_owned()).collect()
}

impl Graph {
    pub(crate) async fn connect(server: &Exchange) -> Self {
        let mut client = Client::anonymous(server).await;
        client.headers.push(("authorization", format!("Bearer {}", token(server, SCOPE).await)));
        Self { client }
    }

    /// Has every request from now on carry this preference.
    pub(crate) fn prefer(mut self, preference: &str) -> Self {
        self.client.headers.push(("prefer", preference.to_owned()));
        self
    }

    pub(crate) async fn try_get(&mut self, url: &str) -> Result<Reply, hyper::Error> {
        // Links are whole URLs.
        let url = url.find("/v1.0").and_then(|at| url.get(at..)).unwrap_or(url);
        let mut request = Request::get(url).header("host", "localhost");
        for (name, value) in &self.client.headers {
            request = request.header(*name, value);
        }
        self.client.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn get(&mut self, url: &str) -> Reply {
        self.try_get(url).await.unwrap()
    }

    /// What a request below the mailbox [`ABC`] gets.
    pub(crate) async fn of_abc(&mut self, path: &str) -> Reply {
        self.get(&format!("/v1.0/users/{ABC}{path}")).await
    }

    pub(crate) async fn page(&mut self, url: &str) -> Value {
        let reply = self.get(url).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        json_of(&reply)
    }

    /// The first page of the delta of the inbox, with this query.
    pub(crate) async fn delta(&mut self, query: &str) -> Value {
        self.page(&format!("/v1.0/users/{ABC}/mailFolders/inbox/messages/delta{query}")).await
    }

    /// The entries of a whole round that begins with a page, and the link to the next round.
    pub(crate) async fn follow(&mut self, mut page: Value) -> (Vec<Value>, String) {
        let mut entries = Vec::new();
        loop {
            entries.extend(page["value"].as_array().unwrap().clone());
            match page["@odata.nextLink"].as_str() {
                Some(link) => page = self.page(link).await,
                None => return (entries, page["@odata.deltaLink"].as_str().unwrap().to_owned()),
            }
        }
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        let mut request = Request::post(format!("/v1.0{path}")).header("host", "localhost");
        request = request.header("content-type", "application/json");
        for (name, value) in &self.client.headers {
            request = request.header(*name, value);
        }
        self.client.send(request.body(Full::from(body.to_string())).unwrap()).await.unwrap()
    }

    /// Sends GETs below the mailbox [`ABC`] in one batch, and returns the responses in the order
    /// asked.
    pub(crate) async fn batch(&mut self, paths: &[String]) -> Vec<Value> {
        let requests: Vec<_> = paths
            .iter()
            .enumerate()
            .map(|(id, path)| {
                json!({ "id": id.to_string(), "method": "GET", "url": format!("/users/{ABC}{path}") })
            })
            .collect();
        let reply = self.post("/$batch", &json!({ "requests": requests })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let body = json_of(&reply);
        let responses = body["responses"].as_array().unwrap();
        let by_id = |id: &str| responses.iter().find(|own| own["id"] == id).unwrap().clone();
        (0..paths.len()).map(|id| by_id(&id.to_string())).collect()
    }
}
