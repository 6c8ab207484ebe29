//! What the engine does when the sink refuses, asks for a pause, or belongs to somebody else, and
//! what outlives a restart.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use record::{FolderState, Route, Sink, SinkError, Source, Uid};
use sync::{Carried, Command, Failure, MailboxSettings, Pace, StartFrom};
use testkit::{
    memory_sink::{ManySinks, MemorySink},
    memory_source::MemoryMailbox,
};
use tokio::time::Instant;

use crate::{
    chaos::{ChaosSink, Dice},
    world::{Running, SimClock, pace, route, start, start_at},
};

const ADDRESS: &str = "abc@example.com";

fn serve(mailbox: &MemoryMailbox, sink: &MemorySink) -> Running {
    let sources = vec![(route(ADDRESS), Box::new(mailbox.source()) as Box<dyn Source>)];
    start(sources, Arc::new(sink.clone()), &MailboxSettings::default(), pace(), 1)
}

/// Serves `mailbox` in a process that has served it before, or after a restart of the process with
/// an empty `carried`.
fn serve_again(
    clock: &Arc<SimClock>,
    carried: &Carried,
    mailbox: &MemoryMailbox,
    sink: &MemorySink,
    settings: &MailboxSettings,
) -> Running {
    let sources = vec![(route(ADDRESS), Box::new(mailbox.source()) as Box<dyn Source>)];
    let sink = Arc::new(sink.clone()) as Arc<dyn Sink>;
    start_at(Arc::clone(clock), carried, sources, sink, settings, pace(), 1)
}

fn clock() -> Arc<SimClock> {
    Arc::new(SimClock::after(TimeDelta::zero()))
}

/// A mailbox with one folder that holds `emails`, and a sink.
fn mailbox_of(emails: i64) -> (MemoryMailbox, record::FolderId, MemorySink) {
    let mailbox = MemoryMailbox::new(ADDRESS);
    let inbox = mailbox.add_folder("Inbox");
    (0..emails).for_each(|minute| {
        mailbox.deliver(&inbox, minute);
    });
    (mailbox, inbox, MemorySink::default())
}

