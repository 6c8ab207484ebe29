//! What goes wrong between Graph and the source, and what is left of it.

use std::time::Duration;

use net::{Endpoint, Limits};
use record::{Advice, Checkpoint, Entry, Folder, Scope, Source, SourceError};
use simulators::exchange::{
    Exchange, Fault, FaultRule, Forbidden, GraphOptions, Large, Op, Place, Shape,
};
use sources::graph::{Graph, GraphMailbox, GraphSettings};

use crate::{
    graph_server::{application, folder, graph, inbox, open, read_on, settings, start},
    server::{INBOX, MAILBOX, at, deliver, outcomes, transport},
};

/// A server with `count` messages in the inbox, and a source that has listed them.
async fn listed(count: i64) -> (Exchange, GraphMailbox, Folder, Vec<Entry>) {
    let exchange = start(GraphOptions::default()).await;
    deliver(&exchange, 0..count);
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    (exchange, source, inbox, entries)
}

const BROKEN: &[&str] = &["ErrorContentConversionFailed", "ErrorItemCorrupt", "ErrorVirusDetected"];
/// Codes that leave open whether the item or the server is to blame.
const PUZZLING: &[&str] = &["ErrorInternalServerError", "ErrorNobodyKnows", "ErrorAccessDenied"];

/// What becomes of the second of three items whose first `strikes` requests fail with `code`.
async fn struck(
    (exchange, source, inbox, entries): &mut (Exchange, GraphMailbox, Folder, Vec<Entry>),
    code: &str,
    strikes: usize,
) -> String {
    let rule = FaultRule::new(Fault::item_error(code)).op(Op::MessageValue);
    exchange.fault(rule.item(&entries[1].item.0).times(strikes));
    let outcomes = outcomes(&source.fetch(inbox, entries).await.unwrap());
    exchange.clear_faults();
    assert_eq!((&*outcomes[0], &*outcomes[2]), ("email", "email"), "{code}");
    outcomes[1].clone()
}

#[tokio::test]
async fn an_item_that_cannot_be_had_is_tried_again_then_refused() {
    let mut listed = listed(3).await;
    for (codes, expected) in [(BROKEN, ["email", "no"]), (PUZZLING, ["email", "email"])] {
        for code in codes {
            for (strikes, expected) in [1, 2].into_iter().zip(expected) {
                let outcome = struck(&mut listed, code, strikes).await;
                let expected = if expected == "no" { code } else { expected };
                assert_eq!(outcome, expected, "{code} {strikes} times");
            }
            assert_eq!(struck(&mut listed, code, 3).await, *code);
        }
    }
}

#[tokio::test]
async fn a_missing_item_is_gone_and_not_asked_for_again() {
    let (exchange, mut source, inbox, entries) = listed(2).await;
    let missing = Fault::item_error("ErrorItemNotFound");
    exchange.fault(FaultRule::new(missing).item(&entries[0].item.0).always());
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["gone", "email"]);
    let posts = exchange.requests().iter().filter(|request| !request.in_batch).count();
    assert_eq!(posts, 1);
    // The same when it is asked for alone.
    assert_eq!(outcomes(&source.fetch(&inbox, &entries[..1]).await.unwrap()), ["gone"]);
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_asked_for_in_parts() {
    let (exchange, mut source, inbox, entries) = listed(20).await;
    exchange.fault(FaultRule::new(Fault::BatchTimeout { after: 3 }).op(Op::Batch).times(3));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 20]);

    let (exchange, mut source, inbox, entries) = listed(20).await;
    exchange.fault(FaultRule::new(Fault::http(504)).op(Op::Batch).times(2));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 20]);
    let of_batch = |request: &&simulators::exchange::Logged| !request.in_batch;
    assert_eq!(exchange.requests().iter().filter(of_batch).count(), 5);
}

#[tokio::test]
async fn an_unreadable_answer_is_isolated_to_its_item() {
    let (exchange, mut source, inbox, entries) = listed(6).await;
    exchange.fault(FaultRule::new(Fault::BadXml).op(Op::Batch).times(2));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 6]);
}

#[tokio::test]
async fn damaged_base64_is_fetched_again_by_itself() {
    let (exchange, mut source, inbox, entries) = listed(3).await;
    let rule = FaultRule::new(Fault::TruncatedBase64).op(Op::MessageValue);
    exchange.fault(rule.item(&entries[0].item.0));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 3]);
}

