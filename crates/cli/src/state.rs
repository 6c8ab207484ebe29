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
    local_files::LocalFiles,
    state_admin::{StateAdmin, StateSummary},
};

use crate::{
    commands::{Place, bucket, show, show_json},
    serve::runtime,
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
    /// Replaces the positions of one mailbox by exported ones. Only for the folder that they were
    /// exported from: emails before them are not asked for again.
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
    /// are stored stay, and are not stored again.
    Reset {
        #[command(flatten)]
        one: One,
        /// Confirms that the positions are to be forgotten.
        #[arg(long)]
        yes: bool,
    },
}

/// One mailbox in one bucket.
#[derive(Args)]
pub(crate) struct One {
    #[command(flatten)]
    place: Place,
    /// The mailbox.
    #[arg(long, value_name = "ADDRESS")]
    mailbox: MailboxId,
    /// Its bucket, `owner/name`; needed only if the mailbox has several, or no state yet.
    #[arg(long, value_name = "OWNER/NAME", value_parser = bucket)]
    bucket: Option<BucketId>,
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

impl One {
    async fn route(&self, state: &dyn StateAdmin) -> Result<Route, Ending> {
        let folder = self.place.local_files_prefix.display();
        let mut routes = state.routes().await.map_err(fail)?;
        routes.retain(|route| {
            route.mailbox == self.mailbox
                && self.bucket.as_ref().is_none_or(|only| *only == route.bucket)
        });
        let text = match (routes.pop(), routes.len()) {
            (Some(route), 0) => return Ok(route),
            (None, _) => format!("`{}` has no state in `{folder}`", self.mailbox),
            (Some(_), more) => {
                let buckets = more + 1;
                format!("`{}` has state for {buckets} buckets; give --bucket", self.mailbox)
            }
        };
        Err(Ending::new(Exit::Config, text))
    }

    /// Like [`route`](Self::route), but a mailbox without state may get some.
    async fn route_or_new(&self, state: &dyn StateAdmin) -> Result<Route, Ending> {
        match (&self.bucket, self.route(state).await) {
            (Some(bucket), Err(_)) => {
                Ok(Route { mailbox: self.mailbox.clone(), bucket: bucket.clone() })
            }
            (_, route) => route,
        }
    }
}

impl State {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(self.run_async()).map(|()| Exit::Success)
    }

    async fn run_async(self) -> Result<(), Ending> {
        match self {
            Self::Show { place, mailbox, json } => {
                let state = &LocalFiles::open_read_only(&place.local_files_prefix).map_err(fail)?;
                let mut summaries = Vec::new();
                for route in StateAdmin::routes(state).await.map_err(fail)? {
                    if mailbox.as_ref().is_none_or(|only| *only == route.mailbox) {
                        summaries.push(state.show(&route).await.map_err(fail)?);
                    }
                }
                if json { show_json(&summaries) } else { show(&table(&summaries)) }
            }
            Self::Export { one, output } => {
                let state = LocalFiles::open_read_only(&one.place.local_files_prefix);
                let state = state.map_err(fail)?;
                let exported = state.export(&one.route(&state).await?).await.map_err(fail)?;
                match output {
                    Some(path) => fs::File::create(&path)
                        .and_then(|mut file| {
                            file.write_all(&exported)?;
                            file.sync_all()
                        })
                        .map_err(|err| failed_at(&path, &err)),
                    None => show(&String::from_utf8_lossy(&exported)),
                }
            }
            Self::Import { one, input, yes } => {
                let exported = read(input)?;
                let state = open(&one)?;
                let route = one.route_or_new(&state).await?;
                confirmed(yes, &format!("replaces the positions of `{}`", route.mailbox))?;
                state.import(&route, &exported).await.map_err(fail)?;
                done(&state, &route, "imported").await
            }
            Self::Reset { one, yes } => {
                let state = open(&one)?;
                let route = one.route(&state).await?;
                let what = format!("lets `{}` be read again from its start", route.mailbox);
                confirmed(yes, &what)?;
                state.reset(&route).await.map_err(fail)?;
                done(&state, &route, "reset").await
            }
        }
    }
}

fn open(one: &One) -> Result<LocalFiles, Ending> {
    LocalFiles::open_for_command(&one.place.local_files_prefix).map_err(fail)
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

async fn done(state: &LocalFiles, route: &Route, what: &str) -> Result<(), Ending> {
    let generation = state.show(route).await.map_err(fail)?.generation;
    show(&format!("`{}` -> {}: {what}, generation {generation}\n", route.mailbox, route.bucket))
}

fn table(summaries: &[StateSummary]) -> String {
    let mut text = String::new();
    for summary in summaries {
        let StateSummary { mailbox, bucket, generation, quarantined, .. } = summary;
        let served = match summary.served {
            Some(true) => "served by a process",
            Some(false) => "not served",
            None => "",
        };
        let stored = summary.stored.map_or_else(|| "?".to_owned(), |stored| stored.to_string());
        text.push_str(&format!(
            "{mailbox} -> {bucket}: generation {generation}, {stored} stored, {quarantined} in \
             quarantine; {served}\n"
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
