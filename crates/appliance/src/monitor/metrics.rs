//! The metrics as text. `docs/reference/metrics.md` lists them for operators.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use record::Protocol;
use sync::SkipReason;

use super::{
    Life, Monitor,
    board::Entry,
    lock, process,
    series::Requests,
    text::{Exposition, Histogram, Kind, whole},
};

/// Bounds for the age of a checkpoint, in seconds.
const AGES: &[f64] = &[60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 604_800.0];

/// Every value of the label `state`; a mailbox has exactly one.
const STATES: [&str; 7] =
    ["starting", "ok", "throttled", "retrying", "auth_error", "error", "stopped"];

impl Monitor {
    /// Everything, as Prometheus reads it. No label holds the name of a mailbox: the status has
    /// those.
    pub(crate) fn metrics(&self) -> String {
        let mut text = Exposition::default();
        self.describe_service(&mut text);
        if let Some(life) = self.life() {
            self.describe_mailboxes(&mut text, &life);
        }
        self.describe_items(&mut text);
        self.describe_peers(&mut text);
        self.describe_disks(&mut text);
        process::describe(&mut text);
        text.finish()
    }

    fn describe_service(&self, text: &mut Exposition) {
        let help = "Always 1; the label names the version.";
        text.family("tributary_build_info", Kind::Gauge, help)
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let mut gauge = |name, help, value| text.family(name, Kind::Gauge, help).sample(&[], value);
        gauge("tributary_ready", "1 if `/readyz` says so.", truth(self.ready().is_ok()));
        let taken = !self.reload_failed.load(Ordering::Relaxed);
        gauge(
            "tributary_config_last_reload_successful",
            "0 while a changed configuration is refused and the one before stays in force.",
            truth(taken),
        );
        gauge(
            "tributary_shard_ordinal",
            "Number of this shard, from 0.",
            whole(self.shard.ordinal().into()),
        );
        gauge(
            "tributary_total_shards",
            "Shards that divide the mailboxes, as this one was told.",
            whole(self.shard.total().into()),
        );
        let restarts = self.restarts.load(Ordering::Relaxed);
        let help = "Restarts of the service inside the process, after failures.";
        text.family("tributary_service_restarts_total", Kind::Counter, help)
            .sample(&[], whole(restarts));
        let help = "When a token that is not renewed by itself ends, in seconds since 1970.";
        let name = "tributary_token_expiry_timestamp_seconds";
        let mut family = text.family(name, Kind::Gauge, help);
        for (what, at) in lock(&self.tokens).iter() {
            family.sample(&[("what", what)], seconds(*at));
        }
        let help = "When the certificate of a server ends, in seconds since 1970.";
        let name = "tributary_certificate_expiry_timestamp_seconds";
        let mut family = text.family(name, Kind::Gauge, help);
        for (server, at) in lock(&self.certificates).iter() {
            family.sample(&[("server", server)], seconds(*at));
        }
    }

    fn describe_mailboxes(&self, text: &mut Exposition, life: &Life) {
        let now = self.clock.now();
        let refused = self.refused.load(Ordering::Relaxed);
        let mut summary = Summary::default();
        let began = life.board.began();
        life.board.for_each(|mailbox| summary.add(mailbox, began, now, refused));
        if let Some(protocol) = *lock(&self.protocol) {
            let api = match protocol {
                Protocol::Ews => "ews",
                Protocol::Graph => "graph",
            };
            let help = "Always 1; the label is the interface that mail is read over.";
            text.family("tributary_source_info", Kind::Gauge, help).sample(&[("api", api)], 1.0);
        }
        let help = "Always 1; the label is a digest of every setting in force, without secrets.";
        text.family("tributary_config_info", Kind::Gauge, help)
            .sample(&[("hash", &life.config_hash)], 1.0);
        let mut gauge = |name, help, value| text.family(name, Kind::Gauge, help).sample(&[], value);
        gauge(
            "tributary_tls_verify_disabled",
            "1 if the certificate of the source is not checked.",
            truth(!life.tls_verify),
        );
        gauge(
            "tributary_mailboxes_configured",
            "Mailboxes in the configuration, over all shards.",
            whole(life.configured as u64),
        );
        gauge(
            "tributary_mailboxes_owned",
            "Mailboxes that this shard serves.",
            whole(life.board.len() as u64),
        );
        gauge(
            "tributary_oldest_unsynced_item_age_seconds",
            "Age of the oldest email that is known to wait; without one, the longest time since a \
             mailbox had been read to its end.",
            summary.longest_lag,
        );
        if let Some(at) = summary.last_poll {
            gauge(
                "tributary_last_successful_poll_timestamp_seconds",
                "When a mailbox was last asked for what is new and answered, in seconds since 1970.",
                seconds(at),
            );
        }
        let help = "Mailboxes of this shard by their state.";
        let mut family = text.family("tributary_mailboxes", Kind::Gauge, help);
        for (state, count) in STATES.iter().zip(summary.states) {
            family.sample(&[("state", state)], whole(count));
        }
        let help = "Time since the last checkpoint of each mailbox that has saved one since the \
                    service began; a mailbox without new mail saves none.";
        text.family("tributary_checkpoint_age_seconds", Kind::Histogram, help)
            .histogram(&[], &summary.ages);
    }

