//! Runs the writer, and judges what it left behind.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use record::Sink;
use sinks::local_files::LocalFiles;

use crate::{mail, process};

/// Longest time that a writer may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the writer is started.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) prefix: PathBuf,
    pub(crate) total: u64,
    pub(crate) batch: u64,
    pub(crate) flags: &'static [&'static str],
    /// A program in front of it, with its arguments.
    pub(crate) under: Vec<String>,
}

/// A writer at work.
pub(crate) struct Running {
    child: Child,
    /// `None` once it has been told to stop.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Every email below this number was acknowledged.
    pub(crate) acked: u64,
    /// Its last words.
    pub(crate) last: String,
}

impl Writer {
    pub(crate) fn new(prefix: &Path, total: u64, batch: u64) -> Self {
        Self { prefix: prefix.to_owned(), total, batch, flags: &[], under: Vec::new() }
    }

    pub(crate) fn start(&self) -> Running {
        let program = std::env::current_exe().unwrap().display().to_string();
        let mut words = self.under.clone();
        words.push(program);
        words.extend([process::TEST, "--exact", "--nocapture", "--test-threads=1"].map(Into::into));
        let mut orders = self.prefix.display().to_string();
        for order in [self.total.to_string(), self.batch.to_string()] {
            orders.push('\t');
            orders.push_str(&order);
        }
        for flag in self.flags {
            orders.push('\t');
            orders.push_str(flag);
        }
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env(process::ORDERS, orders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|err| panic!("could not start `{}`: {err}", words[0]));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // What the test harness says is of no interest.
                let Some(line) = line.strip_prefix("> ") else { continue };
                if send.send(line.to_owned()).is_err() {
                    return;
                }
            }
        });
        Running { child, stdin, lines, acked: 0, last: String::new() }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> (Running, ExitStatus) {
        let mut running = self.start();
        let status = running.wait();
        (running, status)
    }

    /// Runs it once more without any trouble: it must be able to finish its work.
    pub(crate) fn finish(&self) {
        let calm = Self { flags: &[], under: Vec::new(), ..self.clone() };
        let (running, status) = calm.run();
        assert!(status.success(), "the restart failed: {}", running.last);
        assert_eq!(calm.violations(self.total), Vec::<String>::new(), "after the restart");
        self.is_tidy();
    }

    /// Every promise that the folder breaks, given that emails below `acked` were acknowledged.
    pub(crate) fn violations(&self, acked: u64) -> Vec<String> {
        let mut found = Vec::new();
        let folder = match LocalFiles::open_read_only(&self.prefix) {
            Ok(folder) => folder,
            Err(_) if acked == 0 => return found,
            Err(err) => return vec![format!("no folder: {}", record::Chain(&err))],
        };
        let route = mail::route();
        for n in 0..self.total {
            let Some(stored) = folder.stored_email(&route, mail::uid(n)) else { continue };
            if stored.eml.exists() && fs::read(&stored.eml).unwrap() != mail::body(n) {
                found.push(format!("email {n} is visible and torn"));
            }
            if let Err(flaw @ sinks::local_files::Flaw::SidecarUnreadable(_)) = stored.sidecar {
                found.push(format!("sidecar {n} is visible and torn: {flaw}"));
            }
        }
        let checkpoint = match wait(folder.load_checkpoint(&route)) {
            Ok(checkpoint) => checkpoint,
            Err(err) => {
                found.push(format!("no checkpoint: {}", record::Chain(&err)));
                return found;
            }
        };
        let covered = checkpoint.folders.get(&mail::folder()).map_or(0, |folder| folder.delivered);
        for n in 0..acked.max(covered) {
            let whole = folder.stored_email(&route, mail::uid(n)).map(|stored| stored.check());
            let who = if n < acked { "acknowledged" } else { "covered by the checkpoint" };
            match whole {
                Some(Ok(_)) => {}
                Some(Err(flaw)) => found.push(format!("email {n}, {who}: {flaw}")),
                None => found.push(format!("email {n}, {who}, is missing")),
            }
        }
        found
    }

    /// All is delivered, once, and nothing else is there: source = ledger = folder.
    fn is_tidy(&self) {
        let folder = LocalFiles::open_read_only(&self.prefix).unwrap();
        let route = mail::route();
        let expected: BTreeSet<_> = (0..self.total).map(mail::uid).collect();
        let stored: BTreeSet<_> = folder.stored(&route).unwrap().map(|stored| stored.uid).collect();
        assert!(stored == expected, "the folder does not hold what was delivered");
        let ledger: Vec<_> =
            folder.ledger(&route).unwrap().map(|entry| entry.unwrap().uid).collect();
        assert_eq!(ledger.len(), expected.len(), "lines of the ledger");
        assert!(ledger.into_iter().collect::<BTreeSet<_>>() == expected, "the ledger differs");
        assert_eq!(litter(&self.prefix), Vec::<PathBuf>::new());
    }
}

/// Waits for a call to a sink, in a test that is not asynchronous.
pub(crate) fn wait<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(call)
}

/// Temporary files anywhere below `dir`.
pub(crate) fn litter(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(litter(&path));
        } else if path.extension().is_some_and(|extension| extension == "tmp") {
            found.push(path);
        }
    }
    found
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes note of what it says until `until`; `false` once it has nothing more to say.
    pub(crate) fn listen_until(&mut self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.note(line),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// The next line.
    pub(crate) fn next_line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE).expect("the writer fell silent");
        self.note(line);
        self.last.clone()
    }

    /// Lets it make one attempt, and returns what it says about it.
    pub(crate) fn step(&mut self) -> String {
        self.stdin.as_ref().unwrap().write_all(b"\n").unwrap();
        self.next_line()
    }

    fn note(&mut self, line: String) {
        if let Some(n) = line.strip_prefix("ack ") {
            self.acked = n.parse().unwrap();
        }
        self.last = line;
    }

    /// Lets a writer that waits for its next step end by itself.
    pub(crate) fn stop(&mut self) {
        drop(self.stdin.take());
        self.wait();
    }

    /// Ends it without notice, and hears its last words.
    pub(crate) fn kill(&mut self) {
        // It may be gone already.
        self.child.kill().unwrap_or_default();
        self.wait();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(!self.listen_until(Instant::now() + PATIENCE), "the writer does not end");
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test must not leave it behind.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// `true` if a signal ended it: its own, or that of the program it ran.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(137)
}
