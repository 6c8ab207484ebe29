//! Tokens, links, pauses, permissions.

use super::*;

#[tokio::test]
async fn no_token_follows_a_link_to_another_host() {
    for foreign in [
        "https://graph.example.net/v1.0/x",
        "http://127.0.0.1:1/v1.0/x",
        "http://127.0.0.1@graph.example.net/x",
    ] {
        for link in ["@odata.nextLink", "@odata.deltaLink"] {
            let server =
                Server::start(vec![ok(json!({"value": [message("M1")], link: foreign}))]).await;
            let graph = server.open(vec![with_token(&server, "app")], settings());
            let mut source = graph.mailbox(&MAILBOX.parse().unwrap());
            let err = source.list(&inbox(), None, 100).await.unwrap_err();
            assert!(matches!(err, SourceError::Misconfigured { .. }), "{foreign}: {err:?}");
            assert_eq!(server.requests().len(), 1);
        }
        // Nor one that an earlier configuration has left in the checkpoint.
        let server = Server::start(Vec::new()).await;
        let err = server.mailbox().list(&inbox(), Some(&link(foreign)), 100).await.unwrap_err();
        assert!(matches!(err, SourceError::CursorExpired { .. }), "{foreign}: {err:?}");
        assert_eq!(server.requests().len(), 0);
        let folders = ok(json!({"value": [], "@odata.nextLink": foreign}));
        let server = Server::start(vec![folders]).await;
        let err = server.mailbox().survey(&Checkpoint::default(), true).await.unwrap_err();
        assert!(matches!(err, SourceError::Misconfigured { .. }), "{foreign}: {err:?}");
    }
}

#[tokio::test]
async fn a_link_to_a_host_that_is_allowed_is_followed_at_the_endpoint() {
    let next = "https://graph.example.net/v1.0/x?$skiptoken=1";
    let server =
        Server::start(vec![ok(json!({"value": [], "@odata.nextLink": next})), page(&[])]).await;
    let settings = GraphSettings { link_hosts: vec!["Graph.Example.net".to_owned()], ..settings() };
    let mut source = server.open(vec![anonymous()], settings).mailbox(&MAILBOX.parse().unwrap());
    let page = source.list(&inbox(), None, 100).await.unwrap();
    source.list(&inbox(), Some(&page.next), 100).await.unwrap();
    assert!(server.requests()[1].starts_with("GET /v1.0/x?$skiptoken=1 "));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let unauthorized = || refused(401, "InvalidAuthenticationToken");
    let replies = vec![unauthorized(), page(&[]), unauthorized(), unauthorized()];
    let server = Server::start(replies).await;
    let graph = server.open(vec![with_token(&server, "app")], settings());
    let mut source = graph.mailbox(&MAILBOX.parse().unwrap());
    source.list(&inbox(), None, 100).await.unwrap();
    let err = source.list(&inbox(), None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Unauthorized { .. }), "{err:?}");
    assert_eq!(err.advice(), Advice::StopService);
    let token = |request: &String| {
        let at = request.find("Authorization: Bearer ").unwrap() + 22;
        request[at..].lines().next().unwrap().to_owned()
    };
    let tokens: Vec<String> = server.requests().iter().map(token).collect();
    assert_eq!(tokens, ["token-1", "token-2", "token-2", "token-3"]);
}

