//! `tributary quarantine drop`: entries of the quarantine list that nobody wants any more.

use appliance::exit::{Ending, Exit};
use clap::{ArgGroup, Args};
use record::{BucketId, Clock, MailboxId, Quarantined, Sink, SinkError, Uid, clock::SystemClock};
use sinks::local_files::LocalFiles;

use crate::{
    commands::{Place, bucket, show},
    serve::runtime,
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
    /// Only its entries for this bucket, `owner/name`.
    #[arg(long, value_name = "OWNER/NAME", value_parser = bucket)]
    bucket: Option<BucketId>,
    /// The entry with this uid, as `quarantine list` shows it. Can be given several times.
    #[arg(long, value_name = "UID", group = "entries")]
    uid: Vec<Uid>,
    /// All entries that were gone from the server when `quarantine retry` tried them again.
    #[arg(long, group = "entries")]
    gone: bool,
}

impl DropArgs {
    fn wants(&self, item: &Quarantined) -> bool {
        let gone = item.code == "NotFound" || item.detail == GONE_DETAIL;
        self.uid.contains(&item.uid) || (self.gone && gone)
    }

    pub(crate) fn run(&self) -> Result<Exit, Ending> {
        let prefix = &self.place.local_files_prefix;
        let fail = |err: SinkError| Ending::from(&err);
        let reader = LocalFiles::open_read_only(prefix).map_err(fail)?;
        let files = LocalFiles::open_for_command(prefix).map_err(fail)?;
        let (mut dropped, mut asked, mut found) = (0, 0, false);
        for route in reader.routes().map_err(fail)? {
            let other_bucket = self.bucket.as_ref().is_some_and(|only| *only != route.bucket);
            if route.mailbox != self.mailbox || other_bucket {
                continue;
            }
            found = true;
            // Read without the lock: the process that serves the mailbox may be using it.
            let items = runtime()?.block_on(reader.quarantined(&route)).map_err(fail)?;
            let uids: Vec<Uid> =
                items.iter().filter(|item| self.wants(item)).map(|item| item.uid).collect();
            if uids.is_empty() {
                continue;
            }
            let now = SystemClock.now();
            match files.drop_from_quarantine(&route, &uids, now) {
                Ok(count) => dropped += count,
                Err(SinkError::Busy { .. }) => {
                    files.request_quarantine_drop(&route, &uids, now).map_err(|err| match err {
                        SinkError::Busy { .. } => Ending::new(
                            Exit::Temporary,
                            "an earlier request was not carried out yet\n\
                             Hint: Try again in a few seconds.",
                        ),
                        err => fail(err),
                    })?;
                    asked += uids.len();
                }
                Err(err) => return Err(fail(err)),
            }
        }
        if !found {
            let text = format!("`{}` has no state in `{}`", self.mailbox, prefix.display());
            return Err(Ending::new(Exit::Config, text));
        }
        show(&match (dropped, asked) {
            (0, 0) => "No such entry is in quarantine\n".to_owned(),
            (dropped, 0) => format!("Dropped {dropped} entries\n"),
            (0, asked) => format!("Asked the appliance to drop {asked} entries\n"),
            (dropped, asked) => {
                format!("Dropped {dropped} entries, asked the appliance to drop {asked}\n")
            }
        })?;
        Ok(Exit::Success)
    }
}