#[tokio::test]
async fn content_that_breaks_off_is_never_taken_for_whole() {
    let (exchange, mut source, inbox, entries) = listed(3).await;
    let rule = FaultRule::new(Fault::TruncatedBase64).op(Op::MessageValue);
    exchange.fault(rule.clone().item(&entries[0].item.0).always());
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["ConnectionCut", "email", "email"]);
    // Perhaps it is the network: alone, it is no reason to give the item up.
    let err = source.fetch(&inbox, &entries[..1]).await.unwrap_err();
    assert!(matches!(err, SourceError::Unreachable { .. }), "{err:?}");
}

#[tokio::test]
async fn a_cut_connection_keeps_what_arrived_whole() {
    let (exchange, mut source, inbox, entries) = listed(10).await;
    let cut = Fault::DropConnection { after_bytes: Some(1500) };
    exchange.fault(FaultRule::new(cut).op(Op::Batch));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 10]);
    let asked = exchange.requests().iter().filter(|request| request.in_batch).count();
    assert!((11..20).contains(&asked), "{asked} asked for");
}

#[tokio::test]
async fn a_server_whose_every_answer_is_spoiled_is_given_up_soon() {
    let exchange = start(GraphOptions::default()).await;
    deliver(&exchange, 0..20);
    let mut transport = transport(&exchange);
    transport.limits = Limits { idle_body: Duration::from_millis(100), ..transport.limits };
    let endpoint = Endpoint::new(&exchange.graph_url(), transport).unwrap();
    let service = Graph::new(endpoint, vec![application(&exchange)], settings());
    let mut source = service.mailbox(&MAILBOX.parse().unwrap());
    for (fault, expected) in [
        (Fault::Stall { after_bytes: 20 }, "Unreachable"),
        (Fault::GzipBomb { decoded_bytes: 40 << 20 }, "BadReply"),
    ] {
        let (inbox, entries) = inbox(&exchange, &mut source).await;
        exchange.fault(FaultRule::new(fault.clone()).op(Op::Batch).always());
        exchange.fault(FaultRule::new(fault).op(Op::MessageValue).always());
        let err = source.fetch(&inbox, &entries).await.unwrap_err();
        assert!(format!("{err:?}").starts_with(expected), "{err:?}");
        let asked = exchange.requests().iter().filter(|request| !request.in_batch).count();
        assert!(asked <= 12, "{expected}: {asked} requests");
        exchange.clear_faults();
    }
}

#[tokio::test]
async fn a_gzip_bomb_does_not_fill_the_memory() {
    let (exchange, mut source, inbox, entries) = listed(2).await;
    exchange.fault(FaultRule::new(Fault::GzipBomb { decoded_bytes: 40 << 20 }).always());
    let err = source.list(&inbox, None, 100).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Split, "{err:?}");
    source.fetch(&inbox, &entries).await.unwrap_err();
}

#[tokio::test]
async fn a_throttle_in_the_middle_keeps_what_is_there() {
    let pause = Some(Duration::from_secs(45));
    let whole = Fault::ServerBusy { back_off: pause, shape: Shape::SoapFault };
    let single = Fault::Http { status: 429, retry_after: pause };
    for (fault, op, skip, kept) in [(whole, Op::Batch, 1, 20), (single, Op::MessageValue, 25, 25)] {
        let (exchange, mut source, inbox, entries) = listed(50).await;
        exchange.fault(FaultRule::new(fault).op(op).skip(skip).always());
        let fetched = source.fetch(&inbox, &entries).await.unwrap();
        let emails = outcomes(&fetched).iter().filter(|outcome| *outcome == "email").count();
        assert_eq!(emails, kept);
        let asked = exchange.requests().len();
        let err = source.fetch(&inbox, &entries).await.unwrap_err();
        assert!(matches!(err, SourceError::Throttled { retry_after: Some(_), .. }), "{err:?}");
        assert_eq!(exchange.requests().len(), asked, "sent during the pause");
    }
}

