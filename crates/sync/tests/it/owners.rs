//! Worlds in which several processes serve the same mailboxes at once: while the number of shards
//! changes, or because somebody started one too many. Time is paused, a seed tells one story.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use record::{
    Checkpoint, Email, FolderId, Held, Position, Quarantined, Refusal, Route, Sink, SinkError,
    Source, Uid,
};
use sync::{Carried, MailboxSettings, Pace};
use testkit::{memory_sink::ManySinks, memory_source::MemoryMailbox};
use tokio::time::Instant;

use crate::{
    chaos::{ChaosSink, ChaosSource, Dice},
    world::{Running, SimClock, pace, route, start_at},
};

const SEEDS: u64 = 1_000;

/// How a store keeps the checkpoints of all its mailboxes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// A checkpoint replaces only the one before it.
    Conditional,
    /// All of them are one value without a condition: who writes one puts back the others as they
    /// were when it was read. Whoever notices that for its own puts it right.
    Shared,
    /// A fault put in on purpose: whatever comes last counts.
    Unconditional,
}

/// What all processes write to.
struct Store {
    commit: Commit,
    emails: ManySinks,
    checkpoints: Mutex<BTreeMap<Route, Checkpoint>>,
    mailboxes: BTreeMap<Route, MemoryMailbox>,
    /// Identities of all emails that were ever written: the engine's, and the platform's.
    identities: Mutex<BTreeSet<(Route, Uid, String)>>,
    /// The promise that was broken first.
    broken: Mutex<Option<String>>,
}

impl Store {
    /// Judges a checkpoint that takes the place of `old`.
    fn judge(&self, route: &Route, old: &Checkpoint, new: &Checkpoint) {
        let sink = self.emails.of(route);
        let mailbox = &self.mailboxes[route];
        let tell = |what: String| {
            self.broken.lock().unwrap().get_or_insert(what);
        };
        if self.commit != Commit::Shared && new.generation != old.generation + 1 {
            tell(format!("{} takes the place of {}", new.generation, old.generation));
        }
        for (folder, state) in &new.folders {
            let Some(position) = &state.position else { continue };
            if let Some(uid) = mailbox.covered(folder, position).iter().find(|uid| !sink.has(**uid))
            {
                tell(format!("{} covers {uid}, which is not durable", new.generation));
            }
            let before = old.folders.get(folder).and_then(|state| state.position.as_ref());
            if self.commit != Commit::Shared && before.is_some_and(|b| is_before(position, b)) {
                tell(format!("{folder:?} of {} goes back to {position:?}", route.mailbox));
            }
        }
    }
}

/// Whether `position` lies before `other` in the same listing.
fn is_before(position: &Position, other: &Position) -> bool {
    let parts = |position: &Position| {
        let Position::Cursor { token } = position else { panic!("{position:?}") };
        let (epoch, sequence) = token.split_once(':').unwrap();
        (epoch.parse::<u64>().unwrap(), sequence.parse::<u64>().unwrap())
    };
    let (position, other) = (parts(position), parts(other));
    position.0 == other.0 && position.1 < other.1
}

/// The sink of one process.
struct Owner {
    store: Arc<Store>,
    dice: Dice,
    /// What this process saved last.
    mine: Mutex<BTreeMap<Route, Checkpoint>>,
}

impl Owner {
    fn stored(&self, route: &Route) -> Checkpoint {
        let stored = self.store.checkpoints.lock().unwrap().get(route).cloned().unwrap_or_default();
        let mine = self.mine.lock().unwrap().get(route).cloned();
        match mine {
            // Somebody who saved another mailbox has put back an older one of this mailbox.
            Some(mine) if self.store.commit == Commit::Shared => {
                if mine.generation > stored.generation { mine } else { stored }
            }
            _ => stored,
        }
    }
}

