//! `tributary plan`: what the appliance would do with these flags and this configuration.

use std::{path::Path, sync::Arc};

use appliance::{
    config::Settings,
    destination::{Destination, Uploads},
    environment::Environment,
    exit::{Ending, Exit},
    flags::{self, Flags},
    plan::{self, Positions},
};
use clap::Args;
use record::{Route, Sink, SinkAdvice, Unmetered};
use sinks::local_files::LocalFiles;

use crate::{
    commands::{load, shard, show, show_json},
    environment,
    place::block_on,
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
        let environment = environment()?;
        let sink = match self.flags.destination(&environment) {
            Ok(flags::Destination::LocalFiles(prefix)) => folder(&prefix)?.map(Ok),
            Ok(_) => Some(remote(&self.flags, &environment)),
            // Without a destination, too: everything else can be told.
            Err(_) => Some(Err(None)),
        };
        let plan = block_on(async {
            let positions = match &sink {
                None => Positions::None,
                Some(Err(why)) => {
                    if let Some(why) = why {
                        eprintln!("warning: the stored positions are not looked at: {why}");
                    }
                    Positions::Unknown
                }
                Some(Ok(sink)) => {
                    reach(&**sink, &settings).await?;
                    Positions::Stored(&**sink)
                }
            };
            Ok(plan::plan(&settings, shard(&self.flags)?, positions).await)
        })?;
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
fn folder(prefix: &Path) -> Result<Option<Arc<dyn Sink>>, Ending> {
    if !prefix.exists() {
        return Ok(None);
    }
    let files = LocalFiles::open_read_only(prefix).map_err(|err| Ending::from(&err))?;
    Ok(Some(Arc::new(files)))
}

/// The platform or the container that holds the positions, or why it cannot be asked, as on a
/// machine without the token.
fn remote(flags: &Flags, environment: &Environment) -> Result<Arc<dyn Sink>, Option<Ending>> {
    let uploads = Uploads { batch: 1, at_once: 1, with_state: true };
    let destination = Destination::look(flags, environment)?;
    Ok(destination.connect(flags, environment, uploads, Arc::new(Unmetered))?.sink)
}

/// Fails if the destination cannot be reached at all: that is said once, and not of each mailbox
/// after a time-out of its own.
async fn reach(sink: &dyn Sink, settings: &Settings) -> Result<(), Ending> {
    let Some((mailbox, wanted)) = settings.mailboxes.iter().next() else { return Ok(()) };
    let route = Route { mailbox: mailbox.clone(), bucket: wanted.bucket.clone() };
    match sink.load_checkpoint(&route).await {
        Err(err) if matches!(err.advice(), SinkAdvice::Retry { .. } | SinkAdvice::StopService) => {
            Err(Ending::from(&err))
        }
        _ => Ok(()),
    }
}
