//! Each fault does what it says, once, and the next request is answered as ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulators::platform::{Fault, FaultRule, Op, Options, Platform};

use super::client::{BUCKET, connect, email, emails_of, start};

/// Long enough for an answer on a busy machine, short enough to wait for one that never comes.
const PATIENCE: Duration = Duration::from_millis(700);

fn stored(server: &Platform) -> usize {
    server.email_count(Options::BUCKET)
}

#[tokio::test]
async fn statuses_come_before_anything_is_stored() {
    let (server, mut client) = start(|_| ()).await;
    for status in [400, 401, 403, 409, 413, 422, 429, 500, 502, 503] {
        server.fault(Fault::http(status));
        let answer = client.put(&[email(1)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, None));
        assert_eq!(answer.message(), "this went wrong on purpose");
    }
    server.fault(Fault::busy(429, 7));
    assert_eq!(client.put(&[email(1)]).await.header("retry-after"), Some("7"));
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    server.fault(Fault::Http { status: 503, retry_after: Some(date.to_owned()) });
    assert_eq!(client.put(&[email(1)]).await.header("retry-after"), Some(date));
    assert_eq!(stored(&server), 0);
    assert_eq!(client.put(&[email(1)]).await.status, 200);
    assert_eq!((stored(&server), server.outstanding_faults()), (1, 0));
}

#[tokio::test]
async fn an_answer_is_lost_before_or_after_the_email_is_stored() {
    let (server, _) = start(|_| ()).await;
    let path = format!("{BUCKET}/emails");
    for (fault, expected) in [(Fault::DropBeforeCommit, 0), (Fault::DropAfterCommit, 1)] {
        server.fault(FaultRule::new(fault).op(Op::PutEmails));
        let mut client = connect(&server).await;
        assert_eq!(client.call("GET", BUCKET, Value::Null).await.status, 200);
        assert!(client.try_call("PUT", &path, emails_of(&[email(1)])).await.is_err());
        assert_eq!(stored(&server), expected);
        assert_eq!(server.requests().last().unwrap().status, 0);
    }
    let mut client = connect(&server).await;
    assert_eq!(client.put(&[email(1)]).await.status, 200);
    let email = server.email(Options::BUCKET, "<1@example.com>").unwrap();
    assert_eq!((email.writes, email.content_changes), (2, 0));
}

#[tokio::test]
async fn errors_are_answered_though_all_or_some_is_stored() {
    let (server, mut client) = start(|_| ()).await;
    server.fault(Fault::CommitSome { emails: 1, status: 500 });
    assert_eq!(client.put(&[email(1), email(2)]).await.status, 500);
    assert_eq!(stored(&server), 1);
    server.fault(Fault::HttpAfterCommit { status: 503 });
    assert_eq!(client.put(&[email(1), email(2)]).await.status, 503);
    assert_eq!(stored(&server), 2);
}

#[tokio::test]
async fn a_poison_email_fails_whatever_it_is_sent_with() {
    let (server, mut client) = start(|_| ()).await;
    server.fault(FaultRule::new(Fault::http(422)).email("<2@example.com>").always());
    assert_eq!(client.put(&[email(1), email(2), email(3)]).await.status, 422);
    assert_eq!(client.put(&[email(2)]).await.status, 422);
    assert_eq!(client.put(&[email(1), email(3)]).await.status, 200);
    server.clear_faults();
    assert_eq!(client.put(&[email(2)]).await.status, 200);
}

#[tokio::test]
async fn bodies_over_a_size_are_refused() {
    let (server, mut client) = start(|_| ()).await;
    let one = emails_of(&[email(1)]).to_string().len() as u64;
    server.fault(FaultRule::new(Fault::http(413)).body_over(one).always());
    assert_eq!(client.put(&[email(1), email(2)]).await.status, 413);
    assert_eq!(client.put(&[email(1)]).await.status, 200);
}

#[tokio::test]
async fn answers_are_no_json_or_contradict_their_status() {
    let (server, mut client) = start(|_| ()).await;
    server.fault(Fault::BadJson);
    let answer = client.put(&[email(1)]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_slice()),
        (200, &b"{\"status\":\"ok\","[..])
    );
    server.fault(Fault::Html200);
    let answer = client.put(&[email(1)]).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("text/html")));
    server.fault(Fault::StatusMismatch);
    let answer = client.put(&[email(1)]).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (200, Some("error")));
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn answers_are_cut_stall_and_trickle() {
    let (server, mut client) = start(|_| ()).await;
    server.fault(Fault::SlowResponse { bytes_per_second: 50 });
    let began = Instant::now();
    let answer = client.put(&[email(1)]).await;
    assert!(answer.whole && began.elapsed() >= Duration::from_millis(200));
    server.fault(Fault::StallResponse { after_bytes: 5 });
    assert!(tokio::time::timeout(PATIENCE, client.put(&[email(2)])).await.is_err());
    let mut client = connect(&server).await;
    server.fault(Fault::CutResponse { after_bytes: 5 });
    let answer = client.put(&[email(3)]).await;
    assert_eq!((answer.whole, answer.body.len()), (false, 5));
    assert_eq!(stored(&server), 3);
}

#[tokio::test]
async fn requests_stall_and_trickle() {
    let (server, mut client) = start(|_| ()).await;
    server.fault(Fault::StallRequest { after_bytes: 0 });
    assert!(tokio::time::timeout(PATIENCE, client.put(&[email(1)])).await.is_err());
    assert_eq!(stored(&server), 0);
    let mut client = connect(&server).await;
    server.fault(Fault::SlowRequest { bytes_per_second: 2000 });
    let began = Instant::now();
    assert_eq!(client.put(&[email(1)]).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_chance_strikes_some_requests_of_one_bucket() {
    let (server, mut client) = start(|options| options.buckets.push("example/other".into())).await;
    let rule = FaultRule::new(Fault::http(500)).op(Op::GetBucket).bucket(Options::BUCKET);
    server.fault(rule.chance(0.5));
    let mut failed = 0;
    for _ in 0..60 {
        failed += u32::from(client.call("GET", BUCKET, Value::Null).await.status == 500);
        let other = client.call("GET", "/api/_private/buckets/example/other", Value::Null).await;
        assert_eq!(other.status, 200);
    }
    assert!((15..45).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_request_that_is_refused_anyway_spends_no_fault() {
    let (server, mut client) = start(|_| ()).await;
    server.fault(Fault::http(503));
    assert_eq!(client.put(&[json!({})]).await.status, 400);
    client.token = "wrong".to_owned();
    assert_eq!(client.put(&[email(1)]).await.status, 401);
    assert_eq!(server.outstanding_faults(), 1);
}
