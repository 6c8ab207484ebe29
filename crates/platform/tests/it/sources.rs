//! Sources: made, changed, counted, removed.

use platform::Options;
use serde_json::{Value, json};
use testkit::platform_contract::client::Client;

use crate::server::Running;

const SOURCE: &str = "/api/v1/sources/example%2Fletters";

pub(crate) async fn start() -> (Running, Client) {
    let server = Running::start_with(Options::default()).await;
    server.add_project("example").await;
    let client = server.client().await;
    (server, client)
}

#[tokio::test]
async fn a_source_is_made_found_changed_and_removed() {
    let (server, mut client) = start().await;
    let made = client.call("PUT", SOURCE, json!({ "source": {} })).await.json();
    let own = &made["source"];
    assert_eq!(
        (&own["_kind"], &own["language"], &own["title"], &own["owner"], &own["should_translate"]),
        (&json!("unknown"), &json!("en"), &json!("letters"), &json!("example"), &json!(false))
    );
    assert!(own.get("bucket_id").is_none() && own.get("email_transform_tag").is_none());
    let again = client.call("PUT", SOURCE, json!({ "source": {} })).await;
    assert_eq!(again.status, 409);
    let by_id = format!("/api/v1/sources/id:{}", own["id"].as_str().unwrap());
    for path in [SOURCE, &by_id, "/api/v1/sources/example/letters"] {
        assert_eq!(server.get(path).await["source"], *own, "{path}");
    }
    for path in ["/api/v1/sources", "/api/v1/sources/example"] {
        assert_eq!(server.get(path).await["sources"], json!([own]), "{path}");
    }
    let bucket = server.get("/api/_private/buckets/example/mail").await["bucket"]["id"].clone();
    let change = json!({
        "source": {
            "title": "T", "description": "D", "should_translate": true, "bucket_id": bucket,
            "sensitive_properties": ["string:Folder"], "email_transform_tag": "generic.0.CONVKER5",
            "email_transform_version": 3, "language": "de", "_kind": "chat",
        },
    });
    let changed = client.call("POST", SOURCE, change.clone()).await.json();
    for (name, value) in change["source"].as_object().unwrap() {
        assert_eq!(changed["source"][name], *value, "{name}");
    }
    let detach = json!({ "source": { "bucket_id": null } });
    let detached = client.call("POST", SOURCE, detach).await.json();
    assert!(detached["source"].get("bucket_id").is_none());
    assert_eq!(detached["source"]["title"], "T");
    assert_eq!(client.call("DELETE", &by_id, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", SOURCE, Value::Null).await.status, 404);
}

#[tokio::test]
async fn each_field_of_a_source_is_checked() {
    let (_server, mut client) = start().await;
    let many: Vec<String> = (0..4097).map(|number| number.to_string()).collect();
    for (source, status, message) in [
        (json!({ "titel": "x" }), 400, "`source.titel`: unknown field"),
        (json!({ "title": "x".repeat(129) }), 400, "`source.title`: expected 0 to 128 characters"),
        (json!({ "language": "fr" }), 400, "`source.language`: 'fr' is not one of en, de, xlm"),
        (json!({ "bucket_id": "00" }), 400, "`source.bucket_id`: the bucket `id:00` was not found"),
        (
            json!({ "sensitive_properties": many }),
            400,
            "`source.sensitive_properties`: expected at most 4096 names",
        ),
        (
            json!({ "email_transform_version": 1025 }),
            400,
            "`source.email_transform_version`: expected a number from 0 to 1024",
        ),
        // These words are known to the official client, whatever the tag looks like.
        (
            json!({ "email_transform_tag": "generic.0.CONVKER6" }),
            422,
            "The value 'generic.0.CONVKER6' is not a valid transform tag.",
        ),
        (json!({ "email_transform_tag": "?" }), 422, "The value '?' is not a valid transform tag."),
    ] {
        let refused = client.call("PUT", SOURCE, json!({ "source": source })).await;
        let found = (refused.status.as_u16(), refused.message());
        assert_eq!(found, (status, message.to_owned()));
    }
    let odd = client.call("PUT", "/api/v1/sources/example%2Fa.b", json!({ "source": {} })).await;
    assert_eq!(odd.status, 400);
}

#[tokio::test]
async fn a_bucket_is_attached_only_by_whoever_may_read_its_emails() {
    let (server, mut client) = start().await;
    server.add_project("other").await;
    let bucket = server.get("/api/_private/buckets/other/mail").await["bucket"]["id"].clone();
    let body = json!({ "source": { "bucket_id": bucket } });
    let admin = ["sources-admin"].as_slice();
    for (name, others, status) in [
        ("stranger", &[][..], 400),
        ("looker", &["buckets-read"][..], 403),
        ("reader", &["buckets-items-read"][..], 200),
    ] {
        let mut projects = vec![("example", admin)];
        projects.extend((!others.is_empty()).then_some(("other", others)));
        client.token = server.add_user(name, &[], &projects).await.1;
        let path = format!("/api/v1/sources/example/{name}");
        let made = client.call("PUT", &path, body.clone()).await;
        assert_eq!(made.status.as_u16(), status, "{name}: {made:?}");
        // Nor later, by whoever may change the source.
        let path = format!("{path}-later");
        assert_eq!(client.call("PUT", &path, json!({ "source": {} })).await.status, 200);
        let attached = client.call("POST", &path, body.clone()).await;
        assert_eq!(attached.status.as_u16(), status, "{name}: {attached:?}");
    }
}

#[tokio::test]
async fn a_project_with_sources_is_removed_only_by_force() {
    let (server, mut client) = start().await;
    server.add_source("example", None).await;
    let bucket = "/api/_private/buckets/example%2Fmail";
    let delete = "/api/_private/projects/example";
    let message = |counts: &str| {
        format!("Project contains child resources but force deletion was not requested: {counts}")
    };
    let refused = client.call("DELETE", delete, Value::Null).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.message(), message("{\"buckets\": 1, \"sources\": 1}"));
    assert_eq!(client.call("DELETE", bucket, Value::Null).await.status, 200);
    let refused = client.call("DELETE", delete, Value::Null).await;
    assert_eq!(refused.message(), message("{\"sources\": 1}"));
    let counts = server.get("/api/_private/projects/example/resource_counts").await;
    assert_eq!((&counts["buckets"], &counts["sources"]), (&json!(0), &json!(1)));
    let force = format!("{delete}?force=true");
    assert_eq!(client.call("DELETE", &force, Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_tag_tells_what_it_makes() {
    let (server, mut client) = start().await;
    let path = "/api/_private/sources/email-transform/tag:generic.0.CONVKER5";
    let info = &server.get(path).await["email_transform_tag_info"];
    let expected =
        json!({ "text_format": "plain", "rich_text_upgrade_tag": "generic-markup.0.CONVKER5" });
    assert_eq!(*info, expected);
    let unknown = client.call("GET", &format!("{path}X"), Value::Null).await;
    assert_eq!(unknown.status, 422);
    let all = server.get("/api/_private/sources/email-transform").await;
    assert_eq!(all["email_transform_tags"][1]["text_format"], "markdown");
}

#[tokio::test]
async fn a_list_of_sources_has_those_that_may_be_seen() {
    let (server, mut client) = start().await;
    server.add_project("other").await;
    server.add_source("example", None).await;
    server.add_source("other", None).await;
    let projects = [("example", &["sources-read"][..]), ("other", &["buckets-read"])];
    let (_, reader) = server.add_user("reader", &[], &projects).await;
    for (token, path, expected) in [
        (server.token.clone(), "/api/v1/sources", &["example", "other"][..]),
        (server.token.clone(), "/api/v1/sources/other", &["other"]),
        (reader, "/api/v1/sources", &["example"]),
    ] {
        client.token = token;
        let listed = client.call("GET", path, Value::Null).await.json();
        let owners: Vec<_> = listed["sources"].as_array().unwrap().iter().collect();
        let owners: Vec<_> = owners.iter().map(|own| own["owner"].as_str().unwrap()).collect();
        assert_eq!(owners, expected, "{path}");
    }
}
