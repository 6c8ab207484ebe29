//! Which comments a filter takes: as many are counted as are shown.

use serde_json::{Value, json};

use crate::{
    comments::{SYNC, comment, send, start},
    datasets::ids,
};

#[tokio::test]
async fn each_part_of_a_filter_counts() {
    let (_server, mut client, source) = start().await;
    let of = |id: &str, second: u32, score: Value, to: &str, files: usize| {
        let mut own = comment(id, second);
        own["user_properties"] = json!({ "number:Score": score });
        own["messages"][0]["to"] = json!([to]);
        let file = json!({ "name": "a", "size": 1, "content_type": "x" });
        own["attachments"] = vec![file; files].into();
        own
    };
    let all = [
        of("a", 1, json!(5), "x@one.org", 1),
        of("b", 2, json!(7.5), "y@two.org", 0),
        of("c", 3, json!(9), "z@two.org", 2),
    ];
    assert_eq!(send(&mut client, SYNC, &all).await.status, 200);
    let dataset = json!({ "dataset": { "source_ids": [source] } });
    assert_eq!(client.call("PUT", "/api/v1/datasets/example/ds", dataset).await.status, 200);
    let score = |wanted: Value| json!({ "user_properties": { "Score": wanted } });
    let range = |from: u32, to: u32| {
        json!({ "timestamp": {
        "minimum": format!("2026-01-01T00:00:{from:02}Z"), "maximum": format!("2026-01-01T00:00:{to:02}Z"),
    } })
    };
    for (filter, expected) in [
        (score(json!({ "minimum": 7.5 })), &["c", "b"][..]),
        (score(json!({ "maximum": 7.5 })), &["b", "a"]),
        (score(json!({ "minimum": 6, "maximum": 8 })), &["b"]),
        (score(json!({ "one_of": [5.0, 9.0] })), &["c", "a"]),
        (score(json!({ "not_one_of": [5.0] })), &["c", "b"]),
        (json!({ "messages": { "to": { "one_of": ["y@two.org"] } } }), &["b"]),
        (json!({ "messages": { "to": { "domain_not_one_of": ["TWO.org"] } } }), &["a"]),
        (json!({ "attachments": { "has_attachments": true } }), &["c", "a"]),
        (json!({ "attachments": { "has_attachments": false } }), &["b"]),
        (range(2, 3), &["c", "b"]),
        (range(1, 2), &["b", "a"]),
        (json!({ "sources": [source] }), &["c", "b", "a"]),
        (json!({ "sources": ["0123456789abcdef"] }), &[]),
        (json!({ "reviewed": "only_reviewed" }), &[]),
        (json!({ "reviewed": "only_unreviewed" }), &["c", "b", "a"]),
    ] {
        let body = json!({ "comment_filter": filter });
        let path = "/api/v1/sources/example%2Fletters/statistics";
        let counted = client.call("POST", path, body).await.json();
        assert_eq!(counted["statistics"]["num_comments"], expected.len(), "{filter}");
        // What is counted is what is shown.
        let body = json!({ "filter": filter });
        let path = "/api/_private/datasets/example/ds/query";
        let shown = client.call("POST", path, body).await.json();
        let shown: Vec<_> = shown["results"].as_array().unwrap().iter().collect();
        let ids: Vec<_> = shown.iter().map(|own| own["comment"]["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
}

#[tokio::test]
async fn what_was_said_in_a_dataset_is_what_is_reviewed_there() {
    let (_server, mut client, source) = start().await;
    for name in ["ds", "other"] {
        let dataset = json!({ "dataset": { "source_ids": [source] } });
        let path = format!("/api/v1/datasets/example/{name}");
        assert_eq!(client.call("PUT", &path, dataset).await.status, 200);
    }
    let kinds = ["only_reviewed", "only_unreviewed"];
    for reviewed in kinds {
        let filter = json!({ "reviewed": reviewed });
        let stream = json!({ "stream": { "name": reviewed, "comment_filter": filter } });
        let made = client.call("PUT", "/api/v1/datasets/example/ds/streams", stream).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let all: Vec<Value> = ["a", "b", "c"].iter().zip(1..).map(|(id, n)| comment(id, n)).collect();
    assert_eq!(send(&mut client, SYNC, &all).await.status, 200);
    let said = json!({ "labelling": [{ "group": "default",
        "assigned": [{ "name": "x", "sentiment": "positive" }], "dismissed": [] }] });
    let nothing = json!({ "labelling": [] });
    for (comment, told) in
        [("ds a", &nothing), ("ds b", &said), ("other a", &nothing), ("other c", &said)]
    {
        let (name, id) = comment.split_once(' ').unwrap();
        let path = format!("/api/_private/datasets/example/{name}/labellings/{source}.{id}");
        assert_eq!(client.call("POST", &path, told.clone()).await.status, 200, "{comment}");
    }
    for (reviewed, in_ds, anywhere) in [(kinds[0], &["b"][..], 2), (kinds[1], &["c", "a"], 1)] {
        let filter = json!({ "reviewed": reviewed });
        let path = "/api/_private/datasets/example/ds/query";
        let shown = client.call("POST", path, json!({ "filter": filter })).await.json();
        assert_eq!(ids(&shown), in_ds, "{reviewed}");
        for (path, expected) in [
            ("/api/_private/datasets/example/ds/statistics", in_ds.len()),
            ("/api/v1/sources/example%2Fletters/statistics", anywhere),
        ] {
            let body = json!({ "comment_filter": filter });
            let counted = client.call("POST", path, body).await.json();
            assert_eq!(counted["statistics"]["num_comments"], expected, "{reviewed} {path}");
        }
        let path = format!("/api/v1/datasets/example/ds/streams/{reviewed}/results");
        let mut streamed = ids(&client.call("GET", &path, Value::Null).await.json());
        streamed.sort_by(|one, other| other.cmp(one));
        assert_eq!(streamed, in_ds, "{reviewed}");
    }
}
