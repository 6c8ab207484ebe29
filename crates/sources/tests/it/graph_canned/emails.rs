//! Emails, one by one and in batches.

use super::*;

#[tokio::test]
async fn emails_come_in_one_batch_in_any_order() {
    let replies =
        vec![details(3), batch(&[email("QUJD"), failed(404, "ErrorItemNotFound"), email("REVG")])];
    let server = Server::start(replies).await;
    let entries = [entry("M0"), entry("M1"), entry("M2")];
    let fetched = server.mailbox().fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email", "gone", "email"]);
    for (fetched, expected) in [(&fetched[0], "ABC"), (&fetched[2], "DEF")] {
        let Fetched::Email(email) = fetched else { panic!("{fetched:?}") };
        assert_eq!(bytes(email), expected.as_bytes());
    }
    let requests = server.requests();
    let url = r#""url":"/users/abc%40example.com/messages/M1/$value""#;
    assert!(requests[1].contains(url), "{}", requests[1]);
    let prefer = r#""headers":{"Prefer":"IdType=\"ImmutableId\""}"#;
    assert!(requests[1].contains(prefer), "{}", requests[1]);
}

#[tokio::test]
async fn what_a_page_told_is_not_asked_for_again() {
    let listed = page(&[message("M0"), message("M1")]);
    let server = Server::start(vec![listed, batch(&[email("QUJD"), email("REVG")])]).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email"; 2]);
    let Fetched::Email(email) = &fetched[0] else { panic!("{fetched:?}") };
    assert_eq!(email.timestamp.to_rfc3339(), "2026-11-22T08:15:02+00:00");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_throttled_part_of_a_batch_is_put_off() {
    let throttled = (
        429,
        json!({"retry-after": "8"}),
        json!({"error": {"code": "ApplicationThrottled",
            "message": "Application is over its MailboxConcurrency limit."}}),
    );
    let listed = (0..6).map(|number| message(&format!("M{number}"))).collect::<Vec<_>>();
    let mut answers = vec![email("QUJD"); 4];
    answers.extend([throttled.clone(), throttled]);
    let server = Server::start(vec![page(&listed), batch(&answers)]).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email", "email", "email", "email", "later", "later"]);
    let err = source.fetch(&inbox(), &entries[4..]).await.unwrap_err();
    let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice() else {
        panic!("{err:?}")
    };
    assert!(after <= Duration::from_secs(8) && after > Duration::from_secs(6), "{after:?}");
    assert_eq!(server.requests().len(), 2, "sent during the pause");
}

#[tokio::test]
async fn a_service_that_refuses_long_batches_gets_short_ones() {
    let throttled = (
        429,
        json!({}),
        json!({"error": {"code": "ApplicationThrottled",
            "message": "Application is over its MailboxConcurrency limit."}}),
    );
    let listed = (0..6).map(|number| message(&format!("M{number}"))).collect::<Vec<_>>();
    let mut answers = vec![email("QUJD"); 5];
    answers.push(throttled);
    let replies = vec![
        page(&listed),
        batch(&answers),
        batch(&vec![email("QUJD"); 4]),
        batch(&vec![email("QUJD"); 2]),
    ];
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched)[5], "later");
    assert_eq!(outcomes(&source.fetch(&inbox(), &entries).await.unwrap()), ["email"; 6]);
    let parts = |request: &String| request.matches("/$value").count();
    let sizes: Vec<usize> = server.requests().iter().map(parts).collect();
    assert_eq!(sizes, [0, 6, 4, 2]);
}

#[tokio::test]
async fn emails_that_a_batch_brings_in_a_strange_form_are_fetched_singly() {
    let listed = [message("M0"), message("M1")];
    let raw = (200, json!({}), json!("Subject: raw\r\n\r\nText.\r\n"));
    let value = |text: &str| reply(200, "", text);
    let replies = vec![
        page(&listed),
        batch(&[raw.clone(), raw]),
        value("first"),
        value("second"),
        value("first"),
        value("second"),
    ];
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    for _ in 0..2 {
        let fetched = source.fetch(&inbox(), &entries).await.unwrap();
        assert_eq!(outcomes(&fetched), ["email"; 2]);
    }
    let batches = |request: &&String| request.contains("/$batch ");
    assert_eq!(server.requests().iter().filter(batches).count(), 1);
}

