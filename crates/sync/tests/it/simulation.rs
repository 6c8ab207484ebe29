//! Thousands of small worlds, each from one seed: crashes, lost answers, partitions, throttling,
//! while mail arrives, moves and vanishes. In none of them may an email be lost or doubled.
//!
//! Time is paused and the runtime has one thread, so that a seed always tells the same story.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use record::{Checkpoint, Clock, Protocol, Sink, Source, Uid};
use sync::{Carried, MailboxSettings, Pace};
use testkit::{memory_sink::MemorySink, memory_source::MemoryMailbox};
use tokio::time::Instant;

use crate::{
    chaos::{ChaosSink, ChaosSource, Dice, Lies},
    world::{SimClock, pace, route, start_at},
};

const SEEDS: u64 = 1_000;

/// Of worlds in which hours pass.
const LONG_SEEDS: u64 = 400;

/// Most entries of one page, and so of what a crash may cause to be written again.
const PAGE: usize = 7;

#[derive(Clone, Copy, Default)]
struct Variant {
    forgetful: bool,
    acknowledges_early: bool,
    /// Each life may read the mailbox over another protocol than the one before.
    moves: bool,
    /// Faults put in on purpose: see [`Lies`].
    lies: Lies,
}

/// Lives through one world. `Err` tells which promise was broken.
fn live(seed: u64, variant: &Variant) -> Result<(), String> {
    let broken = Arc::new(Mutex::new(None));
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mailbox = MemoryMailbox::new("abc@example.com");
    let folders =
        [mailbox.add_folder("Inbox"), mailbox.add_folder("Sent"), mailbox.add_folder("Junk")];
    let judge = {
        let (mailbox, broken) = (mailbox.clone(), Arc::clone(&broken));
        Arc::new(move |sink: &MemorySink, new: &Checkpoint| {
            for (id, state) in &new.folders {
                let Some(position) = &state.position else { continue };
                for uid in mailbox.covered(id, position) {
                    if !sink.has(uid) {
                        broken.lock().unwrap().get_or_insert(format!(
                            "checkpoint {} covers {uid}, which is not durable",
                            new.generation
                        ));
                    }
                }
            }
        })
    };
    let sink = MemorySink::judged_by(judge);
    let mut ever: BTreeSet<Uid> = BTreeSet::new();
    let mut dice = Dice::new(ChaCha8Rng::from_rng(&mut rng), 0.08);
    dice.lies = variant.lies;
    let crashes = 6;
    let mut passed = TimeDelta::zero();
    for life in 0..=crashes {
        // A crash takes everything with it that ran on this runtime.
        let world = runtime().map_err(|err| err.to_string())?;
        let last = life == crashes;
        dice.calm.store(last, Ordering::Relaxed);
        if last {
            mailbox.heal();
        }
        passed = world.block_on(async {
            let clock = Arc::new(SimClock::after(passed));
            let kept = sink.checkpoint().paused_until;
            dice.restart(kept.and_then(|until| (until - clock.now()).to_std().ok()));
            let graph = variant.moves && dice.range(0, 2) == 1;
            let protocol = if graph { Protocol::Graph } else { Protocol::Ews };
            let inner = mailbox.source_over(protocol);
            let source = ChaosSource { inner, dice: dice.clone() };
            let inner = Arc::new(sink.clone()) as Arc<dyn Sink>;
            let (forgetful, early) = (variant.forgetful, variant.acknowledges_early);
            let chaos = ChaosSink::new(inner, dice.clone(), forgetful, early);
            let sources = vec![(route("abc@example.com"), Box::new(source) as Box<dyn Source>)];
            let settings = MailboxSettings::default();
            let limit = Duration::from_secs(if variant.moves { 120 } else { 0 });
            let pace = Pace { emails_per_folder: PAGE, batch: 3, idle_poll_limit: limit, ..pace() };
            let (chaos, carried) = (Arc::new(chaos) as Arc<dyn Sink>, Carried::default());
            let now = Arc::clone(&clock);
            let service = start_at(now, &carried, sources, chaos, &settings, pace, seed);
            if last {
                service.catches_up(3).await;
                service.stop().await.map_err(|err| err.to_string())?;
            } else {
                for _ in 0..dice.range(1, if variant.moves { 12 } else { 6 }) {
                    let now = variant.moves.then(|| clock.now());
                    change(&mailbox, &folders, &dice, &mut ever, now);
                    // What counts by its time is to be old enough now and then.
                    let pause = if variant.moves && dice.range(0, 4) == 0 { 1_800 } else { 8 };
                    tokio::time::sleep(Duration::from_millis(dice.range(1, pause * 1_000))).await;
                }
                service.crash().await;
            }
            Ok::<_, String>(clock.passed())
        })?;
    }
    if let Some(broken) = broken.lock().unwrap().take() {
        return Err(broken);
    }
    let held: BTreeSet<Uid> = sink.uids().into_iter().collect();
    if let Some(lost) = mailbox.truth().difference(&held).next() {
        return Err(format!("{lost} is lost"));
    }
    if let Some(strange) = held.difference(&ever).next() {
        return Err(format!("{strange} was never sent"));
    }
    let again = sink.writes() - held.len() as u64;
    let causes = crashes + dice.failures.load(Ordering::Relaxed);
    // A sink that cannot tell what it holds is sent everything again when a cursor expires.
    if !variant.forgetful && again > causes * PAGE as u64 {
        return Err(format!("{again} emails written again after {causes} crashes and failures"));
    }
    let again = mailbox.fetched_again();
    if !variant.forgetful && again > causes * PAGE as u64 {
        return Err(format!("{again} emails fetched again after {causes} crashes and failures"));
    }
    Ok(())
}

