//! `tributary plan`: what the appliance would do with these flags and this configuration.

use std::path::Path;

use appliance::{
    exit::{Ending, Exit},
    flags::{Destination, Flags},
    plan::{self, Positions},
};
use clap::Args;
use sinks::local_files::LocalFiles;

use crate::{
    commands::{load, shard, show, show_json},
    environment,
    serve::runtime,
};

#[derive(Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    flags: Flags,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let settings = load(&self.flags)?;
        let destination = self.flags.destination(&environment()?);
        let files = match &destination {
            Ok(Destination::LocalFiles(prefix)) => folder(prefix)?,
            _ => None,
        };
        let positions = match (&destination, &files) {
            (_, Some(files)) => Positions::Stored(files),
            (Ok(Destination::LocalFiles(_)), None) => Positions::None,
            // Without a destination, too: everything else can be told.
            _ => Positions::Unknown,
        };
        let plan = plan::plan(&settings, shard(&self.flags)?, positions);
        let plan = runtime()?.block_on(plan);
        if self.json {
            show_json(&plan)?;
        } else {
            show(&plan.table())?;
        }
        let stops =
            |planned: &plan::Planned| matches!(planned.start, plan::Start::Unreadable { .. });
        let trouble = plan.mailboxes.iter().any(stops);
        Ok(if trouble { Exit::Difference } else { Exit::Success })
    }
}

/// The folder that holds the positions; none if it is not there yet.
fn folder(prefix: &Path) -> Result<Option<LocalFiles>, Ending> {
    if !prefix.exists() {
        return Ok(None);
    }
    LocalFiles::open_read_only(prefix).map(Some).map_err(|err| Ending::from(&err))
}
