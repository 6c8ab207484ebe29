//! Delta queries and their links.

use serde_json::{Value, json};
use simulators::exchange::{FolderSet, GraphOptions, Options, rest_id};

use super::client::{Graph, at, code, column, deliver, json_of, server, server_with};
use crate::client::ABC;

const IMMUTABLE: &str = "IdType=\"ImmutableId\", odata.maxpagesize=4";

#[tokio::test]
async fn a_round_shows_everything_once_in_pages_of_the_preferred_size() {
    let (server, _) = server(10).await;
    let mut graph = Graph::connect(&server).await.prefer(IMMUTABLE);
    let page = graph.delta("?$select=internetMessageId").await;
    assert_eq!(page["value"].as_array().unwrap().len(), 4);
    assert_eq!(page["value"][0]["@odata.type"], "#microsoft.graph.message");
    assert!(page["value"][0].get("subject").is_none(), "more than was selected");
    let (entries, link) = graph.follow(page).await;
    let mut seen = column(&json!({ "value": entries }), "internetMessageId");
    seen.sort();
    let expected: Vec<_> = (0..10).map(|number| format!("<{number}@x>")).collect();
    assert_eq!(seen, expected);
    assert_eq!(graph.page(&link).await["value"], json!([]));
    let reply = graph.of_abc("/mailFolders/inbox/messages/delta()").await;
    assert_eq!(reply.headers["preference-applied"], "IdType=\"ImmutableId\", odata.maxpagesize=4");
    let logged = server.requests();
    assert_eq!(logged.last().unwrap().prefer.as_deref(), Some(IMMUTABLE));
}

#[tokio::test]
async fn what_comes_and_goes_while_a_round_is_read_is_in_the_next_one() {
    let (server, ids) = server(10).await;
    let mut graph = Graph::connect(&server).await.prefer(IMMUTABLE);
    let page = graph.delta("").await;
    deliver(&server, 10);
    server.delete_item(&ids[9]).unwrap();
    let gone = server.immutable_id(&ids[0]).unwrap();
    server.delete_item(&ids[0]).unwrap();
    server.set_read(&ids[8], true).unwrap();
    let (entries, link) = graph.follow(page).await;
    assert_eq!(entries.len(), 9, "the first page had number 9, number 0 is gone");
    let (entries, link) = {
        let page = graph.page(&link).await;
        graph.follow(page).await
    };
    let removed: Vec<_> = entries.iter().filter(|e| e.get("@removed").is_some()).collect();
    assert!(removed.iter().any(|entry| entry["id"] == gone), "{entries:?}");
    assert_eq!((entries.len(), removed.len()), (4, 2));
    assert!(entries.iter().any(|entry| entry["isRead"] == true));
    assert_eq!(graph.page(&link).await["value"], json!([]));
}

