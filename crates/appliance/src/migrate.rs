//! `tributary migrate-source`: moves the state of mailboxes from EWS to Graph or back, and tells
//! before what that does.
//!
//! The appliance does the same by itself when it starts with another interface. This is for those
//! who want to see it first, and to have it done at a time of their choice.

use chrono::{DateTime, SecondsFormat, Utc};
use record::{Checkpoint, ItemId, Protocol, Quarantined, Route, Sink, Source};
use serde::Serialize;
use sinks::state_admin::set_aside;
use sync::migrate::{self, Skip};

use crate::{
    config::{MailboxSettings, Settings},
    exchange,
    exit::{Ending, Exit},
    shard::Shard,
    status::shown,
    terms::routes,
};

/// Most folders of a mailbox that the text shows one by one.
const SHOWN: usize = 200;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Tells what would happen.
    DryRun,
    Convert,
}

/// What became of each mailbox of this shard.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which interface is moved to, and why.
    pub interface: String,
    pub dry_run: bool,
    pub mailboxes: Vec<Moved>,
    #[serde(skip)]
    pub exit: Option<Exit>,
}

#[derive(Debug, Serialize)]
pub struct Moved {
    pub mailbox: String,
    pub bucket: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is stored: the mailbox begins over the new interface.
    New,
    /// Its state is in the terms of this interface already.
    Already,
    Planned(Plan),
    Converted(Plan),
    Failed {
        error: String,
    },
}

/// What moving one mailbox does.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub from: Protocol,
    pub to: Protocol,
    pub delivered: Delivered,
    /// Positions in the old terms, which are dropped.
    pub positions_dropped: usize,
    /// Items that are listed once more, as the server counts them.
    pub listed: u64,
    pub folders: Vec<Folder>,
    pub quarantine: Quarantine,
}

/// By what an email counts as delivered already.
#[derive(Debug, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Delivered {
    /// The destination tells what it holds.
    Held,
    /// What came into the mailbox before then.
    Time { until: DateTime<Utc> },
    /// By nothing: all of it is sent again.
    Nothing,
}

#[derive(Debug, Serialize)]
pub struct Folder {
    pub path: Vec<String>,
    pub what: Fate,
    /// Items, as the new server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Emails delivered from it so far.
    pub delivered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Found again by its path.
    Same,
    /// Not known so far.
    New,
    /// Known so far, and not there any more.
    Gone,
    /// The configuration leaves it out.
    LeftOut,
}

