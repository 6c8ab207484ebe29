//! The list of what was delivered, one line per email, which only grows.
//!
//! Lines are written *before* the files that they speak of get their names. So after a crash
//! there may be lines without files, which the repair removes, but never files without a line,
//! which nobody would notice: the source is told that the email is held, and never sends it again.
//! The checkpoint records how long the ledger was. What lies before that mark is settled, and
//! damage there is an error; what follows counts line by line once its files exist.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use record::{ItemId, Route, SinkError, Uid};
use serde::{Deserialize, Serialize};

use super::{
    durable::{Temp, at, replace_file, sync_dir},
    line,
    sidecar::held,
    state::{VERSION, corrupt},
};

/// Longest line, in bytes: identifiers of servers have a few hundred.
const MAX_LINE: u64 = 64 << 10;
/// What is read to look at the last line: most are shorter.
const FIRST_LOOK: u64 = 4 << 10;

/// One email that was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub uid: Uid,
    pub item: ItemId,
    /// Lower-case hex of the SHA-256 of the `.eml` file.
    pub sha256: String,
    /// Size of the `.eml` file in bytes.
    pub size: u64,
    pub timestamp: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    version: u64,
    bucket: String,
    mailbox: String,
}

/// The ledger of one route, with the directory of the files that it speaks of.
pub(crate) struct Ledger {
    path: PathBuf,
    state_dir: PathBuf,
    data_dir: PathBuf,
}

