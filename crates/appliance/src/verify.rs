//! `tributary verify`: source = ledger = files, or a list of every difference.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use chrono::{DateTime, Utc};
use record::{
    Advice, Checkpoint, Entry, Folder, Position, Route, Sink, Source, SourceError, Survey, Uid,
    clock::{Clock, SystemClock},
};
use serde::Serialize;
use sinks::{
    local_files::{Dropped, LocalFiles},
    state_admin::set_aside,
};

use crate::{
    config::Settings,
    exchange,
    exit::Ending,
    shard::Shard,
    status::shown,
    terms::{routes, wanted},
};

/// Entries asked for at once.
const PAGE: usize = 512;

/// Attempts at a request that failed in passing.
const ATTEMPTS: u32 = 5;

/// Longest pause before the second look, however rarely the mailbox is polled.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Time for an appliance to store what a round has found.
const SETTLE: Duration = Duration::from_secs(2);

const NOT_DELIVERED: &str = "is at the source, but was not delivered";

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
pub struct Difference {
    pub mailbox: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    pub problem: String,
    /// Of an email that was not delivered: when it came into the mailbox.
    #[serde(skip)]
    came: Option<DateTime<Utc>>,
}

impl Difference {
    fn what(&self) -> (Option<Uid>, String) {
        (self.uid, self.problem.clone())
    }
}

/// What was compared in one mailbox.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    pub mailbox: String,
    /// Emails at the source that the settings ask for.
    pub at_source: usize,
    pub in_ledger: usize,
    pub in_quarantine: usize,
    /// Files whose content was read and found as it was written.
    pub files: usize,
    /// Not delivered, but come since the appliance may have looked last: an idle mailbox is looked
    /// at every `idle_poll_limit` only.
    pub on_their_way: usize,
    pub differences: Vec<Difference>,
}

