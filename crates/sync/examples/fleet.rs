//! Serves a fleet of simulated mailboxes on virtual time, and tells how many requests that takes, how
//! long new mail waits, and how much memory the engine needs.
//!
//! ```text
//! cargo run --release -p sync --example fleet -- mailboxes=100000 hours=6
//! ```
//!
//! The engine is the real one. The server counts requests as Microsoft Graph does and takes its time
//! for each; see `docs/scale.md` for what comes out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark"
)]

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use record::Source;
use sync::{MailboxSettings, MailboxSync, Pace, Service, mailbox::Shared, observer::Blind};
use testkit::fleet::{Fleet, FleetSettings};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3600);

/// What can be set, with its default.
const ARGUMENTS: [(&str, f64); 14] = [
    ("mailboxes", 100_000.0),
    ("folders", 15.0),
    // Processes, each with its part of the mailboxes.
    ("shards", 4.0),
    // Mailboxes that a process works on at the same time.
    ("workers", 128.0),
    // Seconds.
    ("poll_frequency", 15.0),
    ("idle_poll_limit", 900.0),
    // How long the server takes for a request, in milliseconds.
    ("latency", 100.0),
    // 1: the folder list tells which folders have changed. 0: it never does.
    ("hints", 1.0),
    // Part of the mailboxes that are busy, and emails of a busy and of another mailbox in a day.
    ("busy", 0.2),
    ("busy_emails", 100.0),
    ("other_emails", 2.0),
    // Part of the emails that come into the inbox.
    ("inbox", 0.9),
    // Virtual time before anything is measured, and after it.
    ("warm_up_hours", 1.0),
    ("hours", 6.0),
];

fn main() {
    let mut arguments: BTreeMap<String, f64> =
        ARGUMENTS.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').expect("arguments are name=number");
        let known = arguments.get_mut(name).unwrap_or_else(|| panic!("`{name}` is not known"));
        *known = value.parse().expect("a number");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(run(&arguments));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
async fn run(arguments: &BTreeMap<String, f64>) {
    let number = |name: &str| arguments[name];
    let count = |name: &str| number(name) as usize;
    let seconds = |name: &str| Duration::from_secs_f64(number(name));
    let (mailboxes, folders, shards) = (count("mailboxes"), count("folders"), count("shards"));
    let fleet = Fleet::new(FleetSettings {
        mailboxes,
        folders,
        idle: 100 * HOUR,
        hints: number("hints") > 0.0,
        latency: Duration::from_secs_f64(number("latency") / 1000.0),
    });
    let fixture = resident();
    let shared = Arc::new(Shared {
        sink: Arc::new(fleet.sink()),
        clock: Arc::new(fleet.clone()),
        observer: Arc::new(Blind),
        pace: Pace {
            poll_frequency: seconds("poll_frequency"),
            idle_poll_limit: seconds("idle_poll_limit"),
            poll_message_sleep: Some(Duration::ZERO),
            workers: count("workers"),
            ..Pace::default()
        },
    });
    let shutdown = CancellationToken::new();
    let mut running = JoinSet::new();
    let mut commands = Vec::new();
    for shard in 0..shards {
        let mailboxes = (shard..mailboxes).step_by(shards).map(|index| {
            let source = Box::new(fleet.source(index)) as Box<dyn Source>;
            let rng = SmallRng::seed_from_u64(index as u64);
            let settings = MailboxSettings::default();
            MailboxSync::new(fleet.route(index), source, Arc::clone(&shared), settings, rng)
        });
        let service = Service::new(mailboxes.collect(), count("workers"), Arc::new(Blind));
        let (sender, receiver) = mpsc::channel(1);
        commands.push(sender);
        running.spawn(service.run(receiver, shutdown.clone()));
    }
    let began = std::time::Instant::now();
    let (warm_up, measured) = (number("warm_up_hours"), number("hours"));
    let mut rng = SmallRng::seed_from_u64(1);
    let mail = Mail {
        busy: (mailboxes as f64 * number("busy")) as usize,
        busy_emails: number("busy_emails"),
        other_emails: number("other_emails"),
        inbox: number("inbox"),
    };
    mail.arrives(&fleet, mailboxes, folders, HOUR.mul_f64(warm_up), &mut rng).await;
    let first_hour = fleet.seconds();
    fleet.latencies();
    let saves = fleet.saves();
    let from = first_hour.len();
    mail.arrives(&fleet, mailboxes, folders, HOUR.mul_f64(measured), &mut rng).await;
    let memory = resident().saturating_sub(fixture);
    let all = fleet.seconds();
    let saves = (fleet.saves() - saves) as f64 / (measured * 3600.0);
    let (waiting, longest) = fleet.waiting();
    shutdown.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }

    for (name, _) in ARGUMENTS {
        print!("{name}={} ", arguments[name]);
    }
    println!("\n");
    let start = all.iter().take(from).copied().max().unwrap_or(0);
    println!("start: busiest second {start} requests (limited by workers and latency)");
    tell_requests(&all[from..], mailboxes);
    tell_latencies(fleet.latencies());
    println!(
        "not delivered at the end: {waiting}, the longest waits {:.0} s",
        longest.as_secs_f64()
    );
    println!("checkpoints saved: {saves:.1} a second");
    println!(
        "memory of the engine: {} MiB, {:.0} bytes for each mailbox",
        memory >> 20,
        memory as f64 / mailboxes as f64
    );
    println!("{:.0} s of this machine", began.elapsed().as_secs_f64());
}

/// What comes into the mailboxes; the first ones are the busy ones.
struct Mail {
    busy: usize,
    busy_emails: f64,
    other_emails: f64,
    inbox: f64,
}

impl Mail {
    async fn arrives(
        &self,
        fleet: &Fleet,
        mailboxes: usize,
        folders: usize,
        time: Duration,
        rng: &mut SmallRng,
    ) {
        let end = fleet.passed() + time;
        let busy = self.busy as f64 * self.busy_emails;
        let others = (mailboxes - self.busy) as f64 * self.other_emails;
        let rate = (busy + others) / 86_400.0;
        loop {
            let pause = -rng.random_range(f64::MIN_POSITIVE..1.0).ln() / rate;
            let left = end.saturating_sub(fleet.passed());
            if rate <= 0.0 || pause >= left.as_secs_f64() {
                tokio::time::sleep(left).await;
                return;
            }
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            let is_busy = rng.random_bool(busy / (busy + others));
            let range = if is_busy { 0..self.busy } else { self.busy..mailboxes };
            let is_inbox = folders == 1 || rng.random_bool(self.inbox);
            let folder = if is_inbox { 0 } else { rng.random_range(1..folders) };
            fleet.deliver(rng.random_range(range), folder);
        }
    }
}

fn tell_requests(seconds: &[u32], mailboxes: usize) {
    let total: u64 = seconds.iter().map(|count| u64::from(*count)).sum();
    let average = total as f64 / seconds.len() as f64;
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    let ten: u32 = seconds.windows(10).map(|ten| ten.iter().sum()).max().unwrap_or(0);
    println!(
        "requests: {average:.0} a second on average, {} in the busiest, {ten} in the busiest ten",
        sorted[sorted.len() - 1],
    );
    let hourly = average * 3600.0 / mailboxes as f64;
    println!("          {hourly:.1} an hour for each mailbox");
}

fn tell_latencies(mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    if latencies.is_empty() {
        println!("no email came");
        return;
    }
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64();
    println!(
        "{} emails delivered after: median {:.0} s, 90 % {:.0} s, 99 % {:.0} s, all {:.0} s",
        latencies.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
