//! What the engine does about each kind of trouble.

use std::{sync::Arc, time::Duration};

use record::{Sink, Source};
use sync::{Command, MailboxSettings, Pace, StartFrom};
use testkit::{memory_sink::MemorySink, memory_source::MemoryMailbox};

use crate::world::{Running, pace, route, start};

fn serve(mailbox: &MemoryMailbox, sink: &MemorySink, settings: &MailboxSettings) -> Running {
    serve_at(pace(), mailbox, sink, settings)
}

fn serve_at(
    pace: Pace,
    mailbox: &MemoryMailbox,
    sink: &MemorySink,
    settings: &MailboxSettings,
) -> Running {
    let source = Box::new(mailbox.source()) as Box<dyn Source>;
    let sink = Arc::new(sink.clone()) as Arc<dyn Sink>;
    start(vec![(route("abc@example.com"), source)], sink, settings, pace, 1)
}

#[tokio::test(start_paused = true)]
async fn an_idle_mailbox_costs_one_survey_a_round() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    mailbox.deliver(&inbox, 1);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    let (surveys, lists) = mailbox.requests();
    service.catches_up(10).await;
    assert_eq!(mailbox.requests(), (surveys + 10, lists));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn start_timestamp_is_inclusive() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let before = mailbox.deliver(&inbox, 9);
    let exactly = mailbox.deliver(&inbox, 10);
    let sink = MemorySink::default();
    let start = chrono::DateTime::parse_from_rfc3339("2026-01-01T00:10:00Z").unwrap();
    let settings =
        MailboxSettings { start_timestamp: Some(start.into()), ..MailboxSettings::default() };
    let service = serve(&mailbox, &sink, &settings);
    service.catches_up(1).await;
    assert!(sink.has(exactly), "the one received exactly then is missing");
    assert!(!sink.has(before));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn drafts_are_read_only_on_request() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let drafts = mailbox.add_folder("Drafts");
    let draft = mailbox.draft(&drafts);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    assert!(!sink.has(draft));
    service.stop().await.unwrap();
    let settings = MailboxSettings {
        include_drafts: true,
        start_from: StartFrom::Config,
        ..MailboxSettings::default()
    };
    let service = serve(&mailbox, &sink, &settings);
    service.catches_up(1).await;
    assert!(sink.has(draft));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn start_from_config_reads_again_and_stores_nothing_twice() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    (0..20).for_each(|minute| {
        mailbox.deliver(&inbox, minute);
    });
    let sink = MemorySink::default();
    for start_from in [StartFrom::Bucket, StartFrom::Config, StartFrom::Config] {
        let settings = MailboxSettings { start_from, ..MailboxSettings::default() };
        let service = serve(&mailbox, &sink, &settings);
        service.catches_up(1).await;
        service.stop().await.unwrap();
    }
    assert_eq!((sink.uids().len(), sink.writes()), (20, 20));
    assert_eq!(mailbox.requests().1, 3, "each start lists the folder once");
}