#[tokio::test]
async fn an_attempt_with_a_refused_token_counts_against_the_budget() {
    let server = Server::start(vec![refused(401, "InvalidAuthenticationToken")]).await;
    let mailbox_allowance = Allowance { requests: 1, per: Duration::from_secs(600) };
    let settings = GraphSettings { mailbox_allowance, ..settings() };
    let graph = server.open(vec![with_token(&server, "app")], settings);
    let mut source = graph.mailbox(&MAILBOX.parse().unwrap());
    let err = source.list(&inbox(), None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Throttled { scope: Scope::Mailbox, .. }), "{err:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn of_several_applications_each_has_its_mailboxes_and_its_troubles() {
    let unauthorized = || refused(401, "InvalidAuthenticationToken");
    let pause = r#"{"error":{"code":"TooManyRequests","message":"No."}}"#;
    let headers = "Retry-After: 30\r\nx-ms-throttle-scope: Application/Read/1/2\r\n";
    let replies =
        vec![unauthorized(), unauthorized(), reply(429, headers, pause), page(&[]), page(&[])];
    let server = Server::start(replies).await;
    let applications = vec![with_token(&server, "first"), with_token(&server, "second")];
    let graph = server.open(applications, settings());
    let name = |mailbox: &str| {
        graph.application_of(&mailbox.parse().unwrap()).map(|app| app.name.clone()).unwrap()
    };
    let of = |wanted: &str| -> Vec<String> {
        let all = (0..20).map(|number| format!("m{number}@example.com"));
        all.filter(|mailbox| name(mailbox) == wanted).collect()
    };
    let (first, second) = (of("first"), of("second"));
    assert!(first.len() > 3 && second.len() > 3, "{first:?} {second:?}");
    let mut source = graph.mailbox(&first[0].parse().unwrap());
    let err = source.list(&inbox(), None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Denied { scope: Scope::Mailbox, .. }), "{err:?}");
    assert!(err.hint().unwrap().contains("`first`"), "{err:?}");
    // A pause of one application is kept by all its mailboxes, and by no other.
    for (number, mailbox) in second[..2].iter().enumerate() {
        let mut source = graph.mailbox(&mailbox.parse().unwrap());
        let err = source.list(&inbox(), None, 100).await.unwrap_err();
        let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice() else {
            panic!("{number}: {err:?}")
        };
        assert!(after <= Duration::from_secs(30) && after > Duration::from_secs(20), "{after:?}");
    }
    graph.mailbox(&first[1].parse().unwrap()).list(&inbox(), None, 100).await.unwrap();
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
    let error = r#"{"error":{"code":"ApplicationThrottled","message":"MailboxConcurrency"}}"#;
    for headers in [
        "Retry-After: 12\r\n",
        "Date: Sun, 22 Nov 2026 10:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 10:00:12 GMT\r\n",
    ] {
        for status in [429, 503] {
            let server = Server::start(vec![reply(status, headers, error)]).await;
            let mut source = server.mailbox();
            for _ in 0..2 {
                let err = source.list(&inbox(), None, 100).await.unwrap_err();
                let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice()
                else {
                    panic!("{err:?}")
                };
                assert!(after > Duration::from_secs(11) && after <= Duration::from_secs(12));
            }
            assert_eq!(server.requests().len(), 1, "asked during the pause");
        }
    }
    // Without a time, the engine finds one.
    let err = listed(vec![refused(429, "TooManyRequests")]).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Retry { scope: Scope::Mailbox, after: None });
}

#[tokio::test]
async fn a_mailbox_that_graph_does_not_serve_is_named() {
    for (status, code, advice, word) in [
        (404, "MailboxNotEnabledForRESTAPI", Advice::PauseMailbox, "premises"),
        (404, "ErrorInvalidUser", Advice::PauseMailbox, "premises"),
        (404, "ResourceNotFound", Advice::PauseMailbox, "premises"),
        (403, "ErrorAccessDenied", Advice::PauseMailbox, "Mail.Read"),
        (403, "Authorization_RequestDenied", Advice::PauseMailbox, "RBAC"),
    ] {
        let server = Server::start(vec![refused(status, code)]).await;
        let err = server.mailbox().survey(&Checkpoint::default(), true).await.unwrap_err();
        assert_eq!(err.advice(), advice, "{code}: {err:?}");
        assert!(err.hint().unwrap().contains(word), "{code}: {err:?}");
        assert!(err.to_string().contains(code), "{code}: {err}");
    }
    for status in [500, 502, 503, 504, 507] {
        let err = listed(vec![refused(status, "UnknownError"), refused(status, "UnknownError")])
            .await
            .unwrap_err();
        let again = matches!(err.advice(), Advice::Split | Advice::Retry { after: None, .. });
        assert!(again, "{status}: {err:?}");
    }
}
