//! One run of the image, which ends with the check.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    super::{run_quiet, text},
    place::Place,
};

/// Longest time that one run of the image may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Container {
    pub(super) name: String,
    process: Guarded,
    /// Lines of its log, as they come.
    lines: Receiver<String>,
    seen: Vec<String>,
    deadline: Instant,
    said: PathBuf,
}

impl Container {
    pub(super) fn start(place: &Place, name: String) -> Result<Self> {
        let said = place.files.join("stdout");
        let mut command = place.runc();
        command.args(["run", "--bundle"]).arg(&place.bundle).arg(&name);
        let stdout = File::create(&said).context("could not create a file for stdout")?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut process = command.spawn().context("could not start runc")?;
        let log = process.stderr.take().context("no stderr")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            // Ends with the log, or when nobody listens any more.
            let read = BufReader::new(log).lines().map_while(Result::ok);
            read.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        let stop = place.runc();
        let process = Guarded { process, stop: Some((stop, name.clone())) };
        let deadline = Instant::now() + PATIENCE;
        Ok(Self { name, process, lines, seen: Vec::new(), deadline, said })
    }

    pub(super) fn wait_for(&mut self, text: &str) -> Result<()> {
        while let Some(line) = self.line(text)? {
            if line.contains(text) {
                return Ok(());
            }
        }
        bail!("ended before `{text}`:\n{}", self.seen.join("\n"))
    }

    /// Waits for the end, which must be a success, and returns what was printed.
    pub(super) fn end(mut self) -> Result<String> {
        while self.line("its end")?.is_some() {}
        let status = self.process.process.wait().context("lost runc")?;
        if !status.success() {
            bail!("`{}` ended with {status}:\n{}", self.name, self.seen.join("\n"));
        }
        text(&self.said)
    }

    /// The next line; `None` after the last.
    fn line(&mut self, awaited: &str) -> Result<Option<String>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("no sign of `{awaited}` after {PATIENCE:?}:\n{}", self.seen.join("\n"))
            }
        }
    }
}

/// A process that does not outlive the check.
pub(super) struct Guarded {
    pub(super) process: Child,
    /// Ends a container: killing runc would leave it running.
    pub(super) stop: Option<(Command, String)>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        // It has failed already; what cannot be ended either adds nothing to the message.
        if let Some((command, name)) = &mut self.stop {
            run_quiet(command.args(["delete", "--force", name])).unwrap_or_default();
        }
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}
