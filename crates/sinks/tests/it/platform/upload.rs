//! Uploads, and everything that a server can do to them.

use std::time::{Duration, Instant};

use net::Limits;
use record::{Sink, SinkError};
use simulators::platform::{Fault, FaultRule, Op, Options, Token};

use super::{BUCKET, CANARY, Fixture, email, email_with, emails, id, route, uid};

const SHORT: Duration = Duration::from_millis(300);

/// Once on the next upload.
fn upload(fault: Fault) -> FaultRule {
    FaultRule::new(fault).op(Op::PutEmails)
}

#[tokio::test]
async fn emails_arrive_in_batches_within_the_allowed_width() {
    let mut fixture =
        Fixture::with(Options { latency: Duration::from_millis(20), ..Options::default() }).await;
    (fixture.batch_size, fixture.uploads) = (10, 3);
    assert_eq!(fixture.sink().write(&route(), &emails(0..95)).await.unwrap(), []);
    assert_eq!(fixture.server.email_count(BUCKET), 95);
    assert_eq!(fixture.server.count(Op::PutEmails), 10);
    let peak = fixture.server.peak_uploads();
    assert!((2..=3).contains(&peak), "{peak} uploads at a time");
}

#[tokio::test]
async fn no_width_counts_as_one() {
    let mut fixture = Fixture::start().await;
    (fixture.batch_size, fixture.uploads) = (2, 0);
    fixture.sink().write(&route(), &emails(0..8)).await.unwrap();
    assert_eq!((fixture.server.email_count(BUCKET), fixture.server.peak_uploads()), (8, 1));
}

#[tokio::test]
async fn of_two_emails_with_one_id_the_last_is_sent() {
    let fixture = Fixture::start().await;
    let mut twin = email_with(2, b"Subject: later\r\n\r\n".to_vec());
    twin.message_id = Some(id(1));
    fixture.sink().write(&route(), &[email(1), email(3), twin]).await.unwrap();
    let stored = fixture.server.email(BUCKET, &id(1)).unwrap();
    assert_eq!(stored.body.unwrap(), "Subject: later\r\n\r\n");
    assert_eq!((stored.writes, fixture.server.count(Op::PutEmails)), (1, 1));
}

