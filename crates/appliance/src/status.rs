//! `tributary status`: how far each mailbox and folder is, from the state on disk or as a running
//! appliance tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use chrono::{DateTime, TimeDelta, Utc};
use record::{Clock, FolderState, Route, Sink};
use serde::{Deserialize, Serialize};
use sinks::{local_files::LocalFiles, state_admin::set_aside};

use crate::{
    exit::Ending,
    status_file::{self, MailboxStatus, Statuses},
    status_url,
};

/// One mailbox, as `--json` prints it.
#[derive(Debug, Serialize, Deserialize)]
pub struct MailboxReport {
    pub bucket: String,
    pub mailbox: String,
    pub state: String,
    /// A process has the mailbox at the moment.
    #[serde(default)]
    pub served: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<DateTime<Utc>>,
    pub delivered: u64,
    pub skipped: u64,
    pub quarantined: usize,
    /// Seconds since the last round that left nothing to read; `None` if there was none.
    pub lag_seconds: Option<i64>,
    /// None if a running appliance has told the rest.
    #[serde(default)]
    pub folders: Vec<FolderReport>,
}

/// One folder of a mailbox.
#[derive(Debug, Serialize, Deserialize)]
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
    let statuses = merge(&files, status_file::read(prefix));
    let mut reports = Vec::new();
    let mut routes = files.routes().map_err(|err| Ending::from(&err))?;
    // A mailbox that never worked has no state of its own yet.
    routes.extend(statuses.keys().filter_map(|key| status_file::route(key)));
    routes.sort();
    routes.dedup();
    let running = files.is_running();
    let served = files.served(&routes).map_err(|err| Ending::from(&err))?;
    let served: BTreeSet<Route> = served.into_iter().collect();
    for route in routes {
        let mut report = mailbox(&files, &route, &statuses, clock.now()).await;
        report.served = served.contains(&route);
        // A shard that runs has perhaps not come to this mailbox yet.
        let told = statuses.get(&status_file::key(&route)).is_some_and(|(_, runs)| *runs);
        if !report.served && !told && !matches!(report.state.as_str(), "error" | "stopped") {
            let state = if running { "not served" } else { "not running" };
            state.clone_into(&mut report.state);
        }
        reports.push(report);
    }
    Ok(reports)
}

/// Asks each running appliance; its numbers count since it began.
///
/// # Errors
///
/// One of them does not answer.
pub async fn of_appliances(addresses: &[String]) -> Result<Vec<MailboxReport>, Ending> {
    let mut reports = Vec::new();
    for address in addresses {
        reports.extend(status_url::ask(address).await?);
    }
    reports.sort_by(|a, b| (&a.bucket, &a.mailbox).cmp(&(&b.bucket, &b.mailbox)));
    Ok(reports)
}

/// The status of each mailbox, and whether the shard that tells it runs. Of two shards, the one
/// that runs counts, and of two such the one that wrote later.
fn merge(files: &LocalFiles, statuses: Vec<Statuses>) -> BTreeMap<String, (MailboxStatus, bool)> {
    let runs = |statuses: &Statuses| files.shard_runs(statuses.shard, statuses.total_shards);
    let mut told: Vec<(bool, Statuses)> =
        statuses.into_iter().map(|statuses| (runs(&statuses), statuses)).collect();
    told.sort_by_key(|(runs, statuses)| (*runs, statuses.written_at));
    let all = told.into_iter().flat_map(|(runs, statuses)| {
        statuses.mailboxes.into_iter().map(move |(key, status)| (key, (status, runs)))
    });
    all.collect()
}

/// Sentences about mailboxes and shards of which nobody takes care, while others are served.
pub fn gaps(prefix: &Path, reports: &[MailboxReport]) -> Vec<String> {
    if !reports.iter().any(|report| report.served) {
        return Vec::new();
    }
    let mut gaps = Vec::new();
    let statuses = status_file::read(prefix);
    let total = statuses.last().map_or(1, |last| last.total_shards);
    let told: BTreeSet<u32> = statuses
        .iter()
        .filter(|statuses| statuses.total_shards == total)
        .map(|statuses| statuses.shard)
        .collect();
    let silent: Vec<String> =
        (0..total).filter(|shard| !told.contains(shard)).map(|shard| shard.to_string()).collect();
    if !silent.is_empty() {
        gaps.push(format!(
            "Of {total} shards, these have never reported: {}. See that each of them runs.",
            silent.join(", ")
        ));
    }
    let alone: Vec<&str> = reports
        .iter()
        .filter(|report| report.state == "not served")
        .map(|report| report.mailbox.as_str())
        .collect();
    if let Some(first) = alone.first() {
        gaps.push(format!(
            "{} mailboxes have state here, but no process serves them, such as `{first}`. See that \
             each shard runs with the same `--total-shards`; a mailbox that was taken out of the \
             configuration stays in this list.",
            alone.len()
        ));
    }
    gaps
}

async fn mailbox(
    files: &LocalFiles,
    route: &Route,
    statuses: &BTreeMap<String, (MailboxStatus, bool)>,
    now: DateTime<Utc>,
) -> MailboxReport {
    let status = statuses.get(&status_file::key(route)).map_or_else(
        || MailboxStatus { state: "not served".into(), ..MailboxStatus::default() },
        |(status, _)| status.clone(),
    );
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
        |items| set_aside(items).len(),
    );
    let sum = |part: fn(&FolderState) -> u64| checkpoint.folders.values().map(part).sum();
    let lag = |at: DateTime<Utc>| now.signed_duration_since(at).max(TimeDelta::zero());
    MailboxReport {
        bucket: route.bucket.to_string(),
        mailbox: route.mailbox.to_string(),
        state: if broken.is_some() { "error".to_owned() } else { status.state.into_owned() },
        served: false,
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

#[cfg(test)]
mod tests {
    // Two crates that do not know each other name the same thing.
    #[test]
    fn the_notes_of_the_engine_are_those_that_nobody_counts() {
        assert_eq!(sinks::state_admin::NOTE, sync::IN_FLIGHT);
    }
}