#[tokio::test(start_paused = true)]
async fn a_moved_email_is_stored_once_and_its_folder_follows() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let (inbox, junk) = (mailbox.add_folder("Inbox"), mailbox.add_folder("Junk"));
    let uid = mailbox.deliver(&inbox, 1);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    mailbox.move_email(uid, &junk);
    service.catches_up(2).await;
    assert_eq!(sink.folder_of(uid), Some(vec!["Junk".to_owned()]));
    assert_eq!(sink.writes(), 1);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_item_is_set_aside_and_tried_again_on_demand() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let uids: Vec<_> = (0..10).map(|minute| mailbox.deliver(&inbox, minute)).collect();
    mailbox.corrupt(uids[4]);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    assert_eq!(sink.uids().len(), 9);
    assert_eq!(sink.set_aside()[0].code, "ErrorItemCorrupt");

    let again = || service.commands.send(Command::RetryQuarantine(route("abc@example.com")));
    again().await.unwrap();
    service.catches_up(2).await;
    assert_eq!(sink.set_aside()[0].attempts, 2, "tried again, still corrupt");

    mailbox.heal();
    again().await.unwrap();
    service.catches_up(2).await;
    assert!(sink.set_aside().is_empty() && sink.uids().len() == 10);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_item_that_breaks_every_request_is_found_and_set_aside() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let uids: Vec<_> = (0..30).map(|minute| mailbox.deliver(&inbox, minute)).collect();
    mailbox.poison(uids[17]);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    assert_eq!(sink.uids().len(), 29);
    assert_eq!(sink.set_aside()[0].uid, uids[17]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_huge_folder_does_not_starve_a_small_one() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let (huge, small) = (mailbox.add_folder("Huge"), mailbox.add_folder("Small"));
    (0..500).for_each(|minute| {
        mailbox.deliver(&huge, minute);
    });
    let wanted = mailbox.deliver(&small, 1);
    let sink = MemorySink::default();
    let pace = Pace {
        emails_per_folder: 10,
        poll_message_sleep: Some(Duration::from_millis(100)),
        ..pace()
    };
    let service = serve_at(pace, &mailbox, &sink, &MailboxSettings::default());
    while !sink.has(wanted) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(sink.uids().len() <= 11, "{} emails came first", sink.uids().len());
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn poll_message_sleep_sets_the_pace() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    (0..100).for_each(|minute| {
        mailbox.deliver(&inbox, minute);
    });
    let sink = MemorySink::default();
    let pace = Pace { poll_message_sleep: Some(Duration::from_millis(100)), ..pace() };
    let began = tokio::time::Instant::now();
    let service = serve_at(pace, &mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    let took = began.elapsed();
    // The pause after the last page belongs to the next round.
    assert!((Duration::from_secs(8)..Duration::from_secs(11)).contains(&took), "{took:?}");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn emails_per_folder_of_one_still_reads_everything() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let folders: Vec<_> = (0..5).map(|n| mailbox.add_folder(&format!("Folder {n}"))).collect();
    for minute in 0..50 {
        mailbox.deliver(&folders[minute % 5], 1);
    }
    let sink = MemorySink::default();
    let pace = Pace { emails_per_folder: 1, ..pace() };
    let service = serve_at(pace, &mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    assert_eq!(sink.uids().len(), 50);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_huge_mailboxes_do_not_keep_a_small_one_waiting() {
    let mut sources = Vec::new();
    let count = 200;
    for number in 0..=count {
        let address = format!("{number:03}@example.com");
        let mailbox = MemoryMailbox::new(&address);
        let inbox = mailbox.add_folder("Inbox");
        let emails = if number == count { 1 } else { 300 };
        (0..emails).for_each(|minute| {
            mailbox.deliver(&inbox, minute);
        });
        sources.push((route(&address), Box::new(mailbox.source()) as Box<dyn Source>));
    }
    let sink = testkit::memory_sink::ManySinks::default();
    let pace = Pace { emails_per_folder: 10, ..pace() };
    let shared = Arc::new(sink.clone()) as Arc<dyn Sink>;
    let settings = MailboxSettings::default();
    let service = start(sources, shared, &settings, pace, 1);
    let last = route(&format!("{count:03}@example.com"));
    while sink.of(&last).uids().is_empty() {
        tokio::task::yield_now().await;
    }
    // Each of the others has had no more than its first rounds by then.
    let before: usize = (0..count)
        .map(|number| sink.of(&route(&format!("{number:03}@example.com"))).uids().len())
        .sum();
    assert!(before <= count * 20, "{before} emails of others came first");
    service.catches_up(1).await;
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_still_listed_is_not_gone() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let uids: Vec<_> = (0..10).map(|minute| mailbox.deliver(&inbox, minute)).collect();
    mailbox.hide(uids[3]);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    assert_eq!(sink.uids().len(), 9);
    assert_eq!((sink.set_aside()[0].uid, sink.set_aside()[0].code.as_str()), (uids[3], "NotFound"));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_read_does_not_stop_the_others() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let (sick, inbox) = (mailbox.add_folder("A sick one"), mailbox.add_folder("Inbox"));
    let late = mailbox.deliver(&sick, 1);
    let wanted = mailbox.deliver(&inbox, 1);
    mailbox.make_sick(&sick);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    let began = tokio::time::Instant::now();
    while !sink.has(wanted) {
        assert!(began.elapsed() < Duration::from_secs(120), "the inbox is not read");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(service.diary.count("caught up"), 0, "a folder is missing");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let (_, lists) = mailbox.requests();
    assert!(lists < 60, "{lists} listings in ten minutes");
    mailbox.heal();
    service.catches_up(1).await;
    assert!(sink.has(late));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn trying_quarantine_again_does_not_hold_up_new_mail() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let poison = mailbox.deliver(&inbox, 1);
    mailbox.poison(poison);
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    assert_eq!(sink.set_aside()[0].uid, poison);
    service.commands.send(Command::RetryQuarantine(route("abc@example.com"))).await.unwrap();
    let new = mailbox.deliver(&inbox, 2);
    service.catches_up(2).await;
    assert!(sink.has(new));
    assert!(sink.set_aside()[0].attempts > 6, "tried again");
    service.stop().await.unwrap();
}

// Fault F19: the wall clock jumps. Nothing but time stamps depends on it.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_changes_neither_pace_nor_mail() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let sink = MemorySink::default();
    let service = serve(&mailbox, &sink, &MailboxSettings::default());
    service.catches_up(1).await;
    let (before, _) = mailbox.requests();
    for hours in [1, -1, 24, -24, 10_000] {
        *service.clock.shift.lock().unwrap() = chrono::TimeDelta::hours(hours);
        mailbox.deliver(&inbox, hours);
        service.catches_up(2).await;
    }
    assert_eq!(sink.uids().len(), 5);
    let (after, _) = mailbox.requests();
    assert_eq!(after - before, 10, "one survey a round, whatever the clock says");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_mailbox_stops_that_one_only() {
    let (bad, good) =
        (MemoryMailbox::new("bad@example.com"), MemoryMailbox::new("good@example.com"));
    let inbox = bad.add_folder("Inbox");
    bad.deliver(&inbox, 1);
    bad.panic();
    let inbox = good.add_folder("Inbox");
    let wanted = good.deliver(&inbox, 1);
    let sink = testkit::memory_sink::ManySinks::default();
    let sources = vec![
        (route("bad@example.com"), Box::new(bad.source()) as Box<dyn Source>),
        (route("good@example.com"), Box::new(good.source()) as Box<dyn Source>),
    ];
    let shared = Arc::new(sink.clone()) as Arc<dyn Sink>;
    let service = start(sources, shared, &MailboxSettings::default(), pace(), 1);
    service.catches_up(3).await;
    assert!(sink.of(&route("good@example.com")).has(wanted));
    assert_eq!(service.diary.count("Stopped"), 1, "the operator is told");
    service.stop().await.unwrap();
}
