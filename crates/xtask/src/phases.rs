//! What takes how long, and how much of the processors.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;

/// The clock of `/proc`. Spec: `proc_pid_stat(5)`; Linux has it at 100 on all its platforms.
const TICKS: f64 = 100.0;

/// The phases so far.
#[derive(Default)]
pub(crate) struct Phases(Vec<Phase>);

struct Phase {
    name: &'static str,
    took: Duration,
    processors: f64,
}

impl Phases {
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        phase: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (began, used) = (Instant::now(), processor_seconds());
        let done = phase()?;
        let processors = processor_seconds() - used;
        self.0.push(Phase { name, took: began.elapsed(), processors });
        Ok(done)
    }

    /// The seconds of a processor tell a slow phase from one beside which others worked.
    pub(crate) fn report(&self) {
        println!("\nEverything passed:\n  seconds  of a processor");
        let line = |took: Duration, processors: f64, name: &str| {
            println!("  {:>7.1}  {processors:>14.1}  {name}", took.as_secs_f64());
        };
        for Phase { name, took, processors } in &self.0 {
            line(*took, *processors, name);
        }
        let took = self.0.iter().map(|phase| phase.took).sum();
        line(took, self.0.iter().map(|phase| phase.processors).sum(), "in all");
    }
}

/// What the programs that were started and have ended have used; 0 where it cannot be known.
pub(crate) fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, can hold anything.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks =
        fields.split_whitespace().skip(13).take(2).filter_map(|text| text.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}
