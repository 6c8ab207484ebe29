//! How much of a dataset one request looks at.

use serde_json::{Value, json};

use crate::datasets::{PATH, STREAM, dataset, fetch, ids, start};

/// A filter that takes next to nothing must not keep a request busy for ever.
#[tokio::test]
async fn a_request_looks_at_so_many_comments_and_says_where_to_go_on() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    let comments: Vec<Value> = (0..4200)
        .map(|number| {
            let mut properties = json!({ "string:N": format!("{:03}", number % 257), "string:M": format!("{}", number % 256) });
            if number == 0 {
                properties["number:Old"] = json!(1);
            }
            json!({ "id": number.to_string(), "timestamp": format!("2024-01-01T01:{:02}:{:02}Z", number / 60 % 60, number % 60),
                    "messages": [{ "body": { "text": "x" } }], "user_properties": properties })
        })
        .collect();
    let stream = json!({ "stream": { "name": "st", "comment_filter": { "user_properties": { "Old": { "one_of": [1] } } } } });
    assert_eq!(client.call("PUT", "/api/v1/datasets/own/ds/streams", stream).await.status, 200);
    let path = "/api/v1/sources/own/letters/sync";
    let done = client.call("POST", path, json!({ "comments": comments })).await;
    assert_eq!(done.json()["new"], 4200);
    // More than a page is counted.
    let every =
        json!({ "comment_filter": { "user_properties": { "M": { "not_one_of": ["none"] } } } });
    let counted = client.call("POST", "/api/v1/sources/own/letters/statistics", every).await.json();
    assert_eq!(counted["statistics"]["num_comments"], 4200);
    let first = fetch(&mut client, 1024).await;
    let advance = json!({ "sequence_id": first["sequence_id"] });
    client.call("POST", &format!("{STREAM}/advance"), advance).await;
    let second = fetch(&mut client, 1024).await;
    let seen = |batch: &Value| batch["filtered"].as_u64().unwrap() + ids(batch).len() as u64;
    assert_eq!(
        (&first["is_end_sequence"], &second["is_end_sequence"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(seen(&first) + seen(&second), 4200);
    assert_eq!([ids(&first), ids(&second)].concat(), ["0"]);
    // The newest first, so that the one that fits comes with the second request.
    let path = "/api/_private/datasets/own/ds/query";
    let mut body =
        json!({ "limit": 1024, "filter": { "user_properties": { "Old": { "one_of": [1] } } } });
    let first = client.call("POST", path, body.clone()).await.json();
    assert_eq!(ids(&first).len(), 0);
    body["continuation"] = first["continuation"].clone();
    assert!(body["continuation"].is_string(), "{first}");
    // Values to choose from, as long as somebody could.
    let summary =
        client.call("POST", "/api/_private/datasets/own/ds/summary", json!({})).await.json();
    let found = &summary["summary"]["user_properties"];
    let of = |at: usize| {
        let own = &found["string"][at];
        (
            own["full_name"].clone(),
            own["too_many_values"].clone(),
            own["values"].as_array().unwrap().len(),
        )
    };
    assert_eq!(of(0), (json!("string:M"), json!(false), 256));
    assert_eq!(of(1), (json!("string:N"), json!(true), 256));
    assert_eq!(found["number"], json!([{ "full_name": "number:Old" }]));
    let many = json!({ "attribute_filters": vec![json!({ "attribute": "attachment_property_num_attachments",
                                                         "filter": { "kind": "number_range" } }); 17] });
    assert_eq!(client.call("POST", path, many).await.status, 400);
}

/// Places of comments are times, and negative before 1970.
#[tokio::test]
async fn comments_of_old_times_are_led_through_as_all_others() {
    let (_server, mut client, source) = start().await;
    client.call("PUT", PATH, dataset(&[&source])).await;
    let stream = json!({ "stream": { "name": "st" } });
    assert_eq!(client.call("PUT", "/api/v1/datasets/own/ds/streams", stream).await.status, 200);
    let comments: Vec<Value> = (0..4)
        .map(|number| {
            json!({ "id": number.to_string(), "timestamp": format!("{}-01-01T00:00:00Z", 1900 + 30 * number),
                    "messages": [{ "body": { "text": "x" } }] })
        })
        .collect();
    let path = "/api/v1/sources/own/letters/sync";
    let done = client.call("POST", path, json!({ "comments": comments })).await;
    assert_eq!(done.json()["new"], 4);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let batch = fetch(&mut client, 1).await;
        seen.extend(ids(&batch));
        let advance = json!({ "sequence_id": batch["sequence_id"] });
        let advanced = client.call("POST", &format!("{STREAM}/advance"), advance).await;
        assert_eq!(advanced.status, 200, "{}", advanced.message());
    }
    assert_eq!(seen, ["0", "1", "2", "3"]);
    assert_eq!(ids(&fetch(&mut client, 9).await).len(), 0);
    let path = "/api/_private/datasets/own/ds/query";
    let (mut body, mut seen) = (json!({ "limit": 1 }), Vec::new());
    loop {
        let page = client.call("POST", path, body.clone()).await;
        assert_eq!(page.status, 200, "{}", page.message());
        let page = page.json();
        seen.extend(ids(&page));
        let Some(next) = page.get("continuation") else { break };
        body["continuation"] = next.clone();
    }
    assert_eq!(seen, ["3", "2", "1", "0"]);
}