#[async_trait]
impl Sink for Owner {
    fn knows_what_it_holds(&self) -> bool {
        true
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        Ok(self.stored(route))
    }

    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        self.store.emails.of(route).find(route, uids).await
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        for email in emails {
            let identity = (route.clone(), email.uid, email.email_id());
            self.store.identities.lock().unwrap().insert(identity);
        }
        self.store.emails.of(route).write(route, emails).await
    }

    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        self.store.emails.of(route).relocate(route, moved).await
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        self.store.emails.of(route).quarantine(route, items).await
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        self.store.emails.of(route).quarantined(route).await
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        let mut all = self.store.checkpoints.lock().unwrap().clone();
        let old = self.stored(route);
        let follows = old.generation + 1 == new.generation;
        if !follows && self.store.commit != Commit::Unconditional {
            return Err(SinkError::Superseded { place: route.mailbox.to_string() });
        }
        if self.store.commit == Commit::Shared {
            // Between reading and writing, others write.
            tokio::time::sleep(Duration::from_millis(self.dice.range(1, 60))).await;
        }
        self.store.judge(route, &old, new);
        self.mine.lock().unwrap().insert(route.clone(), new.clone());
        let mut checkpoints = self.store.checkpoints.lock().unwrap();
        if self.store.commit == Commit::Shared {
            all.insert(route.clone(), new.clone());
            *checkpoints = all;
        } else {
            checkpoints.insert(route.clone(), new.clone());
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Variant {
    commit: Commit,
    acknowledges_early: bool,
}

const SOUND: Variant = Variant { commit: Commit::Conditional, acknowledges_early: false };

struct World {
    variant: Variant,
    dice: Dice,
    calm: Arc<AtomicBool>,
    store: Arc<Store>,
    routes: Vec<Route>,
    folders: Vec<FolderId>,
    ever: BTreeSet<Uid>,
    processes: u64,
    born: Instant,
}

impl World {
    fn new(seed: u64, mailboxes: usize, variant: Variant) -> Self {
        let dice = Dice::new(ChaCha8Rng::seed_from_u64(seed), 0.05);
        let routes: Vec<Route> =
            (0..mailboxes).map(|n| route(&format!("{n}@example.com"))).collect();
        let mut folders = Vec::new();
        let mailboxes = routes.iter().map(|route| {
            let mailbox = MemoryMailbox::new(route.mailbox.as_str());
            folders = vec![mailbox.add_folder("Inbox"), mailbox.add_folder("Junk")];
            (route.clone(), mailbox)
        });
        let store = Store {
            commit: variant.commit,
            emails: ManySinks::default(),
            checkpoints: Mutex::default(),
            mailboxes: mailboxes.collect(),
            identities: Mutex::default(),
            broken: Mutex::default(),
        };
        let (store, calm, ever) = (Arc::new(store), Arc::default(), BTreeSet::new());
        Self {
            variant,
            dice,
            calm,
            store,
            routes,
            folders,
            ever,
            processes: 0,
            born: Instant::now(),
        }
    }

    /// Starts a process that serves `routes`.
    fn start(&mut self, routes: &[Route]) -> Running {
        self.processes += 1;
        let mut dice = Dice::new(ChaCha8Rng::seed_from_u64(self.dice.range(0, u64::MAX)), 0.05);
        dice.calm = Arc::clone(&self.calm);
        let sources = routes.iter().map(|route| {
            // Each mailbox is asked for pauses of its own.
            let mut dice = Dice::new(ChaCha8Rng::seed_from_u64(dice.range(0, u64::MAX)), 0.05);
            dice.calm = Arc::clone(&self.calm);
            let inner = self.store.mailboxes[route].source();
            (route.clone(), Box::new(ChaosSource { inner, dice }) as Box<dyn Source>)
        });
        let sources = sources.collect();
        let (store, mine) = (Arc::clone(&self.store), Mutex::default());
        let owner = Arc::new(Owner { store, dice: dice.clone(), mine }) as Arc<dyn Sink>;
        let early = self.variant.acknowledges_early;
        let sink = Arc::new(ChaosSink::new(owner, dice, true, early)) as Arc<dyn Sink>;
        let pace = Pace { emails_per_folder: 7, batch: 3, ..pace() };
        // Pauses that others have kept are in the future of nobody.
        let clock = Arc::new(SimClock::after(TimeDelta::from_std(self.born.elapsed()).unwrap()));
        let (settings, seed) = (MailboxSettings::default(), self.processes);
        start_at(clock, &Carried::default(), sources, sink, &settings, pace, seed)
    }

    fn pick(&self, count: usize) -> usize {
        usize::try_from(self.dice.range(0, count as u64)).unwrap()
    }

    /// Mail arrives and moves, time passes.
    async fn go_on(&mut self) {
        for _ in 0..self.dice.range(1, 4) {
            let number = self.pick(self.routes.len());
            let mailbox = &self.store.mailboxes[&self.routes[number]];
            let folder = &self.folders[self.pick(self.folders.len())];
            match self.dice.range(0, 8) {
                0 => mailbox.expire_cursors(),
                1 => {
                    let known = mailbox.truth();
                    if let Some(uid) = known.iter().nth(self.pick(known.len().max(1))) {
                        mailbox.move_email(*uid, folder);
                    }
                }
                _ => {
                    for _ in 0..self.dice.range(1, 12) {
                        self.ever.insert(mailbox.deliver(folder, 1));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(self.dice.range(1, 8_000))).await;
        }
    }

    async fn end(&self, process: Running) {
        if self.dice.range(0, 2) == 0 {
            process.crash().await;
        } else {
            process.stop().await.unwrap();
        }
    }

    /// From here on nothing fails, and nobody is started again: whoever is left has to do it.
    async fn comes_to_rest(&self) -> Result<(), String> {
        self.calm.store(true, Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(6 * 3600);
        let held = |route: &Route| self.store.emails.of(route).uids().into_iter().collect();
        let missing = |route: &&Route| {
            let held: BTreeSet<Uid> = held(route);
            self.store.mailboxes[*route].truth().difference(&held).next().is_some()
        };
        while let Some(route) = self.routes.iter().find(missing) {
            if Instant::now() > patience {
                return Err(format!("mail of {} is lost", route.mailbox));
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        if let Some(broken) = self.store.broken.lock().unwrap().take() {
            return Err(broken);
        }
        let identities = self.store.identities.lock().unwrap();
        let uids: BTreeSet<_> = identities.iter().map(|(_, uid, _)| uid).collect();
        let names: BTreeSet<_> = identities.iter().map(|(route, _, name)| (route, name)).collect();
        if uids.len() != identities.len() || names.len() != identities.len() {
            return Err("an email has two identities".to_owned());
        }
        match uids.iter().find(|uid| !self.ever.contains(**uid)) {
            Some(strange) => Err(format!("{strange} was never sent")),
            None => Ok(()),
        }
    }
}

/// Two processes that both believe that the mailboxes are theirs, started and ended at random.
async fn two_owners(seed: u64, variant: Variant) -> Result<(), String> {
    let mut world = World::new(seed, 2, variant);
    let routes = world.routes.clone();
    let mut processes = [None, None];
    for _ in 0..8 {
        let number = world.pick(2);
        match processes[number].take() {
            Some(process) => world.end(process).await,
            None => processes[number] = Some(world.start(&routes)),
        }
        world.go_on().await;
    }
    // One is left, which may have stepped back before the other one.
    let [first, second] = processes;
    let _left = match (first, second) {
        (Some(first), Some(second)) => {
            world.end(first).await;
            second
        }
        (Some(left), None) | (None, Some(left)) => left,
        (None, None) => world.start(&routes),
    };
    world.comes_to_rest().await
}

/// Who serves `route`: the shard with the highest draw.
fn shard(route: &Route, total: usize) -> usize {
    let draw = |n: &usize| Uid::derive("shard", &route.mailbox, &n.to_be_bytes(), "");
    (0..total).max_by_key(draw).unwrap()
}

/// From three shards to four and back while mail arrives: one process after the other is replaced,
/// and now and then the one that is replaced lives on for a while.
async fn shards_change(seed: u64, variant: Variant) -> Result<(), String> {
    let mut world = World::new(seed, 5, variant);
    let owned = |world: &World, number: usize, total: usize| -> Vec<Route> {
        world.routes.iter().filter(|route| shard(route, total) == number).cloned().collect()
    };
    let mut shards: [Option<Running>; 4] = Default::default();
    let mut zombies: Vec<Running> = Vec::new();
    for total in [3, 4, 3] {
        // The last one first, as Kubernetes replaces the pods of a StatefulSet.
        for number in (0..4).rev() {
            let new = (number < total).then(|| owned(&world, number, total));
            let new = new.map(|routes| world.start(&routes));
            match std::mem::replace(&mut shards[number], new) {
                Some(old) if world.dice.range(0, 3) == 0 => zombies.push(old),
                Some(old) => world.end(old).await,
                None => {}
            }
            world.go_on().await;
        }
    }
    for zombie in zombies {
        world.end(zombie).await;
    }
    world.comes_to_rest().await
}

type Story = fn(u64, Variant) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>>;

const TWO_OWNERS: Story = |seed, variant| Box::pin(two_owners(seed, variant));
const SHARDS_CHANGE: Story = |seed, variant| Box::pin(shards_change(seed, variant));

/// Lives through worlds and returns those in which a promise was broken.
fn broken_worlds(seeds: u64, story: Story, variant: Variant) -> Vec<String> {
    let live = |seed: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let lived = AssertUnwindSafe(|| runtime.block_on(story(seed, variant)));
        let told = std::panic::catch_unwind(lived).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.unwrap_or_else(|| "panicked".to_owned()))
        });
        told.err().map(|err| format!("seed {seed}: {err}"))
    };
    (0..seeds).filter_map(live).collect()
}

#[track_caller]
fn assert_all_hold(story: Story, variant: Variant) {
    let broken = broken_worlds(SEEDS, story, variant);
    assert!(
        broken.is_empty(),
        "{} of {SEEDS}: {:#?}",
        broken.len(),
        &broken[..broken.len().min(5)]
    );
}

#[test]
fn two_owners_lose_and_double_nothing() {
    assert_all_hold(TWO_OWNERS, SOUND);
}

#[test]
fn two_owners_lose_and_double_nothing_in_a_store_that_loses_updates() {
    assert_all_hold(TWO_OWNERS, Variant { commit: Commit::Shared, ..SOUND });
}

#[test]
fn changing_the_number_of_shards_during_load_loses_and_doubles_nothing() {
    assert_all_hold(SHARDS_CHANGE, SOUND);
}

// The faults that these worlds are for.
#[test]
fn commits_without_a_condition_are_found() {
    let broken = broken_worlds(50, TWO_OWNERS, Variant { commit: Commit::Unconditional, ..SOUND });
    assert!(broken.len() > 5, "found in {} of 50 worlds only", broken.len());
    let variant = Variant { commit: Commit::Unconditional, ..SOUND };
    let broken = broken_worlds(50, SHARDS_CHANGE, variant);
    assert!(broken.len() > 5, "found in {} of 50 worlds only", broken.len());
}

#[test]
fn a_checkpoint_before_its_emails_is_found_with_two_owners_too() {
    for story in [TWO_OWNERS, SHARDS_CHANGE] {
        let broken = broken_worlds(50, story, Variant { acknowledges_early: true, ..SOUND });
        assert!(broken.len() > 40, "found in {} of 50 worlds only", broken.len());
    }
}