/// Something happens in the mailbox, or to the network.
fn change(
    mailbox: &MemoryMailbox,
    folders: &[record::FolderId],
    dice: &Dice,
    ever: &mut BTreeSet<Uid>,
    now: Option<DateTime<Utc>>,
) {
    let pick = |count: usize| usize::try_from(dice.range(0, count as u64)).unwrap();
    if let Some(now) = now {
        mailbox.set_time(now);
        // A folder that cannot be read while others can: its mail is older than theirs.
        match dice.range(0, 12) {
            0 => mailbox.make_sick(&folders[pick(folders.len())]),
            1 => mailbox.heal(),
            _ => {}
        }
    }
    let somebody = |from: &BTreeSet<Uid>| from.iter().nth(pick(from.len().max(1))).copied();
    match dice.range(0, 10) {
        0 => mailbox.expire_cursors(),
        1 => {
            let outage = Duration::from_secs(dice.range(1, 90));
            *dice.partition.lock().unwrap() = Some(Instant::now() + outage);
        }
        2 | 3 => {
            if let Some(uid) = somebody(&mailbox.truth()) {
                mailbox.move_email(uid, &folders[pick(folders.len())]);
            }
        }
        4 => {
            if let Some(uid) = somebody(&mailbox.truth()) {
                mailbox.delete(uid);
            }
        }
        _ => {
            for _ in 0..dice.range(1, 12) {
                let folder = &folders[pick(folders.len())];
                // Many share a minute, some come from the past.
                let minutes = i64::try_from(dice.range(0, 50)).unwrap();
                ever.insert(match now {
                    Some(now) if minutes > 10 => mailbox.receive(folder, now),
                    Some(now) => mailbox.receive(folder, now - TimeDelta::minutes(minutes * 20)),
                    None => mailbox.deliver(folder, minutes),
                });
            }
        }
    }
}

/// Lives through `SEEDS` worlds and returns those in which a promise was broken.
fn broken_worlds(variant: &Variant, seeds: u64) -> Vec<String> {
    (0..seeds)
        .filter_map(|seed| {
            let lived = std::panic::catch_unwind(AssertUnwindSafe(|| live(seed, variant)));
            let told = lived.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                Err(text.unwrap_or_else(|| "panicked".to_owned()))
            });
            told.err().map(|err| format!("seed {seed}: {err}"))
        })
        .collect()
}

#[track_caller]
fn assert_all_hold(variant: &Variant) {
    let seeds = if variant.moves { LONG_SEEDS } else { SEEDS };
    let broken = broken_worlds(variant, seeds);
    let first = broken.get(..5).unwrap_or(&broken);
    assert!(broken.is_empty(), "{} of {seeds}: {first:#?}", broken.len());
}

#[test]
fn nothing_is_lost_or_doubled_in_a_thousand_worlds() {
    assert_all_hold(&Variant::default());
}

#[test]
fn nothing_is_lost_when_the_sink_cannot_tell_what_it_holds() {
    assert_all_hold(&Variant { forgetful: true, ..Variant::default() });
}

// The fault that this simulation is for: a checkpoint that is durable before its emails.
#[test]
fn a_checkpoint_before_its_emails_is_found() {
    let variant = Variant { acknowledges_early: true, ..Variant::default() };
    let broken = broken_worlds(&variant, 50);
    assert!(broken.len() > 40, "found in {} of 50 worlds only", broken.len());
}

#[test]
fn nothing_is_lost_or_doubled_while_a_mailbox_moves_between_protocols() {
    assert_all_hold(&Variant { moves: true, ..Variant::default() });
}

#[test]
fn nothing_is_lost_while_a_mailbox_moves_and_the_sink_cannot_tell_what_it_holds() {
    assert_all_hold(&Variant { moves: true, forgetful: true, ..Variant::default() });
}

// The faults that moving is about: imported mail counts by its old date, or a mailbox as complete
// that is not.
#[test]
fn a_move_that_passes_over_what_was_not_delivered_is_found() {
    for lies in [Lies::NothingIsImported, Lies::AlwaysComplete] {
        let variant = Variant { moves: true, forgetful: true, lies, ..Variant::default() };
        let broken = broken_worlds(&variant, 50);
        assert!(broken.len() > 5, "{lies:?} found in {} of 50 worlds only", broken.len());
        assert!(broken.iter().all(|told| told.contains("durable") || told.contains("is lost")));
    }
}

#[test]
fn a_seed_always_tells_the_same_story() {
    let variant =
        Variant { forgetful: true, acknowledges_early: true, moves: true, ..Variant::default() };
    let tell = || (0..20).map(|seed| live(seed, &variant)).collect::<Vec<_>>();
    assert_eq!(tell(), tell());
}
