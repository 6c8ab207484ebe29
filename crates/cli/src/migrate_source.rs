//! `tributary migrate-source`: moves mailboxes from EWS to Graph, or back.

use std::sync::Arc;

use appliance::{
    destination::{Destination, Uploads},
    exit::{Ending, Exit},
    flags::Flags,
    migrate::{self, Mode},
};
use clap::Args;
use record::Unmetered;

use crate::{
    commands::{load, shard, show, show_json},
    environment,
    place::block_on,
};

#[derive(Args)]
pub(crate) struct MigrateSource {
    #[command(flatten)]
    flags: Flags,
    /// Tells what would happen, and changes nothing. An appliance may be running.
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl MigrateSource {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let settings = load(&self.flags)?;
        let environment = environment()?;
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Convert };
        let report = block_on(async {
            let destination = match mode {
                Mode::DryRun => Destination::look(&self.flags, &environment)?,
                Mode::Convert => Destination::change(&self.flags, &environment)?,
            };
            let uploads = Uploads { batch: 1, at_once: 1, with_state: true };
            let meter = Arc::new(Unmetered);
            let sink = destination.connect(&self.flags, &environment, uploads, meter)?.sink;
            migrate::migrate(&settings, shard(&self.flags)?, &*sink, mode).await
        })?;
        if self.json {
            show_json(&report)?;
        } else {
            show(&report.text())?;
        }
        Ok(report.exit.unwrap_or(Exit::Success))
    }
}
