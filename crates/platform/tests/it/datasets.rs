//! Datasets, what people have said in them, and streams.

use serde_json::{Value, json};
use testkit::platform_contract::client::Client;

use crate::server::Running;

pub(crate) const PATH: &str = "/api/v1/datasets/own/ds";
pub(crate) const STREAM: &str = "/api/v1/datasets/own/ds/streams/st";

/// A project with the source `letters`, whose id comes as well.
pub(crate) async fn start() -> (Running, Client, String) {
    let server = Running::start().await;
    server.add_project("own").await;
    let source = server.add_source("own", None).await;
    let client = server.client().await;
    (server, client, source)
}

pub(crate) fn dataset(sources: &[&str]) -> Value {
    json!({ "dataset": { "source_ids": sources, "title": "D", "has_sentiment": false,
        "label_defs": [{ "name": "Claim" }, { "name": "Claim > New", "instructions": "I" }],
        "entity_defs": [{ "name": "amount", "title": "Amount", "inherits_from": [],
                          "trainable": true, "_entity_def_flags": [] }],
        "general_fields": [{ "api_name": "a" }], "_dataset_flags": ["qos"] } })
}

async fn write(client: &mut Client, ids: &[&str], text: &str) {
    // What is written together comes in the order of its times.
    let comment = |(second, id): (usize, &&str)| {
        json!({ "id": id, "timestamp": format!("2024-01-01T00:00:0{second}Z"),
                "messages": [{ "body": { "text": text }, "from": "a@x.org" }] })
    };
    let comments: Vec<Value> = ids.iter().enumerate().map(comment).collect();
    let body = json!({ "comments": comments });
    let put = client.call("POST", "/api/v1/sources/own/letters/sync", body).await;
    assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
}

