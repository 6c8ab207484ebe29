//! What goes wrong between the server and the source, and what is left of it.

use std::{sync::Arc, time::Duration};

use net::{Endpoint, Limits};
use record::{Advice, Checkpoint, Entry, Folder, Scope, Source, SourceError};
use simulators::exchange::{Exchange, Fault, FaultRule, Op, Options, Shape};
use sources::ews::{Ews, EwsMailbox};

use crate::server::{MAILBOX, basic, deliver, inbox, open, outcomes, settings, start, transport};

/// A server with `count` messages in the inbox, and a source that has listed them.
async fn listed(count: i64) -> (Exchange, EwsMailbox, Folder, Vec<Entry>) {
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..count);
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    (exchange, source, inbox, entries)
}

fn request_error(code: &str) -> Fault {
    Fault::RequestError { code: code.to_owned(), shape: Shape::SoapFault }
}

const BROKEN: &[&str] = &[
    "ErrorContentConversionFailed",
    "ErrorMimeContentConversionFailed",
    "ErrorItemCorrupt",
    "ErrorCorruptData",
    "ErrorItemPropertyRequestFailed",
    "ErrorUnsupportedMimeConversion",
    "ErrorDataSizeLimitExceeded",
    "ErrorMessageSizeExceeded",
    "ErrorVirusDetected",
    "ErrorVirusMessageDeleted",
    "ErrorAccessDenied",
];
/// Codes that leave open whether the item or the server is to blame.
const PUZZLING: &[&str] = &["ErrorInternalServerError", "ErrorNobodyKnows"];

/// What becomes of the second of three items whose first `strikes` requests fail with `code`.
async fn struck(
    (exchange, source, inbox, entries): &mut (Exchange, EwsMailbox, Folder, Vec<Entry>),
    code: &str,
    strikes: usize,
) -> String {
    let rule = FaultRule::new(Fault::item_error(code)).op(Op::GetItem).item(&entries[1].item.0);
    exchange.fault(rule.times(strikes));
    let outcomes = outcomes(&source.fetch(inbox, entries).await.unwrap());
    exchange.clear_faults();
    assert_eq!((&*outcomes[0], &*outcomes[2]), ("email", "email"), "{code}");
    outcomes[1].clone()
}

#[tokio::test]
async fn a_broken_item_is_tried_again_then_rebuilt_then_refused() {
    let mut listed = listed(3).await;
    for code in BROKEN {
        let mut results = Vec::new();
        for strikes in [1, 2, usize::MAX] {
            results.push(struck(&mut listed, code, strikes).await);
        }
        assert_eq!(results, ["email", "rebuilt", code]);
    }
}

#[tokio::test]
async fn a_puzzling_item_is_tried_three_times_then_refused() {
    let mut listed = listed(3).await;
    for code in PUZZLING {
        let mut results = Vec::new();
        for strikes in [1, 2, 3] {
            results.push(struck(&mut listed, code, strikes).await);
        }
        assert_eq!(results, ["email", "email", code]);
    }
}

