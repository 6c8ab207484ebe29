//! `cargo xtask deploy` and `image`: what the project ships for those who run it, checked and built.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON, where what is missing is null; a chore that panics fails, as it should"
)]

mod chart;
mod image;
mod manifest;
mod policy;
mod sbom;
mod smoke;
mod tools;
mod unit;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{programs, root, show, target_dir};

pub(crate) use image::command as image;

/// `cargo xtask deploy [--full] [--update]`
///
/// `--full` adds what takes minutes: checkov over every rendered manifest, the optimized image
/// built twice and compared, its list of components read by syft. `--update` writes what is
/// rendered instead of comparing it with what was rendered before.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (mut full, mut update) = (false, false);
    for arg in args {
        match arg.as_str() {
            "--full" => full = true,
            "--update" => update = true,
            other => bail!("unknown argument `{other}`; allowed: `--full`, `--update`"),
        }
    }
    check(update)?;
    if full {
        step("policies", policy::check)?;
        step("optimized image", image::check_reproducible)?;
        step("components", policy::components)?;
    }
    Ok(())
}

/// What every test run checks.
pub(crate) fn check(update: bool) -> Result<()> {
    programs::need_for_deployment()?;
    let tools = tools::install().context("could not install the tools that check `deploy/`")?;
    step("crates", || policy::crates(&tools))?;
    step("Dockerfile", || run_quiet(tools.hadolint().arg(folder().join("Dockerfile"))))?;
    step("units", unit::check)?;
    step("chart", || chart::check(&tools, update))?;
    step("manifests", || manifest::check(&tools))?;
    step("image", smoke::check)
}

/// Says what is checked and how long it took.
fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    check().with_context(|| format!("deployment, {name}"))?;
    println!("deploy {name}: ok, {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn folder() -> PathBuf {
    root().join("deploy")
}

/// Where this chore keeps its products.
fn products() -> PathBuf {
    target_dir().join("deploy")
}

/// Runs a command whose output only matters when it fails, and returns its stdout.
fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("could not start `{shown}`"))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}):\n{told}{errors}", output.status);
    }
    Ok(told)
}

fn run_quiet(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        make(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("could not write `{}`", path.display()))
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not create `{}`", folder.display()))
}

/// An empty folder in place of whatever was there.
fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("could not remove `{}`", folder.display()))?;
    }
    make(folder)
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("`{}` is not UTF-8", path.display()))
}