#[tokio::test]
async fn a_dataset_keeps_what_it_is_told_and_shows_what_the_official_client_needs() {
    let (server, mut client, source) = start().await;
    let made = client.call("PUT", PATH, dataset(&[&source, &source])).await;
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let own = &made.json()["dataset"];
    assert_eq!(own["source_ids"], json!([source]));
    assert_eq!(own["model_family"], "english");
    assert_eq!(own["_dataset_flags"], json!(["qos"]));
    assert_eq!(own["label_defs"][1]["instructions"], "I");
    assert_eq!(own["label_groups"][0]["name"], "default");
    assert_eq!(own["label_groups"][0]["label_defs"], own["label_defs"]);
    assert!(own["entity_defs"][0]["id"].is_string() && own["entity_defs"][0]["color"].is_u64());
    assert_eq!(&server.get("/api/v1/datasets").await["datasets"][0], own);
    let by_id = format!("/api/v1/datasets/id:{}", own["id"].as_str().unwrap());
    assert_eq!(&server.get(&by_id).await["dataset"], own);
    assert_eq!(client.call("PUT", PATH, dataset(&[])).await.status, 409);
    let labels = json!({ "label_defs": [{ "name": "Claim", "title": "T" }, { "name": "Other" }] });
    let path = "/api/_private/datasets/own/ds/labels/default";
    assert_eq!(client.call("PUT", path, labels).await.status, 200);
    let changed = json!({ "dataset": { "title": "E" } });
    let changed = client.call("POST", PATH, changed).await.json();
    let names: Vec<_> = changed["dataset"]["label_defs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (&changed["dataset"]["title"], names),
        (&json!("E"), vec!["Claim", "Claim > New", "Other"])
    );
    assert_eq!(changed["dataset"]["label_defs"][0]["title"], "T");
    // The official client ends when an event names a dataset that is not in the table.
    let events = json!({ "filter": {} });
    let audit = client.call("POST", "/api/v1/audit_events/query", events).await.json();
    let of = |list: &str, field: &str| -> Vec<Value> {
        let rows = audit[list].as_array().unwrap().iter();
        rows.flat_map(|row| match &row[field] {
            Value::Array(ids) => ids.clone(),
            id => vec![id.clone()],
        })
        .collect()
    };
    let named = of("audit_events", "dataset_ids");
    assert!(named.contains(&own["id"]), "{audit}");
    assert!(named.iter().all(|id| of("datasets", "id").contains(id)), "{audit}");
    let sources = of("audit_events", "source_ids");
    assert!(sources.iter().all(|id| of("sources", "id").contains(id)), "{audit}");
    assert_eq!(client.call("DELETE", &by_id, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", PATH, Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_a_dataset_cannot_be_is_refused() {
    let (server, mut client, source) = start().await;
    let table = [
        ("model_family", json!("klingon"), "'klingon' is not one of"),
        ("source_ids", json!(["0123456789abcdef"]), "dataset.source_ids[0]"),
        ("source_ids", json!("all"), "dataset.source_ids"),
        ("source_ids", json!(vec![source.as_str(); 1025]), "expected at most 1024 ids"),
        ("label_defs", json!([{ "title": "x" }]), "dataset.label_defs[0].name"),
        ("label_groups", json!([{ "name": "g", "labels": [] }]), "unknown field"),
        ("entity_defs", json!([{ "name": "x" }]), "dataset.entity_defs[0].title"),
        ("has_sentiment", json!("no"), "dataset.has_sentiment"),
        ("copy_annotations_from", json!("0123456789abcdef"), "copy_annotations_from"),
        ("colour", json!("red"), "`dataset.colour`: unknown field"),
    ];
    for (field, value, named) in table {
        let mut body = dataset(&[&source]);
        body["dataset"][field] = value;
        let refused = client.call("PUT", PATH, body).await;
        assert_eq!(refused.status, 400, "{field}");
        assert!(refused.message().contains(named), "{field}: {}", refused.message());
    }
    // Somebody else's source is as one that is not there.
    server.add_project("other").await;
    let (_, token) = server.add_user("admin2", &[], &[("other", &["datasets-admin"])]).await;
    client.token = token;
    let refused = client.call("PUT", "/api/v1/datasets/other/ds", dataset(&[&source])).await;
    assert_eq!(refused.status, 400, "{}", refused.message());
    assert_eq!(server.get("/api/v1/datasets").await["datasets"], json!([]));
    // And so is what was said in a dataset that the caller cannot read.
    let made = server.client().await.call("PUT", PATH, dataset(&[&source])).await.json();
    let mut copy = dataset(&[]);
    copy["dataset"]["copy_annotations_from"] = made["dataset"]["id"].clone();
    let refused = client.call("PUT", "/api/v1/datasets/other/ds", copy).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("copy_annotations_from"), "{}", refused.message());
    let (_, token) = server.add_user("blind", &[], &[("own", &["buckets-read"])]).await;
    client.token = token;
    let seen = client.call("GET", "/api/v1/datasets", Value::Null).await.json();
    assert_eq!(seen["datasets"], json!([]));
}

#[tokio::test]
async fn what_was_said_about_a_comment_is_given_back() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    write(&mut client, &["a", "b.c", "d"], "Hello").await;
    let path = |id: &str| format!("/api/_private/datasets/own/ds/labellings/{source}.{id}");
    let said = |name: &str| {
        json!({ "labelling": [{ "group": "default",
        "assigned": [{ "name": name, "sentiment": "positive" }], "dismissed": [] }] })
    };
    for (id, name) in [("a", "Claim"), ("b.c", "Other"), ("a", "New")] {
        let done = client.call("POST", &path(id), said(name)).await;
        assert_eq!(done.json()["labelling"][0]["assigned"][0]["name"], name);
    }
    let entities = json!({ "entities": {
        "assigned": [{ "name": "amount", "formatted_value": "5" }], "dismissed": [] } });
    let both = client.call("POST", &path("a"), entities).await.json();
    assert_eq!(both["labelling"][0]["assigned"][0]["name"], "New");
    assert_eq!(both["entities"]["assigned"][0]["name"], "amount");
    let list = "/api/_private/datasets/own/ds/labellings";
    let query = format!("{list}?source_id={source}&return_predictions=false&limit=1");
    let first = client.call("GET", &query, Value::Null).await.json();
    let after = first["after"].as_str().unwrap();
    let second = client.call("GET", &format!("{query}&after={after}"), Value::Null).await.json();
    let id = |page: &Value| page["results"][0]["comment"]["id"].clone();
    assert_eq!((id(&first), id(&second)), (json!("a"), json!("b.c")));
    // The official client goes on until a page is empty.
    let after = second["after"].as_str().unwrap();
    let last = client.call("GET", &format!("{query}&after={after}"), Value::Null).await.json();
    assert_eq!((&last["results"], &last["after"]), (&json!([]), &Value::Null));
    let named = format!("{list}?id={source}.d&id={source}.a");
    let named = client.call("GET", &named, Value::Null).await.json();
    assert_eq!(named["results"][0]["labelling"], json!([]));
    assert_eq!(named["results"][1]["comment"]["has_annotations"], true);
    // Tools that delete what nobody has looked at read it in the list of the source.
    let marked = async |client: &mut Client| {
        let all = "/api/_private/sources/own%2Fletters/comments";
        let all = client.call("GET", all, Value::Null).await.json();
        let all = all["comments"].as_array().unwrap().clone();
        all.iter().map(|own| own["has_annotations"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(marked(&mut client).await, [true, true, false]);
    // A comment of the same id in another source is another one.
    let twin = json!({ "id": "a", "timestamp": "2024-01-01T00:00:00Z", "messages": [{ "body": { "text": "x" } }] });
    let made = client.call("PUT", "/api/v1/sources/own/twin", json!({ "source": {} })).await;
    assert_eq!(made.status, 200);
    let body = json!({ "comments": [twin] });
    client.call("POST", "/api/v1/sources/own/twin/sync", body).await;
    let twin = client.call("GET", "/api/v1/sources/own/twin/comments/a", Value::Null).await.json();
    assert_eq!(twin["comment"]["has_annotations"], false);
    let nothing = json!({ "labelling": [{ "group": "default", "assigned": [] }] });
    client.call("POST", &path("b.c"), nothing).await;
    assert_eq!(marked(&mut client).await, [true, false, false]);
    client.call("POST", &path("b.c"), said("Other")).await;
    assert_eq!(client.call("POST", &path("none"), said("x")).await.status, 404);
    let elsewhere = "/api/_private/datasets/own/ds/labellings/0123456789abcdef.a";
    assert_eq!(client.call("POST", elsewhere, said("x")).await.status, 404);
    // Nor is anything said about a comment of a source that the dataset has not.
    let made =
        client.call("PUT", "/api/v1/sources/own/other", json!({ "source": {} })).await.json();
    let other = made["source"]["id"].as_str().unwrap().to_owned();
    let body = json!({ "comments": [{ "id": "o", "timestamp": "2024-01-01T00:00:00Z",
                                      "messages": [{ "body": { "text": "x" } }] }] });
    client.call("POST", "/api/v1/sources/own/other/sync", body).await;
    let outside = format!("{list}/{other}.o");
    assert_eq!(client.call("POST", &outside, said("x")).await.status, 404);
    let named = client.call("GET", &format!("{list}?id={other}.o"), Value::Null).await.json();
    assert_eq!(named["results"], json!([]));
    // Groups are replaced one by one, and are not endless.
    let mut second = said("Second");
    second["labelling"][0]["group"] = json!("second");
    let groups = |shown: &Value| -> Vec<Value> {
        shown["labelling"].as_array().unwrap().iter().map(|own| own["group"].clone()).collect()
    };
    let both = client.call("POST", &path("d"), said("First")).await.json();
    assert_eq!(groups(&both), ["default"]);
    assert_eq!(
        groups(&client.call("POST", &path("d"), second).await.json()),
        ["default", "second"]
    );
    assert_eq!(
        groups(&client.call("POST", &path("d"), said("New")).await.json()),
        ["second", "default"]
    );
    let many =
        json!({ "labelling": [{ "group": "g", "assigned": vec![json!({ "name": "x" }); 1025] }] });
    assert_eq!(client.call("POST", &path("d"), many).await.status, 400);
    let nothing = |group: &str| json!({ "group": group, "assigned": [] });
    let nothing = json!({ "labelling": [nothing("default"), nothing("second")] });
    client.call("POST", &path("d"), nothing).await;
    // A second dataset begins with what was said in the first.
    let first = client.call("GET", PATH, Value::Null).await.json()["dataset"]["id"].clone();
    let mut copy = dataset(&[&source]);
    copy["dataset"]["copy_annotations_from"] = first;
    assert_eq!(client.call("PUT", "/api/v1/datasets/own/two", copy).await.status, 200);
    let list = client.call("GET", "/api/_private/datasets/own/two/labellings", Value::Null).await;
    let taken = list.json()["results"].as_array().unwrap().len();
    // What has no source there does not come along, not even unseen.
    let both = json!({ "dataset": { "source_ids": [source, other] } });
    assert_eq!(client.call("POST", PATH, both.clone()).await.status, 200);
    assert_eq!(client.call("POST", &outside, said("x")).await.status, 200);
    let mut copy = dataset(&[&source]);
    copy["dataset"]["copy_annotations_from"] =
        client.call("GET", PATH, Value::Null).await.json()["dataset"]["id"].clone();
    let three = "/api/v1/datasets/own/three";
    assert_eq!(client.call("PUT", three, copy).await.status, 200);
    assert_eq!(client.call("POST", three, both).await.status, 200);
    let list = client.call("GET", "/api/_private/datasets/own/three/labellings", Value::Null).await;
    assert_eq!((taken, list.json()["results"].as_array().unwrap().len()), (3, 3));
}

#[tokio::test]
async fn statistics_count_the_comments_of_all_sources() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    write(&mut client, &["a", "b"], "Hello").await;
    let path = "/api/_private/datasets/own/ds/statistics";
    let asked = json!({ "comment_filter": {}, "label_timeseries": false, "label_property_timeseries": false });
    let answer = client.call("POST", path, asked).await.json();
    assert_eq!(answer["statistics"]["num_comments"], 2);
    let none = json!({ "comment_filter": { "timestamp": { "maximum": "2020-01-01T00:00:00Z" } } });
    assert_eq!(client.call("POST", path, none).await.json()["statistics"]["num_comments"], 0);
    let labels = json!({ "comment_filter": {}, "attribute_filters": [{ "attribute": "labels" }] });
    let refused = client.call("POST", path, labels).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("nothing is predicted"), "{}", refused.message());
}

// The official client shows nothing of a page in which one entity has no characters.
#[tokio::test]
async fn an_entity_is_shown_with_its_characters_and_only_where_there_is_text() {
    let (_server, mut client, source) = start().await;
    let mut definition = dataset(&[&source]);
    let form = json!([{ "name": "Sum", "kind": "amount" }]);
    definition["dataset"]["label_defs"][0]["moon_form"] = form;
    assert_eq!(client.call("PUT", PATH, definition).await.status, 200);
    write(&mut client, &["a"], "\u{1f600} 5 \u{20ac}").await;
    let path = format!("/api/_private/datasets/own/ds/labellings/{source}.a");
    let span = |from: u32, to: u32| {
        json!({ "content_part": "body", "message_index": 0,
                "utf16_byte_start": from, "utf16_byte_end": to })
    };
    let full = json!({ "content_part": "body", "message_index": 0, "char_start": 2, "char_end": 5,
                       "utf16_byte_start": 6, "utf16_byte_end": 12 });
    let entities = |entity: Value| json!({ "entities": { "assigned": [entity] } });
    // With one span, as the client writes it, with several, and as it reads them.
    for (name, value) in
        [("span", span(6, 12)), ("spans", json!([span(6, 12)])), ("spans", json!([full]))]
    {
        let entity = json!({ "name": "amount", "formatted_value": "5 EUR", name: value });
        let done = client.call("POST", &path, entities(entity)).await;
        assert_eq!(done.status, 200, "{}", done.message());
        let shown = &done.json()["entities"]["assigned"][0];
        let expected = json!({ "name": "amount", "formatted_value": "5 EUR", "spans": [full] });
        assert_eq!(*shown, expected);
    }
    let off = |span: &Value, name: &str, value: Value| {
        let mut span = span.clone();
        span[name] = value;
        span
    };
    let field = json!({ "name": "Sum", "formatted_value": "5", "spans": [span(6, 8)] });
    let form = json!({ "moon_forms": [{ "group": "default", "assigned": [
        { "label": { "name": "Claim" }, "captures": [{ "fields": [field] }] }] }] });
    let shown = client.call("POST", &path, form).await.json()["moon_forms"][0].clone();
    let field = &shown["assigned"][0]["captures"][0]["fields"][0];
    assert_eq!((&field["kind"], &field["document_spans"]), (&json!("amount"), &json!([])));
    assert_eq!(field["spans"][0]["char_end"], 3);
    for (field, value, why) in [
        ("span", span(2, 12), "utf16_byte_start`: no character"),
        ("span", span(6, 13), "utf16_byte_end`: no character"),
        ("span", span(6, 14), "utf16_byte_end`: no character"),
        ("span", span(8, 6), "this is before the start"),
        ("spans", json!([{ "content_part": "body" }]), "spans[0].message_index"),
        ("spans", json!(vec![span(6, 8); 257]), "expected at most 256 spans"),
        ("span", off(&full, "char_start", json!(3)), "char_start`: expected 2"),
        ("span", off(&full, "char_end", json!(4)), "char_end`: expected 5"),
        (
            "span",
            off(&span(0, 4), "content_part", json!("subject")),
            "utf16_byte_end`: no character",
        ),
        ("spans", json!([{ "content_part": "head" }]), "'head' is not one of body"),
        ("formatted_value", Value::Null, "expected a string"),
        ("colour", json!(1), "entities.assigned[0].colour`: unknown field"),
    ] {
        let mut entity = json!({ "name": "amount", "formatted_value": "5" });
        entity[field] = value;
        let refused = client.call("POST", &path, entities(entity)).await;
        assert_eq!(refused.status, 400, "{why}");
        assert!(refused.message().contains(why), "{}", refused.message());
    }
    let list = "/api/_private/datasets/own/ds/labellings";
    let kept = client.call("GET", list, Value::Null).await.json();
    assert_eq!(kept["results"][0]["entities"]["assigned"][0]["spans"], json!([full]));
}

#[tokio::test]
async fn comments_are_found_by_their_attachments_and_the_properties_to_filter_by_are_listed() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    let comment = |id: &str, names: &[&str], properties: Value| {
        let attachment = |name: &&str| json!({ "name": name, "size": 1, "content_type": ".Bin" });
        let attachments: Vec<_> = names.iter().map(attachment).collect();
        json!({ "id": id, "timestamp": format!("2024-01-0{id}T00:00:00Z"), "attachments": attachments,
                "messages": [{ "body": { "text": "x" } }], "user_properties": properties })
    };
    let comments = [
        comment("1", &[], json!({ "string:Team": "Red", "number:Age": 3 })),
        comment("2", &["a.PDF"], json!({ "string:Team": "Blue" })),
        comment("3", &["b.txt", "c.pdf"], json!({})),
    ];
    let body = json!({ "comments": comments });
    client.call("POST", "/api/v1/sources/own/letters/sync", body).await;
    let of = |attribute: &str, filter: Value| json!({ "attribute": format!("attachment_property_{attribute}"), "filter": filter });
    let number = |from: Option<u32>, to: Option<u32>| {
        let filter = json!({ "kind": "number_range", "minimum": from, "maximum": to });
        of("num_attachments", filter)
    };
    let types = |any_of: &[&str]| of("types", json!({ "kind": "string_any_of", "any_of": any_of }));
    for (filter, expected) in [
        (number(Some(1), None), &["3", "2"][..]),
        (number(None, Some(0)), &["1"]),
        (number(Some(1), Some(1)), &["2"]),
        (types(&["pdf"]), &["3", "2"]),
        (types(&[".TXT", "doc"]), &["3"]),
        (types(&["bin"]), &["3", "2"]),
    ] {
        let body = json!({ "attribute_filters": [filter] });
        let found = client.call("POST", "/api/_private/datasets/own/ds/query", body).await.json();
        assert_eq!(ids(&found), expected, "{filter}");
        let body = json!({ "attribute_filters": [filter], "comment_filter": {} });
        let path = "/api/_private/datasets/own/ds/statistics";
        let counted = client.call("POST", path, body).await.json();
        assert_eq!(counted["statistics"]["num_comments"], expected.len(), "{filter}");
    }
    let path = "/api/_private/datasets/own/ds/summary";
    let all = client.call("POST", path, json!({ "filter": {} })).await.json();
    let expected = json!({
        "number": [{ "full_name": "number:Age" }],
        "string": [{ "full_name": "string:Team", "too_many_values": false,
                     "values": [{ "value": "Blue" }, { "value": "Red" }] }],
    });
    assert_eq!(all["summary"]["user_properties"], expected);
    let with_files = json!({ "attribute_filters": [number(Some(1), None)] });
    let some = client.call("POST", path, with_files).await.json();
    assert_eq!(some["summary"]["user_properties"]["number"], json!([]));
    assert_eq!(client.call("POST", path, json!({ "filters": {} })).await.status, 400);
}