#[tokio::test]
async fn an_email_without_an_end_is_not_taken_for_whole() {
    let endless = || Reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nSubject: x\r\n".to_vec());
    let cut = || Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nSubject: x\r\n".to_vec());
    let server = Server::start(vec![details(1), endless()]).await;
    let err = server.mailbox().fetch(&inbox(), &[entry("M0")]).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Split, "{err:?}");
    let server = Server::start(vec![details(1), cut(), cut(), cut(), cut(), cut()]).await;
    let err = server.mailbox().fetch(&inbox(), &[entry("M0")]).await.unwrap_err();
    assert!(matches!(err, SourceError::Unreachable { .. }), "{err:?}");
    assert_eq!(server.requests().len(), 4, "one attempt and two more");
}

#[tokio::test]
async fn an_email_beyond_the_limit_is_refused_while_it_arrives() {
    let large = "x".repeat(3000);
    let replies = vec![
        page(&[message("M0"), message("M1")]),
        batch(&[email(&large[..2000]), email("QUJD")]),
        // Far more is announced than ever comes.
        Reply(format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{large}").into_bytes()),
    ];
    let server = Server::start(replies).await;
    let settings = GraphSettings { max_email_size: 1000, ..settings() };
    let mut source = server.open(vec![anonymous()], settings).mailbox(&MAILBOX.parse().unwrap());
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    assert_eq!(outcomes(&source.fetch(&inbox(), &entries).await.unwrap()), ["TooLarge", "email"]);
    assert_eq!(outcomes(&source.fetch(&inbox(), &entries[..1]).await.unwrap()), ["TooLarge"]);
    // One whose listed size says enough is not even asked for.
    let huge = Entry { size: Some(2001), ..entries[0].clone() };
    assert_eq!(outcomes(&source.fetch(&inbox(), &[huge]).await.unwrap()), ["TooLarge"]);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_broken_item_is_refused_after_a_second_look() {
    for (status, code, attempts) in [
        (500, "ErrorItemCorrupt", 2),
        (500, "ErrorMimeContentConversionFailed", 2),
        (500, "ErrorInternalServerError", 3),
        (403, "ErrorAccessDenied", 3),
        (504, "UnknownError", 3),
    ] {
        let mut replies = vec![page(&[message("M0"), message("M1")])];
        replies.push(batch(&[failed(status, code), email("QUJD")]));
        replies.extend((0..3).map(|_| refused(status, code)));
        let server = Server::start(replies).await;
        let mut source = server.mailbox();
        let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
        let fetched = source.fetch(&inbox(), &entries).await.unwrap();
        assert_eq!(outcomes(&fetched), [code, "email"]);
        let tries = server.requests().len() - 1;
        // A part of a batch that took too long was no attempt of its own.
        assert_eq!(tries, if status == 504 { attempts + 1 } else { attempts }, "{code}");
    }
}

#[tokio::test]
async fn no_right_to_any_content_is_no_fault_of_the_items() {
    let mut replies = vec![page(&[message("M0")])];
    replies.extend((0..3).map(|_| refused(403, "ErrorAccessDenied")));
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let err = source.fetch(&inbox(), &entries).await.unwrap_err();
    assert_eq!(err.advice(), Advice::PauseMailbox, "{err:?}");
}

#[tokio::test]
async fn a_page_that_says_not_found_is_no_proof_that_an_item_is_gone() {
    let mut replies = vec![page(&[message("M0")])];
    replies.extend((0..4).map(|_| reply(404, "", "<html>Not here</html>")));
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let err = source.fetch(&inbox(), &entries).await.unwrap_err();
    assert_eq!(err.advice(), Advice::StopService, "{err:?}");
}

#[tokio::test]
async fn the_budget_of_a_mailbox_counts_each_part_of_a_batch() {
    let listed = [message("M0"), message("M1"), message("M2")];
    let replies = vec![page(&listed), batch(&vec![email("QUJD"); 3]), page(&[])];
    let server = Server::start(replies).await;
    let mailbox_allowance = Allowance { requests: 6, per: Duration::from_secs(600) };
    let settings = GraphSettings { mailbox_allowance, ..settings() };
    let mut source = server.open(vec![anonymous()], settings).mailbox(&MAILBOX.parse().unwrap());
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    source.fetch(&inbox(), &entries).await.unwrap();
    let err = source.fetch(&inbox(), &entries).await.unwrap_err();
    let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice() else {
        panic!("{err:?}")
    };
    assert!(after > Duration::from_secs(590), "{after:?}");
    source.list(&inbox(), None, 100).await.unwrap();
    assert_eq!(server.requests().len(), 3);
}
