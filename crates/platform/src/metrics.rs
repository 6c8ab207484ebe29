//! What the platform counts, as text for Prometheus.
//!
//! Spec: "Text-based format", Exposition formats, Prometheus documentation.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::routes::Op;

/// Count and seconds of requests, by operation and status.
type Requests = BTreeMap<(Option<Op>, u16), (u64, f64)>;

#[derive(Default)]
pub(crate) struct Metrics {
    emails: AtomicU64,
    comments: AtomicU64,
    /// Guards the counts.
    requests: Mutex<Requests>,
}

impl Metrics {
    pub(crate) fn accepted(&self, emails: u64) {
        self.emails.fetch_add(emails, Ordering::Relaxed);
    }

    pub(crate) fn commented(&self, comments: u64) {
        self.comments.fetch_add(comments, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, op: Option<Op>, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = requests.entry((op, status)).or_default();
        entry.0 += 1;
        entry.1 += took.as_secs_f64();
    }

    /// `queue`: emails that wait to become comments, and emails that were set aside.
    pub(crate) fn text(&self, ready: bool, queue: Option<(u64, u64)>) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            let mut all = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (labels, value) in samples {
                all.push_str(&format!("{name}{labels} {value}\n"));
            }
            let written = text.write_str(&all);
            debug_assert!(written.is_ok(), "a string takes everything");
        };
        let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}").to_owned();
        let help = "Always 1; the label names the version.";
        family("tributary_build_info", "gauge", help, &[(version, 1.0)]);
        let ready = f64::from(u8::from(ready));
        family("tributary_ready", "gauge", "1 if `/readyz` says so.", &[(String::new(), ready)]);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let emails = self.emails.load(Ordering::Relaxed) as f64;
        let help = "Emails that were taken and are durable.";
        family("tributary_emails_accepted_total", "counter", help, &[(String::new(), emails)]);
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let comments = self.comments.load(Ordering::Relaxed) as f64;
        let help = "Comments that were written or changed.";
        family("tributary_comments_written_total", "counter", help, &[(String::new(), comments)]);
        if let Some((waiting, aside)) = queue {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
            let (waiting, aside) = (waiting as f64, aside as f64);
            let help = "Emails that wait to become comments.";
            let name = "tributary_conversions_waiting";
            family(name, "gauge", help, &[(String::new(), waiting)]);
            let help = "Emails that could not be converted and were set aside.";
            let name = "tributary_conversions_quarantined";
            family(name, "gauge", help, &[(String::new(), aside)]);
        }
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let labels = |op: Option<Op>, status: u16| match op {
            Some(op) => format!("{{op=\"{op:?}\",code=\"{status}\"}}"),
            None => format!("{{op=\"Other\",code=\"{status}\"}}"),
        };
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let counts: Vec<_> = requests
            .iter()
            .map(|((op, status), (count, _))| (labels(*op, *status), *count as f64))
            .collect();
        let help = "Requests that were answered, by operation and status.";
        family("tributary_http_requests_total", "counter", help, &counts);
        let seconds: Vec<_> = requests
            .iter()
            .map(|((op, status), (_, seconds))| (labels(*op, *status), *seconds))
            .collect();
        let help = "Time from the head of requests to that of their answers.";
        family("tributary_http_request_seconds_total", "counter", help, &seconds);
        text
    }
}