#[tokio::test]
async fn who_asks_for_a_model_hears_that_there_is_none() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    let models = "/api/_private/datasets/own/ds/labellers";
    let listed = client.call("POST", models, json!({})).await.json();
    assert_eq!(listed["labellers"], json!([]));
    let label = json!({ "label": "Claim" });
    for (method, path, body) in [
        ("GET", format!("{models}/latest/validation"), Value::Null),
        ("POST", format!("{models}/1/label-validation"), label),
        ("POST", format!("{PATH}/labellers/1/predict-comments"), json!({ "uids": [] })),
    ] {
        let refused = client.call(method, &path, body).await;
        assert_eq!(refused.status, 404, "{path}");
        let said = refused.message();
        assert!(said.contains("`own/ds` has no model") && said.contains("predicted"), "{said}");
    }
}

#[tokio::test]
async fn a_query_shows_the_comments_of_all_sources_newest_first_and_each_once() {
    let (_server, mut client, source) = start().await;
    let other = json!({ "source": {} });
    let other = client.call("PUT", "/api/v1/sources/own/other", other).await.json();
    let other = other["source"]["id"].as_str().unwrap();
    client.call("PUT", PATH, dataset(&[&source, other])).await;
    write(&mut client, &["a", "c", "e"], "Hello").await;
    for (second, id) in [(1, "b"), (2, "d")] {
        let time = format!("2024-01-01T00:00:0{second}.5Z");
        let messages = json!([{ "body": { "text": "x" } }]);
        let comment = json!({ "id": id, "timestamp": time, "messages": messages });
        let body = json!({ "comments": [comment] });
        client.call("POST", "/api/v1/sources/own/other/sync", body).await;
    }
    let path = "/api/_private/datasets/own/ds/query";
    for limit in 1..7 {
        let mut seen = Vec::new();
        let mut body = json!({ "limit": limit, "filter": {}, "order": { "kind": "recent" } });
        for _ in 0..9 {
            let page = client.call("POST", path, body.clone()).await.json();
            assert!(page["results"].as_array().unwrap().len() <= limit, "{page}");
            seen.extend(ids(&page));
            match page.get("continuation") {
                Some(next) => body["continuation"] = next.clone(),
                None => break,
            }
        }
        assert_eq!(seen, ["d", "e", "b", "c", "a"], "{limit}");
    }
    let filter = json!({ "filter": { "sources": [other] } });
    assert_eq!(ids(&client.call("POST", path, filter).await.json()), ["d", "b"]);
    let labels = json!({ "order": { "kind": "by_label", "label": "x" } });
    assert_eq!(client.call("POST", path, labels).await.status, 400);
}