#[tokio::test]
async fn a_puzzling_item_is_refused_only_if_the_server_is_well() {
    let (exchange, mut source, inbox, entries) = listed(1).await;
    let puzzling = Fault::item_error("ErrorInternalServerError");
    exchange.fault(FaultRule::new(puzzling).op(Op::MessageValue).always());
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["ErrorInternalServerError"]);
    exchange.fault(FaultRule::new(Fault::http(500)).op(Op::MailFolder).always());
    let err = source.fetch(&inbox, &entries).await.unwrap_err();
    assert!(matches!(err.advice(), Advice::Retry { scope: Scope::Mailbox, .. }), "{err:?}");
}

#[tokio::test]
async fn faults_of_the_way_there_get_their_advice() {
    let retry = Advice::Retry { scope: Scope::Mailbox, after: None };
    let after = Advice::Retry { scope: Scope::Mailbox, after: Some(Duration::from_secs(30)) };
    let pause = Some(Duration::from_secs(30));
    let exchange = start(GraphOptions::default()).await;
    for (fault, expected) in [
        (Fault::Html200, Advice::StopService),
        (Fault::RedirectToErrorPage, Advice::StopService),
        (Fault::http(403), Advice::PauseMailbox),
        (Fault::http(500), retry),
        (Fault::http(502), retry),
        (Fault::http(503), retry),
        (Fault::http(504), retry),
        (Fault::http(507), retry),
        (Fault::Http { status: 503, retry_after: pause }, after),
        (Fault::Http { status: 429, retry_after: pause }, after),
        (Fault::DropConnection { after_bytes: None }, retry),
        (Fault::graph(404, "MailboxNotEnabledForRESTAPI"), Advice::PauseMailbox),
        (Fault::graph(404, "ErrorInvalidUser"), Advice::PauseMailbox),
    ] {
        exchange.clear_faults();
        exchange.fault(FaultRule::new(fault.clone()).op(Op::FoldersDelta).always());
        let err = open(&exchange).survey(&Checkpoint::default(), false).await.unwrap_err();
        assert_eq!(err.advice(), expected, "{fault:?} became {err:?}");
    }
    exchange.clear_faults();
    exchange.set_rest_enabled(MAILBOX, false);
    let err = open(&exchange).survey(&Checkpoint::default(), false).await.unwrap_err();
    assert!(err.hint().is_some_and(|hint| hint.contains("on premises")), "{err:?}");
}

#[tokio::test]
async fn a_token_that_ended_is_replaced_unnoticed() {
    let (exchange, mut source, inbox, entries) = listed(3).await;
    exchange.revoke_tokens();
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 3]);
    // Within a batch, too.
    exchange.fault(FaultRule::new(Fault::Unauthorized).op(Op::MessageValue));
    assert_eq!(outcomes(&source.fetch(&inbox, &entries).await.unwrap()), ["email"; 3]);
}

#[tokio::test]
async fn an_unwritable_spool_is_the_trouble_of_this_machine() {
    let exchange = start(GraphOptions::default()).await;
    let large = "x".repeat(400_000);
    for number in 1..3 {
        let mime = format!("Subject: large\r\n\r\n{large}\r\n");
        exchange.deliver(MAILBOX, INBOX, mime, at(number)).unwrap();
    }
    let settings = GraphSettings { spool_dir: "/nonexistent".into(), ..settings() };
    let mut source = graph(&exchange, settings).mailbox(&MAILBOX.parse().unwrap());
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    for entries in [&entries[..1], &entries] {
        let err = source.fetch(&inbox, entries).await.unwrap_err();
        assert!(matches!(err, SourceError::Spool { .. }), "{err:?}");
    }
}

#[tokio::test]
async fn strange_pages_neither_hide_an_email_nor_show_one_that_is_another() {
    let (exchange, mut source, inbox, entries) = listed(30).await;
    let mut expected: Vec<_> = entries.iter().map(|entry| entry.uid).collect();
    expected.sort();
    for fault in [Fault::EmptyPage, Fault::Duplicates, Fault::IgnorePageSize, Fault::PhantomItem] {
        exchange.fault(FaultRule::new(fault.clone()).op(Op::MessagesDelta));
        let (found, _) = read_on(&mut source, &inbox, None).await;
        let fetched = source.fetch(&inbox, &found).await.unwrap();
        let emails = found.iter().zip(outcomes(&fetched)).filter(|(_, outcome)| outcome == "email");
        let mut uids: Vec<_> = emails.map(|(entry, _)| entry.uid).collect();
        uids.sort();
        uids.dedup();
        assert_eq!(uids, expected, "{fault:?}");
        exchange.clear_faults();
    }
    exchange.fault(FaultRule::new(Fault::ForeignLink).op(Op::MessagesDelta));
    let err = source.list(&inbox, None, 10).await.unwrap_err();
    assert_eq!(err.advice(), Advice::StopService, "{err:?}");
}

