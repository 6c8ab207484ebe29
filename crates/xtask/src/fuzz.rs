//! `cargo xtask fuzz`: any bytes into the readers of what others send, for some seconds.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{self as xtask, cargo, root, show, target_dir};

/// How long each target runs, in seconds.
const SECONDS: u64 = 10;

/// What the passes of `cargo fuzz` are on the command line of a stable compiler. libFuzzer finds
/// its way by these counters; no sanitizer is needed where `unsafe` is forbidden.
const INSTRUMENT: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// What each target may take. Most inputs are read within a millisecond.
const LIMITS: [&str; 4] =
    ["-rss_limit_mb=512", "-max_len=65536", "-timeout=10", "-print_final_stats=1"];

struct Target {
    name: String,
    binary: PathBuf,
    log: PathBuf,
    process: Child,
}

/// `cargo xtask fuzz [SECONDS]`
pub(crate) fn run(args: &[String]) -> Result<()> {
    let seconds = match args {
        [] => SECONDS,
        [seconds] => seconds.parse().context("give the time of each target in seconds")?,
        _ => bail!("too many arguments; allowed: the time of each target in seconds"),
    };
    let folder = folder();
    xtask::run(&mut build_command()?)?;
    let binaries = folder.join(platform()?).join("release");
    let targets = names()?
        .into_iter()
        .map(|name| start(&folder, &binaries, name, seconds))
        .collect::<Result<Vec<_>>>()?;
    let mut crashes = Vec::new();
    for target in targets {
        crashes.extend(finish(target)?);
    }
    if crashes.is_empty() { Ok(()) } else { bail!("{}", crashes.join("\n")) }
}

/// Builds all targets at the lowest priority, beside something that waits for the most part.
pub(crate) fn build_beside() -> Result<()> {
    let command = build_command()?;
    let mut gentle = Command::new("nice");
    gentle.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => gentle.env(name, value),
            None => gentle.env_remove(name),
        };
    }
    xtask::run(gentle.current_dir(root()))
}

fn folder() -> PathBuf {
    target_dir().join("fuzz")
}

/// The platform of this machine, as the compiler names it.
fn platform() -> Result<String> {
    let told = cargo().arg("-vV").output().context("could not start cargo")?.stdout;
    let told = String::from_utf8_lossy(&told);
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`cargo -vV` does not name this machine's platform")?.to_owned())
}

/// Builds all targets.
fn build_command() -> Result<Command> {
    // Where a platform is named, build scripts and procedural macros are not instrumented; they
    // would lack libFuzzer.
    let mut command = cargo();
    command
        .env("RUSTFLAGS", INSTRUMENT)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--quiet", "--release", "--bins", "--target", &platform()?])
        .args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"])
        .arg(folder());
    Ok(command)
}

/// The targets, by the names of their files.
fn names() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no `{}`", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Starts one target. What it finds of interest is kept for the next time.
fn start(folder: &Path, binaries: &Path, name: String, seconds: u64) -> Result<Target> {
    let corpus = folder.join("corpus").join(&name);
    let artifacts = folder.join("artifacts");
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)
            .with_context(|| format!("could not create `{}`", folder.display()))?;
    }
    let binary = binaries.join(&name);
    let log = folder.join(format!("{name}.log"));
    let output =
        File::create(&log).with_context(|| format!("could not create `{}`", log.display()))?;
    let mut command = Command::new(&binary);
    command
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{name}-", artifacts.display()))
        .arg(corpus)
        .arg(root().join("fuzz/seeds").join(&name))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    let process =
        command.spawn().with_context(|| format!("could not start `{}`", show(&command)))?;
    Ok(Target { name, binary, log, process })
}

/// Waits for a target, and tells what it did. Returns its crash.
fn finish(mut target: Target) -> Result<Option<String>> {
    let Target { name, binary, log, process } = &mut target;
    let status = process.wait().with_context(|| format!("lost `{name}`"))?;
    let told = fs::read(&*log).with_context(|| format!("could not read `{}`", log.display()))?;
    let told = String::from_utf8_lossy(&told);
    let after = |mark: &str| told.lines().rev().find_map(|line| Some(line.split_once(mark)?.1));
    let number = |name: &str| after(&format!("stat::{name}:")).map_or("?", str::trim);
    println!(
        "fuzz {name}: {} executions, {} a second, {} MB",
        number("number_of_executed_units"),
        number("average_exec_per_sec"),
        number("peak_rss_mb"),
    );
    if status.success() {
        return Ok(None);
    }
    let log = log.display();
    let Some(artifact) = after("Test unit written to ") else {
        return Ok(Some(format!("fuzz target `{name}` failed ({status}); see `{log}`")));
    };
    let binary = binary.display();
    Ok(Some(format!(
        "fuzz target `{name}` failed on `{artifact}`; see `{log}`, repeat with: {binary} {artifact}"
    )))
}