pub(crate) async fn fetch(client: &mut Client, size: u32) -> Value {
    client.call("POST", &format!("{STREAM}/fetch"), json!({ "size": size })).await.json()
}

pub(crate) fn ids(batch: &Value) -> Vec<String> {
    let results = batch["results"].as_array().unwrap().iter();
    results.map(|own| own["comment"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_stream_hands_out_every_change_until_its_reader_is_done_with_it() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    write(&mut client, &["old", "older"], "Hello").await;
    let stream = json!({ "stream": { "name": "st", "title": "S" } });
    let made = client.call("PUT", "/api/v1/datasets/own/ds/streams", stream.clone()).await.json();
    assert_eq!(made["stream"]["id"].as_str().unwrap().len(), 32);
    // A stream begins when it is made, behind all that was written together.
    let empty = fetch(&mut client, 5).await;
    assert_eq!((ids(&empty).len(), &empty["is_end_sequence"]), (0, &json!(true)));
    write(&mut client, &["a", "b"], "Hello").await;
    write(&mut client, &["c"], "Hello").await;
    let batch = fetch(&mut client, 2).await;
    assert_eq!(
        (ids(&batch), &batch["is_end_sequence"]),
        (vec!["a".into(), "b".into()], &json!(false))
    );
    assert_eq!(fetch(&mut client, 2).await, batch, "nobody has advanced");
    let advance = |to: &Value| json!({ "sequence_id": to });
    let path = format!("{STREAM}/advance");
    let one = &batch["results"][0]["sequence_id"];
    assert_eq!(client.call("POST", &path, advance(one)).await.status, 200);
    assert_eq!(ids(&fetch(&mut client, 5).await), ["b", "c"]);
    client.call("POST", &path, advance(&batch["sequence_id"])).await;
    // Who comes late with an old place moves nothing back.
    client.call("POST", &path, advance(one)).await;
    assert_eq!(ids(&fetch(&mut client, 5).await), ["c"]);
    // What changes comes once more, and what was replaced as the stream does not move it.
    write(&mut client, &["a"], "Changed").await;
    client.call("PUT", "/api/v1/datasets/own/ds/streams", stream).await;
    assert_eq!(ids(&fetch(&mut client, 5).await), ["c", "a"]);
    let reset = json!({ "to_comment_created_at": "2020-01-01T00:00:00Z" });
    assert_eq!(client.call("POST", &format!("{STREAM}/reset"), reset).await.status, 200);
    assert_eq!(ids(&fetch(&mut client, 9).await), ["old", "older", "b", "c", "a"]);
    // What was made at that very time comes, and what was made before does not.
    let c = client.call("GET", "/api/v1/sources/own/letters/comments/c", Value::Null).await.json();
    let made = json!({ "to_comment_created_at": c["comment"]["created_at"] });
    assert_eq!(client.call("POST", &format!("{STREAM}/reset"), made).await.status, 200);
    assert_eq!(ids(&fetch(&mut client, 9).await), ["c", "a"]);
    let reset = json!({ "to_comment_created_at": "2020-01-01T00:00:00Z" });
    assert_eq!(client.call("POST", &format!("{STREAM}/reset"), reset).await.status, 200);
    // Other sources are none of its business.
    let made = client.call("PUT", "/api/v1/sources/own/other", json!({ "source": {} })).await;
    assert_eq!(made.status, 200);
    let comment = json!({ "id": "o", "timestamp": "2024-01-01T00:00:00Z", "messages": [{ "body": { "text": "x" } }] });
    let body = json!({ "comments": [comment] });
    client.call("POST", "/api/v1/sources/own/other/sync", body).await;
    assert_eq!(ids(&fetch(&mut client, 9).await), ["old", "older", "b", "c", "a"]);
    let results = client.call("GET", &format!("{STREAM}/results?max_results=2"), Value::Null).await;
    assert_eq!(ids(&results.json()), ["old", "older"]);
    for bad in [json!({ "size": 0 }), json!({ "size": 5000 }), json!({})] {
        let refused = client.call("POST", &format!("{STREAM}/fetch"), bad).await;
        assert_eq!(refused.status, 400);
    }
    let foreign = json!({ "sequence_id": "0123456789abcdef-1-1" });
    assert_eq!(client.call("POST", &path, foreign).await.status, 400);
}

#[tokio::test]
async fn a_filter_passes_over_comments_and_still_gets_to_the_end() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    let filter = json!({ "messages": { "from": { "one_of": ["nobody@x.org"] } } });
    let stream = json!({ "stream": { "name": "st", "comment_filter": filter } });
    client.call("PUT", "/api/v1/datasets/own/ds/streams", stream).await;
    write(&mut client, &["a", "b", "c"], "Hello").await;
    let batch = fetch(&mut client, 2).await;
    assert_eq!((ids(&batch).len(), &batch["filtered"]), (0, &json!(3)));
    let advance = json!({ "sequence_id": batch["sequence_id"] });
    client.call("POST", &format!("{STREAM}/advance"), advance).await;
    assert_eq!(fetch(&mut client, 2).await["filtered"], 0);
    let exception = |id: &str| {
        json!({ "exceptions": [{ "metadata": { "type": "No Prediction" },
        "uid": format!("{source}.{id}") }] })
    };
    let path = format!("{STREAM}/exceptions");
    assert_eq!(client.call("PUT", &path, exception("a")).await.status, 200);
    assert_eq!(client.call("PUT", &path, exception("none")).await.status, 422);
    // Not about a comment that the stream never shows, nor endlessly.
    let made =
        client.call("PUT", "/api/v1/sources/own/other", json!({ "source": {} })).await.json();
    let comment = json!({ "id": "o", "timestamp": "2024-01-01T00:00:00Z", "messages": [{ "body": { "text": "x" } }] });
    let body = json!({ "comments": [comment] });
    client.call("POST", "/api/v1/sources/own/other/sync", body).await;
    let mut outside = exception("o");
    let other = made["source"]["id"].as_str().unwrap();
    outside["exceptions"][0]["uid"] = json!(format!("{other}.o"));
    assert_eq!(client.call("PUT", &path, outside).await.status, 422);
    let many = json!({ "exceptions": vec![exception("a")["exceptions"][0].clone(); 1025] });
    assert_eq!(client.call("PUT", &path, many).await.status, 400);
    // A source that goes takes its place in the dataset along.
    let gone = format!("/api/v1/sources/id:{source}");
    assert_eq!(client.call("DELETE", &gone, Value::Null).await.status, 200);
    let own = client.call("GET", PATH, Value::Null).await.json();
    assert_eq!(own["dataset"]["source_ids"], json!([]));
    assert_eq!(client.call("DELETE", STREAM, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", STREAM, Value::Null).await.status, 404);
}
