//! Folders, polling, permissions and budgets of Graph.

use std::{num::NonZeroUsize, time::Duration};

use record::{Advice, Checkpoint, Folder, FolderState, Source};
use simulators::exchange::{App, GraphOptions, Options};
use sources::graph::{Allowance, Application, Graph, GraphSettings};

use crate::{
    graph_server::{application, folder, graph, open, options, read_on, settings, start},
    server::{INBOX, MAILBOX, at, deliver, mime, outcomes, transport},
};

/// Surveys as the engine does, which keeps hierarchy and marks in the checkpoint.
async fn round(source: &mut dyn Source, known: &mut Checkpoint, thorough: bool) -> Vec<Folder> {
    let survey = source.survey(known, thorough).await.unwrap();
    known.hierarchy = survey.hierarchy;
    for folder in &survey.folders {
        let state = FolderState { mark: folder.mark.clone(), ..FolderState::default() };
        known.folders.insert(folder.id.clone(), state);
    }
    survey.folders
}

fn paths(folders: &[Folder]) -> Vec<String> {
    let mut paths: Vec<String> = folders.iter().map(|folder| folder.path.join(" > ")).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn an_idle_round_costs_one_request_and_no_write() {
    let exchange = start(GraphOptions::default()).await;
    deliver(&exchange, 0..3);
    let mut source = open(&exchange);
    let mut known = Checkpoint::default();
    let first = round(&mut source, &mut known, true).await;
    for _ in 0..3 {
        exchange.clear_requests();
        let before = known.clone();
        assert_eq!(round(&mut source, &mut known, false).await, first);
        assert_eq!(exchange.requests().len(), 1);
        assert_eq!(known, before);
    }
    // A thorough look at a mailbox that has not changed is no reason to read its folders.
    assert_eq!(round(&mut source, &mut known, true).await, first);
}

#[tokio::test]
async fn a_folder_with_new_mail_gets_another_mark_where_the_server_says_so() {
    let exchange = start(GraphOptions::default()).await;
    let ids = deliver(&exchange, 0..2);
    let mut source = open(&exchange);
    let mut known = Checkpoint::default();
    let mut last = round(&mut source, &mut known, true).await;
    let mut step = async |what: &str, expected: &[&str]| {
        let now = round(&mut source, &mut known, false).await;
        let changed = now.iter().filter(|folder| !last.contains(folder)).cloned();
        assert_eq!(paths(&changed.collect::<Vec<_>>()), expected, "{what}");
        last = now;
    };
    step("nothing", &[]).await;
    deliver(&exchange, 2..3);
    step("a delivery", &["Inbox"]).await;
    step("nothing more", &[]).await;
    // As many as before: the counts alone would not tell.
    exchange.delete_item(&ids[0]).unwrap();
    deliver(&exchange, 3..4);
    step("one for another", &["Inbox"]).await;
    exchange.move_item(&ids[1], &["Junk Email"]).unwrap();
    step("a move", &["Inbox", "Junk Email"]).await;
}

#[tokio::test]
async fn changes_of_the_tree_are_seen_without_a_thorough_survey() {
    let exchange = start(GraphOptions::default()).await;
    exchange.add_folder(MAILBOX, &["Projects"], "IPF.Note").unwrap();
    let mut source = open(&exchange);
    let mut known = Checkpoint::default();
    let before = round(&mut source, &mut known, false).await;
    let projects = before.iter().find(|folder| folder.path == ["Projects"]).unwrap().id.clone();

    exchange.add_folder(MAILBOX, &["Projects", "New"], "IPF.Note").unwrap();
    assert_eq!(round(&mut source, &mut known, false).await.len(), before.len() + 1);

    exchange.rename_folder(MAILBOX, &["Projects"], "Old/Projects").unwrap();
    let renamed = round(&mut source, &mut known, false).await;
    let found = renamed.iter().find(|folder| folder.id == projects).unwrap();
    assert_eq!(found.path, ["Old/Projects"]);
    assert!(paths(&renamed).contains(&"Old/Projects > New".to_owned()), "{renamed:?}");

    exchange.move_folder(MAILBOX, &["Old/Projects"], INBOX).unwrap();
    let moved = round(&mut source, &mut known, false).await;
    assert!(paths(&moved).contains(&"Inbox > Old/Projects > New".to_owned()), "{moved:?}");

    exchange.delete_folder(MAILBOX, &["Inbox", "Old/Projects"]).unwrap();
    let gone = round(&mut source, &mut known, false).await;
    assert!(!gone.iter().any(|folder| folder.id == projects), "{gone:?}");
}

#[tokio::test]
async fn a_cloud_without_delta_queries_is_polled() {
    for told in [true, false] {
        let exchange = start(GraphOptions { delta: false, ..GraphOptions::default() }).await;
        exchange.add_folder(MAILBOX, &["Inbox", "Claims/2026"], "IPF.Note").unwrap();
        deliver(&exchange, 10..40);
        let settings = GraphSettings { delta: !told, ..settings() };
        let mut source = graph(&exchange, settings).mailbox(&MAILBOX.parse().unwrap());
        let mut known = Checkpoint::default();
        let first = round(&mut source, &mut known, true).await;
        assert!(paths(&first).contains(&"Inbox > Claims/2026".to_owned()), "{first:?}");
        let inbox = |folders: &[Folder]| {
            folders.iter().find(|folder| folder.path == INBOX).unwrap().clone()
        };
        let (entries, position) = read_on(&mut source, &inbox(&first), None).await;
        assert_eq!(outcomes(&source.fetch(&inbox(&first), &entries).await.unwrap()), ["email"; 30]);
        // What the overlap lists again is no news.
        let (again, position) = read_on(&mut source, &inbox(&first), Some(position)).await;
        assert_eq!(again, []);
        // New mail is seen at once, mail with an old date by the next thorough survey.
        deliver(&exchange, 50..51);
        deliver(&exchange, 0..1);
        let now = round(&mut source, &mut known, false).await;
        assert_ne!(inbox(&now).mark, inbox(&first).mark);
        let (new, position) = read_on(&mut source, &inbox(&now), Some(position)).await;
        assert_eq!(new.iter().map(|entry| entry.received).collect::<Vec<_>>(), [Some(at(50))]);
        let thorough = round(&mut source, &mut known, true).await;
        let (all, _) = read_on(&mut source, &inbox(&thorough), Some(position)).await;
        assert_eq!(all.len(), 32);
        assert!(all.iter().any(|entry| entry.received == Some(at(0))));
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let read_basic = App::with_secret("basic", "secret").roles(&["Mail.ReadBasic.All"]);
    let none = App::with_secret("none", "secret").roles(&[]);
    let mut scoped = App::with_secret("scoped", "secret");
    scoped.rights.only = Some(["somebody@example.com".to_owned()].into());
    for app in [read_basic, none, scoped] {
        let id = app.client_id.clone();
        let options = Options { apps: vec![app], ..options(GraphOptions::default()) };
        let exchange = crate::server::start(options).await;
        deliver(&exchange, 0..1);
        let mut application = application(&exchange);
        let credentials = net::oauth::ClientCredentials {
            authority: exchange.authority_url(),
            client_id: id.clone(),
            proof: net::oauth::Proof::Secret("secret".into()),
            scope: "https://graph.microsoft.com/.default".to_owned(),
        };
        application.token = Some(net::TokenSource::new(credentials, transport(&exchange)).unwrap());
        let endpoint = net::Endpoint::new(&exchange.graph_url(), transport(&exchange)).unwrap();
        let mut source =
            Graph::new(endpoint, vec![application], settings()).mailbox(&MAILBOX.parse().unwrap());
        let err = match source.survey(&Checkpoint::default(), true).await {
            Err(err) => err,
            Ok(survey) => {
                let inbox = survey.folders.iter().find(|folder| folder.path == INBOX).unwrap();
                source.list(inbox, None, 10).await.unwrap_err()
            }
        };
        assert_eq!(err.advice(), Advice::PauseMailbox, "{id}: {err:?}");
        let hint = err.hint().unwrap();
        assert!(hint.contains("`Mail.Read`") && hint.contains("RBAC"), "{id}: {hint}");
    }
}

#[tokio::test]
async fn budgets_are_kept_by_several_mailboxes_at_once() {
    let graph_options = GraphOptions {
        mailbox_requests: 60,
        mailbox_period: Duration::from_secs(600),
        ..GraphOptions::default()
    };
    let exchange = start(graph_options).await;
    let mailboxes: Vec<String> = (0..4).map(|number| format!("m{number}@example.com")).collect();
    for mailbox in &mailboxes {
        exchange.add_mailbox(mailbox);
        for number in 0..30 {
            exchange.deliver(mailbox, INBOX, mime(number), at(number)).unwrap();
        }
    }
    let application = Application {
        allowance: Allowance { requests: 60, per: Duration::from_secs(1) },
        ..application(&exchange)
    };
    let settings = GraphSettings {
        connections: NonZeroUsize::new(4).unwrap(),
        mailbox_allowance: Allowance { requests: 60, per: Duration::from_secs(600) },
        ..settings()
    };
    let endpoint = net::Endpoint::new(&exchange.graph_url(), transport(&exchange)).unwrap();
    let service = Graph::new(endpoint, vec![application], settings);
    let began = std::time::Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    for mailbox in &mailboxes {
        let mut source = service.mailbox(&mailbox.parse().unwrap());
        readers.spawn(async move {
            let inbox = folder(&mut source, INBOX).await;
            let (entries, _) = read_on(&mut source, &inbox, None).await;
            let fetched = source.fetch(&inbox, &entries).await.unwrap();
            // The rest of the budget, one by one.
            let mut more = 0;
            let err = loop {
                match source.fetch(&inbox, &entries[..1]).await {
                    Ok(_) => more += 1,
                    Err(err) => break err,
                }
            };
            (outcomes(&fetched), more, err.advice())
        });
    }
    while let Some(read) = readers.join_next().await {
        let (outcomes, more, advice) = read.unwrap();
        assert_eq!(outcomes, ["email"; 30]);
        assert!(more > 0);
        let Advice::Retry { scope: record::Scope::Mailbox, after: Some(after) } = advice else {
            panic!("{advice:?}")
        };
        assert!(after > Duration::from_secs(500), "{after:?}");
    }
    for usage in exchange.graph_usage() {
        assert_eq!((usage.throttled, usage.requests), (0, 60), "{usage:?}");
        assert!(usage.most_in_period <= 60 && usage.most_concurrent <= 4, "{usage:?}");
    }
    let [usage] = &exchange.graph_app_usage()[..] else { panic!("one application") };
    assert_eq!((usage.throttled, usage.requests), (0, 240));
    // The first second's share at once, the rest not before its time.
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_works_on_a_whole_batch_at_once_gets_short_ones() {
    let graph_options = GraphOptions {
        batch_parallel: 20,
        expand_in_folder_delta: true,
        ..GraphOptions::default()
    };
    let exchange = start(graph_options).await;
    let other = "other@example.com";
    exchange.add_mailbox(other);
    for mailbox in [MAILBOX, other] {
        for number in 0..8 {
            exchange.deliver(mailbox, INBOX, mime(number), at(number)).unwrap();
        }
    }
    let service = graph(&exchange, settings());
    for (mailbox, expected) in [(MAILBOX, 4), (other, 8)] {
        let mut source = service.mailbox(&mailbox.parse().unwrap());
        let inbox = folder(&mut source, INBOX).await;
        let (entries, _) = read_on(&mut source, &inbox, None).await;
        let fetched = source.fetch(&inbox, &entries).await.unwrap();
        let emails = outcomes(&fetched).iter().filter(|outcome| *outcome == "email").count();
        assert_eq!(emails, expected, "{mailbox}");
    }
}
