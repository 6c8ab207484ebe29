//! Idle mailboxes and folders are looked at less often, and none is forgotten.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use record::{Clock, Protocol, Sink, Source};
use sync::{MailboxSettings, MailboxSync, Pace, Service, mailbox::Shared, observer::Blind};
use testkit::{
    fleet::{Fleet, FleetSettings},
    memory_sink::MemorySink,
    memory_source::MemoryMailbox,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::world::{Running, pace, route, start};

const LIMIT: Duration = Duration::from_secs(900);
const HOUR: Duration = Duration::from_secs(3600);

fn adaptive() -> Pace {
    Pace { idle_poll_limit: LIMIT, ..pace() }
}

fn serve(mailbox: &MemoryMailbox, protocol: Protocol, sink: &MemorySink) -> Running {
    let source = Box::new(mailbox.source_over(protocol)) as Box<dyn Source>;
    let shared = Arc::new(sink.clone()) as Arc<dyn Sink>;
    let settings = MailboxSettings::default();
    start(vec![(route("abc@example.com"), source)], shared, &settings, adaptive(), 1)
}

/// Serves a fleet for `hours`, and lets `meanwhile` happen.
async fn serve_fleet(fleet: &Fleet, mailboxes: usize, meanwhile: impl Future<Output = ()>) {
    let shared = Arc::new(Shared {
        sink: Arc::new(fleet.sink()),
        clock: Arc::new(fleet.clone()),
        observer: Arc::new(Blind),
        pace: adaptive(),
    });
    let mailboxes = (0..mailboxes)
        .map(|index| {
            let source = Box::new(fleet.source(index)) as Box<dyn Source>;
            let rng = SmallRng::seed_from_u64(index as u64);
            let settings = MailboxSettings::default();
            MailboxSync::new(fleet.route(index), source, Arc::clone(&shared), settings, rng)
        })
        .collect();
    let shutdown = CancellationToken::new();
    let service = Service::new(mailboxes, 8, Arc::new(Blind));
    let (_commands, receiver) = mpsc::channel(1);
    let run = tokio::spawn(service.run(receiver, shutdown.clone()));
    meanwhile.await;
    shutdown.cancel();
    run.await.unwrap().unwrap();
}

fn idle_fleet(mailboxes: usize, folders: usize, hints: bool) -> Fleet {
    let idle = 100 * HOUR;
    Fleet::new(FleetSettings { mailboxes, folders, idle, hints, latency: Duration::ZERO })
}

#[tokio::test(start_paused = true)]
async fn an_idle_mailbox_is_asked_less_and_less_until_something_happens() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let sink = MemorySink::default();
    let service = serve(&mailbox, Protocol::Ews, &sink);
    mailbox.receive(&inbox, service.clock.now());
    let surveys = async |time: Duration| {
        let before = mailbox.requests().0;
        tokio::time::sleep(time).await;
        mailbox.requests().0 - before
    };
    // Four minutes at the frequency, and then the pause grows by a sixteenth of itself each time.
    let first = surveys(Duration::from_secs(240)).await;
    assert!((15..=19).contains(&first), "{first} surveys in the first minutes");
    let second = surveys(HOUR).await;
    assert!((40..=52).contains(&second), "{second} surveys in the first hour");
    tokio::time::sleep(6 * HOUR).await;
    let late = surveys(10 * HOUR).await;
    assert!((42..=46).contains(&late), "{late} surveys in ten hours");
    let new = mailbox.deliver(&inbox, 1);
    tokio::time::sleep(LIMIT).await;
    assert!(sink.has(new), "not found within the limit");
    mailbox.deliver(&inbox, 2);
    tokio::time::sleep(LIMIT).await;
    let again = surveys(Duration::from_secs(120)).await;
    assert!(again >= 2, "{again} surveys in two minutes, soon after something happened");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_empty_mailbox_is_idle_from_the_start() {
    for protocol in [Protocol::Ews, Protocol::Graph] {
        let mailbox = MemoryMailbox::new("abc@example.com");
        mailbox.add_folder("Inbox");
        let full = mailbox.add_folder("Full");
        mailbox.deliver(&full, 1);
        mailbox.add_folder("Sent");
        let service = serve(&mailbox, protocol, &MemorySink::default());
        tokio::time::sleep(HOUR).await;
        let (surveys, _) = mailbox.requests();
        assert!(surveys <= 7, "{surveys} surveys in an hour");
        service.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_changes() {
    for protocol in [Protocol::Ews, Protocol::Graph] {
        let mailbox = MemoryMailbox::new("abc@example.com");
        let folders = [mailbox.add_folder("Inbox"), mailbox.add_folder("Sent")];
        let sink = MemorySink::default();
        let source = Box::new(mailbox.source_over(protocol)) as Box<dyn Source>;
        let shared = Arc::new(sink.clone()) as Arc<dyn Sink>;
        let settings = MailboxSettings::default();
        let service = start(vec![(route("abc@example.com"), source)], shared, &settings, pace(), 1);
        service.catches_up(1).await;
        let before = mailbox.requests();
        tokio::time::sleep(24 * HOUR).await;
        let (surveys, lists) = mailbox.requests();
        let rounds = 24 * 3600 / 15;
        assert_eq!(surveys - before.0, rounds);
        // Where marks prove nothing, each folder is read in each round.
        let read = if protocol == Protocol::Ews { 0 } else { folders.len() as u64 };
        assert_eq!(lists - before.1, rounds * read);
        service.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn new_mail_is_found_within_the_limit_whatever_the_marks_say() {
    for hints in [false, true] {
        let fleet = idle_fleet(20, 15, hints);
        serve_fleet(&fleet, 20, async {
            let mut rng = SmallRng::seed_from_u64(1);
            for _ in 0..400 {
                tokio::time::sleep(Duration::from_secs(rng.random_range(0..600))).await;
                // Some mailboxes and folders are busier than others.
                let mailbox = rng.random_range(0..20_usize) * rng.random_range(0..20) / 19;
                let folder = rng.random_range(0..15_usize) * rng.random_range(0..15) / 14;
                fleet.deliver(mailbox.min(19), folder.min(14));
            }
            tokio::time::sleep(LIMIT).await;
        })
        .await;
        let latencies = fleet.latencies();
        assert_eq!((latencies.len(), fleet.waiting().0), (400, 0));
        let longest = latencies.iter().max().unwrap();
        assert!(*longest <= LIMIT, "hints: {hints}, {longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_brings_new_mail_sooner_than_its_folder_is_due() {
    let mut medians = Vec::new();
    for hints in [false, true] {
        let fleet = idle_fleet(1, 15, hints);
        serve_fleet(&fleet, 1, async {
            // The inbox is busy, the others are not.
            for round in 0..300 {
                tokio::time::sleep(Duration::from_secs(100)).await;
                fleet.deliver(0, 0);
                if round % 20 == 10 {
                    fleet.latencies();
                    fleet.deliver(0, 1 + round / 20 % 14);
                }
            }
            tokio::time::sleep(LIMIT).await;
        })
        .await;
        medians.push(fleet.latencies().into_iter().max().unwrap());
    }
    assert!(medians[1] <= Duration::from_secs(20), "{medians:?}");
    assert!(medians[0] > Duration::from_secs(100), "{medians:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_makes_as_many_requests_as_computed_and_no_bursts() {
    let (mailboxes, folders) = (10_000, 4);
    let fleet = idle_fleet(mailboxes, folders, true);
    let began = Instant::now();
    serve_fleet(&fleet, mailboxes, tokio::time::sleep(2 * HOUR)).await;
    assert_eq!(began.elapsed(), 2 * HOUR);
    // The first rounds come all at once here, where answers take no time: they are left out.
    let seconds = fleet.seconds();
    let hours: Vec<&[u32]> = seconds[1..].chunks(3600).collect();
    let requests: u64 = hours[1].iter().map(|count| u64::from(*count)).sum();
    // Each mailbox costs the folder list and each of its folders, once in a pause.
    let pause = LIMIT.as_secs_f64() / 1.1;
    let computed = mailboxes as f64 * (1 + folders) as f64 * 3600.0 / pause;
    let off = requests as f64 / computed;
    assert!((0.98..1.02).contains(&off), "{requests} requests, {computed} computed");
    for hour in hours {
        let average = hour.iter().sum::<u32>() as f64 / hour.len() as f64;
        let busiest = f64::from(*hour.iter().max().unwrap());
        assert!(busiest < 2.5 * average, "{busiest} requests in one second, {average} on average");
    }
    // What tells nothing new is seldom saved.
    assert!(fleet.saves() <= 3 * mailboxes as u64, "{} saves", fleet.saves());
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_machine_moves_no_deadline() {
    let mailbox = MemoryMailbox::new("abc@example.com");
    let inbox = mailbox.add_folder("Inbox");
    let sink = MemorySink::default();
    let service = serve(&mailbox, Protocol::Graph, &sink);
    service.catches_up(1).await;
    for hours in [1, -1, 24, -24, 10_000, -10_000] {
        *service.clock.shift.lock().unwrap() = chrono::TimeDelta::hours(hours);
        tokio::time::sleep(2 * HOUR).await;
        let new = mailbox.receive(&inbox, service.clock.now());
        tokio::time::sleep(LIMIT).await;
        assert!(sink.has(new), "after {hours} hours");
    }
    service.stop().await.unwrap();
}
