//! What charts are drawn from.

use serde_json::{Value, json};
use testkit::platform_contract::client::email;

use crate::server::Running;

#[tokio::test]
async fn volume_is_counted_in_the_spans_that_are_asked_for() {
    let server = Running::start().await;
    server.add_project("example").await;
    let mut client = server.client().await;
    let mut emails = vec![email(1), email(2), email(3)];
    for (email, time) in emails.iter_mut().zip(["01T00:00:00Z", "01T23:59:59Z", "03T10:00:00Z"]) {
        email["timestamp"] = json!(format!("2026-02-{time}"));
    }
    assert_eq!(client.put(&emails).await.status, 200);
    let at = "/api/_private/buckets/example/mail/volume";
    let range = "from=2026-02-01T00:00:00Z&to=2026-02-04T00:00:00Z";
    let days = server.get(&format!("{at}?interval=day&{range}")).await;
    let expected = json!([
        { "timestamp": "2026-02-01T00:00:00Z", "count": 2 },
        { "timestamp": "2026-02-03T00:00:00Z", "count": 1 },
    ]);
    assert_eq!(days["volume"], expected);
    assert_eq!(days["first"], "2026-02-01T00:00:00Z");
    assert_eq!(days["last"], "2026-02-03T10:00:00Z");
    let hours = server.get(&format!("{at}?interval=hour&{range}")).await;
    assert_eq!(hours["volume"].as_array().unwrap().len(), 3);
    for (query, named) in [
        ("interval=month", "`interval`"),
        ("from=yesterday", "`from`"),
        ("interval=hour&from=1990-01-01T00:00:00Z", "`from`"),
        ("span=3", "`span`"),
    ] {
        let answer = client.call("GET", &format!("{at}?{query}"), Value::Null).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.message().contains(named), "{query}: {}", answer.message());
    }
}