#[tokio::test]
async fn a_missing_item_is_gone_and_not_asked_for_again() {
    for code in ["ErrorItemNotFound", "ErrorInvalidIdMalformed"] {
        let (exchange, mut source, inbox, entries) = listed(2).await;
        let rule = FaultRule::new(Fault::item_error(code)).item(&entries[0].item.0).always();
        exchange.fault(rule);
        let fetched = source.fetch(&inbox, &entries).await.unwrap();
        assert_eq!(outcomes(&fetched), ["gone", "email"], "{code}");
        assert_eq!(exchange.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_rebuilt_message_has_its_headers_text_and_attachments() {
    let exchange = start(Options::default()).await;
    let mime = concat!(
        "Received: from x\r\nFrom: Ana <ana@example.org>\r\nTo: b@example.com\r\nSubject: Hello\r\n",
        "Message-ID: <9@example.org>\r\nMIME-Version: 1.0\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
        "--b\r\nContent-Type: text/plain\r\n\r\nThe text.\r\n",
        "--b\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n",
        "Content-Disposition: attachment; filename=\"a.pdf\"\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\nQUJDREVG\r\n--b--\r\n",
    );
    exchange.deliver(MAILBOX, crate::server::INBOX, mime, crate::server::at(1)).unwrap();
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    exchange.fault(FaultRule::new(Fault::item_error("ErrorItemCorrupt")).op(Op::GetItem).times(2));
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let record::Fetched::Email(email) = &fetched[0] else { panic!("{fetched:?}") };
    let text = String::from_utf8(crate::server::bytes(email)).unwrap();
    for part in [
        "X-Tributary-Rebuilt: ErrorItemCorrupt\r\n",
        "Subject: Hello\r\n",
        "Message-ID: <9@example.org>\r\n",
        "Content-Type: multipart/mixed;",
        "filename*=UTF-8''a.pdf",
        "QUJDREVG\r\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(email.uid, entries[0].uid);
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_halved() {
    let (exchange, mut source, inbox, entries) = listed(20).await;
    exchange.fault(FaultRule::new(Fault::BatchTimeout { after: 1 }).op(Op::GetItem).times(4));
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email"; 20]);

    let (exchange, mut source, inbox, entries) = listed(20).await;
    exchange.fault(FaultRule::new(request_error("ErrorTimeoutExpired")).op(Op::GetItem).times(2));
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email"; 20]);
    let asked: Vec<usize> = exchange.requests().iter().map(|request| request.asked).collect();
    assert_eq!(asked, [20, 10, 5, 5, 10]);
}

#[tokio::test]
async fn a_listing_that_takes_too_long_is_asked_for_in_smaller_pages() {
    let (exchange, mut source, inbox, entries) = listed(20).await;
    exchange.fault(FaultRule::new(request_error("ErrorTimeoutExpired")).times(3));
    assert_eq!(source.list(&inbox, None, 512).await.unwrap().entries, entries);
}

#[tokio::test]
async fn an_unreadable_reply_is_isolated_to_its_item() {
    let (exchange, mut source, inbox, entries) = listed(6).await;
    // Whatever asks for this item is answered by more text than any reply may have.
    let rule = FaultRule::new(Fault::GzipBomb { decoded_bytes: 20 << 20 }).op(Op::GetItem);
    exchange.fault(rule.item(&entries[4].item.0).always());
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let expected = ["email", "email", "email", "email", "later", "email"];
    assert_eq!(outcomes(&fetched), expected);
    let err = source.fetch(&inbox, &entries[4..5]).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Split, "{err:?}");
}

#[tokio::test]
async fn damaged_base64_is_fetched_again_then_refused() {
    let (exchange, mut source, inbox, entries) = listed(2).await;
    exchange.fault(FaultRule::new(Fault::TruncatedBase64).item(&entries[0].item.0));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 2]);
    exchange.fault(FaultRule::new(Fault::TruncatedBase64).item(&entries[0].item.0).always());
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["BadBase64", "email"]);
}

#[tokio::test]
async fn a_cut_connection_keeps_what_arrived_whole() {
    let (exchange, mut source, inbox, entries) = listed(10).await;
    let cut = Fault::DropConnection { after_bytes: Some(6000) };
    exchange.fault(FaultRule::new(cut).op(Op::GetItem));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 10]);
    let asked: Vec<usize> = exchange.requests().iter().map(|request| request.asked).collect();
    assert!(asked.len() == 2 && asked[1] < 10, "{asked:?}");
}

#[tokio::test]
async fn an_item_that_breaks_the_connection_blocks_no_other() {
    let (exchange, mut source, inbox, entries) = listed(10).await;
    let cut = Fault::DropConnection { after_bytes: Some(10) };
    exchange.fault(FaultRule::new(cut.clone()).op(Op::GetItem).item(&entries[3].item.0).always());
    let mut expected = vec!["email"; 10];
    expected[3] = "ConnectionCut";
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), expected);

    exchange.fault(FaultRule::new(cut).op(Op::GetItem).always());
    let err = source.fetch(&inbox, &entries).await.unwrap_err();
    assert!(matches!(err, SourceError::Unreachable { .. }), "{err:?}");
}

#[tokio::test]
async fn an_answer_shorter_than_announced_is_complete_only_item_by_item() {
    let (exchange, mut source, inbox, entries) = listed(3).await;
    exchange.fault(FaultRule::new(Fault::WrongContentLength).always());
    let err = source.list(&inbox, None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Unreachable { .. }), "{err:?}");
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 3]);
}

#[tokio::test]
async fn a_server_whose_every_answer_is_spoiled_is_given_up_soon() {
    let exchange = start(Options::default()).await;
    deliver(&exchange, 0..20);
    let mut transport = transport(&exchange);
    transport.limits = Limits { idle_body: Duration::from_millis(100), ..transport.limits };
    let endpoint = Endpoint::new(&exchange.ews_url(), transport).unwrap();
    let service: Arc<Ews> = Ews::new(endpoint, basic(), settings());
    let mut source = service.mailbox(&MAILBOX.parse().unwrap());
    for (fault, expected) in [
        (Fault::Stall { after_bytes: 50 }, "Unreachable"),
        (Fault::GzipBomb { decoded_bytes: 17 << 20 }, "BadReply"),
    ] {
        let (inbox, entries) = inbox(&exchange, &mut source).await;
        exchange.fault(FaultRule::new(fault).op(Op::GetItem).always());
        let err = source.fetch(&inbox, &entries).await.unwrap_err();
        assert!(format!("{err:?}").starts_with(expected), "{err:?}");
        assert_eq!(exchange.requests().len(), 11, "{expected}");
        exchange.clear_faults();
    }
}

