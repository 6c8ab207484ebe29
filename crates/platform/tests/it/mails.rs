//! Mails of the platform's own, and the history of configurations that they tell about.

use hyper::Request;
use serde_json::{Value, json};
use testkit::platform_contract::client::whole;

use crate::server::Running;

const OUTBOX: &str = "/api/_private/mail-outbox";
const CONFIG: &str = "/api/_private/appliance-configs/own/config";

fn config(audit: &str, poll: u32) -> Value {
    json!({ "audit_email": audit, "poll_frequency": poll, "auth_password": "hunter2" })
}

fn recipients(outbox: &Value) -> Vec<(String, String)> {
    let text = |mail: &Value, name: &str| mail[name].as_str().unwrap().to_owned();
    let mails = outbox["mails"].as_array().unwrap().iter();
    mails.map(|mail| (text(mail, "recipient"), text(mail, "kind"))).collect()
}

#[tokio::test]
async fn whoever_watches_a_configuration_is_told_of_each_change() {
    let server = Running::start().await;
    server.add_project("own").await;
    let mut client = server.client().await;
    let kind = || "appliance_config_updated".to_owned();
    for body in [config("ann@example.com", 15), config("ann@example.com", 15)] {
        assert_eq!(client.call("PUT", CONFIG, body).await.status, 200);
    }
    // What changes nothing is no news.
    let outbox = server.get(OUTBOX).await;
    assert_eq!(recipients(&outbox), [("ann@example.com".to_owned(), kind())]);
    assert_eq!(outbox["system_mail"], "not_configured");
    // Who is no longer to be told learns that.
    assert_eq!(client.call("PUT", CONFIG, config("eve@example.com", 15)).await.status, 200);
    let outbox = server.get(OUTBOX).await;
    let told: Vec<_> = recipients(&outbox).into_iter().map(|(to, _)| to).take(2).collect();
    assert_eq!(told, ["ann@example.com", "eve@example.com"]);
    let text = outbox["mails"][0]["text"].as_str().unwrap();
    assert!(text.contains("version 2") && text.contains("- audit_email\n"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let refused = client.call("PUT", CONFIG, config("a@b\r\nBcc: c@d", 15)).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("`audit_email`"), "{}", refused.message());
    let page = server.get(&format!("{OUTBOX}?limit=2")).await;
    let next = page["continuation"].as_str().unwrap();
    let rest = server.get(&format!("{OUTBOX}?limit=2&before={next}")).await;
    assert_eq!((recipients(&rest).len(), &rest["continuation"]), (1, &Value::Null));
    let id = rest["mails"][0]["id"].as_str().unwrap();
    let path = format!("{OUTBOX}/{id}");
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(client.call("GET", &format!("{OUTBOX}?limit=0"), Value::Null).await.status, 400);
}

#[tokio::test]
async fn a_configuration_shows_what_it_was() {
    let server = Running::start().await;
    server.add_project("own").await;
    let mut client = server.client().await;
    let versions = format!("{CONFIG}/versions");
    assert_eq!(client.call("GET", &versions, Value::Null).await.status, 404);
    for poll in [15, 30, 45] {
        let put = client.call("PUT", CONFIG, config("ann@example.com", poll)).await;
        assert_eq!(put.status, 200);
    }
    let history = server.get(&versions).await;
    let list = history["versions"].as_array().unwrap();
    let shown: Vec<_> =
        list.iter().map(|own| (own["version"].clone(), own["current"].clone())).collect();
    assert_eq!(
        shown,
        [(json!(3), json!(true)), (json!(2), json!(false)), (json!(1), json!(false))]
    );
    assert_eq!(list[0]["written_by"], "admin");
    let older = server.get(&format!("{versions}?before=2")).await;
    assert_eq!(older["versions"].as_array().unwrap().len(), 1);
    let first = client.call("GET", &format!("{versions}/1"), Value::Null).await;
    assert_eq!(first.json(), config("ann@example.com", 15));
    // To restore a version is to write it again.
    assert_eq!(client.call("PUT", CONFIG, first.json()).await.status, 200);
    assert_eq!(server.get(CONFIG).await, first.json());
    // An appliance that has it already is not sent it again.
    let held = client.call("GET", CONFIG, Value::Null).await;
    let tag = held.header("etag").unwrap().to_owned();
    for (known, status) in
        [(tag.clone(), 304), (format!("\"x\", {tag}"), 304), ("\"x\"".to_owned(), 200)]
    {
        let request = Request::get(CONFIG).header("if-none-match", known);
        let answer = client.try_send(request, whole("")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (status, Some(&*tag)));
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    for absent in ["9", "x", "-1"] {
        let missing = client.call("GET", &format!("{versions}/{absent}"), Value::Null).await;
        assert_eq!(missing.status, 404, "{absent}");
    }
    let all = server.get("/api/_private/appliance-configs/own").await;
    assert_eq!(all["appliance_configs"][0]["name"], "config");
    assert_eq!(all["appliance_configs"][0]["version"], 4);
}

#[tokio::test]
async fn a_welcome_waits_in_the_outbox() {
    let server = Running::start().await;
    let (id, _) = server.add_user("bob", &[], &[]).await;
    let mut client = server.client().await;
    let path = format!("/api/_private/users/{id}/welcome-email");
    let sent = client.call("POST", &path, json!({})).await;
    assert_eq!(sent.body, br#"{"status":"ok"}"#);
    let outbox = server.get(OUTBOX).await;
    assert_eq!(recipients(&outbox), [("bob@example.com".to_owned(), "welcome".to_owned())]);
    let unknown = "/api/_private/users/0123456789abcdef/welcome-email";
    assert_eq!(client.call("POST", unknown, json!({})).await.status, 404);
    assert_eq!(recipients(&server.get(OUTBOX).await).len(), 1);
}