#[tokio::test]
async fn forbidden_characters_stop_neither_listing_nor_fetching() {
    let exchange = start(GraphOptions::default()).await;
    deliver(&exchange, 0..3);
    for what in [Forbidden::Reference(1), Forbidden::Reference(0xD800), Forbidden::Byte(0x0B)] {
        for place in [Place::Subject, Place::InternetMessageId, Place::DisplayName] {
            exchange.fault(FaultRule::new(Fault::ForbiddenCharacters { place, what }).always());
            let mut source = open(&exchange);
            let folders = source.survey(&Checkpoint::default(), true).await.unwrap().folders;
            let inbox = folders.iter().find(|folder| folder.total == Some(3)).unwrap();
            let (entries, _) = read_on(&mut source, inbox, None).await;
            let fetched = source.fetch(inbox, &entries).await.unwrap();
            assert_eq!(outcomes(&fetched), ["email"; 3], "{what:?} in {place:?}");
            exchange.clear_faults();
        }
    }
}

#[tokio::test]
async fn a_lost_position_shows_everything_again_and_nothing_new() {
    let (exchange, mut source, inbox, entries) = listed(3).await;
    let (_, position) = read_on(&mut source, &inbox, None).await;
    exchange.invalidate_sync_states(MAILBOX);
    let err = source.list(&inbox, Some(&position), 100).await.unwrap_err();
    assert_eq!(err.advice(), Advice::RestartFolder, "{err:?}");
    assert_eq!(read_on(&mut source, &inbox, None).await.0, entries);
    // The folder tree has such a position, too.
    let first = source.survey(&Checkpoint::default(), true).await.unwrap();
    exchange.invalidate_sync_states(MAILBOX);
    let known = Checkpoint { hierarchy: first.hierarchy, ..Checkpoint::default() };
    let again = source.survey(&known, false).await.unwrap();
    assert_eq!(again.folders.len(), first.folders.len());
    assert!(again.folders.iter().zip(&first.folders).all(|(now, then)| now.mark != then.mark));
}

#[tokio::test]
async fn a_mail_of_a_hundred_megabytes_needs_little_memory() {
    let exchange = start(GraphOptions::default()).await;
    exchange.deliver(MAILBOX, INBOX, Large::new(7, 100_000_000), at(1)).unwrap();
    deliver(&exchange, 2..4);
    let mut source = open(&exchange);
    let (inbox, entries) = inbox(&exchange, &mut source).await;
    let fetched = source.fetch(&inbox, &entries).await.unwrap();
    let in_file = |fetched: &&record::Fetched| matches!(fetched, record::Fetched::Email(email) if matches!(email.body, record::Body::Spool { size, .. } if size > 90_000_000));
    assert_eq!(fetched.iter().filter(in_file).count(), 1, "{fetched:?}");
    // Even a batch that holds it needs no more: its listed size may be wrong.
    let lying: Vec<Entry> =
        entries.iter().map(|entry| Entry { size: Some(500), ..entry.clone() }).collect();
    let fetched = source.fetch(&inbox, &lying).await.unwrap();
    assert_eq!(fetched.iter().filter(in_file).count(), 1, "{fetched:?}");
    assert!(exchange.requests().iter().any(|request| request.in_batch));
}

#[tokio::test]
async fn a_folder_that_is_gone_is_said_to_be() {
    let exchange = start(GraphOptions::default()).await;
    exchange.add_folder(MAILBOX, &["Projects"], "IPF.Note").unwrap();
    let mut source = open(&exchange);
    let projects = folder(&mut source, &["Projects"]).await;
    let (_, position) = read_on(&mut source, &projects, None).await;
    exchange.delete_folder(MAILBOX, &["Projects"]).unwrap();
    for from in [None, Some(&position)] {
        let err = source.list(&projects, from, 100).await.unwrap_err();
        let advice = err.advice();
        let fits = matches!(advice, Advice::ReviewFolders)
            || (from.is_some() && matches!(advice, Advice::RestartFolder));
        assert!(fits, "{err:?}");
    }
}
