//! Comments that clients write: exact when they come back, counted, and never half of a request.

use hyper::Request;
use serde_json::{Value, json};
use testkit::platform_contract::client::{Answer, Client, whole};

use crate::{server::Running, sources};

const PUT: &str = "/api/_private/sources/example%2Fletters/comments";
pub(crate) const SYNC: &str = "/api/v1/sources/example%2Fletters/sync?no_charge=false";
const ONE: &str = "/api/v1/sources/example%2Fletters/comments";

pub(crate) async fn start() -> (Running, Client, String) {
    let (server, client) = sources::start().await;
    let id = server.add_source("example", None).await;
    (server, client, id)
}

pub(crate) fn comment(id: &str, second: u32) -> Value {
    json!({
        "id": id,
        "timestamp": format!("2026-01-01T00:00:{second:02}Z"),
        "messages": [{ "body": { "text": format!("Text of {id}") }, "from": "a@example.com" }],
        "user_properties": { "string:Folder": "Inbox" },
    })
}

pub(crate) async fn send(client: &mut Client, path: &str, comments: &[Value]) -> Answer {
    let method = if path == PUT { "PUT" } else { "POST" };
    client.call(method, path, json!({ "comments": comments })).await
}

#[tokio::test]
async fn a_comment_comes_back_exactly_as_it_was_written() {
    let (server, mut client, source) = start().await;
    let written = json!({
        "id": "c/1~\u{e9}",
        "thread_id": "t\u{2028}",
        "timestamp": "2026-01-01T01:00:00.123456789+01:00",
        "text_format": "markdown",
        "user_properties": { "number:N": 3.5, "string:Text": "a\u{0}b", "number:Big": 12345678901234567_i64 },
        "messages": [{
            "from": "Ann <a@example.com>", "to": ["b@example.com"], "cc": [], "bcc": ["c@x"],
            "sent_at": "2026-01-01T00:00:00Z", "language": "en",
            "subject": { "text": "\u{1f600}", "translated_from": "x" },
            "body": {
                "text": "Hello\r\n", "translated_from": "y",
                "text_markup": [{ "kind": "link", "href": "https://example.com/",
                    "span": { "char_start": 0, "char_end": 5, "utf16_byte_start": 0, "utf16_byte_end": 10 } }],
                "translated_from_markup": [],
            },
            "signature": { "text": "--\nAnn", "text_markup": [] },
        }],
        "attachments": [{ "name": "a.txt", "size": 5, "content_type": ".txt", "inline": false }],
    });
    let answer = send(&mut client, PUT, std::slice::from_ref(&written)).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &br#"{"status":"ok"}"#[..]));
    let path = format!("{ONE}/c%2F1~%C3%A9?include_markup=true");
    let mut read = server.get(&path).await["comment"].take();
    let shown = read.as_object_mut().unwrap();
    assert_eq!(shown.remove("uid").unwrap(), format!("{source}.c/1~\u{e9}"));
    assert_eq!(shown.remove("source_id").unwrap(), source);
    for name in ["created_at", "last_modified", "context", "has_annotations"] {
        assert!(shown.remove(name).is_some(), "{name}");
    }
    assert_eq!(read, written);
    let plain = server.get(&format!("{ONE}/c%2F1~%C3%A9")).await;
    let body = &plain["comment"]["messages"][0]["body"];
    assert!(body.get("text_markup").is_none() && body["text"] == "Hello\r\n");
}

#[tokio::test]
async fn the_official_library_lives_with_sources_and_comments() {
    let subject = crate::server::subject().await;
    testkit::platform_contract::peer::the_official_library_lives_with_comments(subject).await;
}

