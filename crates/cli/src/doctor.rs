//! `tributary doctor`: tries everything that the appliance needs.

use appliance::{
    destination,
    doctor::{self, CheckResult, Report},
    exit::{Ending, Exit},
    flags::Flags,
};
use clap::Args;
use record::clock::SystemClock;

use crate::{
    commands::{load, shard, show, show_json},
    environment,
    serve::runtime,
};

#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    flags: Flags,
    /// Prints JSON instead of a line for each check.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let settings = match load(&self.flags) {
            Ok(settings) => settings,
            Err(ending) => {
                let advice = "Correct what is named; nothing else was tried.";
                let failed = CheckResult::fail("configuration", ending.message, advice);
                self.show(&Report { checks: vec![failed] })?;
                return Ok(ending.exit);
            }
        };
        let environment = environment()?;
        let runtime = runtime()?;
        let _inside = runtime.enter();
        let probe = destination::probe(&self.flags, &environment, &settings)?;
        let sinks = [probe.as_ref()];
        let local = self.flags.folder().is_some();
        let shard = shard(&self.flags)?;
        let clock = SystemClock;
        let examined = doctor::examine(&settings, &environment, shard, &sinks, local, &clock);
        let report = runtime.block_on(examined);
        self.show(&report)?;
        Ok(report.exit())
    }

    fn show(&self, report: &Report) -> Result<(), Ending> {
        if self.json { show_json(report) } else { show(&report.table()) }
    }
}
