//! The process that writes, and that the tests kill: this very program, started once more.
//!
//! It delivers numbered emails into a folder, as the engine does, until it is killed or done. It
//! says `> ack N` when all emails below N are acknowledged, `> failed …` when a call to the sink
//! failed, `> done` at the end.

use std::{io, path::Path};

use record::{Chain, Checkpoint, FolderState, Position, Sink, SinkError};
use sinks::local_files::LocalFiles;

use crate::mail;

/// Name of the test below, for the command line.
pub(crate) const TEST: &str = "process::writes_when_it_is_told_to";
/// Where it finds its orders: folder, number of emails, size of a batch, flags.
pub(crate) const ORDERS: &str = "SINKS_TEST_WRITER";
/// The bug that the tests must be able to find.
pub(crate) const CHECKPOINT_FIRST: &str = "checkpoint-first";
/// A line on standard input starts each attempt.
pub(crate) const STEP: &str = "step";
/// A line on standard input lets each checkpoint be saved.
pub(crate) const HOLD: &str = "hold";

/// Does nothing in an ordinary run of the tests.
#[test]
fn writes_when_it_is_told_to() {
    #[expect(clippy::disallowed_methods, reason = "the arguments belong to the test harness")]
    let Ok(orders) = std::env::var(ORDERS) else { return };
    // One thread for the files, so that strace can count its calls. No I/O driver: it would wake
    // itself by calls of `write`, which the tests let fail.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
    let code = match runtime.unwrap().block_on(deliver(&orders)) {
        Ok(()) => 0,
        Err(err) => {
            println!("\n> failed {}", Chain(&err));
            3
        }
    };
    std::process::exit(code);
}

struct Delivery {
    sink: LocalFiles,
    checkpoint: Checkpoint,
    total: u64,
    batch: u64,
    checkpoint_first: bool,
    hold: bool,
}

async fn deliver(orders: &str) -> Result<(), SinkError> {
    let orders: Vec<&str> = orders.split('\t').collect();
    let sink = LocalFiles::open(Path::new(orders[0]))?;
    let checkpoint = sink.load_checkpoint(&mail::route()).await?;
    let mut delivery = Delivery {
        sink,
        checkpoint,
        total: orders[1].parse().unwrap(),
        batch: orders[2].parse().unwrap(),
        checkpoint_first: orders.contains(&CHECKPOINT_FIRST),
        hold: orders.contains(&HOLD),
    };
    let step = orders.contains(&STEP);
    println!("\n> ready");
    while delivery.delivered() < delivery.total {
        if step && io::stdin().read_line(&mut String::new()).unwrap() == 0 {
            return Ok(());
        }
        match delivery.step().await {
            Err(err) if step => println!("\n> failed {}", Chain(&err)),
            other => other?,
        }
    }
    println!("\n> done");
    Ok(())
}

impl Delivery {
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
        println!("\n> ack {to}");
        if self.hold {
            io::stdin().read_line(&mut String::new()).unwrap();
        }
        if !self.checkpoint_first {
            self.sink.save_checkpoint(&route, &next).await?;
        }
        self.checkpoint = next;
        Ok(())
    }
}
