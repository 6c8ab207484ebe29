//! Several requests in one.

use base64_simd::STANDARD;
use serde_json::{Value, json};
use simulators::exchange::{Op, rest_id};

use super::client::{Graph, code, json_of, server};
use crate::client::ABC;

fn get(id: &str, url: &str) -> Value {
    json!({ "id": id, "method": "GET", "url": url })
}

#[tokio::test]
async fn each_request_has_its_own_answer_and_contents_are_base64() {
    let (server, ids) = server(3).await;
    let mut graph = Graph::connect(&server).await;
    server.clear_requests();
    let mut paths: Vec<_> =
        ids.iter().map(|id| format!("/messages/{}/$value", rest_id(id))).collect();
    paths.extend(["/mailFolders/inbox".to_owned(), "/messages/nonsense".to_owned()]);
    let answers = graph.batch(&paths).await;
    for (number, answer) in answers.iter().take(3).enumerate() {
        assert_eq!(
            (&answer["status"], &answer["headers"]["Content-Type"]),
            (&json!(200), &json!("text/plain"))
        );
        let text = STANDARD.decode_to_vec(answer["body"].as_str().unwrap().as_bytes()).unwrap();
        let expected =
            format!("Message-ID: <{number}@x>\r\nSubject: {number}\r\n\r\nbody {number}\r\n");
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
    assert_eq!(answers[3]["body"]["displayName"], "Inbox");
    assert_eq!(
        (&answers[4]["status"], &answers[4]["body"]["error"]["code"]),
        (&json!(400), &json!("ErrorInvalidIdMalformed"))
    );
    let log: Vec<_> = server.requests().iter().map(|r| (r.op, r.in_batch, r.asked)).collect();
    let mut expected = vec![(Op::MessageValue, true, 1); 3];
    expected.extend([(Op::MailFolder, true, 1), (Op::Message, true, 1), (Op::Batch, false, 5)]);
    assert_eq!(log, expected);
    assert_eq!(server.graph_usage()[0].requests, 5, "batched requests count one by one");
}

#[tokio::test]
async fn answers_come_in_another_order_and_with_preferences_of_their_own() {
    let (server, ids) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    let url = format!("/users/{ABC}/messages/{}", rest_id(&ids[0]));
    let mut second = get("b", &url);
    second["headers"] = json!({ "Prefer": "IdType=\"ImmutableId\"" });
    let body = json!({ "requests": [get("a", &url[1..]), second] });
    let responses = json_of(&graph.post("/$batch", &body).await)["responses"].clone();
    assert_eq!((&responses[0]["id"], &responses[1]["id"]), (&json!("b"), &json!("a")));
    assert_eq!(responses[0]["body"]["id"], server.immutable_id(&ids[0]).unwrap());
    assert_eq!(responses[1]["body"]["id"], rest_id(&ids[0]));
}

#[tokio::test]
async fn a_request_waits_for_those_that_it_depends_on_and_fails_with_them() {
    let (server, _) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    let mut after_bad = get("3", &format!("/users/{ABC}/messages"));
    after_bad["dependsOn"] = json!(["2"]);
    let mut after_good = get("4", &format!("/users/{ABC}/messages"));
    after_good["dependsOn"] = json!(["1"]);
    let first = get("1", &format!("/users/{ABC}/mailFolders"));
    let bad = get("2", &format!("/users/{ABC}/nonsense"));
    let body = json!({ "requests": [first, bad, after_bad, after_good] });
    let responses = json_of(&graph.post("/$batch", &body).await)["responses"].clone();
    let status = |id: &str| {
        let responses = responses.as_array().unwrap();
        responses.iter().find(|own| own["id"] == id).unwrap()["status"].clone()
    };
    assert_eq!([status("1"), status("2"), status("3"), status("4")], [200, 400, 424, 200]);
}

#[tokio::test]
async fn a_malformed_batch_is_refused_as_a_whole() {
    let (server, _) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    let url = format!("/users/{ABC}/messages");
    let many: Vec<_> = (0..21).map(|id| get(&id.to_string(), &url)).collect();
    let mut with_body = get("1", &url);
    with_body["method"] = json!("POST");
    with_body["body"] = json!({});
    let mut early = get("1", &url);
    early["dependsOn"] = json!(["2"]);
    for wrong in [
        json!({ "requests": many }),
        json!({ "requests": [] }),
        json!({}),
        json!({ "requests": [get("a", &url), get("A", &url)] }),
        json!({ "requests": [{ "id": "1", "url": url }] }),
        json!({ "requests": [{ "method": "GET", "url": url }] }),
        json!({ "requests": [{ "id": 1, "method": "GET", "url": url }] }),
        json!({ "requests": [get("1", "https://graph.example.net/v1.0/users")] }),
        json!({ "requests": [get("1", "/$batch")] }),
        json!({ "requests": [with_body] }),
        json!({ "requests": [early, get("2", &url)] }),
    ] {
        let reply = graph.post("/$batch", &wrong).await;
        assert_eq!((reply.status.as_u16(), code(&reply)), (400, "BadRequest".into()), "{wrong}");
    }
    let twenty = json!({ "requests": many[1..] });
    assert_eq!(graph.post("/$batch", &twenty).await.status, 200);
    assert_eq!(graph.get("/v1.0/$batch").await.status, 405);
}
