//! `tributary status`: how far each mailbox is.

use std::path::PathBuf;

use appliance::{
    exit::{Ending, Exit},
    status,
};
use clap::{ArgGroup, Args};
use record::clock::SystemClock;

use crate::{
    commands::{show, show_json},
    serve::runtime,
};

#[derive(Args)]
#[command(group = ArgGroup::new("appliance").required(true))]
pub(crate) struct Status {
    /// Folder that the appliance writes to.
    #[arg(long, value_name = "PATH", group = "appliance")]
    local_files_prefix: Option<PathBuf>,
    /// Address that a running appliance serves (`--bind`), such as `http://localhost:8000`,
    /// wherever it writes to. Can be given several times, once for each shard. The numbers count
    /// since the appliance began; those of the stored state are in `tributary state show`.
    #[arg(long, value_name = "URL", group = "appliance")]
    url: Vec<String>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let runtime = runtime()?;
        let (reports, gaps) = match &self.local_files_prefix {
            Some(prefix) => {
                let reports = runtime.block_on(status::report(prefix, &SystemClock))?;
                let gaps = status::gaps(prefix, &reports);
                (reports, gaps)
            }
            None => (runtime.block_on(status::of_appliances(&self.url))?, Vec::new()),
        };
        if self.json {
            show_json(&reports)?
        } else {
            show(&status::table(&reports))?
        }
        for gap in gaps {
            eprintln!("warning: {gap}");
        }
        let trouble =
            reports.iter().any(|report| report.state == "error" || report.state == "stopped");
        Ok(if trouble { Exit::Difference } else { Exit::Success })
    }
}
