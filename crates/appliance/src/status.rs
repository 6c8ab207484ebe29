//! `tributary status`: how far each mailbox and folder is, from the state on disk.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use chrono::{DateTime, TimeDelta, Utc};
use record::{Clock, FolderState, Route, Sink};
use serde::Serialize;
use sinks::local_files::LocalFiles;

use crate::{
    exit::Ending,
    status_file::{self, MailboxStatus, Statuses},
};

/// One mailbox, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct MailboxReport {
    pub bucket: String,
    pub mailbox: String,
    pub state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<DateTime<Utc>>,
    pub delivered: u64,
    pub skipped: u64,
    pub quarantined: usize,
    /// Seconds since the last round that left nothing to read; `None` if there was none.
    pub lag_seconds: Option<i64>,
    pub folders: Vec<FolderReport>,
}

/// One folder of a mailbox.
#[derive(Debug, Serialize)]
pub struct FolderReport {
    pub path: Vec<String>,
    pub delivered: u64,
    pub skipped: u64,
    pub quarantined: u64,
    /// Items that the server counted when it was last asked.
    pub at_server: Option<u64>,
    pub newest: Option<DateTime<Utc>>,
    pub up_to_date: bool,
}

/// Reads the state under `prefix`.
///
/// # Errors
///
/// State that cannot be read.
pub async fn report(prefix: &Path, clock: &dyn Clock) -> Result<Vec<MailboxReport>, Ending> {
    let files = LocalFiles::open_read_only(prefix).map_err(|err| Ending::from(&err))?;
    let statuses = status_file::read(prefix).ok().flatten().unwrap_or_default();
    let mut reports = Vec::new();
    let mut routes = files.routes().map_err(|err| Ending::from(&err))?;
    // A mailbox that never worked has no state of its own yet.
    routes.extend(statuses.mailboxes.keys().filter_map(|key| status_file::route(key)));
    routes.sort();
    routes.dedup();
    let running = is_running(prefix);
    for route in routes {
        let mut report = mailbox(&files, &route, &statuses, clock.now()).await;
        if !running && report.state != "error" && report.state != "stopped" {
            "not running".clone_into(&mut report.state);
        }
        reports.push(report);
    }
    Ok(reports)
}

/// Whether a process holds the lock of the folder.
fn is_running(prefix: &Path) -> bool {
    // Shared, so that two of these commands do not take each other for the appliance.
    File::open(prefix.join("state").join(".lock"))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

async fn mailbox(
    files: &LocalFiles,
    route: &Route,
    statuses: &Statuses,
    now: DateTime<Utc>,
) -> MailboxReport {
    let status = statuses.mailboxes.get(&status_file::key(route)).cloned().unwrap_or_else(|| {
        MailboxStatus { state: "not served".to_owned(), ..MailboxStatus::default() }
    });
    // State that cannot be read is what this command is there to show.
    let mut broken = None;
    let checkpoint = files.load_checkpoint(route).await.unwrap_or_else(|err| {
        broken = Some(Ending::from(&err).message);
        record::Checkpoint::default()
    });
    let quarantined = files.quarantined(route).await.map_or_else(
        |err| {
            broken = Some(Ending::from(&err).message);
            0
        },
        |items| items.len(),
    );
    let sum = |part: fn(&FolderState) -> u64| checkpoint.folders.values().map(part).sum();
    let lag = |at: DateTime<Utc>| now.signed_duration_since(at).max(TimeDelta::zero());
    MailboxReport {
        bucket: route.bucket.to_string(),
        mailbox: route.mailbox.to_string(),
        state: if broken.is_some() { "error".to_owned() } else { status.state },
        last_error: broken.unwrap_or(status.detail),
        caught_up_at: status.caught_up_at,
        delivered: sum(|folder| folder.delivered),
        skipped: sum(|folder| folder.skipped),
        quarantined,
        lag_seconds: status.caught_up_at.map(|at| lag(at).num_seconds()),
        folders: checkpoint.folders.into_values().map(folder).collect(),
    }
}

fn folder(state: FolderState) -> FolderReport {
    FolderReport {
        path: state.path,
        delivered: state.delivered,
        skipped: state.skipped,
        quarantined: state.quarantined,
        at_server: state.total,
        newest: state.newest,
        up_to_date: state.caught_up,
    }
}

/// The report for people.
pub fn table(reports: &[MailboxReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let lag =
            report.lag_seconds.map_or_else(|| "never".to_owned(), |lag| format!("{lag} s ago"));
        text.push_str(&format!(
            "{} -> {}: {}\n  delivered {}, passed over {}, in quarantine {}; up to date {lag}\n",
            report.mailbox,
            report.bucket,
            report.state,
            report.delivered,
            report.skipped,
            report.quarantined,
        ));
        if !report.last_error.is_empty() {
            let error = report.last_error.replace('\n', "\n  ");
            text.push_str(&format!("  last error: {error}\n"));
        }
        for folder in &report.folders {
            let at_server = folder.at_server.map_or_else(|| "?".to_owned(), |n| n.to_string());
            text.push_str(&format!(
                "  {:>8} of {at_server:>8} {:<11} {}\n",
                folder.delivered,
                if folder.up_to_date { "" } else { "(reading)" },
                shown(&folder.path)
            ));
        }
    }
    if reports.is_empty() {
        text.push_str("No mailbox has state here yet.\n");
    }
    text
}

/// A folder path on one line, without anything that could steer a terminal.
pub fn shown(path: &[String]) -> String {
    let joined = path.join(" / ");
    joined.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