#[tokio::test]
async fn a_moved_message_leaves_one_folder_and_comes_to_the_other_with_its_immutable_id() {
    let (server, ids) = server(2).await;
    let mut graph = Graph::connect(&server).await.prefer(IMMUTABLE);
    let page = graph.delta("").await;
    let (_, link) = graph.follow(page).await;
    let (kept, trashed) =
        (server.immutable_id(&ids[0]).unwrap(), server.immutable_id(&ids[1]).unwrap());
    let new = server.move_item(&ids[0], &["Junk Email"]).unwrap();
    server.move_item(&ids[1], &["Deleted Items"]).unwrap();
    let page = graph.page(&link).await;
    let reasons: Vec<_> = page["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["id"].clone(), entry["@removed"]["reason"].clone()))
        .collect();
    assert_eq!(reasons, [(json!(kept), json!("deleted")), (json!(trashed), json!("changed"))]);
    let page = graph.page(&format!("/v1.0/users/{ABC}/mailFolders/junkemail/messages/delta")).await;
    assert_eq!(column(&page, "id").concat(), kept);
    // The same link serves both kinds of ids.
    let mut ordinary = Graph::connect(&server).await;
    let page = ordinary.page(&link).await;
    assert_eq!(column(&page, "id"), [rest_id(&ids[0]), rest_id(&ids[1])]);
    let message = json_of(&ordinary.of_abc(&format!("/messages/{kept}")).await);
    assert_eq!(message["id"], rest_id(&new));
    let gone = ordinary.of_abc(&format!("/messages/{}", rest_id(&ids[0]))).await;
    assert_eq!((gone.status.as_u16(), code(&gone)), (404, "ErrorItemNotFound".into()));
}

#[tokio::test]
async fn a_filtered_delta_ends_at_its_limit_and_an_order_shows_the_newest_first() {
    let graph = GraphOptions { filtered_delta: 5, ..GraphOptions::default() };
    let (server, _) = server_with(10, Options { graph, ..Options::default() }).await;
    let mut graph = Graph::connect(&server).await.prefer("odata.maxpagesize=3");
    let query = format!(
        "?$filter=receivedDateTime+ge+{}&$orderby=receivedDateTime+desc",
        at(2).format("%Y-%m-%dT%H:%M:%SZ")
    );
    let page = graph.delta(&query).await;
    let (entries, _) = graph.follow(page).await;
    let subjects = column(&json!({ "value": entries }), "subject");
    assert_eq!(subjects, ["9", "8", "7", "6", "5"]);
    for wrong in [
        "?$filter=receivedDateTime+le+2026-11-21T08:00:00Z",
        "?$filter=isRead+eq+true",
        "?$orderby=subject",
        "?$search=x",
        "?$skip=3",
        "?changeType=moved",
        "?$select=size",
    ] {
        let reply = graph.of_abc(&format!("/mailFolders/inbox/messages/delta{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn one_kind_of_change_can_be_asked_for() {
    let (server, ids) = server(3).await;
    let mut graph = Graph::connect(&server).await;
    let mut links = Vec::new();
    for kind in ["created", "updated", "deleted"] {
        let page = graph.delta(&format!("?changeType={kind}")).await;
        assert_eq!(page["value"].as_array().unwrap().len(), 3, "the first round shows all");
        links.push(page["@odata.deltaLink"].as_str().unwrap().to_owned());
    }
    deliver(&server, 3);
    server.set_read(&ids[1], true).unwrap();
    server.delete_item(&ids[0]).unwrap();
    let mut shown = Vec::new();
    for link in &links {
        shown.push(column(&graph.page(link).await, "subject"));
    }
    assert_eq!(shown, [vec!["3".to_owned()], vec!["1".to_owned()], vec![String::new()]]);
}

#[tokio::test]
async fn a_lost_state_says_where_to_begin_again_and_a_wrong_token_is_refused() {
    let (server, _) = server(3).await;
    let mut graph = Graph::connect(&server).await;
    let page = graph.delta("").await;
    let link = page["@odata.deltaLink"].as_str().unwrap().to_owned();
    for wrong in [format!("{link}x"), link.replace("inbox", "junkemail"), format!("{link}&$top=1")]
    {
        assert_eq!(graph.get(&wrong).await.status, 400, "{wrong}");
    }
    server.invalidate_sync_states(ABC);
    let reply = graph.get(&link).await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (410, "SyncStateNotFound".into()));
    let location = reply.headers["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("https://localhost/v1.0/"), "{location}");
    assert_eq!(graph.page(&location).await["value"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn folders_show_their_counts_names_and_ends() {
    let options = Options { folders: FolderSet::Standard, ..Options::default() };
    let server = simulators::exchange::Exchange::start(options).await.unwrap();
    server.add_mailbox(ABC);
    server.add_folder(ABC, &["Inbox", "Claims/2026"], "IPF.Note").unwrap();
    server.add_search_folder(ABC, &["Unread"]).unwrap();
    server.add_folder(ABC, &["Hidden"], "IPF.Note").unwrap();
    server.hide_folder(ABC, &["Hidden"], true).unwrap();
    let mut graph = Graph::connect(&server).await;
    let url = format!("/v1.0/users/{ABC}/mailFolders/delta");
    let page = graph.page(&url).await;
    let (entries, link) = graph.follow(page).await;
    let names = column(&json!({ "value": entries }), "displayName");
    for there in ["Inbox", "Claims/2026", "Unread", "Sync Issues"] {
        assert!(names.iter().any(|name| name == there), "{there} is not in {names:?}");
    }
    for not in ["Calendar", "Contacts", "Notes", "Hidden", "Top of Information Store", "Deletions"]
    {
        assert!(!names.iter().any(|name| name == not), "{not} is in {names:?}");
    }
    let claims = entries.iter().find(|entry| entry["displayName"] == "Claims/2026").unwrap();
    let inbox = entries.iter().find(|entry| entry["displayName"] == "Inbox").unwrap();
    assert_eq!(claims["parentFolderId"], inbox["id"]);
    deliver(&server, 1);
    server.rename_folder(ABC, &["Junk Email"], "Spam").unwrap();
    server.delete_folder(ABC, &["Inbox", "Claims/2026"]).unwrap();
    let page = graph.page(&link).await;
    let changes: Vec<_> = page["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["displayName"].clone(),
                entry["totalItemCount"].clone(),
                entry["@removed"]["reason"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("Inbox"), json!(1), Value::Null),
        (json!("Spam"), json!(0), Value::Null),
        (Value::Null, Value::Null, json!("deleted")),
    ];
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn a_cloud_may_have_no_delta_or_none_with_expand() {
    let graph = GraphOptions { delta: false, ..GraphOptions::default() };
    let (server, _) = server_with(1, Options { graph, ..Options::default() }).await;
    let mut graph = Graph::connect(&server).await;
    for path in ["/mailFolders/delta", "/mailFolders/inbox/messages/delta"] {
        assert_eq!(graph.of_abc(path).await.status, 400, "{path}");
    }
    assert_eq!(graph.of_abc("/mailFolders/inbox/messages").await.status, 200);
    let graph = GraphOptions { expand_in_delta: false, ..GraphOptions::default() };
    let (server, _) = server_with(1, Options { graph, ..Options::default() }).await;
    let mut graph = Graph::connect(&server).await;
    let expand = "?$expand=singleValueExtendedProperties($filter=id%20eq%20'Binary%200x300B')";
    assert_eq!(
        graph.of_abc(&format!("/mailFolders/inbox/messages/delta{expand}")).await.status,
        400
    );
    assert_eq!(graph.of_abc("/mailFolders/inbox/messages/delta").await.status, 200);
    assert_eq!(graph.of_abc(&format!("/mailFolders/inbox/messages{expand}")).await.status, 200);
}