    fn describe_items(&self, text: &mut Exposition) {
        let counts = self.counts();
        let mut counter =
            |name, help, value| text.family(name, Kind::Counter, help).sample(&[], whole(value));
        counter(
            "tributary_items_fetched_total",
            "Emails that the source has handed out, some perhaps more than once.",
            counts.fetched,
        );
        counter(
            "tributary_redeliveries_total",
            "Emails sent to the destination again, since nobody knows what became of them.",
            counts.redelivered,
        );
        counter(
            "tributary_items_uploaded_total",
            "Emails that the destination has taken.",
            counts.uploaded,
        );
        counter(
            "tributary_upload_bytes_total",
            "Size of the emails that the destination has taken.",
            counts.upload_bytes,
        );
        counter(
            "tributary_state_corrupt_total",
            "Stored states that could not be read.",
            counts.state_corrupt,
        );
        let help = "Pauses that the source has asked for, summed over the mailboxes.";
        text.family("tributary_throttled_seconds_total", Kind::Counter, help)
            .sample(&[], counts.throttled.as_secs_f64());

        let help = "Items that were not copied because they need not be.";
        let mut family = text.family("tributary_items_skipped_total", Kind::Counter, help);
        for (reason, name) in [
            (SkipReason::Held, "held"),
            (SkipReason::BeforeStart, "before_start"),
            (SkipReason::Draft, "draft"),
            (SkipReason::Gone, "gone"),
        ] {
            let items = counts.skipped.get(&reason).copied().unwrap_or_default();
            family.sample(&[("reason", name)], whole(items));
        }
        let help = "Items set aside because they cannot be fetched or stored.";
        let mut family = text.family("tributary_items_quarantined_total", Kind::Counter, help);
        // There from the start, so that an increase is seen of what was never there before.
        family.sample(&[("reason", "none")], 0.0);
        for (reason, items) in counts.quarantined.iter() {
            family.sample(&[("reason", reason)], whole(items));
        }
        let help = "Attempts to save how far a mailbox is; a conflict means that two processes \
                    write the same mailbox.";
        let mut family = text.family("tributary_checkpoint_commits_total", Kind::Counter, help);
        for (result, count) in [
            ("ok", counts.commits),
            ("conflict", counts.conflicts),
            ("error", counts.failed_commits),
        ] {
            family.sample(&[("result", result)], whole(count));
        }
        drop(counts);
        let uploads = whole(self.uploads_in_flight.load(Ordering::Relaxed));
        let help = "Portions of emails on their way to the destination.";
        text.family("tributary_uploads_in_flight", Kind::Gauge, help).sample(&[], uploads);
    }

    fn describe_peers(&self, text: &mut Exposition) {
        let peers = lock(&self.peers);
        requests(
            text,
            &peers.source,
            ("tributary_source_requests_total", "Requests to the source."),
            ("tributary_source_request_duration_seconds", "Duration of requests to the source."),
        );
        requests(
            text,
            &peers.sink,
            ("tributary_sink_requests_total", "Requests to the destination."),
            ("tributary_sink_request_duration_seconds", "Duration of requests to the destination."),
        );
    }

    fn describe_disks(&self, text: &mut Exposition) {
        let rooms = lock(&self.rooms).clone();
        let help = "Free bytes on the disk of a folder that the appliance writes to.";
        let mut family = text.family("tributary_disk_free_bytes", Kind::Gauge, help);
        for (place, room) in &rooms {
            family.sample(&[("place", place)], whole(room.free));
        }
        let help = "Free part of the disk of a folder that the appliance writes to, from 0 to 1.";
        let mut family = text.family("tributary_disk_free_ratio", Kind::Gauge, help);
        for (place, room) in &rooms {
            family.sample(&[("place", place)], whole(room.free) / whole(room.total));
        }
    }
}

/// The mailboxes in numbers.
struct Summary {
    states: [u64; STATES.len()],
    longest_lag: f64,
    last_poll: Option<DateTime<Utc>>,
    ages: Histogram,
}

impl Default for Summary {
    fn default() -> Self {
        let states = [0; STATES.len()];
        Self { states, longest_lag: 0.0, last_poll: None, ages: Histogram::new(AGES) }
    }
}

impl Summary {
    fn add(&mut self, mailbox: &Entry, began: DateTime<Utc>, now: DateTime<Utc>, refused: bool) {
        let state = if refused { "auth_error" } else { mailbox.status.state.as_ref() };
        for (known, count) in STATES.iter().zip(&mut self.states) {
            *count += u64::from(*known == state);
        }
        let age = |at: DateTime<Utc>| (now - at).as_seconds_f64().max(0.0);
        self.longest_lag = age(mailbox.behind_since(began)).max(self.longest_lag);
        self.last_poll = self.last_poll.max(mailbox.polled_at);
        if let Some(at) = mailbox.committed_at {
            self.ages.observe(age(at));
        }
    }
}

/// A counter by operation and code, and a histogram by operation: each as name and help.
fn requests(
    text: &mut Exposition,
    requests: &Requests,
    counter: (&'static str, &'static str),
    histogram: (&'static str, &'static str),
) {
    let mut family = text.family(counter.0, Kind::Counter, counter.1);
    for (operation, code, count) in requests.counts() {
        family.sample(&[("op", operation), ("code", code)], whole(count));
    }
    let mut family = text.family(histogram.0, Kind::Histogram, histogram.1);
    for (operation, durations) in requests.durations() {
        family.histogram(&[("op", operation)], durations);
    }
}

fn truth(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}
