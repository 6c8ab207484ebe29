//! The web UI: `cargo xtask web` builds it, and what checks and tests it in a real browser.
//!
//! What is built lies in `web/dist/app`; the next build of the program takes it in.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{root, run, target_dir};

fn folder() -> PathBuf {
    root().join("web")
}

fn npm(args: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.arg("--silent").args(args).current_dir(folder()).stdin(Stdio::null());
    command
}

/// Whether the UI can be built on this machine.
fn has_node() -> bool {
    let mut version = Command::new("npm");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Installs the packages of the lock file, unless they are there.
fn install() -> Result<()> {
    let lock = folder().join("package-lock.json");
    let lock = fs::read(&lock).with_context(|| format!("could not read {}", lock.display()))?;
    let installed = folder().join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|known| known == lock) {
        return Ok(());
    }
    run(&mut npm(&["ci", "--no-audit", "--no-fund", "--ignore-scripts"]))?;
    fs::write(&installed, lock).context("could not note what is installed")
}

/// `cargo xtask web`.
pub(crate) fn build() -> Result<()> {
    install()?;
    run(npm(&["run", "build"]).stdout(Stdio::null()))?;
    println!("The web UI is built; the next `cargo build` takes it into the program.");
    Ok(())
}

/// The same for whoever wants the program first of all: without Node it goes on without.
pub(crate) fn build_if_possible() -> Result<()> {
    if has_node() {
        return build();
    }
    println!("Without Node the program has no web UI; install Node 20 or newer to have it.");
    Ok(())
}

/// Types and lints.
pub(crate) fn check() -> Result<()> {
    install()?;
    run(&mut npm(&["run", "check"]))
}

/// Drives the debug build of the program with Chromium.
pub(crate) fn test() -> Result<()> {
    let program = env::current_dir()?.join(target_dir()).join("debug/tributary");
    run(npm(&["test"]).env("TRIBUTARY_BIN", program))
}