#[tokio::test]
async fn both_uids_of_a_refused_twin_are_refused() {
    let fixture = Fixture::start().await;
    fixture.server.fault(upload(Fault::http(422)).email(&id(1)).always());
    let mut twin = email(2);
    twin.message_id = Some(id(1));
    let refused = fixture.sink().write(&route(), &[email(1), twin, email(3)]).await.unwrap();
    let mut uids: Vec<_> = refused.iter().map(|refusal| refusal.uid).collect();
    uids.sort_unstable();
    let mut expected = vec![uid(1), uid(2)];
    expected.sort_unstable();
    assert_eq!(uids, expected);
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    for fault in [
        Fault::http(500),
        Fault::http(502),
        Fault::http(503),
        Fault::http(504),
        Fault::http(409),
        Fault::http(408),
        Fault::http(429),
        Fault::busy(429, 0),
        Fault::DropBeforeCommit,
        Fault::BadJson,
        Fault::Html200,
        Fault::StatusMismatch,
        Fault::CommitSome { emails: 2, status: 500 },
    ] {
        let fixture = Fixture::start().await;
        fixture.server.fault(upload(fault.clone()));
        let written = fixture.sink().write(&route(), &emails(0..5)).await;
        assert_eq!(written.unwrap(), [], "{fault:?}");
        assert_eq!(fixture.server.email_count(BUCKET), 5, "{fault:?}");
        assert_eq!(fixture.server.count(Op::PutEmails), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_doubles_and_costs_nothing() {
    for fault in [
        Fault::DropAfterCommit,
        Fault::HttpAfterCommit { status: 500 },
        Fault::CutResponse { after_bytes: 10 },
        Fault::StallResponse { after_bytes: 3 },
    ] {
        let mut fixture = Fixture::start().await;
        fixture.limits = Limits { answer: SHORT, idle_body: SHORT, ..Limits::default() };
        fixture.server.fault(upload(fault.clone()));
        fixture.sink().write(&route(), &emails(0..5)).await.unwrap();
        let stored = fixture.server.emails(BUCKET);
        assert_eq!(stored.len(), 5, "{fault:?}");
        assert!(stored.iter().all(|email| email.charged() == 1), "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_is_given_up_and_tried_again() {
    let mut fixture = Fixture::start().await;
    fixture.limits = Limits { idle_send: SHORT, answer: SHORT, ..Limits::default() };
    fixture.total = Duration::from_secs(30);
    fixture.server.fault(upload(Fault::StallRequest { after_bytes: 100_000 }));
    let large = email_with(1, vec![b'x'; 20_000_000]);
    fixture.sink().write(&route(), &[large]).await.unwrap();
    assert_eq!(fixture.server.email(BUCKET, &id(1)).unwrap().size, 20_000_000);
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let mut fixture = Fixture::start().await;
    fixture.limits = Limits { idle_send: SHORT, ..Limits::default() };
    fixture.server.fault(upload(Fault::SlowResponse { bytes_per_second: 50 }));
    fixture.sink().write(&route(), &[email(1)]).await.unwrap();
    assert_eq!(fixture.server.count(Op::PutEmails), 1);
}

#[tokio::test]
async fn a_pause_is_kept_by_all_uploads() {
    let mut fixture = Fixture::start().await;
    fixture.batch_size = 1;
    fixture.uploads = 1;
    fixture.total = Duration::from_secs(20);
    fixture.server.fault(upload(Fault::busy(429, 1)).skip(1));
    let sink = fixture.sink();
    let (first, second) = ([email(1), email(2)], [email(3)]);
    let (route, other) = (route(), super::mailbox("abd@example.com"));
    let (one, two) = tokio::join!(sink.write(&route, &first), sink.write(&other, &second));
    one.and(two).unwrap();
    let requests = fixture.server.requests();
    let at = requests.iter().position(|request| request.status == 429).unwrap();
    let pause = requests[at + 1].at - requests[at].at;
    assert!(pause >= Duration::from_millis(990), "{pause:?}");
}

#[tokio::test]
async fn a_long_pause_is_left_to_the_engine_and_nobody_calls_before() {
    for fault in [Fault::busy(429, 600), Fault::busy(503, 600)] {
        let fixture = Fixture::start().await;
        fixture.server.fault(upload(fault));
        let sink = fixture.sink();
        for n in 1..3 {
            let err = sink.write(&route(), &[email(n)]).await.unwrap_err();
            let SinkError::Throttled { retry_after: Some(pause), .. } = err else {
                panic!("{err}")
            };
            assert!(pause > Duration::from_secs(590), "{pause:?}");
        }
        assert_eq!(fixture.server.request_count(), 1);
    }
}

#[tokio::test]
async fn a_server_that_stays_down_is_an_error_and_nothing_is_refused() {
    for status in [500, 503, 502, 409] {
        let mut fixture = Fixture::start().await;
        fixture.total = Duration::from_millis(200);
        fixture.server.fault(upload(Fault::http(status)).always());
        let started = Instant::now();
        let err = fixture.sink().write(&route(), &emails(0..20)).await.unwrap_err();
        assert!(
            matches!(&err, SinkError::Unavailable { code, .. } if *code == status.to_string()),
            "{err}"
        );
        assert!(started.elapsed() < Duration::from_secs(20));
        assert!(
            fixture.server.count(Op::PutEmails) < 100,
            "{}",
            fixture.server.count(Op::PutEmails)
        );
    }
}

#[tokio::test]
async fn a_poison_email_is_found_and_refused_and_the_others_arrive() {
    for (fault, code) in [(400, "400"), (422, "422"), (500, "500"), (409, "409")] {
        let mut fixture = Fixture::start().await;
        fixture.total = Duration::from_millis(500);
        fixture.server.fault(upload(Fault::http(fault)).email(&id(7)).always());
        let refused = fixture.sink().write(&route(), &emails(0..20)).await.unwrap();
        assert_eq!(refused.len(), 1, "{fault}");
        assert_eq!((refused[0].uid, refused[0].code.as_str()), (uid(7), code));
        assert!(!refused[0].detail.contains(CANARY));
        assert_eq!(fixture.server.email_count(BUCKET), 19);
    }
}

#[tokio::test]
async fn several_emails_that_break_the_server_do_not_hold_up_the_others() {
    let mut fixture = Fixture::start().await;
    fixture.total = Duration::from_millis(300);
    for n in 0..4 {
        fixture.server.fault(upload(Fault::http(500)).email(&id(n)).always());
    }
    let refused = fixture.sink().write(&route(), &emails(0..20)).await.unwrap();
    assert_eq!(refused.len(), 4);
    assert_eq!(fixture.server.email_count(BUCKET), 16);
}

#[tokio::test]
async fn an_email_that_breaks_the_server_is_refused_when_others_passed_between_three_failures() {
    let mut fixture = Fixture::start().await;
    fixture.total = Duration::from_millis(100);
    fixture.server.fault(upload(Fault::http(500)).email(&id(7)).always());
    let sink = fixture.sink();
    for n in 10..12 {
        // However often it fails while nothing passes: once counts.
        for _ in 0..3 {
            let err = sink.write(&route(), &[email(7)]).await.unwrap_err();
            assert!(matches!(err, SinkError::Unavailable { .. }), "{err}");
        }
        assert_eq!(sink.write(&route(), &[email(n)]).await.unwrap(), []);
    }
    let refused = sink.write(&route(), &[email(7)]).await.unwrap();
    assert_eq!((refused[0].uid, refused[0].code.as_str()), (uid(7), "500"));
}

#[tokio::test]
async fn an_email_that_was_accepted_is_no_longer_suspect() {
    let mut fixture = Fixture::start().await;
    fixture.total = Duration::from_millis(50);
    let sink = fixture.sink();
    for _ in 0..3 {
        fixture.server.fault(upload(Fault::http(500)).email(&id(7)).always());
        for n in 10..12 {
            assert!(sink.write(&route(), &[email(7)]).await.is_err());
            assert_eq!(sink.write(&route(), &[email(n)]).await.unwrap(), []);
        }
        fixture.server.clear_faults();
        assert_eq!(sink.write(&route(), &[email(7)]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_outage_that_hits_the_same_email_again_and_again_sets_nothing_aside() {
    for fault in [
        Fault::http(502),
        Fault::http(503),
        Fault::http(504),
        Fault::DropBeforeCommit,
        Fault::Html200,
        Fault::Page { status: 409 },
    ] {
        let mut fixture = Fixture::start().await;
        fixture.total = Duration::from_millis(50);
        fixture.server.fault(upload(fault.clone()).email(&id(7)).always());
        let sink = fixture.sink();
        for n in 10..15 {
            let result = sink.write(&route(), &[email(7)]).await;
            assert!(result.is_err(), "{fault:?}: {result:?}");
            assert_eq!(sink.write(&route(), &[email(n)]).await.unwrap(), []);
        }
        let result = sink.write(&route(), &emails(0..20)).await;
        assert!(result.is_err(), "{fault:?}: {result:?}");
    }
}

#[tokio::test]
async fn emails_of_another_mailbox_that_pass_buy_no_victims() {
    let mut fixture = Fixture::start().await;
    fixture.total = Duration::from_millis(100);
    let sink = fixture.sink();
    sink.write(&super::mailbox("other@example.com"), &emails(100..180)).await.unwrap();
    for n in 0..20 {
        fixture.server.fault(upload(Fault::http(500)).email(&id(n)).always());
    }
    for _ in 0..5 {
        assert!(sink.write(&route(), &emails(0..20)).await.is_err());
    }
    assert!(fixture.server.count(Op::PutEmails) < 300);
}

#[tokio::test]
async fn a_refusal_of_something_before_the_platform_sets_nothing_aside() {
    for status in [400, 403, 404, 405, 409, 413, 422, 451] {
        let mut fixture = Fixture::start().await;
        fixture.total = Duration::from_millis(50);
        let sink = fixture.sink();
        sink.write(&route(), &[email(1)]).await.unwrap();
        fixture.server.fault(upload(Fault::Page { status }).always());
        for count in [1, 5] {
            let result = sink.write(&route(), &emails(2..2 + count)).await;
            let unavailable = matches!(result, Err(SinkError::Unavailable { .. }));
            assert!(unavailable, "{status}: {result:?}");
        }
        fixture.server.clear_faults();
        assert_eq!(sink.write(&route(), &emails(2..7)).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_proxy_that_takes_no_large_emails_is_believed() {
    let fixture = Fixture::start().await;
    fixture.server.fault(upload(Fault::Page { status: 413 }).body_over(1 << 20).always());
    let mut all = emails(1..10);
    all.push(email_with(10, vec![b'x'; 2 << 20]));
    let refused = fixture.sink().write(&route(), &all).await.unwrap();
    assert_eq!((refused.len(), refused[0].uid, &*refused[0].code), (1, uid(10), "TooLarge"));
}

#[tokio::test]
async fn a_platform_that_begins_to_refuse_everything_costs_a_few_emails_at_most() {
    let fixture = Fixture::start().await;
    let sink = fixture.sink();
    sink.write(&route(), &[email(1)]).await.unwrap();
    fixture.server.fault(upload(Fault::http(400)).always());
    let mut refused = 0;
    for n in 2..40 {
        match sink.write(&route(), &[email(n)]).await {
            Ok(refusals) => refused += refusals.len(),
            Err(err) => {
                assert!(matches!(err, SinkError::Denied { .. }), "{err}");
                assert!(err.hint().unwrap().contains("none is set aside"), "{:?}", err.hint());
            }
        }
    }
    assert_eq!(refused, 9);
    assert!(sink.write(&route(), &emails(50..80)).await.is_err());
    fixture.server.clear_faults();
    assert_eq!(sink.write(&route(), &[email(2)]).await.unwrap(), []);
}

#[tokio::test]
async fn many_refused_emails_are_set_aside_while_another_passes() {
    let fixture = Fixture::start().await;
    for n in 10..25 {
        fixture.server.fault(upload(Fault::http(422)).email(&id(n)).always());
    }
    let refused = fixture.sink().write(&route(), &emails(0..25)).await.unwrap();
    assert_eq!(refused.len(), 15);
    assert_eq!(fixture.server.email_count(BUCKET), 10);
}

#[tokio::test]
async fn a_platform_that_refuses_everything_sets_nothing_aside() {
    let fixture = Fixture::start().await;
    fixture.server.fault(upload(Fault::http(400)).always());
    let err = fixture.sink().write(&route(), &emails(0..5)).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err}");
}

#[tokio::test]
async fn what_is_too_large_is_sent_in_smaller_uploads_from_then_on() {
    let fixture = Fixture::start().await;
    fixture.server.fault(upload(Fault::http(413)).body_over(300_000).always());
    let sink = fixture.sink();
    let large = |n| email_with(n, vec![b'x'; 50_000]);
    let all: Vec<_> = (0..20).map(large).collect();
    assert_eq!(sink.write(&route(), &all).await.unwrap(), []);
    assert_eq!(fixture.server.email_count(BUCKET), 20);
    fixture.server.clear_requests();
    sink.write(&route(), &all).await.unwrap();
    assert!(fixture.server.requests().iter().all(|request| request.status == 200));
}

#[tokio::test]
async fn an_email_that_is_too_large_by_itself_is_refused() {
    let fixture = Fixture::start().await;
    fixture.server.fault(upload(Fault::http(413)).body_over(300_000).always());
    let all = [email(1), email_with(2, vec![b'x'; 400_000]), email(3)];
    let refused = fixture.sink().write(&route(), &all).await.unwrap();
    assert_eq!((refused.len(), refused[0].uid), (1, uid(2)));
    assert_eq!(refused[0].code, "TooLarge");
    assert_eq!(fixture.ids(), [id(1), id(3)]);
}

#[tokio::test]
async fn a_refused_token_is_asked_about_once() {
    let fixture = Fixture::start().await;
    fixture.server.set_tokens(vec![Token::new("another")]);
    let err = fixture.sink().write(&route(), &emails(0..3)).await.unwrap_err();
    assert!(matches!(err, SinkError::Unauthorized { .. }), "{err}");
    assert_eq!(fixture.server.request_count(), 1);
    assert!(!format!("{err:?} {err}").contains(CANARY));
}

#[tokio::test]
async fn a_missing_permission_and_a_missing_bucket_are_named() {
    let fixture = Fixture::start().await;
    fixture.server.set_tokens(vec![Token::new(CANARY).only(&["buckets-read"])]);
    let sink = fixture.sink();
    let err = sink.write(&route(), &emails(0..3)).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err}");
    assert!(err.hint().unwrap().contains("buckets-append"), "{:?}", err.hint());
    fixture.server.set_tokens(vec![Token::new(CANARY)]);
    let mut nowhere = route();
    nowhere.bucket = record::BucketId::new("owner", "nowhere").unwrap();
    let err = sink.write(&nowhere, &emails(0..3)).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err}");
    assert!(err.hint().unwrap().starts_with("Create the bucket"), "{:?}", err.hint());
}

#[tokio::test]
async fn bodies_are_compressed_once_the_server_has_said_that_it_takes_them() {
    let fixture = Fixture::with(Options { accepts_gzip: true, ..Options::default() }).await;
    let sink = fixture.sink();
    let large = |n| email_with(n, b"Subject: long\r\n".repeat(40_000));
    for n in 1..4 {
        sink.write(&route(), &[large(n)]).await.unwrap();
    }
    // A server that has changed its mind.
    fixture.server.fault(upload(Fault::http(415)));
    sink.write(&route(), &[large(4)]).await.unwrap();
    let codings: Vec<_> = fixture
        .server
        .requests()
        .into_iter()
        .filter(|request| request.op == Op::PutEmails)
        .map(|request| (request.content_encoding.is_some(), request.status))
        .collect();
    assert_eq!(codings[..4], [(false, 200), (true, 200), (true, 200), (true, 415)]);
    assert_eq!(codings.last().unwrap().1, 200);
    assert_eq!(fixture.server.email_count(BUCKET), 4);
    assert_eq!(fixture.server.email(BUCKET, &id(2)).unwrap().size, 600_000);
}

#[tokio::test]
async fn mime_that_is_no_text_arrives_as_ascii_of_the_same_meaning() {
    let fixture = Fixture::start().await;
    let raw = b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9\r\n".to_vec();
    fixture.sink().write(&route(), &[email_with(1, raw)]).await.unwrap();
    let body = fixture.server.email(BUCKET, &id(1)).unwrap().body.unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.is_ascii() && text.contains("caf=E9"), "{text}");
}
