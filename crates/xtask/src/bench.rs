//! `cargo xtask bench`: our program beside its peers, in one run on one machine.

use std::process::Command;

use anyhow::Result;

use crate::{build_release, programs, root, run};

pub(crate) fn run_named(args: &[String]) -> Result<()> {
    programs::need_for_tests()?;
    let release = build_release()?;
    run(Command::new("python3")
        .arg(root().join("benches/run.py"))
        .arg(release.join("tributary"))
        .args(args))
}
