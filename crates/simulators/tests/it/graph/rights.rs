//! Who may ask what.

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use simulators::exchange::{App, Auth, Options, Rights, rest_id};

use super::client::{Graph, SCOPE, code, json_of, server, server_with, token};
use crate::client::{ABC, Client, distinguished, sync_items};

fn with_app(app: App) -> Options {
    Options { auth: Auth::bearer(), apps: vec![app], ..Options::default() }
}

fn app() -> App {
    App::with_secret(Options::CLIENT_ID, Options::CLIENT_SECRET)
}

#[tokio::test]
async fn a_token_of_one_service_is_refused_by_the_other() {
    let (server, _) = server_with(1, with_app(app())).await;
    let mut graph = Graph::connect(&server).await;
    assert_eq!(graph.of_abc("/messages").await.status, 200);
    let ews = token(&server, "https://outlook.office365.com/.default").await;
    graph.client.headers[0].1 = format!("Bearer {ews}");
    let reply = graph.of_abc("/messages").await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (401, "InvalidAuthenticationToken".into()));
    let challenge = reply.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    let mut client = Client::anonymous(&server).await;
    client.headers.push(("authorization", format!("Bearer {}", token(&server, SCOPE).await)));
    let reply = client.call(&sync_items(&distinguished("inbox"), "", 1, &[])).await;
    let diagnostics = reply.headers["x-ms-diagnostics"].to_str().unwrap();
    assert!(reply.status == 401 && diagnostics.starts_with("2000003;"), "{diagnostics}");
    graph.client.headers.clear();
    assert_eq!(graph.of_abc("/messages").await.status, 401, "without a token");
}

#[tokio::test]
async fn a_token_tells_its_roles_and_ends() {
    let (server, _) = server_with(1, with_app(app())).await;
    let text = token(&server, SCOPE).await;
    let claims = text.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode_to_vec(claims.as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    assert_eq!(claims["roles"], json!(["Mail.Read", "User.Read.All"]));
    assert_eq!(claims["appid"], Options::CLIENT_ID);
    let mut graph = Graph::connect(&server).await;
    server.revoke_tokens();
    let reply = graph.of_abc("/messages").await;
    let message = json_of(&reply)["error"]["message"].as_str().unwrap().to_owned();
    assert!(reply.status == 401 && message.contains("expired"), "{message}");
}

#[tokio::test]
async fn roles_and_scopes_limit_what_an_app_sees() {
    let rights = Rights { denied: ["closed@example.com".to_owned()].into(), ..Rights::default() };
    let app = App { rights, ..app().roles(&["Mail.ReadBasic.All"]) };
    let (server, ids) = server_with(1, with_app(app)).await;
    server.add_mailbox("closed@example.com");
    let mut graph = Graph::connect(&server).await;
    let path = format!("/messages/{}", rest_id(&ids[0]));
    let message = json_of(&graph.of_abc(&path).await);
    assert!(message["subject"] == "0" && message.get("body").is_none(), "{message}");
    let expand = "?$expand=singleValueExtendedProperties($filter=id%20eq%20'Binary%200x300B')";
    let translate = json!({"inputIds": ids, "sourceIdType": "ewsId", "targetIdType": "restId"});
    let refused = [
        graph.of_abc(&format!("{path}/$value")).await,
        graph.of_abc(&format!("{path}{expand}")).await,
        graph.get("/v1.0/users/closed@example.com/messages").await,
        graph.post(&format!("/users/{ABC}/translateExchangeIds"), &translate).await,
    ];
    for reply in refused {
        assert_eq!((reply.status.as_u16(), code(&reply)), (403, "ErrorAccessDenied".into()));
    }
}

#[tokio::test]
async fn a_mailbox_that_is_elsewhere_or_nowhere_is_named_so() {
    let (server, _) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    for (user, why) in
        [("nobody@example.com", "ErrorInvalidUser"), ("nobody@example.net", "ResourceNotFound")]
    {
        let reply = graph.get(&format!("/v1.0/users/{user}/messages")).await;
        assert_eq!((reply.status.as_u16(), code(&reply)), (404, why.to_owned()), "{user}");
    }
    server.set_rest_enabled(ABC, false);
    let reply = graph.of_abc("/messages").await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (404, "MailboxNotEnabledForRESTAPI".into()));
    let mut ews = Client::connect(&server).await;
    let reply = ews.call(&sync_items(&distinguished("inbox"), "", 1, &[])).await;
    assert_eq!(reply.first("ResponseCode"), "NoError", "EWS goes on");
    server.set_rest_enabled(ABC, true);
    server.disable_mailbox(ABC, Some("ErrorMailboxMoveInProgress"));
    assert_eq!(graph.of_abc("/messages").await.status, 503);
}

#[tokio::test]
async fn only_v1_and_its_methods_are_there() {
    let (server, ids) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    assert_eq!(graph.get(&format!("/beta/users/{ABC}/messages")).await.status, 404);
    assert_eq!(graph.get("/v1.0/me/messages").await.status, 400);
    let path = format!("/users/{ABC}/messages/{}", rest_id(&ids[0]));
    assert_eq!(graph.post(&path, &json!({})).await.status, 405);
    graph.client.headers.push(("client-request-id", "my-own".to_owned()));
    let reply = graph.of_abc("/nonsense").await;
    let inner = json_of(&reply)["error"]["innerError"].clone();
    assert_eq!(
        (&inner["client-request-id"], &reply.headers["client-request-id"]),
        (&json!("my-own"), &"my-own".parse().unwrap())
    );
    assert_eq!(inner["request-id"], reply.headers["request-id"].to_str().unwrap());
}