/// Items that were set aside.
#[derive(Debug, Default, Serialize)]
pub struct Quarantine {
    pub items: usize,
    /// Whose id the server translates.
    pub translated: usize,
    /// Why it translates none, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Moves the mailboxes of this shard, whose state `sink` keeps.
///
/// # Errors
///
/// What concerns all mailboxes: the server cannot be reached or refuses the sign-in.
pub async fn migrate(
    settings: &Settings,
    shard: Shard,
    sink: &dyn Sink,
    mode: Mode,
) -> Result<Report, Ending> {
    let opened = exchange::open_to_look(settings, shard).await?;
    let mut report = Report {
        interface: opened.told.clone(),
        dry_run: mode == Mode::DryRun,
        mailboxes: Vec::new(),
        exit: None,
    };
    for route in routes(settings, shard) {
        let Some(wanted) = settings.mailboxes.get(&route.mailbox) else { continue };
        let source = opened.exchange.mailbox(&route.mailbox);
        let outcome = match one(&route, wanted, source, sink, mode).await {
            Ok(outcome) => outcome,
            Err(ending) => {
                // What may work later is told apart from what is refused.
                if report.exit != Some(Exit::Refused) {
                    report.exit = Some(ending.exit);
                }
                Outcome::Failed { error: ending.message }
            }
        };
        let (mailbox, bucket) = (route.mailbox.to_string(), route.bucket.to_string());
        report.mailboxes.push(Moved { mailbox, bucket, outcome });
    }
    Ok(report)
}

async fn one(
    route: &Route,
    wanted: &MailboxSettings,
    mut source: Box<dyn Source>,
    sink: &dyn Sink,
    mode: Mode,
) -> Result<Outcome, Ending> {
    // To convert, the mailbox is taken as a running appliance takes it, before anything else.
    let stored = sink.load_checkpoint(route).await.map_err(|err| served(&err))?;
    let to = source.protocol();
    if stored.generation == 0 && stored.folders.is_empty() {
        return Ok(Outcome::New);
    }
    if stored.protocol == to {
        return Ok(Outcome::Already);
    }
    // Nothing is converted that the new server does not let us read.
    let survey = source.survey(&Checkpoint::default(), true).await;
    let survey = survey.map_err(|err| Ending::from(&err))?;
    let moved = migrate::plan(&stored, to, sink.knows_what_it_holds(), &survey.folders);
    let quarantined = sink.quarantined(route).await.map_err(|err| Ending::from(&err))?;
    let quarantine = translated(&mut *source, stored.protocol, set_aside(quarantined)).await;
    let plan = shape(&stored, moved, wanted, quarantine);
    if mode == Mode::DryRun {
        return Ok(Outcome::Planned(plan));
    }
    migrate::migrate_now(sink, route, to).await.map_err(|err| served(&err))?;
    Ok(Outcome::Converted(plan))
}

fn served(err: &record::SinkError) -> Ending {
    let ending = Ending::from(err);
    if matches!(err, record::SinkError::Busy { .. } | record::SinkError::Superseded { .. }) {
        let text = format!("{ending}\nHint: Stop the appliance that serves this mailbox first.");
        return Ending::new(ending.exit, text);
    }
    ending
}

async fn translated(
    source: &mut dyn Source,
    from: Protocol,
    items: Vec<Quarantined>,
) -> Quarantine {
    let count = items.len();
    let ids: Vec<ItemId> = items.into_iter().map(|item| item.item).collect();
    if ids.is_empty() {
        return Quarantine::default();
    }
    match source.translate(from, &ids).await {
        Ok(ids) => {
            let translated = ids.iter().flatten().count();
            Quarantine { items: count, translated, refused: None }
        }
        Err(err) => {
            let refused = Some(record::Chain(&err).to_string());
            Quarantine { items: count, translated: 0, refused }
        }
    }
}

fn shape(
    stored: &Checkpoint,
    moved: migrate::Plan,
    wanted: &MailboxSettings,
    quarantine: Quarantine,
) -> Plan {
    let mut folders: Vec<Folder> = moved
        .folders
        .into_iter()
        .map(|folder| Folder {
            what: match (wanted.folders.includes(&folder.path), folder.from) {
                (false, _) => Fate::LeftOut,
                (true, Some(_)) => Fate::Same,
                (true, None) => Fate::New,
            },
            path: folder.path,
            items: folder.total,
            delivered: folder.state.delivered,
        })
        .collect();
    folders.extend(moved.lost.into_iter().map(|state| Folder {
        path: state.path,
        what: Fate::Gone,
        items: None,
        delivered: state.delivered,
    }));
    folders.sort_by(|a, b| a.path.cmp(&b.path));
    let listed = folders.iter().filter(|folder| matches!(folder.what, Fate::Same | Fate::New));
    Plan {
        from: moved.from,
        to: moved.to,
        delivered: match moved.skip {
            Skip::ByIdentity => Delivered::Held,
            Skip::ByTime { until } => Delivered::Time { until },
            Skip::Nothing => Delivered::Nothing,
        },
        positions_dropped: stored.folders.values().filter(|it| it.position.is_some()).count(),
        listed: listed.filter_map(|folder| folder.items).sum(),
        folders,
        quarantine,
    }
}

impl Report {
    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = format!("{}.\n", self.interface);
        for Moved { mailbox, bucket, outcome } in &self.mailboxes {
            let told = match outcome {
                Outcome::New => "nothing is stored yet; it begins there".to_owned(),
                Outcome::Already => "has moved already".to_owned(),
                Outcome::Planned(plan) => format!("would move {}", plan.text()),
                Outcome::Converted(plan) => format!("has moved {}", plan.text()),
                Outcome::Failed { error } => {
                    format!("stays as it is: {}", error.replace('\n', "\n    "))
                }
            };
            text.push_str(&format!("{mailbox} -> {bucket}: {}\n", told.trim_end()));
        }
        if self.dry_run {
            text.push_str("Nothing was changed.\n");
        }
        text
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Ews => "EWS",
        Protocol::Graph => "Graph",
    }
}

impl Plan {
    fn count(&self, fate: Fate) -> usize {
        self.folders.iter().filter(|folder| folder.what == fate).count()
    }

    fn text(&self) -> String {
        let mut text = format!("from {} to {}\n", name(self.from), name(self.to));
        text.push_str(&format!(
            "    folders: {} found again by their path, {} new, {} no longer there, {} left out; {} \
             positions dropped\n",
            self.count(Fate::Same),
            self.count(Fate::New),
            self.count(Fate::Gone),
            self.count(Fate::LeftOut),
            self.positions_dropped
        ));
        let rule = match &self.delivered {
            Delivered::Held => "what the destination holds is passed over".to_owned(),
            Delivered::Time { until } => format!(
                "what came into the mailbox before {} counts as delivered, later emails are sent \
                 again, which leaves one copy",
                until.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
            Delivered::Nothing => "all of it is sent again, which leaves one copy".to_owned(),
        };
        text.push_str(&format!("    listed once: {} items; {rule}\n", self.listed));
        let Quarantine { items, translated, refused } = &self.quarantine;
        if *items > 0 {
            let why = refused.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            text.push_str(&format!(
                "    quarantine: {items} items; {translated} under a translated id, {} found again \
                 when their folder is listed{why}\n",
                items - translated
            ));
        }
        for folder in self.folders.iter().take(SHOWN) {
            let what = match folder.what {
                Fate::Same => "same",
                Fate::New => "new",
                Fate::Gone => "gone",
                Fate::LeftOut => "left out",
            };
            let items = folder.items.map_or_else(String::new, |items| format!("{items} items, "));
            text.push_str(&format!(
                "    {what:<8}  {}: {items}{} delivered\n",
                shown(&folder.path),
                folder.delivered
            ));
        }
        if let Some(more) = self.folders.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("    and {more} more folders\n"));
        }
        text
    }
}