#[tokio::test]
async fn a_gzip_bomb_does_not_fill_the_memory() {
    let (exchange, mut source, inbox, entries) = listed(1).await;
    exchange.fault(FaultRule::new(Fault::GzipBomb { decoded_bytes: 100 << 20 }).always());
    let err = source.list(&inbox, None, 100).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Split, "{err:?}");
    source.fetch(&inbox, &entries).await.unwrap_err();
}

#[tokio::test]
async fn a_throttle_in_the_middle_keeps_what_is_there() {
    for shape in [Shape::SoapFault, Shape::Message] {
        let (exchange, mut source, inbox, entries) = listed(50).await;
        let busy = Fault::ServerBusy { back_off: Some(Duration::from_secs(45)), shape };
        exchange.fault(FaultRule::new(busy).op(Op::GetItem).skip(1));
        let fetched = source.fetch(&inbox, &entries).await.unwrap();
        let emails = outcomes(&fetched).iter().filter(|outcome| *outcome == "email").count();
        assert_eq!(emails, 20);
        assert_eq!(exchange.requests().len(), 2, "sent after the throttle");
        let err = source.fetch(&inbox, &entries).await.unwrap_err();
        assert!(matches!(err, SourceError::Throttled { retry_after: Some(_), .. }), "{err:?}");
        assert_eq!(exchange.requests().len(), 2, "sent during the pause");
    }
}

#[tokio::test]
async fn a_puzzling_item_is_refused_only_if_the_server_is_well() {
    let (exchange, mut source, inbox, entries) = listed(1).await;
    let puzzling = Fault::item_error("ErrorInternalServerError");
    exchange.fault(FaultRule::new(puzzling).op(Op::GetItem).always());
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["ErrorInternalServerError"]);
    exchange.fault(FaultRule::new(request_error("ErrorInternalServerError")).always());
    let err = source.fetch(&inbox, &entries).await.unwrap_err();
    assert!(matches!(err.advice(), Advice::Retry { scope: Scope::Mailbox, .. }), "{err:?}");
}

#[tokio::test]
async fn faults_of_the_way_there_get_their_advice() {
    let retry = |scope| Advice::Retry { scope, after: None };
    let after = |seconds| Advice::Retry {
        scope: Scope::Service,
        after: Some(Duration::from_secs(seconds)),
    };
    let unavailable = |after| Fault::Http { status: 503, retry_after: Some(after) };
    let exchange = start(Options::default()).await;
    for (fault, expected) in [
        (Fault::Html200, Advice::StopService),
        (Fault::http(404), Advice::StopService),
        (Fault::http(403), Advice::StopService),
        (Fault::RedirectToErrorPage, retry(Scope::Mailbox)),
        (Fault::http(500), retry(Scope::Mailbox)),
        (Fault::http(503), retry(Scope::Service)),
        (unavailable(Duration::from_secs(30)), after(30)),
        (Fault::MailboxMove, retry(Scope::Mailbox)),
        (request_error("ErrorNonExistentMailbox"), Advice::PauseMailbox),
        (request_error("ErrorImpersonateUserDenied"), Advice::PauseMailbox),
        (request_error("ErrorMailboxStoreUnavailable"), retry(Scope::Mailbox)),
    ] {
        exchange.clear_faults();
        exchange.fault(FaultRule::new(fault.clone()).always());
        let err = open(&exchange).survey(&Checkpoint::default(), false).await.unwrap_err();
        assert_eq!(err.advice(), expected, "{fault:?} became {err:?}");
    }
}

#[tokio::test]
async fn a_forgotten_sign_in_is_repeated_unnoticed() {
    let (exchange, mut source, inbox, entries) = listed(3).await;
    exchange.fault(FaultRule::new(Fault::Unauthorized));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 3]);
}

#[tokio::test]
async fn an_unwritable_spool_is_the_trouble_of_this_machine() {
    let exchange = start(Options::default()).await;
    let large = "x".repeat(400_000);
    let mime = format!("Subject: large\r\n\r\n{large}\r\n");
    exchange.deliver(MAILBOX, crate::server::INBOX, mime, crate::server::at(1)).unwrap();
    let settings = sources::ews::EwsSettings { spool_dir: "/nonexistent".into(), ..settings() };
    let mut source =
        crate::server::ews(&exchange, basic(), settings).mailbox(&MAILBOX.parse().unwrap());
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    let err = source.fetch(&inbox, &entries).await.unwrap_err();
    assert!(matches!(err, SourceError::Spool { .. }), "{err:?}");
}
