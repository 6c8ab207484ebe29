//! `tributary state`: how far mailboxes have been delivered, for operators who must intervene.

use std::{
    fs,
    io::{self, Read, Write},
    path::PathBuf,
};

use appliance::{
    exit::{Ending, Exit},
    status::shown,
};
use clap::{Args, Subcommand};
use record::{BucketId, MailboxId, Route, SinkError};
use sinks::{
    platform_api::BucketState,
    state_admin::{StateAdmin, StateSummary},
};

use crate::{
    commands::{show, show_json},
    place::{Opened, Place, block_on, no_state},
};

/// Longest exported state that is read, in bytes.
const MAX_EXPORT: u64 = 512 << 20;

#[derive(Subcommand)]
pub(crate) enum State {
    /// Tells generation, counts and folders of each mailbox.
    Show {
        #[command(flatten)]
        place: Place,
        /// Only this mailbox.
        #[arg(long, value_name = "ADDRESS")]
        mailbox: Option<MailboxId>,
        /// Prints JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Writes the positions and the quarantine list of one mailbox to a file or to stdout. It
    /// holds no email.
    Export {
        #[command(flatten)]
        one: One,
        /// File to write; without it, stdout.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Replaces the positions of one mailbox by exported ones. Only for the destination that they
    /// were exported from: emails before them are not asked for again.
    Import {
        #[command(flatten)]
        one: One,
        /// File to read; without it, stdin.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// Confirms that the positions are to be replaced.
        #[arg(long)]
        yes: bool,
    },
    /// Forgets the positions of one mailbox, which is then read again from its start. Emails that
    /// are stored stay, and are not stored again. With `--bucket` and without `--mailbox`, the same
    /// for the whole bucket; one of a platform that belongs to another program is taken over.
    Reset {
        #[command(flatten)]
        place: Place,
        /// The mailbox; without it, all of the bucket.
        #[arg(long, value_name = "ADDRESS", required_unless_present = "bucket")]
        mailbox: Option<MailboxId>,
        /// Confirms that the positions are to be forgotten.
        #[arg(long)]
        yes: bool,
    },
}

/// One mailbox in one bucket. `--bucket` is needed only if the mailbox has several, or no state yet.
#[derive(Args)]
pub(crate) struct One {
    #[command(flatten)]
    place: Place,
    /// The mailbox.
    #[arg(long, value_name = "ADDRESS")]
    mailbox: MailboxId,
}

fn fail(err: SinkError) -> Ending {
    let busy = matches!(err, SinkError::Busy { .. });
    let ending = Ending::from(&err);
    if !busy {
        return ending;
    }
    let text = format!("{ending}\nHint: Stop the process that serves this mailbox first.");
    Ending::new(ending.exit, text)
}

fn confirmed(yes: bool, what: &str) -> Result<(), Ending> {
    if yes {
        return Ok(());
    }
    let text = format!("this {what}\nHint: Give --yes as well if that is meant.");
    Err(Ending::new(Exit::Config, text))
}

async fn route(place: &Place, mailbox: &MailboxId, opened: &Opened) -> Result<Route, Ending> {
    let mut routes = place.routes(opened, Some(mailbox)).await?;
    match (routes.pop(), routes.len()) {
        (Some(route), 0) => Ok(route),
        (None, _) => {
            opened.warn_of_foreign().await?;
            Err(no_state(mailbox, opened))
        }
        (Some(_), more) => {
            let buckets = more + 1;
            let text = format!("`{mailbox}` has state for {buckets} buckets; give --bucket");
            Err(Ending::new(Exit::Config, text))
        }
    }
}

impl One {
    async fn route(&self, opened: &Opened) -> Result<Route, Ending> {
        route(&self.place, &self.mailbox, opened).await
    }

    /// Like [`route`](Self::route), but a mailbox without state may get some.
    async fn route_or_new(&self, opened: &Opened) -> Result<Route, Ending> {
        match self.place.bucket.as_slice() {
            [bucket] => Ok(Route { mailbox: self.mailbox.clone(), bucket: bucket.clone() }),
            _ => self.route(opened).await,
        }
    }
}

impl State {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        match self {
            Self::Show { place, mailbox, json } => {
                let opened = place.look()?;
                let summaries = block_on(summaries(&place, &opened, mailbox.as_ref()))?;
                if json { show_json(&summaries)? } else { show(&table(&summaries))? }
            }
            Self::Export { one, output } => {
                let opened = one.place.look()?;
                let exported = block_on(async {
                    let route = one.route(&opened).await?;
                    opened.state().export(&route).await.map_err(fail)
                })?;
                match output {
                    Some(path) => fs::File::create(&path)
                        .and_then(|mut file| {
                            file.write_all(&exported)?;
                            file.sync_all()
                        })
                        .map_err(|err| failed_at(&path, &err))?,
                    None => show(&String::from_utf8_lossy(&exported))?,
                }
            }
            Self::Import { one, input, yes } => {
                let exported = read(input)?;
                let opened = one.place.open()?;
                block_on(async {
                    let route = one.route_or_new(&opened).await?;
                    confirmed(yes, &format!("replaces the positions of `{}`", route.mailbox))?;
                    opened.state().import(&route, &exported).await.map_err(fail)?;
                    done(opened.state(), &route, "imported").await
                })?;
            }
            Self::Reset { place, mailbox: Some(mailbox), yes } => {
                let opened = place.open()?;
                block_on(async {
                    let route = route(&place, &mailbox, &opened).await?;
                    let what = format!("lets `{}` be read again from its start", route.mailbox);
                    confirmed(yes, &what)?;
                    opened.state().reset(&route).await.map_err(fail)?;
                    done(opened.state(), &route, "reset").await
                })?;
            }
            Self::Reset { place, mailbox: None, yes } => {
                let opened = place.open()?;
                block_on(async {
                    for bucket in &place.bucket {
                        reset_bucket(&opened, bucket, yes).await?;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(Exit::Success)
    }
}

async fn summaries(
    place: &Place,
    opened: &Opened,
    mailbox: Option<&MailboxId>,
) -> Result<Vec<StateSummary>, Ending> {
    opened.warn_of_foreign().await?;
    let mut summaries = Vec::new();
    for route in place.routes(opened, mailbox).await? {
        summaries.push(opened.state().show(&route).await.map_err(fail)?);
    }
    Ok(summaries)
}

/// Lets all mailboxes of `bucket` be read again, whoever has kept its state.
async fn reset_bucket(opened: &Opened, bucket: &BucketId, yes: bool) -> Result<(), Ending> {
    if let Opened::Platform { api, .. } = opened {
        let whose = match api.show_state(bucket).await {
            Ok(BucketState::Foreign) => "belongs to another program",
            Err(SinkError::Corrupt { .. }) => "cannot be read",
            Ok(BucketState::Nothing | BucketState::Mailboxes(_)) => "",
            Err(err) => return Err(fail(err)),
        };
        if !whose.is_empty() {
            let what = format!(
                "replaces the sync state of bucket `{bucket}`, which {whose}. Its mailboxes are \
                 then read from their start; nobody may write to the bucket meanwhile, and what \
                 keeps its state there loses it"
            );
            confirmed(yes, &what)?;
            api.reset_bucket(bucket).await.map_err(fail)?;
            return show(&format!("{bucket}: taken over; its sync state was one that {whose}\n"));
        }
    }
    let mut routes = opened.state().routes().await.map_err(fail)?;
    routes.retain(|route| route.bucket == *bucket);
    if routes.is_empty() {
        let text = format!("no mailbox of `{bucket}` has state in `{}`", opened.name());
        return Err(Ending::new(Exit::Config, text));
    }
    let count = routes.len();
    confirmed(
        yes,
        &format!("lets {count} mailboxes of `{bucket}` be read again from their start"),
    )?;
    for route in routes {
        opened.state().reset(&route).await.map_err(fail)?;
        done(opened.state(), &route, "reset").await?;
    }
    Ok(())
}

fn failed_at(path: &std::path::Path, err: &io::Error) -> Ending {
    Ending::new(Exit::Io, format!("`{}`: {err}", path.display()))
}

fn read(input: Option<PathBuf>) -> Result<Vec<u8>, Ending> {
    let path = input.unwrap_or_else(|| PathBuf::from("/dev/stdin"));
    let mut bytes = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(MAX_EXPORT).read_to_end(&mut bytes))
        .map_err(|err| failed_at(&path, &err))?;
    Ok(bytes)
}

async fn done(state: &dyn StateAdmin, route: &Route, what: &str) -> Result<(), Ending> {
    let summary = state.show(route).await.map_err(fail)?;
    let generation = summary.generation;
    let later = match summary.served {
        Some(_) => "",
        // Nobody could tell whether there is one.
        None => ". A process that serves it notices with its next email; restart it to be quicker",
    };
    show(&format!(
        "`{}` -> {}: {what}, generation {generation}{later}\n",
        route.mailbox, route.bucket
    ))
}

fn table(summaries: &[StateSummary]) -> String {
    let mut text = String::new();
    for summary in summaries {
        let StateSummary { mailbox, bucket, generation, quarantined, .. } = summary;
        let stored = summary.stored.map_or_else(String::new, |stored| format!("{stored} stored, "));
        let served = match summary.served {
            Some(true) => "; served by a process",
            Some(false) => "; not served",
            None => "",
        };
        text.push_str(&format!(
            "{mailbox} -> {bucket}: generation {generation}, {stored}{quarantined} in \
             quarantine{served}\n"
        ));
        for folder in &summary.folders {
            let how = match (folder.begun, folder.up_to_date) {
                (_, true) => "up to date",
                (true, false) => "reading",
                (false, false) => "not begun",
            };
            text.push_str(&format!("  {how:<10} {}\n", shown(&folder.path)));
        }
    }
    if summaries.is_empty() {
        text.push_str("No mailbox has state here.\n");
    }
    text
}
