//! Search over HTTP: what is shown, to whom, and what a mistake is called.

use serde_json::{Value, json};
use testkit::platform_contract::client::Client;

use crate::server::Running;

const SEARCH: &str = "/api/_private/search";
const VOLUME: &str = "/api/_private/search/volume";

fn comment(id: &str, time: &str, thread: Option<&str>, subject: &str, body: &str) -> Value {
    let mut comment = json!({
        "id": id,
        "timestamp": time,
        "messages": [{
            "from": "Ann Lee <ann@mail.example.com>",
            "to": ["bob@example.org"],
            "subject": { "text": subject },
            "body": { "text": body },
        }],
        "user_properties": { "string:Folder": "Inbox/Claims", "number:Score": 5.0 },
    });
    if let Some(thread) = thread {
        comment["thread_id"] = thread.into();
    }
    comment
}

/// Two projects with one source each, and the ids of those.
async fn start() -> (Running, Client, [String; 2]) {
    let server = Running::start().await;
    let mut sources = Vec::new();
    for project in ["own", "other"] {
        server.add_project(project).await;
        sources.push(server.add_source(project, None).await);
    }
    let mut client = server.client().await;
    let long =
        format!("{} The Café invoice is due. {}", "before ".repeat(100), "after ".repeat(100));
    let mut own = [
        comment("a", "2026-01-30T10:00:00Z", Some("t"), "Invoice 😀", "first of all"),
        comment("b", "2026-01-31T10:00:00Z", Some("t"), "Re: Invoice", &long),
        comment("c", "2026-02-02T10:00:00Z", None, "Other", "no such thing: 日本語"),
    ];
    own[2]["attachments"] = json!([{ "name": "a.pdf", "size": 1, "content_type": ".pdf" }]);
    let other = [comment("d", "2026-02-01T10:00:00Z", Some("t"), "Invoice of others", "secret")];
    for (project, comments) in [("own", &own[..]), ("other", &other[..])] {
        let path = format!("/api/v1/sources/{project}/letters/sync");
        let answer = client.call("POST", &path, json!({ "comments": comments })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let [own, other] = <[String; 2]>::try_from(sources).unwrap();
    (server, client, [own, other])
}

async fn ids(client: &mut Client, body: Value) -> Vec<String> {
    let found = client.call("POST", SEARCH, body.clone()).await;
    assert_eq!(found.status, 200, "{body}: {}", found.message());
    let results = found.json()["results"].as_array().unwrap().clone();
    results.iter().map(|own| own["comment_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn queries_and_filters_find_the_newest_first() {
    let (_server, mut client, [own, _]) = start().await;
    for (body, expected) in [
        (json!({}), vec!["c", "d", "b", "a"]),
        (json!({ "query": "invoice" }), vec!["d", "b", "a"]),
        (json!({ "query": "cafe due" }), vec!["b"]),
        (json!({ "query": "\"invoice is due\"" }), vec!["b"]),
        (json!({ "query": "subject:inv* -re" }), vec!["d", "a"]),
        (json!({ "query": "日本" }), vec!["c"]),
        (json!({ "query": "source:own/letters before:2026-02-01" }), vec!["b", "a"]),
        (json!({ "query": "invoice", "filter": { "projects": ["own"] } }), vec!["b", "a"]),
        (json!({ "filter": { "sources": [own], "thread_id": "t" } }), vec!["b", "a"]),
        (
            json!({ "filter": { "from_domains": ["example.com"], "sources": [own] } }),
            vec!["c", "b", "a"],
        ),
        (json!({ "filter": { "from_domains": ["example.org"] } }), vec![]),
        (json!({ "filter": { "domains": ["example.org"], "projects": ["other"] } }), vec!["d"]),
        (
            json!({ "filter": { "user_properties": { "number:Score": [4, 5], "string:folder": ["inbox/claims"] },
            "projects": ["other"] } }),
            vec!["d"],
        ),
        (json!({ "filter": { "user_properties": { "number:Score": [4] } } }), vec![]),
        (
            json!({ "filter": { "user_properties": { "number:Score": { "minimum": 4.5 } } } }),
            vec!["c", "d", "b", "a"],
        ),
        (
            json!({ "filter": { "user_properties": { "number:score": { "minimum": 5, "maximum": 5 } } } }),
            vec!["c", "d", "b", "a"],
        ),
        (json!({ "filter": { "user_properties": { "number:Score": { "maximum": 4 } } } }), vec![]),
        (json!({ "query": "prop:Score>-1 prop:Score<=5" }), vec!["c", "d", "b", "a"]),
        (json!({ "query": "prop:Score<5" }), vec![]),
        (json!({ "filter": { "has_attachments": true } }), vec!["c"]),
        (json!({ "filter": { "has_attachments": false } }), vec!["d", "b", "a"]),
        (json!({ "filter": { "to_domains": ["example.com"] } }), vec![]),
        (json!({ "filter": { "to_domains": ["example.org"], "projects": ["other"] } }), vec!["d"]),
        (
            json!({ "filter": { "timestamp": { "minimum": "2026-01-31T10:00:00Z",
            "maximum": "2026-02-02T10:00:00Z" } } }),
            vec!["d", "b"],
        ),
        (json!({ "query": "invoice", "group_by": "thread" }), vec!["d", "b"]),
    ] {
        assert_eq!(ids(&mut client, body.clone()).await, expected, "{body}");
    }
    let mut body = json!({ "limit": 1, "query": "invoice" });
    let first = client.call("POST", SEARCH, body.clone()).await.json();
    assert_eq!(first["count"], json!({ "kind": "exact", "value": 3 }));
    assert_eq!(first["index"]["complete"], true);
    body["continuation"] = first["continuation"].clone();
    let second = client.call("POST", SEARCH, body.clone()).await.json();
    assert!(second.get("count").is_none());
    body["continuation"] = second["continuation"].clone();
    let third = client.call("POST", SEARCH, body).await.json();
    assert_eq!(third["results"][0]["comment_id"], "a");
    assert!(third.get("continuation").is_none());
    let body = json!({ "query": "invoice", "group_by": "thread", "filter": { "sources": [own] } });
    let thread = client.call("POST", SEARCH, body).await.json()["results"][0]["thread"].clone();
    let two = json!({ "kind": "exact", "value": 2 });
    assert_eq!(thread, json!({ "num_messages": two, "num_matching": two }));
}

#[tokio::test]
async fn what_was_found_is_shown_in_the_original() {
    let (_server, mut client, [own, _]) = start().await;
    let found = client
        .call("POST", SEARCH, json!({ "query": "cafe invoice ann", "count_up_to": 0 }))
        .await
        .json();
    let hit = &found["results"][0];
    assert!(found.get("count").is_none());
    assert_eq!(hit["uid"], format!("{own}.b"));
    assert_eq!(hit["source"], json!({ "owner": "own", "name": "letters" }));
    assert_eq!((&hit["num_recipients"], &hit["to"]), (&json!(1), &json!(["bob@example.org"])));
    let marked = |value: &Value| -> Vec<String> {
        let text: Vec<u16> = value["text"].as_str().unwrap().encode_utf16().collect();
        let spans = value["highlights"].as_array().unwrap().iter();
        let at =
            |span: &Value, name: &str| usize::try_from(span[name].as_u64().unwrap()).unwrap() / 2;
        spans
            .map(|span| &text[at(span, "utf16_byte_start")..at(span, "utf16_byte_end")])
            .map(|units| String::from_utf16(units).unwrap())
            .collect()
    };
    assert_eq!(marked(&hit["subject"]), ["Invoice"]);
    assert_eq!(marked(&hit["from"]), ["Ann", "ann"]);
    assert_eq!(marked(&hit["snippet"]), ["Café", "invoice"]);
    let (text, start) = (hit["snippet"]["text"].as_str().unwrap(), &hit["snippet"]["char_start"]);
    assert!(text.chars().count() <= 240 && start.as_u64().unwrap() > 500, "{hit}");
}

#[tokio::test]
async fn nobody_finds_or_counts_what_is_not_theirs() {
    let (server, mut client, [own, other]) = start().await;
    let (_, token) = server.add_user("reader", &[], &[("own", &["sources-read"])]).await;
    let (_, none) = server.add_user("none", &[], &[("own", &["buckets-read"])]).await;
    client.token = token;
    assert_eq!(ids(&mut client, json!({})).await, ["c", "b", "a"]);
    assert_eq!(ids(&mut client, json!({ "query": "secret" })).await, [""; 0]);
    assert_eq!(ids(&mut client, json!({ "query": "-thing" })).await, ["b", "a"]);
    let found = client.call("POST", SEARCH, json!({ "query": "invoice" })).await.json();
    assert_eq!(found["count"]["value"], 2);
    for filter in [json!({ "sources": [other] }), json!({ "projects": ["other"] })] {
        for (path, more) in [(SEARCH, None), (VOLUME, Some("day"))] {
            let mut body = json!({ "filter": filter });
            if let Some(interval) = more {
                body["interval"] = interval.into();
            }
            let refused = client.call("POST", path, body).await;
            assert_eq!(refused.status, 404, "{}", refused.message());
            let made_up = refused.message().replace(&other, "x").replace("other", "x");
            assert!(made_up.ends_with("`x` was not found"), "{made_up}");
        }
    }
    let refused = client.call("POST", SEARCH, json!({ "query": "source:other/letters" })).await;
    assert_eq!(refused.status, 400);
    let made_up = client.call("POST", SEARCH, json!({ "query": "source:nowhere/letters" })).await;
    assert_eq!(refused.message().replace("other", "nowhere"), made_up.message());
    let volume = client.call("POST", VOLUME, json!({ "interval": "month" })).await.json();
    assert_eq!(volume["total"], 3);
    let thread = format!("/api/_private/sources/id:{other}/threads/t");
    assert_eq!(client.call("GET", &thread, Value::Null).await.status, 404);
    let thread = format!("/api/_private/sources/id:{own}/threads/t");
    let shown = client.call("GET", &thread, Value::Null).await.json();
    let order: Vec<&str> = shown["comments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| own["id"].as_str().unwrap())
        .collect();
    assert_eq!(order, ["a", "b"]);
    let first = client.call("GET", &format!("{thread}?limit=1"), Value::Null).await.json();
    let path = format!("{thread}?limit=1&after={}", first["continuation"].as_str().unwrap());
    let second = client.call("GET", &path, Value::Null).await.json();
    assert_eq!((&second["comments"][0]["id"], second.get("continuation")), (&json!("b"), None));
    client.token = none;
    assert_eq!(ids(&mut client, json!({})).await, [""; 0]);
    let volume = client.call("POST", VOLUME, json!({ "interval": "day" })).await.json();
    assert_eq!((&volume["total"], &volume["volume"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn the_volume_is_counted_by_day_week_and_month() {
    let (_server, mut client, _) = start().await;
    for (body, expected, total) in [
        (
            json!({ "interval": "month" }),
            json!([
                { "start": "2026-01-01T00:00:00Z", "count": 2 }, { "start": "2026-02-01T00:00:00Z", "count": 2 },
            ]),
            4,
        ),
        (
            json!({ "interval": "day", "filter": { "has_attachments": true } }),
            json!([{ "start": "2026-02-02T00:00:00Z", "count": 1 }]),
            1,
        ),
        (
            json!({ "interval": "week", "query": "invoice" }),
            json!([
                { "start": "2026-01-26T00:00:00Z", "count": 3 },
            ]),
            3,
        ),
        (
            json!({ "interval": "day", "filter": { "timestamp": { "minimum": "2026-01-30T11:00:00Z" },
            "projects": ["own"] } }),
            json!([
                { "start": "2026-01-31T00:00:00Z", "count": 1 }, { "start": "2026-02-02T00:00:00Z", "count": 1 },
            ]),
            2,
        ),
    ] {
        let volume = client.call("POST", VOLUME, body.clone()).await.json();
        assert_eq!((&volume["volume"], &volume["total"]), (&expected, &json!(total)), "{body}");
        assert_eq!((&volume["complete"], &volume["since"]), (&json!(true), &Value::Null));
    }
}

#[tokio::test]
async fn what_changed_is_found_as_it_is_now() {
    let (_server, mut client, _) = start().await;
    let path = "/api/v1/sources/own/letters/sync";
    let changed = comment("a", "2026-03-01T10:00:00Z", None, "Reminder", "first of all");
    client.call("POST", path, json!({ "comments": [changed] })).await;
    assert_eq!(ids(&mut client, json!({ "query": "invoice" })).await, ["d", "b"]);
    assert_eq!(ids(&mut client, json!({ "query": "first" })).await, ["a"]);
    let path = "/api/v1/sources/own/letters/comments?id=a";
    assert_eq!(client.call("DELETE", path, Value::Null).await.status, 200);
    assert_eq!(ids(&mut client, json!({ "query": "first" })).await, [""; 0]);
    let volume = client.call("POST", VOLUME, json!({ "interval": "month" })).await.json();
    assert_eq!(volume["total"], 3);
    assert_eq!(client.call("DELETE", "/api/v1/sources/own/letters", Value::Null).await.status, 200);
    assert_eq!(ids(&mut client, json!({})).await, ["d"]);
}

#[tokio::test]
async fn a_mistake_is_named_with_its_place() {
    let (_server, mut client, _) = start().await;
    for (path, body, expected) in [
        (
            SEARCH,
            json!({ "query": "😀 \"a" }),
            "`query`: at character 3: the quotation mark is not closed",
        ),
        (SEARCH, json!({ "query": 5 }), "`query`: expected a string"),
        (SEARCH, json!({ "text": "" }), "`text`: unknown field"),
        (SEARCH, json!({ "limit": 0 }), "`limit`: expected a number from 1 to 100"),
        (SEARCH, json!({ "group_by": "x" }), "`group_by`: 'x' is not one of thread"),
        (
            SEARCH,
            json!({ "continuation": "x" }),
            "`continuation`: this continuation was not issued here",
        ),
        (
            SEARCH,
            json!({ "filter": { "domains": [] } }),
            "`filter.domains`: expected 1 to 128 values",
        ),
        (
            SEARCH,
            json!({ "filter": { "user_properties": { "Folder": ["x"] } } }),
            "`filter.user_properties.Folder`: the name must begin with `string:` or `number:`",
        ),
        (
            SEARCH,
            json!({ "filter": { "user_properties": { "number:x": ["y"] } } }),
            "`filter.user_properties.number:x[0]`: expected a number",
        ),
        (VOLUME, json!({}), "`interval`: this field is required"),
        (
            VOLUME,
            json!({ "interval": "year" }),
            "`interval`: 'year' is not one of day, week, month",
        ),
    ] {
        let refused = client.call("POST", path, body.clone()).await;
        assert_eq!((refused.status.as_u16(), &*refused.message()), (400, expected), "{body}");
        if body["query"].is_string() {
            let at = json!({ "char_start": 2, "char_end": 3, "utf16_byte_start": 6, "utf16_byte_end": 8 });
            assert_eq!(refused.json()["position"], at);
        }
    }
}
