//! `cargo xtask test`: what continuous integration runs, the same as at the desk.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    self as xtask, LIKE_TESTS, cargo, deploy, docs, fuzz, links,
    phases::{Phases, processor_seconds},
    programs, root, web,
};

/// Slowest test programs that are named in the end.
const SLOWEST: usize = 5;

struct TestProgram {
    name: String,
    path: PathBuf,
    /// Tests expect to run in the folder of their package.
    folder: PathBuf,
}

pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    let mut phases = Phases::default();
    phases.run("programs", programs::need_for_tests)?;
    // Before the program, which takes it in.
    phases.run("web UI", web::build)?;
    if filter.is_none() {
        links::check(&root())?;
        xtask::run(cargo().args(["fmt", "--all", "--check"])).context("run `cargo fmt --all`")?;
        let mut lint = cargo();
        lint.args(["clippy", "--quiet", "--workspace", "--all-targets"]).args(LIKE_TESTS);
        phases.run("clippy", || xtask::run(lint.args(["--", "-D", "warnings"])))?;
    }
    let programs = phases.run("build", build)?;
    // Tests that start servers and programs wait for the most part.
    let fuzzers = filter.is_none().then(|| thread::spawn(fuzz::build_beside));
    phases.run("tests, beside a build of the fuzzers", || run_all(programs, filter))?;
    if filter.is_none() {
        phases.run("web UI: types and lints", web::check)?;
        phases.run("web UI: in a browser", web::test)?;
        phases.run("docs", docs::check)?;
        phases.run("deployment", || deploy::check(false))?;
        phases.run("fuzzing", || {
            // What hindered the build is told by the next, in its own words.
            fuzzers.map(thread::JoinHandle::join);
            fuzz::run(&[])
        })?;
        phases.report();
    }
    Ok(())
}

fn run_all(programs: Vec<TestProgram>, filter: Option<&str>) -> Result<()> {
    let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
    let mut times: Vec<(Duration, f64, String)> = Vec::new();
    let mut failed = Vec::new();
    for program in programs {
        println!("\n{}", program.name);
        let (began, used) = (Instant::now(), processor_seconds());
        let mut command = Command::new(&program.path);
        command.current_dir(&program.folder).stdin(Stdio::null());
        command.args(filter);
        command.env("RUST_TEST_THREADS", threads.to_string());
        let status = command.status().with_context(|| format!("could not run {}", program.name))?;
        times.push((began.elapsed(), processor_seconds() - used, program.name.clone()));
        if !status.success() {
            failed.push(program.name);
        }
    }
    slowest(times);
    if !failed.is_empty() {
        bail!("tests failed in {}", failed.join(", "));
    }
    Ok(())
}

/// Builds all test programs, and the program that they start, and lists the former.
fn build() -> Result<Vec<TestProgram>> {
    let output = cargo()
        .args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"])
        .args(LIKE_TESTS)
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    Ok(messages.lines().filter_map(test_program).collect())
}

/// Reads one of cargo's messages; `None` unless it tells of a test program.
fn test_program(line: &str) -> Option<TestProgram> {
    let message: Value = serde_json::from_str(line).ok()?;
    if !message.pointer("/profile/test")?.as_bool()? {
        return None;
    }
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    let manifest = PathBuf::from(message.get("manifest_path")?.as_str()?);
    let folder = manifest.parent()?.to_owned();
    let package = folder.file_name()?.to_string_lossy().into_owned();
    let target = message.pointer("/target/name")?.as_str()?;
    Some(TestProgram { name: format!("{package}::{target}"), path, folder })
}

fn slowest(mut times: Vec<(Duration, f64, String)>) {
    times.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
    println!("\nSlowest test programs:\n  seconds  of a processor");
    for (time, processors, name) in times.iter().take(SLOWEST) {
        println!("  {:>7.1}  {processors:>14.1}  {name}", time.as_secs_f64());
    }
}
