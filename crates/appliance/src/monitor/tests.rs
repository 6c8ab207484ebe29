//! What a monitor tells, without sockets.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use record::{Clock, Meter, Peer, Route};
use sync::{CommitResult, Event, MailboxState, Observer, SkipReason};
use tokio_util::sync::CancellationToken;

use super::{Monitor, board::Entry};
use crate::{
    config::{self, Settings},
    environment::Environment,
    exit::{Ending, Exit},
    shard::Shard,
    terms::routes,
};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }
}

fn settings(mailboxes: usize) -> Settings {
    let mailboxes: Vec<String> = (0..mailboxes)
        .map(|n| format!(r#""{n}@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}"#))
        .collect();
    let text = format!(
        r#"{{"host": "https://mail.example.com", "auth_user": "u@example.com",
            "auth_password": "hunter2", "mailboxes": {{{}}}}}"#,
        mailboxes.join(",")
    );
    config::parse(text.as_bytes(), "ews.json", &Environment::default()).unwrap()
}

fn monitor(settings: &Settings) -> (Arc<Monitor>, Vec<Route>, CancellationToken) {
    let shutdown = CancellationToken::new();
    let monitor = Monitor::new(Shard::ONLY, Arc::new(Noon), shutdown.clone());
    let routes = routes(settings, Shard::ONLY);
    monitor.begin(settings, &routes, Vec::new());
    (monitor, routes, shutdown)
}

fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_mailboxes_make_no_more_series_than_ten() {
    let length = |mailboxes: usize| {
        let settings = settings(mailboxes);
        let (monitor, routes, _) = monitor(&settings);
        let detail = "could not reach `mail.example.com`";
        for route in &routes {
            let (state, pause) = (MailboxState::Retrying, Duration::from_secs(1));
            monitor.observe(&Event::State { route, state, detail, pause });
            monitor.observe(&Event::Quarantined { route, code: "ErrorItemCorrupt", items: 1 });
            monitor.request(Peer::Source, "GetItem", "200", Duration::from_millis(20));
        }
        let metrics = monitor.metrics();
        assert!(!metrics.contains("@example.com"), "a label names a mailbox");
        let quarantined = "tributary_items_quarantined_total{reason=\"ErrorItemCorrupt\"}";
        assert_eq!(sample(&metrics, quarantined), mailboxes as f64);
        let status: serde_json::Value = serde_json::from_slice(&monitor.status()).unwrap();
        assert_eq!(status["mailboxes"].as_array().unwrap().len(), mailboxes);
        metrics.lines().count()
    };
    assert_eq!(length(10), length(10_000));
    // What the list costs beside its texts.
    assert!(size_of::<Entry>() <= 256, "{} bytes a mailbox", size_of::<Entry>());
}

#[tokio::test]
async fn readiness_follows_the_life_of_the_service() {
    let settings = settings(2);
    let shutdown = CancellationToken::new();
    let monitor = Monitor::new(Shard::ONLY, Arc::new(Noon), shutdown.clone());
    assert_eq!(monitor.ready(), Err(super::NOT_STARTED));
    assert_eq!(monitor.live(), Ok(()));
    let routes = routes(&settings, Shard::ONLY);
    monitor.begin(&settings, &routes, Vec::new());
    assert_eq!(monitor.ready(), Ok(()));
    monitor.interrupted(&Ending::new(Exit::Temporary, "why"));
    assert_eq!(monitor.ready(), Err(super::INTERRUPTED));
    assert_eq!(monitor.live(), Ok(()), "a restart of the process would not help");
    monitor.begin(&settings, &routes, Vec::new());
    assert_eq!(monitor.ready(), Ok(()));
    shutdown.cancel();
    assert_eq!(monitor.ready(), Err(super::STOPPING));
}

#[tokio::test]
async fn the_lag_is_that_of_the_mailbox_that_is_most_behind() {
    let settings = settings(3);
    let (monitor, routes, _) = monitor(&settings);
    let lag = || sample(&monitor.metrics(), "tributary_oldest_unsynced_item_age_seconds");
    routes.iter().for_each(|route| monitor.observe(&Event::CaughtUp { route }));
    assert_eq!(lag(), 0.0);
    let behind = |route, seconds: Option<i64>| {
        let oldest = seconds.map(|seconds| Noon.now() - TimeDelta::seconds(seconds));
        monitor.observe(&Event::Behind { route, oldest });
    };
    behind(&routes[0], Some(70));
    behind(&routes[1], Some(4000));
    assert_eq!(lag(), 4000.0);
    behind(&routes[1], None);
    assert_eq!(lag(), 70.0);
}

#[tokio::test]
async fn what_happens_is_counted() {
    let settings = settings(1);
    let (monitor, routes, _) = monitor(&settings);
    let route = &routes[0];
    let pause = Duration::from_secs(90);
    let (state, detail) = (MailboxState::Throttled, "busy");
    for event in [
        Event::Fetched { route, emails: 7 },
        Event::Delivered { route, emails: 5, bytes: 500 },
        Event::Redelivered { route, emails: 2 },
        Event::Skipped { route, reason: SkipReason::Draft, items: 3 },
        Event::Committed { route, result: CommitResult::Ok },
        Event::Committed { route, result: CommitResult::Conflict },
        Event::Corrupt { route },
        Event::State { route, state, detail, pause },
        Event::State { route, state: MailboxState::Stopped, detail, pause: Duration::MAX },
    ] {
        monitor.observe(&event);
    }
    monitor.token_expires("sas", Noon.now());
    let metrics = monitor.metrics();
    for (name, value) in [
        ("tributary_items_fetched_total", 7.0),
        ("tributary_items_uploaded_total", 5.0),
        ("tributary_upload_bytes_total", 500.0),
        ("tributary_redeliveries_total", 2.0),
        ("tributary_items_skipped_total{reason=\"draft\"}", 3.0),
        ("tributary_checkpoint_commits_total{result=\"ok\"}", 1.0),
        ("tributary_checkpoint_commits_total{result=\"conflict\"}", 1.0),
        ("tributary_checkpoint_age_seconds_count", 1.0),
        ("tributary_state_corrupt_total", 1.0),
        ("tributary_throttled_seconds_total", 90.0),
        ("tributary_mailboxes{state=\"stopped\"}", 1.0),
        ("tributary_token_expiry_timestamp_seconds{what=\"sas\"}", 1_790_000_000.0),
    ] {
        assert_eq!(sample(&metrics, name), value, "{name}");
    }
}
