//! `tributary quarantine drop`: entries of the quarantine list that nobody wants any more.

use appliance::exit::{Ending, Exit};
use clap::{ArgGroup, Args};
use record::{Clock, MailboxId, Quarantined, Route, SinkError, Uid, clock::SystemClock};
use sinks::local_files::LocalFiles;

use crate::{
    commands::show,
    place::{Opened, Place, block_on, no_state},
    quarantine::line,
};

/// How the engine marks an entry that it tried again and that was in no folder any more.
const GONE_DETAIL: &str = "no longer in the folder that listed it";

#[derive(Args)]
#[command(group = ArgGroup::new("entries").required(true).multiple(true))]
pub(crate) struct DropArgs {
    #[command(flatten)]
    place: Place,
    /// The mailbox.
    #[arg(long, value_name = "ADDRESS")]
    mailbox: MailboxId,
    /// The entry with this uid, as `quarantine list` shows it. Can be given several times.
    #[arg(long, value_name = "UID", group = "entries")]
    uid: Vec<Uid>,
    /// All entries that were gone from the server when they were tried again.
    #[arg(long, group = "entries")]
    gone: bool,
}

/// What became of the entries.
#[derive(Default)]
struct Outcome {
    dropped: usize,
    /// By the process that serves the mailbox.
    asked: usize,
}

fn fail(err: SinkError) -> Ending {
    Ending::from(&err)
}

impl DropArgs {
    fn wants(&self, item: &Quarantined) -> bool {
        let gone = item.code == "NotFound" || item.detail == GONE_DETAIL;
        self.uid.contains(&item.uid) || (self.gone && gone)
    }

    pub(crate) fn run(&self) -> Result<(), Ending> {
        // Only looked at: the process that serves the mailbox may be using it.
        let opened = self.place.look()?;
        let outcome = block_on(async {
            let routes = self.place.routes(&opened, Some(&self.mailbox)).await?;
            if routes.is_empty() {
                return Err(no_state(&self.mailbox, &opened));
            }
            let mut outcome = Outcome::default();
            for route in routes {
                let items = opened.quarantined(&route).await?.into_iter();
                let uids: Vec<Uid> =
                    items.filter(|item| self.wants(item)).map(|item| item.uid).collect();
                if !uids.is_empty() {
                    self.drop(&opened, &route, &uids, &mut outcome).await?;
                }
            }
            Ok(outcome)
        })?;
        show(&match outcome {
            Outcome { dropped: 0, asked: 0 } => "No such entry is in quarantine\n".to_owned(),
            Outcome { dropped, asked: 0 } => format!("Dropped {dropped} entries\n"),
            Outcome { dropped: 0, asked } => {
                format!("Asked the appliance to drop {asked} entries\n")
            }
            Outcome { dropped, asked } => {
                format!("Dropped {dropped} entries, asked the appliance to drop {asked}\n")
            }
        })
    }

    async fn drop(
        &self,
        opened: &Opened,
        route: &Route,
        uids: &[Uid],
        outcome: &mut Outcome,
    ) -> Result<(), Ending> {
        let forgotten = match opened {
            Opened::Folder { prefix, .. } => {
                let files = LocalFiles::open_for_command(prefix).map_err(fail)?;
                return drop_from_folder(&files, route, uids, outcome);
            }
            Opened::Platform { api, .. } => api.forget_quarantined(route, uids).await,
            Opened::Container(objects) => objects.forget_quarantined(route, uids).await,
        };
        // No note of them is kept there: this is the last that is seen of them.
        for item in forgotten.map_err(fail)? {
            show(&line(&route.mailbox, &item))?;
            outcome.dropped += 1;
        }
        Ok(())
    }
}

fn drop_from_folder(
    files: &LocalFiles,
    route: &Route,
    uids: &[Uid],
    outcome: &mut Outcome,
) -> Result<(), Ending> {
    let now = SystemClock.now();
    match files.drop_from_quarantine(route, uids, now) {
        Ok(count) => outcome.dropped += count,
        Err(SinkError::Busy { .. }) => {
            files.request_quarantine_drop(route, uids, now).map_err(|err| match err {
                SinkError::Busy { .. } => Ending::new(
                    Exit::Temporary,
                    "an earlier request was not carried out yet\n\
                     Hint: Try again in a few seconds.",
                ),
                err => fail(err),
            })?;
            outcome.asked += uids.len();
        }
        Err(err) => return Err(fail(err)),
    }
    Ok(())
}