/// Compares every mailbox of this shard with what is stored under `prefix`.
///
/// An appliance may be at work meanwhile: what differs is looked at again after a while, and only
/// what differs still is reported.
///
/// # Errors
///
/// The comparison itself could not be made: state that cannot be read, a refused sign-in.
pub async fn verify(
    settings: &Settings,
    prefix: &Path,
    shard: Shard,
) -> Result<Vec<Verdict>, Ending> {
    let files = LocalFiles::open_read_only(prefix).map_err(|err| Ending::from(&err))?;
    let exchange = exchange::open_to_look(settings, shard).await?.exchange;
    let mut verdicts = Vec::new();
    for route in routes(settings, shard) {
        let Some(mailbox) = settings.mailboxes.get(&route.mailbox) else { continue };
        let mut source = exchange.mailbox(&route.mailbox);
        let wanted = wanted(mailbox, settings);
        let mut verdict = look(&files, &route, &mut *source, &wanted).await?;
        if !verdict.differences.is_empty() {
            tokio::time::sleep(settings.poll_frequency.min(LONGEST_PAUSE) + SETTLE).await;
            let before: BTreeSet<_> = verdict.differences.iter().map(Difference::what).collect();
            let mut again = look(&files, &route, &mut *source, &wanted).await?;
            again.differences.retain(|difference| before.contains(&difference.what()));
            let limit = settings.idle_poll_limit_over(source.protocol());
            if limit > LONGEST_PAUSE && is_served(&files, &route)? {
                let since = SystemClock.now() - limit - SETTLE;
                let found = again.differences.len();
                again.differences.retain(|difference| difference.came.is_none_or(|at| at < since));
                again.on_their_way = found - again.differences.len();
            }
            verdict = again;
        }
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

fn is_served(files: &LocalFiles, route: &Route) -> Result<bool, Ending> {
    let served = files.served(std::slice::from_ref(route)).map_err(|err| Ending::from(&err))?;
    Ok(!served.is_empty())
}

/// Compares one mailbox once.
async fn look(
    files: &LocalFiles,
    route: &Route,
    source: &mut dyn Source,
    wanted: &sync::MailboxSettings,
) -> Result<Verdict, Ending> {
    match inventory(source, wanted).await {
        Ok(inventory) => compare(files, route, inventory).await,
        Err(err) if err.advice() == Advice::StopService => Err(Ending::from(&err)),
        // The other mailboxes can still be compared.
        Err(err) => {
            let problem = format!("could not be read at the source: {}", record::Chain(&err));
            let mailbox = route.mailbox.to_string();
            let difference = Difference {
                mailbox: mailbox.clone(),
                uid: None,
                message_id: None,
                folder: None,
                problem,
                came: None,
            };
            Ok(Verdict { mailbox, differences: vec![difference], ..Verdict::default() })
        }
    }
}

/// Everything at the source that should have been delivered.
#[derive(Default)]
struct Inventory {
    /// Entry and folder path, by uid.
    items: BTreeMap<Uid, (Entry, Vec<String>)>,
    /// Folders that the server shows but does not let us list.
    closed: Vec<Vec<String>>,
}

async fn inventory(
    source: &mut dyn Source,
    wanted: &sync::MailboxSettings,
) -> Result<Inventory, SourceError> {
    let mut inventory = Inventory::default();
    let survey = survey(source).await?;
    for folder in survey.folders.iter().filter(|folder| wanted.folders.accepts(&folder.path)) {
        let mut from = None;
        loop {
            let page = match list(source, folder, from.as_ref()).await {
                Ok(page) => page,
                // Deleted since the survey, or no right to read it: the second look tells.
                Err(SourceError::FolderGone { .. }) => {
                    inventory.closed.push(folder.path.clone());
                    break;
                }
                Err(err) => return Err(err),
            };
            for entry in page.entries {
                let asked_for = (!entry.is_draft || wanted.include_drafts)
                    && !matches!((entry.received, wanted.start_timestamp),
                        (Some(received), Some(start)) if received < start);
                if asked_for {
                    inventory.items.insert(entry.uid, (entry, folder.path.clone()));
                }
            }
            if !page.more {
                break;
            }
            from = Some(page.next);
        }
    }
    Ok(inventory)
}

async fn survey(source: &mut dyn Source) -> Result<Survey, SourceError> {
    let mut attempt = 1;
    loop {
        match source.survey(&Checkpoint::default(), true).await {
            Err(err) if attempt < ATTEMPTS && is_passing(&err) => pause(&mut attempt, &err).await,
            surveyed => return surveyed,
        }
    }
}

async fn list(
    source: &mut dyn Source,
    folder: &Folder,
    from: Option<&Position>,
) -> Result<record::Page, SourceError> {
    let mut attempt = 1;
    loop {
        match source.list(folder, from, PAGE).await {
            Err(err) if attempt < ATTEMPTS && is_passing(&err) => pause(&mut attempt, &err).await,
            listed => return listed,
        }
    }
}

/// Waits as long as the server asks, or a little longer after each attempt.
async fn pause(attempt: &mut u32, err: &SourceError) {
    *attempt += 1;
    let pause = match err {
        SourceError::Throttled { retry_after: Some(pause), .. } => *pause,
        _ => Duration::from_secs(1 << *attempt),
    };
    tokio::time::sleep(pause).await;
}

fn is_passing(err: &SourceError) -> bool {
    matches!(
        err,
        SourceError::Throttled { .. }
            | SourceError::Unreachable { .. }
            | SourceError::Unavailable { .. }
    )
}

async fn compare(
    files: &LocalFiles,
    route: &Route,
    inventory: Inventory,
) -> Result<Verdict, Ending> {
    let Inventory { items: source, closed } = inventory;
    let fail = |err: &record::SinkError| Ending::from(err);
    let mut verdict = Verdict { mailbox: route.mailbox.to_string(), ..Verdict::default() };
    let mut differences = Vec::new();
    let mut differ = |uid: Option<Uid>, at: Option<&(Entry, Vec<String>)>, problem: String| {
        differences.push(Difference {
            mailbox: route.mailbox.to_string(),
            uid,
            message_id: at.and_then(|(entry, _)| entry.message_id.clone()),
            folder: at.map(|(_, path)| shown(path)),
            // No other difference is a matter of time.
            came: at
                .filter(|_| problem == NOT_DELIVERED)
                .and_then(|(entry, _)| entry.created.max(entry.received)),
            problem,
        });
    };
    for path in closed {
        let problem = format!("the folder {} cannot be listed", shown(&path));
        differ(None, None, problem);
    }
    let set_aside = set_aside(files.quarantined(route).await.map_err(|err| fail(&err))?);
    let quarantine: BTreeMap<Uid, String> =
        set_aside.into_iter().map(|item| (item.uid, item.code)).collect();
    let dropped = files.dropped(route).map_err(|err| fail(&err))?;
    let dropped: BTreeMap<Uid, Dropped> =
        dropped.into_iter().map(|dropped| (dropped.item.uid, dropped)).collect();
    let mut ledger: HashMap<Uid, (String, u64)> = HashMap::new();
    for line in files.ledger(route).map_err(|err| fail(&err))? {
        let line = line.map_err(|err| fail(&err))?;
        ledger.insert(line.uid, (line.sha256, line.size));
    }
    for (uid, at) in &source {
        if ledger.contains_key(uid) {
            continue;
        }
        let problem = match (quarantine.get(uid), dropped.get(uid)) {
            (Some(code), _) => format!("is set aside in quarantine ({code})"),
            (None, Some(Dropped { dropped_at, item })) => format!(
                "was dropped from the quarantine ({}) on {}",
                item.code,
                dropped_at.format("%Y-%m-%d %H:%M:%SZ")
            ),
            (None, None) => NOT_DELIVERED.to_owned(),
        };
        differ(Some(*uid), Some(at), problem);
    }
    let mut on_disk = BTreeSet::new();
    for stored in files.stored(route).map_err(|err| fail(&err))? {
        let uid = stored.uid;
        on_disk.insert(uid);
        match (stored.check(), ledger.get(&uid)) {
            (Err(flaw), _) => differ(Some(uid), source.get(&uid), flaw.to_string()),
            (Ok(_), None) => {
                differ(Some(uid), source.get(&uid), "is on the disk, but not in the ledger".into());
            }
            (Ok(sidecar), Some((sha256, size))) => {
                if sidecar.sha256 == *sha256 && sidecar.size == *size {
                    verdict.files += 1;
                } else {
                    let problem = "the files are not those that the ledger names".to_owned();
                    differ(Some(uid), source.get(&uid), problem);
                }
            }
        }
    }
    for uid in ledger.keys().filter(|uid| !on_disk.contains(uid)) {
        differ(Some(*uid), source.get(uid), "was delivered, but its files are gone".to_owned());
    }
    verdict.at_source = source.len();
    verdict.in_ledger = ledger.len();
    verdict.in_quarantine = quarantine.len();
    verdict.differences = differences;
    Ok(verdict)
}

/// The verdicts for people.
pub fn table(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let Verdict { mailbox, at_source, in_ledger, in_quarantine, files, .. } = verdict;
        let differences = &verdict.differences;
        let on_their_way = match verdict.on_their_way {
            0 => String::new(),
            count => format!(", {count} just come and not looked at yet"),
        };
        text.push_str(&format!(
            "{mailbox}: {at_source} at the source, {in_ledger} in the ledger, {files} intact on \
             disk, {in_quarantine} in quarantine, {} differences{on_their_way}\n",
            differences.len()
        ));
        for difference in differences {
            let uid = difference.uid.map_or_else(|| "?".to_owned(), |uid| uid.to_string());
            let folder = difference.folder.as_deref().unwrap_or("-");
            let id = shown(&[difference.message_id.clone().unwrap_or_default()]);
            text.push_str(&format!("  {uid}  {folder}  {id}: {}\n", difference.problem));
        }
    }
    text
}