impl Ledger {
    pub(crate) fn new(state_dir: &Path, data_dir: &Path) -> Self {
        Self {
            path: state_dir.join("ledger.jsonl"),
            state_dir: state_dir.to_owned(),
            data_dir: data_dir.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes; 0 without a ledger.
    pub(crate) fn size(&self) -> Result<u64, SinkError> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(found.len()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(err) => Err(at(&self.path)(err)),
        }
    }

    /// Appends `entries` and hands out the file, which is not yet durable.
    pub(crate) fn append(&self, route: &Route, entries: &[LedgerEntry]) -> io::Result<File> {
        if !self.path.exists() {
            let header = Header {
                kind: "ledger".to_owned(),
                version: VERSION,
                bucket: route.bucket.to_string(),
                mailbox: route.mailbox.to_string(),
            };
            replace_file(&self.state_dir, &self.path, &line::seal(&header)?)?;
        }
        let mut lines = Vec::new();
        for entry in entries {
            lines.extend_from_slice(&line::seal(entry)?);
        }
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(&lines)?;
        Ok(file)
    }

    /// Reads the lines that count, oldest first; `mark` is the length that the checkpoint knows.
    pub(crate) fn lines(&self, mark: u64) -> Result<LedgerLines, SinkError> {
        let size = self.size()?;
        if size < mark {
            return Err(corrupt(&self.path, format!("it has {size} bytes instead of {mark}")));
        }
        Ok(self.open(mark)?.0)
    }

    /// The bucket and the mailbox that the first line names; `None` if there is no ledger.
    pub(crate) fn owner(&self) -> Result<Option<(String, String)>, SinkError> {
        Ok(self.open(0)?.1.map(|header| (header.bucket, header.mailbox)))
    }

    fn open(&self, mark: u64) -> Result<(LedgerLines, Option<Header>), SinkError> {
        let input = match File::open(&self.path) {
            Ok(file) => Some(BufReader::new(file)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            Err(err) => return Err(at(&self.path)(err)),
        };
        let (path, data_dir) = (self.path.clone(), self.data_dir.clone());
        let mut lines = LedgerLines { input, path, data_dir, mark, at: 0, number: 0 };
        if lines.input.is_none() {
            return Ok((lines, None));
        }
        let raw = lines.next_bytes()?.map(|(_, raw)| raw).unwrap_or_default();
        let header = line::parse::<Header>(&raw).filter(|header| header.kind == "ledger");
        let header = header.ok_or_else(|| corrupt(&self.path, "its first line is damaged"))?;
        if header.version > VERSION {
            let place = self.path.display().to_string();
            return Err(SinkError::TooNew { place, found: header.version, known: VERSION });
        }
        Ok((lines, Some(header)))
    }

    /// The lines after `mark` that count: few, unless the checkpoint is lost.
    pub(crate) fn unsettled(&self, mark: u64) -> Result<Vec<LedgerEntry>, SinkError> {
        let mut lines = self.lines(mark)?;
        lines.skip_to_mark()?;
        lines.collect()
    }

    /// Removes what a crash left after `mark`: a torn line, lines without files.
    pub(crate) fn repair(&self, mark: u64) -> Result<(), SinkError> {
        self.check_end(mark)?;
        if self.size()? == mark {
            return Ok(());
        }
        let mut lines = self.lines(mark)?;
        lines.skip_to_mark()?;
        let (mut first_bad, mut good_after) = (None, false);
        while let Some((start, _, entry)) = lines.next_raw()? {
            match entry {
                Some(entry) if lines.is_settled(start, &entry) => good_after |= first_bad.is_some(),
                _ => first_bad = first_bad.or(Some(start)),
            }
        }
        let Some(first_bad) = first_bad else { return Ok(()) };
        tracing::info!(ledger.path = %self.path.display(), kept_bytes = first_bad,
            "Removed the traces of an unfinished batch from the ledger");
        let repaired = if good_after { self.rewrite(mark, first_bad) } else { self.cut(first_bad) };
        repaired.map_err(at(&self.path))
    }

    /// Checks the last settled line: the blocks that were written last are those that a disk
    /// loses. The lines before it are read by `verify` only, for that takes long.
    fn check_end(&self, mark: u64) -> Result<(), SinkError> {
        if mark == 0 || self.size()? < mark {
            return Ok(());
        }
        let file = File::open(&self.path).map_err(at(&self.path))?;
        let mut window = FIRST_LOOK.min(mark);
        loop {
            let mut end = vec![0; usize::try_from(window).unwrap_or_default()];
            file.read_exact_at(&mut end, mark - window).map_err(at(&self.path))?;
            let before = end.get(..end.len().saturating_sub(1)).unwrap_or_default();
            let start = before.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            let start = start.or((window == mark).then_some(0));
            if let Some(line) = start.and_then(|start| end.get(start..)) {
                let good = line::parse::<LedgerEntry>(line).is_some()
                    || line::parse::<Header>(line).is_some();
                return if good { Ok(()) } else { Err(self.damaged_before(mark)) };
            }
            if window >= MAX_LINE {
                return Err(self.damaged_before(mark));
            }
            window = MAX_LINE.min(mark);
        }
    }

    fn damaged_before(&self, mark: u64) -> SinkError {
        corrupt(&self.path, format!("the line that ends at byte {mark} is damaged"))
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn rewrite(&self, mark: u64, first_bad: u64) -> io::Result<()> {
        let (temp, mut to) = Temp::create(&self.state_dir)?;
        io::copy(&mut File::open(&self.path)?.take(first_bad), &mut to)?;
        let mut lines = self.lines(mark).map_err(io::Error::other)?;
        lines.seek_to(first_bad)?;
        while let Some((start, raw, entry)) = lines.next_raw().map_err(io::Error::other)? {
            if entry.is_some_and(|entry| lines.is_settled(start, &entry)) {
                to.write_all(&raw)?;
            }
        }
        to.sync_all()?;
        temp.publish(&self.path)?;
        sync_dir(&self.state_dir)
    }
}

/// The emails that were delivered, oldest first. Holds one line in memory.
///
/// An email has a second line if the disk failed while it was stored and the server then sent
/// other bytes; the last one counts.
pub struct LedgerLines {
    /// `None` without a ledger, and after the end.
    input: Option<BufReader<File>>,
    path: PathBuf,
    data_dir: PathBuf,
    mark: u64,
    /// Where the next line begins.
    at: u64,
    number: u64,
}

impl LedgerLines {
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.at = offset;
        match &mut self.input {
            Some(input) => input.seek(SeekFrom::Start(offset)).map(drop),
            None => Ok(()),
        }
    }

    fn skip_to_mark(&mut self) -> Result<(), SinkError> {
        let to = self.mark.max(self.at);
        self.seek_to(to).map_err(at(&self.path))
    }

    fn next_bytes(&mut self) -> Result<Option<(u64, Vec<u8>)>, SinkError> {
        let Some(input) = &mut self.input else { return Ok(None) };
        let start = self.at;
        let mut raw = Vec::new();
        input.take(MAX_LINE).read_until(b'\n', &mut raw).map_err(at(&self.path))?;
        self.at += raw.len() as u64;
        self.number += 1;
        Ok((!raw.is_empty()).then_some((start, raw)))
    }

    /// The next line with its offset; without an entry if it is damaged.
    #[expect(clippy::type_complexity, reason = "two private callers")]
    fn next_raw(&mut self) -> Result<Option<(u64, Vec<u8>, Option<LedgerEntry>)>, SinkError> {
        let Some((start, raw)) = self.next_bytes()? else { return Ok(None) };
        let entry = line::parse(&raw);
        Ok(Some((start, raw, entry)))
    }

    fn is_settled(&self, start: u64, entry: &LedgerEntry) -> bool {
        start < self.mark
            || held(&self.data_dir, entry.uid).is_some_and(|held| held.sha256 == entry.sha256)
    }
}

impl Iterator for LedgerLines {
    type Item = Result<LedgerEntry, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_raw() {
                Ok(Some((start, _, Some(entry)))) if self.is_settled(start, &entry) => {
                    return Some(Ok(entry));
                }
                Ok(Some((start, _, None))) if start < self.mark => {
                    self.input = None;
                    let cause = format!("line {} is damaged", self.number);
                    return Some(Err(corrupt(&self.path, cause)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(err) => {
                    self.input = None;
                    return Some(Err(err));
                }
            }
        }
    }
}
