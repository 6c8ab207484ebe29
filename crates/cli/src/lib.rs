//! The command line. The only crate that reads the environment, prints, and handles signals.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod backup;
mod commands;
mod containers;
mod demo;
mod doctor;
mod fsck;
mod hosted;
mod migrate_source;
mod people;
mod place;
mod plan;
mod platform;
mod quarantine;
mod quarantine_drop;
mod replay;
mod serve;
mod state;
mod status;
mod storage;
mod token;
mod user;
mod watch;

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

use appliance::{
    environment::{Environment, EnvironmentError},
    exit::{Ending, Exit},
    flags::{self, Request},
};
use clap::{CommandFactory, FromArgMatches, Parser};

use commands::Command;

#[derive(Parser)]
#[command(name = "tributary", version, about = "Copies mailboxes, continuously and without loss")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// Runs `tributary ARGUMENTS`.
pub fn tributary() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| OsString::from("tributary"));
    // The image holds one program under two names.
    if Path::new(&program).file_name() == Some(OsStr::new("reinfer-ews")) {
        return end(appliance(arguments));
    }
    let mut arguments = arguments.peekable();
    // The appliance reads its own arguments: they are a contract of their own.
    if arguments.next_if(|first| first == "appliance").is_some() {
        return end(appliance(arguments));
    }
    let mut command = CommandLine::command();
    if arguments.peek().is_none() {
        eprint!("{}", command.render_help());
        return ExitCode::from(Exit::Config.code());
    }
    let all = std::iter::once(program).chain(arguments);
    let parsed = command
        .try_get_matches_from_mut(all)
        .and_then(|found| CommandLine::from_arg_matches(&found));
    match parsed {
        Ok(line) => end(line.command.run()),
        Err(err) if err.use_stderr() => end(Err(Ending::config(&flags::explain(&err, &command)))),
        Err(err) => {
            print!("{err}");
            ExitCode::SUCCESS
        }
    }
}

/// Runs `reinfer-ews FLAGS`.
pub fn reinfer_ews() -> ExitCode {
    end(appliance(std::env::args_os().skip(1)))
}

fn appliance(arguments: impl Iterator<Item = OsString>) -> Result<Exit, Ending> {
    match flags::parse(arguments).map_err(|err| Ending::config(&err))? {
        Request::Show(text) => {
            print!("{text}");
            Ok(Exit::Success)
        }
        Request::Run(flags) => serve::run(*flags),
    }
}

fn read_environment() -> Result<Environment, EnvironmentError> {
    Environment::read(std::env::vars_os())
}

fn environment() -> Result<Environment, Ending> {
    read_environment().map_err(|err| Ending::config(&err))
}

fn end(result: Result<Exit, Ending>) -> ExitCode {
    let exit = result.unwrap_or_else(|ending| {
        eprintln!("error: {ending}");
        ending.exit
    });
    ExitCode::from(exit.code())
}
