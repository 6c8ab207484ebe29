//! Delivers numbered emails into a folder, as the engine does, until it is killed or done.
//!
//! ```text
//! writer PREFIX TOTAL BATCH [--checkpoint-first] [--step]
//! ```
//!
//! Prints `ack N` when all emails below N are acknowledged, `failed` when a call to the sink
//! failed, `done` at the end. With `--step`, a line on standard input starts each attempt.
//! `--checkpoint-first` is the bug that the tests must be able to find.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for tests"
)]

use std::{io, path::Path, process::ExitCode};

use record::{Chain, Checkpoint, FolderState, Position, Sink, SinkError};
use sinks::local_files::LocalFiles;

#[path = "../tests/it/mail.rs"]
mod mail;

struct Writer {
    sink: LocalFiles,
    checkpoint: Checkpoint,
    total: u64,
    batch: u64,
    checkpoint_first: bool,
}

fn main() -> ExitCode {
    // One thread for the files, so that the tests can count its calls. No I/O driver: it would
    // wake itself by calls of `write`, which the tests let fail.
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(deliver())
}

async fn deliver() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    let sink = match LocalFiles::open(Path::new(&args[0])) {
        Ok(sink) => sink,
        Err(err) => return failure(&err),
    };
    let checkpoint = match sink.load_checkpoint(&mail::route()).await {
        Ok(checkpoint) => checkpoint,
        Err(err) => return failure(&err),
    };
    let mut writer = Writer {
        sink,
        checkpoint,
        total: args[1].parse().expect("TOTAL is a number"),
        batch: args[2].parse().expect("BATCH is a number"),
        checkpoint_first: flag("--checkpoint-first"),
    };
    println!("ready");
    while writer.delivered() < writer.total {
        if flag("--step") && io::stdin().read_line(&mut String::new()).unwrap() == 0 {
            return ExitCode::SUCCESS;
        }
        match writer.step().await {
            Ok(()) => {}
            Err(err) if flag("--step") => println!("failed {}", Chain(&err)),
            Err(err) => return failure(&err),
        }
    }
    println!("done");
    ExitCode::SUCCESS
}

fn failure(err: &SinkError) -> ExitCode {
    println!("failed {}", Chain(err));
    ExitCode::from(3)
}

impl Writer {
    fn delivered(&self) -> u64 {
        self.checkpoint.folders.get(&mail::folder()).map_or(0, |folder| folder.delivered)
    }

    async fn step(&mut self) -> Result<(), SinkError> {
        let route = mail::route();
        let from = self.delivered();
        let to = (from + self.batch).min(self.total);
        let mut next = self.checkpoint.clone();
        next.generation += 1;
        let position = Some(Position::Cursor { token: to.to_string() });
        next.folders.insert(
            mail::folder(),
            FolderState { delivered: to, position, ..FolderState::default() },
        );
        if self.checkpoint_first {
            self.sink.save_checkpoint(&route, &next).await?;
        }
        let uids: Vec<_> = (from..to).map(mail::uid).collect();
        let held = self.sink.find(&route, &uids).await?;
        let missing: Vec<_> = (from..to)
            .zip(held)
            .filter(|(_, held)| held.is_none())
            .map(|(n, _)| mail::email(n))
            .collect();
        self.sink.write(&route, &missing).await?;
        println!("ack {to}");
        if !self.checkpoint_first {
            self.sink.save_checkpoint(&route, &next).await?;
        }
        self.checkpoint = next;
        Ok(())
    }
}
