//! Folders: paths, marks, polling.

use super::*;

fn folder(id: &str, parent: &str, name: &str) -> Value {
    json!({"id": id, "parentFolderId": parent, "displayName": name, "totalItemCount": 3,
        "unreadItemCount": 1, "childFolderCount": 0,
        "singleValueExtendedProperties": [{"id": "String 0x3613", "value": "IPF.Note"}]})
}

fn tree(folders: &[Value]) -> Reply {
    ok(
        json!({"value": folders, "@odata.deltaLink": "{base}/users/x/mailFolders/delta?$deltatoken=F"}),
    )
}

fn paths(folders: &[Folder]) -> Vec<String> {
    let mut paths: Vec<String> = folders.iter().map(|folder| folder.path.join("|")).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn folders_have_the_paths_that_ews_gives_them() {
    let class = |class: &str| json!([{"id": "String 0x3613", "value": class}]);
    let mut contacts = folder("C", "top", "Contacts");
    contacts["singleValueExtendedProperties"] = class("IPF.Contact");
    let mut hidden = folder("H", "top", "Hidden");
    hidden["isHidden"] = json!(true);
    hidden["singleValueExtendedProperties"] = class("IPF.Configuration");
    let mut search = folder("S", "top", "Search");
    search["@odata.type"] = json!("#microsoft.graph.mailSearchFolder");
    let inbox = folder("I", "top", "Inbox");
    let rest = [folder("D", "I", "Claims/2026"), contacts, hidden, search];
    let noise = [folder("O", "top", "Sync Issues"), folder("P", "O", "Conflicts")];
    // Some servers list the folder at the top as well.
    let top = folder("top", "nowhere", "Top of Information Store");
    for with_top in [false, true] {
        let mut folders = vec![inbox.clone()];
        folders.extend_from_slice(&rest);
        folders.extend_from_slice(&noise);
        folders.extend(with_top.then(|| top.clone()));
        let server = Server::start(vec![tree(&folders), ok(json!({"id": "top"}))]).await;
        let survey = server.mailbox().survey(&Checkpoint::default(), true).await.unwrap();
        assert_eq!(paths(&survey.folders), ["Inbox", "Inbox|Claims/2026"], "top: {with_top}");
        assert_eq!(survey.folders[0].total, Some(3));
        assert_eq!(server.requests().len(), if with_top { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_folder_that_the_server_names_gets_another_mark() {
    let first = tree(&[folder("I", "top", "Inbox"), folder("J", "top", "Junk")]);
    let renamed = json!({"id": "J", "displayName": "Spam"});
    let again = folder("I", "top", "Inbox");
    let gone = json!({"id": "J", "@removed": {"reason": "deleted"}});
    let other_link = "{base}/users/x/mailFolders/delta?$deltatoken=F2";
    let server = Server::start(vec![
        first,
        ok(json!({"value": [], "@odata.deltaLink": other_link})),
        tree(&[again, renamed]),
        tree(&[gone]),
        refused(410, "SyncStateNotFound"),
        tree(&[folder("I", "top", "Inbox"), folder("K", "top", "Sent Items")]),
    ])
    .await;
    let mut source = server.mailbox();
    let mut known = Checkpoint { protocol: Protocol::Graph, ..Checkpoint::default() };
    let mut rounds = Vec::new();
    let mut hierarchies = Vec::new();
    for _ in 0..5 {
        let survey = source.survey(&known, false).await.unwrap();
        let shown = |folder: &Folder| {
            format!("{} {}", folder.path.join("|"), folder.mark.as_deref().unwrap())
        };
        rounds.push(survey.folders.iter().map(shown).collect::<Vec<_>>().join(", "));
        for folder in &survey.folders {
            let state = FolderState { mark: folder.mark.clone(), ..FolderState::default() };
            known.folders.insert(folder.id.clone(), state);
        }
        hierarchies.push(survey.hierarchy.clone());
        known.hierarchy = survey.hierarchy;
    }
    assert_eq!(
        rounds,
        [
            "Inbox 0.0 3 1, Junk 0.0 3 1",
            "Inbox 0.0 3 1, Junk 0.0 3 1",
            "Inbox 0.1 3 1, Spam 0.1 3 1",
            "Inbox 0.1 3 1",
            // What changed before the position was lost is not known: no mark comes again.
            "Inbox 1.0 3 1, Sent Items 1.0 3 1",
        ]
    );
    assert_eq!(hierarchies[0], hierarchies[1], "an idle mailbox is written again");
    assert!(!source.marks_are_proof());
}

#[tokio::test]
async fn where_there_is_no_delta_query_folders_are_polled() {
    let no_delta = || {
        let message = "Resource not found for the segment 'delta'.";
        reply(400, "", json!({"error": {"code": "BadRequest", "message": message}}).to_string())
    };
    let mut parent = folder("I", "top", "Inbox");
    parent["childFolderCount"] = json!(1);
    let folders = |values: &[Value]| ok(json!({"value": values}));
    let at = |id: &str, time: &str| {
        let mut message = message(id);
        message["receivedDateTime"] = json!(time);
        message
    };
    let replies = vec![
        no_delta(),
        no_delta(),
        folders(&[parent.clone(), folder("J", "top", "Junk")]),
        folders(&[folder("D", "I", "Claims")]),
        ok(json!({"value": [at("M0", "2026-11-22T08:00:00Z")], "@odata.nextLink": "{base}/next"})),
        folders(&[at("M1", "2026-11-22T09:00:00Z")]),
        // The next poll: what the overlap lists again, and what is new.
        folders(&[at("M1", "2026-11-22T09:00:00Z"), at("M2", "2026-11-22T09:01:00Z")]),
        // After a thorough survey everything, whenever it was received.
        folders(&[parent, folder("J", "top", "Junk")]),
        folders(&[folder("D", "I", "Claims")]),
        folders(&[at("M9", "2026-01-01T00:00:00Z"), at("M1", "2026-11-22T09:00:00Z")]),
    ];
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let survey = source.survey(&Checkpoint::default(), true).await.unwrap();
    assert_eq!(paths(&survey.folders), ["Inbox", "Inbox|Claims", "Junk"]);
    let inbox = survey.folders.iter().find(|folder| folder.path == ["Inbox"]).unwrap();
    let mut listed = Vec::new();
    let mut from = None;
    for _ in 0..3 {
        let page = source.list(inbox, from.as_ref(), 100).await.unwrap();
        let ids: Vec<String> = page.entries.iter().map(|entry| entry.item.0.clone()).collect();
        listed.push((ids.join(" "), page.more));
        from = Some(page.next);
    }
    let known = Checkpoint { hierarchy: survey.hierarchy, ..Checkpoint::default() };
    let thorough = source.survey(&known, true).await.unwrap();
    let inbox = thorough.folders.iter().find(|folder| folder.path == ["Inbox"]).unwrap();
    let page = source.list(inbox, from.as_ref(), 100).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    let expected = [("M0", true), ("M1", false), ("M2", false)];
    assert_eq!(listed, expected.map(|(ids, more)| (ids.to_owned(), more)));
    let requests = server.requests();
    let since = "$filter=receivedDateTime%20ge%202026-11-22T08%3A50%3A00Z";
    assert!(requests[6].contains(since), "{}", requests[6]);
    assert!(!requests[4].contains("$filter=received"), "{}", requests[4]);
    assert!(!requests[9].contains("$filter=received"), "{}", requests[9]);
}
