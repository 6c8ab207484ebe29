//! The limits of the service.

use std::time::Duration;

use simulators::exchange::{Fault, FaultRule, GraphOptions, Large, Op, Options, rest_id};

use super::client::{Graph, at, code, server, server_with};
use crate::client::ABC;

#[tokio::test]
async fn a_fifth_request_at_once_is_refused_for_the_mailbox_and_counted() {
    let (server, _) = server(0).await;
    let id = server.deliver(ABC, &["Inbox"], Large::new(1, 100_000), at(0)).unwrap();
    server.add_mailbox("other@example.com");
    let path = format!("/v1.0/users/{ABC}/messages/{}/$value", rest_id(&id));
    // Bodies that never end keep their slots.
    let stall = FaultRule::new(Fault::Stall { after_bytes: 10 }).op(Op::MessageValue).times(4);
    server.fault(stall);
    let mut running = Vec::new();
    for number in 1..=4 {
        let mut graph = Graph::connect(&server).await;
        let path = path.clone();
        running.push(tokio::spawn(async move { graph.get(&path).await.body.len() }));
        while server.requests().iter().filter(|r| r.op == Op::MessageValue).count() < number {
            tokio::task::yield_now().await;
        }
    }
    let mut graph = Graph::connect(&server).await;
    let reply = graph.of_abc("/mailFolders/inbox").await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (429, "ApplicationThrottled".into()));
    assert_eq!(reply.headers["retry-after"], "2");
    assert!(reply.text().contains("MailboxConcurrency"));
    assert_eq!(graph.get("/v1.0/users/other@example.com/mailFolders").await.status, 200);
    let answers = graph.batch(&["/mailFolders/inbox".to_owned()]).await;
    assert_eq!(
        (&answers[0]["status"], &answers[0]["headers"]["Retry-After"]),
        (&429.into(), &"2".into())
    );
    for task in running.drain(..) {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    // Their slots are free when the server has seen the connections close.
    while graph.of_abc("/mailFolders/inbox").await.status == 429 {
        tokio::task::yield_now().await;
    }
    let usage = server.graph_usage();
    let own = usage.iter().find(|usage| usage.mailbox == ABC).unwrap();
    assert_eq!((own.app.as_str(), own.most_concurrent), (Options::CLIENT_ID, 5));
    assert!(own.throttled >= 2, "{own:?}");
}

#[tokio::test]
async fn a_batch_takes_four_slots_of_its_mailbox_at_most() {
    let (server, ids) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    let path = format!("/messages/{}/$value", rest_id(&ids[0]));
    let answers = graph.batch(&vec![path; 20]).await;
    assert!(answers.iter().all(|answer| answer["status"] == 200));
    let usage = &server.graph_usage()[0];
    assert_eq!((usage.requests, usage.throttled, usage.most_concurrent), (20, 0, 4));
}

#[tokio::test]
async fn too_many_requests_in_a_period_are_refused_for_the_mailbox_or_the_app() {
    let limits = GraphOptions {
        mailbox_requests: 6,
        app_requests: 8,
        app_period: Duration::from_secs(600),
        retry_after: Duration::from_secs(30),
        ..GraphOptions::default()
    };
    let (server, _) = server_with(1, Options { graph: limits, ..Options::default() }).await;
    server.add_mailbox("other@example.com");
    let mut graph = Graph::connect(&server).await;
    let answers = graph.batch(&vec!["/mailFolders/inbox".to_owned(); 7]).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429]);
    let other = "/v1.0/users/other@example.com/mailFolders";
    assert_eq!(graph.get(other).await.status, 200);
    assert_eq!(graph.get(other).await.status, 200);
    let reply = graph.get(other).await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (429, "TooManyRequests".into()));
    assert_eq!(reply.headers["retry-after"], "30");
    let usage = &server.graph_app_usage()[0];
    assert_eq!((usage.requests, usage.throttled, usage.most_in_period), (10, 1, 8));
}