#[tokio::test]
async fn what_is_there_is_replaced_only_by_those_who_have_seen_it() {
    let (server, mut client, _) = start().await;
    let first = comment("c", 1);
    assert_eq!(send(&mut client, PUT, std::slice::from_ref(&first)).await.status, 200);
    assert_eq!(
        send(&mut client, PUT, std::slice::from_ref(&first)).await.status,
        200,
        "it is the same"
    );
    let context = async |server: &Running| {
        server.get(&format!("{ONE}/c")).await["comment"]["context"].clone()
    };
    let old = context(&server).await;
    let mut other = first.clone();
    other["messages"][0]["body"]["text"] = json!("other");
    let mut nothing_else = comment("d", 1);
    let refused = send(&mut client, PUT, &[nothing_else.clone(), other.clone()]).await;
    assert_eq!(refused.status, 409);
    assert!(refused.message().contains("`comments[1].id`"), "{}", refused.message());
    assert_eq!(client.call("GET", &format!("{ONE}/d"), Value::Null).await.status, 404);
    other["context"] = old.clone();
    assert_eq!(send(&mut client, PUT, &[other.clone()]).await.status, 200);
    assert_ne!(context(&server).await, old);
    other["messages"][0]["body"]["text"] = json!("late");
    assert_eq!(send(&mut client, PUT, &[other]).await.status, 409, "the context is old");
    let read = server.get(&format!("{ONE}/c")).await;
    assert_eq!(read["comment"]["messages"][0]["body"]["text"], "other");
    // What was seen is replaced once, by whatever comes first.
    let mut ahead = comment("c", 1);
    ahead["context"] = context(&server).await;
    let mut late = ahead.clone();
    late["messages"][0]["body"]["text"] = json!("later still");
    assert_eq!(send(&mut client, PUT, &[ahead, late]).await.status, 409);
    // Twice in one request: alike is fine, different is not.
    let twice = [nothing_else.clone(), nothing_else.clone()];
    assert_eq!(send(&mut client, PUT, &twice).await.status, 200);
    let new = comment("e", 1);
    nothing_else = new.clone();
    nothing_else["timestamp"] = json!("2026-01-01T00:00:09Z");
    assert_eq!(send(&mut client, PUT, &[new, nothing_else]).await.status, 409);
    assert_eq!(client.call("GET", &format!("{ONE}/e"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn sync_counts_what_it_does() {
    let (_server, mut client, _) = start().await;
    let changed = |id: &str, pointer: &str, value: &str| {
        let mut comment = comment(id, 1);
        if pointer == "/messages/0" {
            comment["messages"][0]["signature"] = json!({ "text": "Ann" });
            return comment;
        }
        *comment.pointer_mut(pointer).unwrap() = json!(value);
        comment
    };
    let text = "/messages/0/body/text";
    let folder = "/user_properties/string:Folder";
    let from = "/messages/0/from";
    for (comments, expected) in [
        (vec![comment("a", 1), comment("b", 1), comment("c", 1)], [3, 0, 0, 0, 0]),
        (vec![comment("a", 1), comment("d", 1)], [1, 0, 1, 0, 0]),
        (
            vec![changed("a", folder, "x"), changed("b", text, "x"), changed("c", from, "x")],
            [0, 3, 0, 1, 1],
        ),
        // One id several times: the last counts, and each is counted.
        (vec![comment("n", 1), changed("n", text, "x"), changed("n", text, "x")], [1, 1, 1, 0, 1]),
        // A signature is text as well.
        (vec![changed("d", "/messages/0", "")], [0, 1, 0, 0, 1]),
    ] {
        let answer = send(&mut client, SYNC, &comments).await.json();
        let count = |name: &str| answer[name].as_u64().unwrap();
        let found = [
            count("new"),
            count("updated"),
            count("unchanged"),
            count("updated_properties_only"),
            count("updated_text_changed"),
        ];
        assert_eq!(found, expected, "{answer}");
    }
}

#[tokio::test]
async fn pages_are_ascending_and_show_each_comment_once() {
    let (server, mut client, _) = start().await;
    // Sent in the wrong order, ten at each time.
    let comments: Vec<Value> =
        (0..50).rev().map(|number| comment(&format!("{number:02}"), number / 10)).collect();
    assert_eq!(send(&mut client, SYNC, &comments).await.status, 200);
    let read = async |query: &str| {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{PUT}?limit=7{query}{after}")).await;
            let comments = page["comments"].as_array().unwrap();
            assert!(comments.len() <= 7);
            seen.extend(comments.iter().map(|own| own["id"].as_str().unwrap().to_owned()));
            let Some(continuation) = page["continuation"].as_str() else { return seen };
            after = format!("&after={continuation}");
        }
    };
    let all = read("").await;
    let expected: Vec<String> = (0..5)
        .flat_map(|second| (0..10).rev().map(move |n| format!("{:02}", second * 10 + n)))
        .collect();
    assert_eq!(all, expected);
    // A page that ends with the last comment is the last.
    let whole = server.get(&format!("{PUT}?limit=50")).await;
    assert!(whole.get("continuation").is_none());
    let mut newest = read("&direction=desc").await;
    newest.reverse();
    assert_eq!(newest, expected);
    let range = "&from_timestamp=2026-01-01T00:00:01Z&to_timestamp=2026-01-01T00:00:02%2B00:00";
    assert_eq!(read(range).await, expected[10..30]);
    let statistics = json!({
        "comment_filter": {
            "messages": {}, "timestamp": { "minimum": "2026-01-01T00:00:01Z", "maximum": "2026-01-01T00:00:02Z" },
        },
    });
    let path = "/api/v1/sources/example%2Fletters/statistics";
    let counted = client.call("POST", path, statistics).await.json();
    assert_eq!(counted["statistics"]["num_comments"], 20);
    for (filter, expected) in [
        (json!({}), 50),
        (json!({ "user_properties": { "string:Folder": { "one_of": ["Inbox"] } } }), 50),
        (json!({ "user_properties": { "Folder": { "not_one_of": ["Inbox"] } } }), 0),
        (json!({ "messages": { "from": { "domain_not_one_of": ["EXAMPLE.com"] } } }), 0),
        (json!({ "messages": { "from": { "one_of": ["a@example.com"] } } }), 50),
        (json!({ "sources": ["0123456789abcdef"] }), 0),
        (json!({ "attachments": { "has_attachments": true } }), 0),
    ] {
        let body = json!({ "comment_filter": filter });
        let counted = client.call("POST", path, body.clone()).await.json();
        assert_eq!(counted["statistics"]["num_comments"], expected, "{body}");
    }
    for query in ["limit=0", "limit=257", "after=x", "direction=up", "from_timestamp=x", "x=1"] {
        let refused = client.call("GET", &format!("{PUT}?{query}"), Value::Null).await;
        assert_eq!(refused.status, 400, "{query}");
        let name = query.split('=').next().unwrap();
        assert!(refused.message().contains(&format!("`{name}`")), "{}", refused.message());
    }
}

#[tokio::test]
async fn threads_tell_how_long_they_took() {
    let (server, mut client, _) = start().await;
    let mut comments = Vec::new();
    for (id, second, from) in [("q", 0, "ann@x"), ("r", 10, "ann@x"), ("s", 40, "bob@x")] {
        let mut own = comment(id, second);
        own["thread_id"] = json!("t");
        own["messages"][0]["from"] = json!(from);
        comments.push(own);
    }
    comments.push(comment("alone", 50));
    assert_eq!(send(&mut client, SYNC, &comments).await.status, 200);
    // Another source has a thread of the same name.
    let made = client.call("PUT", "/api/v1/sources/example/other", json!({ "source": {} })).await;
    assert_eq!(made.status, 200);
    let mut elsewhere = comment("elsewhere", 90);
    elsewhere["timestamp"] = json!("2026-01-01T00:01:30Z");
    elsewhere["thread_id"] = json!("t");
    send(&mut client, "/api/v1/sources/example/other/sync", &[elsewhere]).await;
    let page = server.get(&format!("{PUT}?include_thread_properties=true")).await;
    let expected = json!({
        "duration": 40.0, "response_time": 40.0, "num_messages": 3, "num_participants": 2,
        "first_sender": "ann@x", "thread_position": 1,
    });
    assert_eq!(page["thread_properties"][1], expected);
    assert_eq!(page["thread_properties"][3]["num_messages"], 1);
    let threads = server.get("/api/v1/sources/example/letters/threads").await;
    assert_eq!(threads["threads"], json!([{ "thread_id": "t", "num_comments": 3 }]));
    let thread = server.get("/api/_private/sources/example%2Fletters/threads/t").await;
    assert_eq!(thread["comments"].as_array().unwrap().len(), 3);
    let mut later = comment("u", 55);
    later["thread_id"] = json!("u");
    assert_eq!(send(&mut client, SYNC, &[later]).await.status, 200);
    let first = server.get("/api/v1/sources/example/letters/threads?limit=1").await;
    let path = "/api/v1/sources/example/letters/threads?limit=1&after=t";
    let second = server.get(path).await;
    assert_eq!(
        (&first["threads"][0]["thread_id"], &first["continuation"]),
        (&json!("t"), &json!("t"))
    );
    assert_eq!(second["threads"], json!([{ "thread_id": "u", "num_comments": 1 }]));
    assert!(second.get("continuation").is_none());
}

#[tokio::test]
async fn each_field_of_a_comment_is_checked() {
    let (_server, mut client, _) = start().await;
    let nodes: Vec<Value> = (0..4097).map(|_| json!({})).collect();
    let people: Vec<String> = (0..2049).map(|n| format!("{n}@x")).collect();
    let attachments: Vec<Value> =
        (0..129).map(|_| json!({ "name": "a", "size": 1, "content_type": "x" })).collect();
    let table = [
        ("/id", json!(""), "`comments[0].id`"),
        ("/id", json!("a b"), "`comments[0].id`"),
        ("/id", json!("x".repeat(1025)), "`comments[0].id`"),
        ("/timestamp", json!("yesterday"), "`comments[0].timestamp`"),
        ("/thread_id", json!("x".repeat(2057)), "`comments[0].thread_id`"),
        ("/messages", json!([]), "`comments[0].messages`"),
        ("/messages/0/from", json!("x".repeat(513)), "`comments[0].messages[0].from`"),
        ("/messages/0/from", json!(""), "`comments[0].messages[0].from`"),
        ("/messages/0/to", json!(people), "`comments[0].messages[0].to`"),
        ("/messages/0/language", json!("123456789"), "`comments[0].messages[0].language`"),
        ("/messages/0/body", json!({}), "`comments[0].messages[0].body.text`"),
        ("/messages/0/body/text", json!("x".repeat(65_537)), "`comments[0].messages[0].body.text`"),
        (
            "/messages/0/body/text_markup",
            json!(nodes),
            "`comments[0].messages[0].body.text_markup`",
        ),
        (
            "/messages/0/body/text_markup",
            json!([{ "href": "x".repeat(16_385) }]),
            "`comments[0].messages[0].body.text_markup[0].href`",
        ),
        ("/user_properties", json!({ "Folder": "x" }), "`comments[0].user_properties.Folder`"),
        ("/user_properties", json!({ "number:N": "x" }), "`comments[0].user_properties.number:N`"),
        ("/user_properties", json!({ "string:-": "x" }), "`comments[0].user_properties.string:-`"),
        ("/text_format", json!("html"), "`comments[0].text_format`"),
        ("/attachments", json!(attachments), "`comments[0].attachments`"),
        ("/attachments", json!([{ "name": "a" }]), "`comments[0].attachments[0].size`"),
        ("/context", json!(1), "`comments[0].context`"),
        ("/labels", json!(1), "`comments[0].labels`"),
    ];
    for (pointer, value, path) in table {
        let mut bad = comment("bad", 1);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[name] = value;
        // The whole request is refused, also what is right in it.
        for url in [SYNC, PUT] {
            let refused = send(&mut client, url, &[bad.clone(), comment("good", 1)]).await;
            assert_eq!(refused.status, 400, "{pointer}");
            assert!(refused.message().starts_with(path), "{path}: {}", refused.message());
        }
    }
    assert_eq!(client.call("GET", &format!("{ONE}/good"), Value::Null).await.status, 404);
    for missing in ["id", "timestamp", "messages"] {
        let mut bad = comment("bad", 1);
        bad.as_object_mut().unwrap().remove(missing);
        let refused = send(&mut client, SYNC, &[bad]).await;
        assert_eq!(refused.message(), format!("`comments[0].{missing}`: this field is required"));
    }
    let many: Vec<Value> = (0..16_385).map(|number| comment(&format!("c{number}"), 1)).collect();
    let refused = send(&mut client, SYNC, &many).await;
    assert_eq!(refused.message(), "`comments`: expected at most 16384 comments");
    assert_eq!(send(&mut client, SYNC, &many[1..]).await.json()["new"], 16_384);
}

#[tokio::test]
async fn comments_go_away_quietly() {
    let (_server, mut client, _) = start().await;
    let all = [comment("a", 1), comment("b/c", 1), comment("d", 1), comment("e", 1)];
    assert_eq!(send(&mut client, SYNC, &all).await.status, 200);
    for query in ["id=a&id=b%2Fc&id=a&id=never", "id=a", "ids=d,never"] {
        let gone = client.call("DELETE", &format!("{ONE}?{query}"), Value::Null).await;
        assert_eq!((gone.status.as_u16(), &*gone.body), (200, &br#"{"status":"ok"}"#[..]));
    }
    let left = client.call("GET", PUT, Value::Null).await.json();
    assert_eq!(left["comments"].as_array().unwrap().len(), 1);
    assert_eq!(client.call("DELETE", ONE, Value::Null).await.status, 400);
    let many: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    let refused =
        client.call("DELETE", &format!("{ONE}?ids={}", many.join(",")), Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.message()),
        (400, "`id`: expected at most 1000 ids")
    );
}

#[tokio::test]
async fn attachments_and_audio_come_back_byte_for_byte() {
    let (server, mut client, source) = start().await;
    let form = |content: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"0.a.txt\"\r\n\
             Content-Type: text/plain\r\n\r\n{content}\r\n--b--\r\n"
        )
    };
    let base = format!("/api/_private/sources/id:{source}/comments/c%2F1");
    for (path, content) in [("attachments/0", "hello"), ("audio", "RIFF")] {
        let request = Request::put(format!("{base}/{path}"))
            .header("content-type", "multipart/form-data; boundary=b");
        let answer = client.try_send(request, whole(form(content))).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        if path == "attachments/0" {
            let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
            assert_eq!(answer.json()["content_hash"], hash);
        }
    }
    let mut own = comment("c/1", 1);
    let about = |name: &str| json!({ "name": name, "size": 5, "content_type": ".txt" });
    own["attachments"] = json!([about("sent"), about("not sent")]);
    assert_eq!(send(&mut client, SYNC, &[own]).await.status, 200);
    let read = client.call("GET", &format!("{ONE}/c%2F1"), Value::Null).await.json();
    let attachments = &read["comment"]["attachments"];
    assert!(attachments[1].get("attachment_reference").is_none());
    let reference = attachments[0]["attachment_reference"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/attachments/{reference}");
    let file = client.call("GET", &path, Value::Null).await;
    assert_eq!((file.status.as_u16(), &*file.body), (200, &b"hello"[..]));
    assert_eq!(file.header("content-type"), Some("application/octet-stream"));
    assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    let audio = client.call("GET", &format!("{base}/audio"), Value::Null).await;
    assert_eq!((audio.status.as_u16(), &*audio.body), (200, &b"RIFF"[..]));
    // A comment of the same id in another source has nothing of it.
    let made = client.call("PUT", "/api/v1/sources/example/other", json!({ "source": {} })).await;
    let other = made.json()["source"]["id"].as_str().unwrap().to_owned();
    let mut own = comment("c/1", 1);
    own["attachments"] = json!([about("sent")]);
    send(&mut client, "/api/v1/sources/example/other/sync", &[own]).await;
    let read = server.get("/api/v1/sources/example/other/comments/c%2F1").await;
    assert!(read["comment"]["attachments"][0].get("attachment_reference").is_none(), "{read}");
    let (_, rest) = reference.split_once('-').unwrap();
    let stolen = format!("/api/v1/attachments/{other}-{rest}");
    assert_eq!(client.call("GET", &stolen, Value::Null).await.status, 404);
    let request = Request::put(format!("{base}/attachments/10000"))
        .header("content-type", "multipart/form-data; boundary=b");
    assert_eq!(client.try_send(request, whole(form("x"))).await.unwrap().status, 400);
    let delete = format!("{ONE}?id=c%2F1");
    assert_eq!(client.call("DELETE", &delete, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", &path, Value::Null).await.status, 404);
    let audio = client.call("GET", &format!("{base}/audio"), Value::Null).await;
    assert_eq!(audio.status, 404);
}