/// Lets paused time run until `done`.
async fn wait_for(what: &str, done: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(40 * 3600);
    while !done() {
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn throttled(pause: u64) -> SinkError {
    SinkError::Throttled { host: "sink".into(), retry_after: Some(Duration::from_secs(pause)) }
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_refuses_is_set_aside_before_the_position_moves_on() {
    let (mailbox, inbox, sink) = mailbox_of(3);
    let refused = mailbox.deliver(&inbox, 7);
    sink.refuse(refused, "TooLarge");
    let judged = sink.judging({
        let (mailbox, inbox) = (mailbox.clone(), inbox.clone());
        Arc::new(move |sink, new| {
            let position = new.folders.get(&inbox).and_then(|state| state.position.as_ref());
            for uid in position.map(|p| mailbox.covered(&inbox, p)).unwrap_or_default() {
                assert!(sink.has(uid), "the position covers {uid}");
            }
        })
    });
    let service = serve(&mailbox, &judged);
    service.catches_up(1).await;
    assert_eq!(sink.uids().len(), 3);
    let set_aside = sink.set_aside();
    assert_eq!((set_aside[0].uid, set_aside[0].code.as_str()), (refused, "TooLarge"));
    assert_eq!(service.diary.lines("quarantined"), ["quarantined TooLarge 1"]);
    assert_eq!(service.diary.sum("delivered"), 3, "what is refused is not delivered");
    let state = sink.checkpoint().folders[&inbox].clone();
    assert_eq!((state.delivered, state.quarantined), (3, 1));

    let again = || service.commands.send(Command::RetryQuarantine(route(ADDRESS)));
    again().await.unwrap();
    service.catches_up(2).await;
    assert_eq!(sink.set_aside()[0].attempts, 2, "tried again, still refused");
    sink.refuse_nothing();
    again().await.unwrap();
    service.catches_up(2).await;
    assert!(sink.set_aside().is_empty() && sink.uids().contains(&refused));
    let state = sink.checkpoint().folders[&inbox].clone();
    assert_eq!((state.delivered, state.quarantined), (4, 0));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_sink_asks_for_is_obeyed_exactly() {
    let (mailbox, _, sink) = mailbox_of(1);
    sink.fail_next(vec![throttled(1234)]);
    let began = Instant::now();
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    let took = began.elapsed().as_secs();
    assert!((1234..1236).contains(&took), "{took} s");
    assert_eq!(service.diary.count("Throttled"), 1);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_sink_survives_a_reload() {
    let (mailbox, _, sink) = mailbox_of(1);
    let (clock, carried) = (clock(), Carried::default());
    let settings = MailboxSettings::default();
    sink.fail_next(vec![throttled(600)]);
    let began = Instant::now();
    for seconds in [10, 100] {
        let service = serve_again(&clock, &carried, &mailbox, &sink, &settings);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(service.diary.count("Throttled"), 1, "it is said why nothing happens");
        service.stop().await.unwrap();
    }
    let service = serve_again(&clock, &carried, &mailbox, &sink, &settings);
    service.catches_up(1).await;
    let took = began.elapsed().as_secs();
    assert!((600..602).contains(&took), "{took} s");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_does_not_take_one_mailbox_is_asked_again_after_an_hour() {
    let (bad, _, _) = mailbox_of(1);
    let good = MemoryMailbox::new("good@example.com");
    let inbox = good.add_folder("Inbox");
    let sinks = ManySinks::default();
    let denied = || SinkError::Denied {
        place: "bucket".to_owned(),
        detail: "no such bucket".to_owned(),
        hint: None,
    };
    sinks.of(&route(ADDRESS)).fail_next(vec![denied(), denied()]);
    let sources = vec![
        (route(ADDRESS), Box::new(bad.source()) as Box<dyn Source>),
        (route("good@example.com"), Box::new(good.source()) as Box<dyn Source>),
    ];
    let began = Instant::now();
    let shared = Arc::new(sinks.clone()) as Arc<dyn Sink>;
    let service = start(sources, shared, &MailboxSettings::default(), pace(), 1);
    let wanted = good.deliver(&inbox, 1);
    service.catches_up(3).await;
    assert!(sinks.of(&route("good@example.com")).has(wanted));
    assert_eq!(service.diary.count("Error"), 1);
    wait_for("never tried again", || !sinks.of(&route(ADDRESS)).uids().is_empty()).await;
    let took = began.elapsed().as_secs();
    assert!((7200..7202).contains(&took), "{took} s for two refusals");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_sink_refuses_ends_the_service() {
    let (mailbox, _, sink) = mailbox_of(1);
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    sink.fail_next(vec![SinkError::Unauthorized { host: "sink".to_owned(), cause: None }]);
    let ended = tokio::time::timeout(Duration::from_secs(60), service.task).await;
    let failure = ended.expect("it goes on").unwrap().unwrap_err();
    assert!(matches!(failure, Failure::Sink(SinkError::Unauthorized { .. })), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_another_process_serves_is_asked_for_quietly() {
    let (mailbox, _, sink) = mailbox_of(1);
    let busy = || SinkError::Busy { place: ADDRESS.to_owned() };
    sink.fail_next((0..100).map(|_| busy()).collect());
    let service = serve(&mailbox, &sink);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let early = service.diary.count("Retrying");
    assert!((2..=6).contains(&early), "{early} attempts in the first ten seconds");
    service.catches_up(1).await;
    let took = began.elapsed().as_secs();
    assert!((90 * 22..100 * 30).contains(&took), "{took} s for a hundred attempts");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_makes_the_mailbox_step_back_until_it_is_quiet() {
    let (mailbox, inbox, sink) = mailbox_of(1);
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    let write = || async {
        let mut theirs = sink.checkpoint();
        theirs.generation += 1;
        sink.save_checkpoint(&route(ADDRESS), &theirs).await.unwrap();
        theirs
    };
    let mut theirs = write().await;
    let wanted = mailbox.deliver(&inbox, 2);
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(sink.checkpoint(), theirs, "their checkpoint stands");
        assert!(!sink.has(wanted));
        theirs = write().await;
    }
    assert!(service.diary.count("Error") > 0, "the operator is told");
    // The other one has ended, as the last of a roll-out does: somebody has to serve the mailbox.
    let ended = Instant::now();
    service.catches_up(1).await;
    assert!(sink.has(wanted));
    let took = ended.elapsed().as_secs();
    assert!(took <= 60 + 45, "{took} s after the last write of the other");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_steps_back_in_vain_does_so_for_longer_each_time() {
    let (mailbox, inbox, sink) = mailbox_of(1);
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    // Somebody else is there for good, and writes whenever this one has.
    let (mut last, mut defeats) = (None, 0);
    for minute in 2..4 * 60 {
        let mut there = sink.checkpoint();
        if last != Some(there.generation) {
            defeats += 1;
            there.generation += 1;
            sink.save_checkpoint(&route(ADDRESS), &there).await.unwrap();
            last = Some(there.generation);
        }
        mailbox.deliver(&inbox, minute);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!((4..=11).contains(&defeats), "{defeats} in four hours");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_server_survives_a_restart() {
    let (mailbox, inbox, sink) = mailbox_of(1);
    let clock = clock();
    let settings = MailboxSettings::default();
    mailbox.throttle(Duration::from_secs(900), record::Scope::Mailbox);
    let began = Instant::now();
    for _ in 0..3 {
        let service = serve_again(&clock, &Carried::default(), &mailbox, &sink, &settings);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(service.diary.count("Throttled"), 1);
        service.crash().await;
    }
    assert_eq!(mailbox.requests().0, 1, "asked before the pause was over");
    let service = serve_again(&clock, &Carried::default(), &mailbox, &sink, &settings);
    service.catches_up(1).await;
    let took = began.elapsed().as_secs();
    assert!((900..902).contains(&took), "{took} s");
    assert_eq!(sink.checkpoint().folders[&inbox].delivered, 1);
    assert_eq!(sink.checkpoint().paused_until, None, "it is over");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_whole_service_survives_a_reload() {
    let (mailbox, _, sink) = mailbox_of(1);
    let (clock, carried) = (clock(), Carried::default());
    mailbox.throttle(Duration::from_secs(300), record::Scope::Service);
    let service = serve_again(&clock, &carried, &mailbox, &sink, &MailboxSettings::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.stop().await.unwrap();
    // Another mailbox of the same server: it has no pause of its own.
    let other = MemoryMailbox::new("other@example.com");
    other.add_folder("Inbox");
    let sources = vec![(route("other@example.com"), Box::new(other.source()) as Box<dyn Source>)];
    let sink = Arc::new(MemorySink::default()) as Arc<dyn Sink>;
    let service = start_at(clock, &carried, sources, sink, &MailboxSettings::default(), pace(), 1);
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert_eq!(other.requests().0, 0, "asked before the pause was over");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(other.requests().0 > 0);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kept_pause_of_years_counts_as_an_hour_even_over_restarts() {
    let (mailbox, _, sink) = mailbox_of(1);
    let clock = clock();
    let mut kept = sink.checkpoint();
    kept.generation = 1;
    kept.paused_until = Some("2099-01-01T00:00:00Z".parse().unwrap());
    sink.save_checkpoint(&route(ADDRESS), &kept).await.unwrap();
    let began = Instant::now();
    let settings = MailboxSettings::default();
    for _ in 0..5 {
        let service = serve_again(&clock, &Carried::default(), &mailbox, &sink, &settings);
        tokio::time::sleep(Duration::from_secs(600)).await;
        service.crash().await;
    }
    let service = serve_again(&clock, &Carried::default(), &mailbox, &sink, &settings);
    service.catches_up(1).await;
    let took = began.elapsed().as_secs();
    assert!((3600..3602).contains(&took), "{took} s");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn start_from_config_is_applied_once_in_a_process() {
    let (mailbox, _, sink) = mailbox_of(20);
    let (clock, carried) = (clock(), Carried::default());
    let from = |timestamp: Option<&str>| MailboxSettings {
        start_from: StartFrom::Config,
        start_timestamp: timestamp.map(|text| text.parse().unwrap()),
        ..MailboxSettings::default()
    };
    let late = from(Some("2026-01-01T00:10:00Z"));
    let early = from(None);
    for (settings, emails, lists) in
        [(&late, 10, 1), (&late, 10, 1), (&early, 20, 2), (&early, 20, 2)]
    {
        let service = serve_again(&clock, &carried, &mailbox, &sink, settings);
        service.catches_up(1).await;
        service.stop().await.unwrap();
        assert_eq!((sink.uids().len(), mailbox.requests().1), (emails, lists));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_kept_only_a_time_is_not_sent_what_came_before() {
    let (mailbox, inbox, sink) = mailbox_of(600);
    let until: DateTime<Utc> = "2026-01-01T09:55:00Z".parse().unwrap();
    let mut kept = sink.checkpoint();
    kept.generation = 1;
    let state = FolderState { delivered_until: Some(until), ..FolderState::default() };
    kept.folders.insert(inbox.clone(), state);
    sink.save_checkpoint(&route(ADDRESS), &kept).await.unwrap();
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    // More than one page: the time counts until the folder was read to its end.
    assert_eq!((sink.uids().len(), service.diary.sum("skipped Held")), (5, 595));
    let state = sink.checkpoint().folders[&inbox].clone();
    assert!(state.delivered_until.is_none() && state.caught_up);
    // From here on the position counts: what comes late, with an old date, is new.
    let old = mailbox.deliver(&inbox, 1);
    service.catches_up(2).await;
    assert!(sink.has(old));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_page_counts_each_email_once() {
    let (mailbox, inbox, sink) = mailbox_of(100);
    let refused = mailbox.deliver(&inbox, 101);
    let broken = mailbox.deliver(&inbox, 102);
    mailbox.draft(&inbox);
    sink.refuse(refused, "TooLarge");
    mailbox.poison(broken);
    // The first write works; the acknowledgement of the second one is lost.
    sink.lose_answers([false, true]);
    let pace = Pace { batch: 20, ..pace() };
    let sources = vec![(route(ADDRESS), Box::new(mailbox.source()) as Box<dyn Source>)];
    let shared = Arc::new(sink.clone()) as Arc<dyn Sink>;
    let service = start(sources, shared, &MailboxSettings::default(), pace, 1);
    service.catches_up(1).await;
    let sum = |what| service.diary.sum(what);
    assert!(sum("fetched") >= 100 && sum("redelivered") <= 2, "{}", sum("redelivered"));
    assert_eq!(
        (sum("delivered"), sum("skipped"), sum("quarantined")),
        (100, 1, 2),
        "each entry counts once, however often its page was read"
    );
    let state = sink.checkpoint().folders[&inbox].clone();
    assert_eq!((state.delivered, state.skipped, state.quarantined), (100, 1, 2));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_cannot_tell_is_not_sent_again_what_it_has_acknowledged() {
    let (mailbox, _, sink) = mailbox_of(100);
    sink.forget_all();
    sink.lose_answers([false, true]);
    let pace = Pace { batch: 20, ..pace() };
    let sources = vec![(route(ADDRESS), Box::new(mailbox.source()) as Box<dyn Source>)];
    let shared = Arc::new(sink.clone()) as Arc<dyn Sink>;
    let service = start(sources, shared, &MailboxSettings::default(), pace, 1);
    service.catches_up(1).await;
    let sum = |what| service.diary.sum(what);
    assert_eq!((sum("delivered"), sum("skipped"), sum("redelivered")), (100, 0, 20));
    assert_eq!((sink.uids().len(), sink.writes()), (100, 120));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_lag_is_the_age_of_the_oldest_email_that_is_listed_and_not_delivered() {
    let (mailbox, inbox, sink) = mailbox_of(0);
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    assert_eq!(service.diary.count("behind"), 0);
    for minute in [30, 10, 20] {
        mailbox.deliver(&inbox, minute);
    }
    sink.fail_next(vec![throttled(1)]);
    service.catches_up(2).await;
    assert_eq!(service.diary.lines("behind"), ["behind 00:10", "behind nothing"]);
    service.stop().await.unwrap();
}

// Promise I11: what shows a bug when it is fetched or written is set aside like a broken item.
#[tokio::test(start_paused = true)]
async fn an_item_on_which_the_program_panics_is_set_aside_and_the_rest_delivered() {
    let (mailbox, inbox, sink) = mailbox_of(50);
    let (fetched, written) = (mailbox.deliver(&inbox, 51), mailbox.deliver(&inbox, 52));
    (50..70).for_each(|minute| {
        mailbox.deliver(&inbox, minute);
    });
    mailbox.trap(fetched);
    sink.trap(written);
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    assert_eq!((sink.uids().len(), service.diary.count("Stopped")), (70, 0));
    let mut set_aside = sink.set_aside();
    set_aside.sort_by(|a, b| a.code.cmp(&b.code));
    let of = |n: usize| (set_aside[n].uid, set_aside[n].code.as_str());
    assert_eq!((of(0), of(1)), ((fetched, "FetchFailed"), (written, "WriteFailed")));
    service.commands.send(Command::RetryQuarantine(route(ADDRESS))).await.unwrap();
    let new = mailbox.deliver(&inbox, 80);
    service.catches_up(2).await;
    assert!(sink.uids().contains(&new), "trying them again ends nothing");
    assert!(sink.set_aside().iter().all(|item| item.attempts == 4));
    service.stop().await.unwrap();
}

/// Large emails, some of them deadly, among small ones; in two mailboxes that are read at once.
fn dangerous_mailboxes(deadly: &[&[usize]]) -> (Vec<(Route, MemoryMailbox)>, BTreeSet<Uid>) {
    let mut killers = BTreeSet::new();
    let mailboxes = deadly.iter().enumerate().map(|(number, deadly)| {
        let address = format!("{number}@example.com");
        let mailbox = MemoryMailbox::new(&address);
        let inbox = mailbox.add_folder("Inbox");
        for index in 0..12 {
            let uid = mailbox.deliver(&inbox, 1);
            if index % 4 != 3 {
                mailbox.enlarge(uid, 9 << 20);
            }
            if deadly.contains(&index) {
                mailbox.make_deadly(uid);
                killers.insert(uid);
            }
        }
        (route(&address), mailbox)
    });
    (mailboxes.collect(), killers)
}

/// Starts the program again and again until it is no longer killed. Returns how often it was.
async fn survive(mailboxes: &[(Route, MemoryMailbox)], sinks: &ManySinks, seed: u64) -> u64 {
    let kills = || mailboxes.iter().map(|(_, mailbox)| mailbox.kills()).sum::<u64>();
    for lives in 0..20 {
        let before = kills();
        let sources = mailboxes
            .iter()
            .map(|(route, mailbox)| (route.clone(), Box::new(mailbox.source()) as Box<dyn Source>));
        // Slow, so that the next item is asked for before the last one is stored, if it may.
        let dice = Dice::new(ChaCha8Rng::seed_from_u64(seed + lives), 0.0);
        let shared = ChaosSink::new(Arc::new(sinks.clone()), dice, false, false);
        let shared = Arc::new(shared) as Arc<dyn Sink>;
        let service = start(sources.collect(), shared, &MailboxSettings::default(), pace(), lives);
        // Long enough for two rounds, if nothing is in the way.
        let patience = Instant::now() + Duration::from_secs(40);
        while kills() == before && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let over = kills() == before;
        service.crash().await;
        if over {
            return lives;
        }
    }
    panic!("killed for ever");
}

// Promise I11: an item that kills the process.
#[tokio::test(start_paused = true)]
async fn a_large_item_that_kills_the_process_is_set_aside_after_two_strikes() {
    for seed in 0..20 {
        let (mailboxes, killers) = dangerous_mailboxes(&[&[0], &[], &[], &[], &[]]);
        let sinks = ManySinks::default();
        assert_eq!(survive(&mailboxes, &sinks, 100 * seed).await, 2);
        let set_aside: Vec<_> =
            mailboxes.iter().flat_map(|(route, _)| sinks.of(route).set_aside()).collect();
        assert_eq!(set_aside.len(), 1, "nobody else is blamed: {set_aside:?}");
        assert_eq!((set_aside[0].code.as_str(), set_aside[0].attempts), ("KillsProcess", 2));
        assert!(killers.contains(&set_aside[0].uid));
        let stored: usize = mailboxes.iter().map(|(route, _)| sinks.of(route).uids().len()).sum();
        assert_eq!(stored, 59, "everything else is delivered");
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_suspects_only_those_that_kill_are_set_aside() {
    let (mailboxes, killers) = dangerous_mailboxes(&[&[0, 6], &[0], &[10], &[]]);
    let sinks = ManySinks::default();
    let kills = survive(&mailboxes, &sinks, 0).await;
    assert!(kills <= 2 * killers.len() as u64, "killed {kills} times");
    let set_aside = mailboxes.iter().flat_map(|(route, _)| sinks.of(route).set_aside());
    assert_eq!(set_aside.map(|item| item.uid).collect::<BTreeSet<_>>(), killers);
    let stored: usize = mailboxes.iter().map(|(route, _)| sinks.of(route).uids().len()).sum();
    assert_eq!(stored, 44, "everything else is delivered");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_the_process_survives_is_not_suspected() {
    let (mailbox, inbox, sink) = mailbox_of(0);
    let slow = mailbox.deliver(&inbox, 1);
    mailbox.enlarge(slow, 9 << 20);
    // The call never comes back, yet each process is ended in good order, or given another
    // configuration.
    mailbox.make_deadly(slow);
    let (clock, carried) = (clock(), Carried::default());
    for life in 0..6 {
        let carried = if life % 2 == 0 { carried.clone() } else { Carried::default() };
        let settings = MailboxSettings::default();
        let service = serve_again(&clock, &carried, &mailbox, &sink, &settings);
        tokio::time::sleep(Duration::from_secs(5)).await;
        service.stop().await.unwrap();
    }
    assert_eq!((mailbox.kills(), sink.set_aside()[0].attempts), (6, 0));
    mailbox.heal();
    let service = serve(&mailbox, &sink);
    service.catches_up(1).await;
    assert!(sink.uids().contains(&slow) && sink.set_aside().is_empty());
    service.stop().await.unwrap();
}
