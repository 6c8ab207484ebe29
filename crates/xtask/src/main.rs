//! The project's chores: `cargo xtask demo`, `test`, `web`, `docs`, `deploy`, `image`, `fuzz`, `bench`, `tidy`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod bench;
mod deploy;
mod docs;
mod fuzz;
mod links;
mod phases;
mod programs;
mod test;
mod tidy;
mod web;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
Usage: cargo xtask <command>

  demo [ARGS]    build the release binary and run `tributary demo ARGS`
  test [FILTER]  install what the tests need, then format, lint, test and check the docs
  web [test]     build the web UI, which needs Node; `test` drives it in a real browser
  docs           write the generated pages of docs/reference and the JSON Schema
  deploy         check what is shipped below deploy/, and run the image; --full does more
  image          build the container image
  schemathesis   hold the platform's API to its description, for some minutes
  fuzz [SECONDS] feed random bytes to the readers of what comes from outside
  bench [NAME]   run the benchmarks beside their peers and print a table
  tidy           print the sizes and habits that a review asks about";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", [].as_slice()),
    };
    let done = match command {
        "demo" => demo(rest),
        "test" => test::run(rest.first().map(String::as_str)),
        "web" if rest.first().is_some_and(|arg| arg == "test") => web_test(),
        "web" => web::build(),
        "docs" => docs::write(),
        "deploy" => deploy::command(rest),
        "schemathesis" => schemathesis(),
        "image" => deploy::image(rest),
        "fuzz" => fuzz::run(rest),
        "bench" => bench::run_named(rest),
        "tidy" => tidy::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

fn cargo() -> Command {
    #[expect(clippy::disallowed_methods, reason = "cargo tells its own path this way")]
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut shown = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        shown.push(' ');
        shown.push_str(&arg.to_string_lossy());
    }
    shown
}

/// The folder that cargo builds into.
fn target_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "cargo is told its folder this way")]
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds the release binaries and returns the folder that holds them.
fn build_release() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "cli"]))?;
    Ok(target_dir().join("release"))
}

/// What makes cargo use the same build of a library for the program as for the tests.
const LIKE_TESTS: [&str; 2] = ["--features", "cli/like-tests"];

/// Builds the program that the tests start.
fn build_debug() -> Result<()> {
    run(cargo().args(["build", "--quiet", "--package", "cli"]).args(LIKE_TESTS))
}

fn web_test() -> Result<()> {
    programs::need_for_tests()?;
    web::build()?;
    web::check()?;
    build_debug()?;
    web::test()
}

fn schemathesis() -> Result<()> {
    let test = ["test", "--package", "platform", "--test", "it", "--", "--nocapture"];
    let long = ("TRIBUTARY_SCHEMATHESIS_LONG", "1");
    run(cargo().env(long.0, long.1).args(test).arg("schemathesis_finds_nothing"))
}

fn demo(args: &[String]) -> Result<()> {
    programs::need_libraries()?;
    web::build_if_possible()?;
    let binary = build_release()?.join("tributary");
    // Ctrl-C reaches the child as well, which then ends by itself.
    run(Command::new(binary).arg("demo").args(args))
}
