//! Log lines: one line an event, on stderr, never in the way of the work.
//!
//! Lines go through a bounded queue to a thread of their own. When nobody reads stderr, the
//! queue fills up and further lines are dropped and counted; mail keeps flowing.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use indicatif::MultiProgress;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt};

use crate::flags::{DebugLevel, LogFormat};

/// Lines that may wait for a slow reader.
const QUEUE: usize = 4096;

/// Our own crates: at level 2 they tell everything, libraries do not.
const OWN: [&str; 11] = [
    "appliance",
    "cli",
    "net",
    "objects",
    "platform",
    "record",
    "simulators",
    "sinks",
    "sources",
    "store",
    "sync",
];

/// Where log lines are queued.
#[derive(Clone)]
pub struct LogQueue {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

enum Entry {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

/// Time for the last lines of a process that ends.
const FLUSH: Duration = Duration::from_secs(2);

impl LogQueue {
    /// Starts the thread that writes to `out`; with `bars`, above the progress bars.
    pub fn start(out: Box<dyn Write + Send>, bars: Option<MultiProgress>) -> Self {
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let missed = Arc::clone(&dropped);
        thread::spawn(move || write_all(&queue, out, bars.as_ref(), &missed));
        Self { lines, dropped }
    }

    /// Waits until what was logged so far is written, or for as long as is worth it.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.lines.try_send(Entry::Flush(done)).is_ok() {
            // Nobody reads: then nobody misses the last lines.
            written.recv_timeout(FLUSH).unwrap_or_default();
        }
    }
}

fn write_all(
    queue: &Receiver<Entry>,
    mut out: Box<dyn Write + Send>,
    bars: Option<&MultiProgress>,
    missed: &AtomicU64,
) {
    let mut write = |line: &[u8]| {
        // There is nowhere left to report that stderr is gone.
        let done: io::Result<()> = match bars {
            Some(bars) => bars.suspend(|| out.write_all(line)),
            None => out.write_all(line),
        };
        done.is_ok()
    };
    while let Ok(entry) = queue.recv() {
        match entry {
            Entry::Line(line) => write(&line),
            // Whoever asked may have given up waiting.
            Entry::Flush(done) => done.send(()).is_ok(),
        };
        let dropped = missed.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            write(
                format!("{dropped} log lines were dropped because nobody read them\n").as_bytes(),
            );
        }
    }
}

/// One event's line.
pub struct Line<'a> {
    queue: &'a LogQueue,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.queue.lines.try_send(Entry::Line(std::mem::take(&mut self.bytes))).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, bytes: Vec::with_capacity(256) }
    }
}

/// Installs the log for the whole program. `filter` are directives like those of `RUST_LOG`,
/// which go before `level`.
pub fn install(level: DebugLevel, format: LogFormat, filter: Option<&str>, queue: LogQueue) {
    let filter = EnvFilter::new(filter.map_or_else(|| directives(level), str::to_owned));
    let layer = tracing_subscriber::fmt::layer().with_writer(queue).with_target(false);
    let base = tracing_subscriber::registry().with(filter);
    // A second subscriber can only come from a test that has installed its own.
    let installed = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(
            base.with(layer.json().flatten_event(true).with_current_span(false)),
        ),
        LogFormat::Text => {
            tracing::subscriber::set_global_default(base.with(layer.with_ansi(false)))
        }
    };
    if installed.is_err() {
        tracing::debug!("The log was installed before");
    }
}

fn directives(level: DebugLevel) -> String {
    let own = match level {
        DebugLevel::None => return "warn".to_owned(),
        DebugLevel::Service => "info",
        DebugLevel::Full => "debug",
    };
    let mut directives = "warn".to_owned();
    for name in OWN {
        directives.push_str(&format!(",{name}={own}"));
    }
    directives
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts nothing, as a pipe whose reader has stopped.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            Ok(0)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_crate_that_logs_is_heard() {
        let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        for folder in std::fs::read_dir(crates).unwrap().map(Result::unwrap) {
            let name = folder.file_name().into_string().unwrap();
            let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml"));
            let logs = manifest.is_ok_and(|text| text.contains("\ntracing.workspace"));
            assert!(!logs || OWN.contains(&name.as_str()), "`{name}` logs, and nobody hears it");
        }
    }

    // Fault: the reader of the log has stopped.
    #[test]
    fn a_stuck_reader_costs_lines_not_progress() {
        let (release, stuck) = std::sync::mpsc::channel();
        let queue = LogQueue::start(Box::new(Stuck(stuck)), None);
        for _ in 0..QUEUE + 100 {
            queue.make_writer().write_all(b"line\n").unwrap();
        }
        assert!(queue.dropped.load(Ordering::Relaxed) >= 90, "lines should have been dropped");
        drop(release);
    }
}
