//! Fills mailboxes with mail that is there: `.eml` files, mbox files, Maildirs, in any nesting.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use crate::exchange::{Content, Delivery, Exchange, header_fields};

/// Deepest nesting of directories that is followed.
const MAX_DEPTH: usize = 32;
/// Most messages that are read.
const MAX_MESSAGES: usize = 2_000_000;
/// Bytes at the start of a file by which it is known as mail.
const START: usize = 4096;

/// A message found on disk.
#[derive(Clone, Debug)]
pub struct Found {
    /// Names of the folders below the place where the search began.
    pub folder: Vec<String>,
    pub content: Content,
    /// By its `Received` or `Date` field, or else the file's own time.
    pub received: DateTime<Utc>,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Search {
    pub messages: Vec<Found>,
    /// Files that are no mail.
    pub skipped: Vec<PathBuf>,
}

/// Finds the messages at `path`: a file, or a directory with everything below it.
///
/// # Errors
///
/// A file or directory cannot be read, or there is no mail at all.
pub fn search(path: &Path) -> Result<Search> {
    let mut search = Search::default();
    visit(path, &[], 0, &mut search)?;
    anyhow::ensure!(!search.messages.is_empty(), "there is no mail in `{}`", path.display());
    Ok(search)
}

/// Delivers messages to mailboxes in turn, and returns how many went to each. Messages at the
/// top go to the inbox, the others to folders of the same names.
///
/// # Errors
///
/// A mailbox was removed meanwhile.
pub fn fill(server: &Exchange, addresses: &[String], messages: Vec<Found>) -> Result<usize> {
    for address in addresses {
        server.add_mailbox(address);
    }
    let count = messages.len();
    for (message, address) in messages.into_iter().zip(addresses.iter().cycle()) {
        let path: Vec<&str> = match message.folder.first() {
            None => vec!["Inbox"],
            Some(_) => message.folder.iter().map(String::as_str).collect(),
        };
        server.add_folder(address, &path, "IPF.Note")?;
        server.deliver_as(address, &path, Delivery::new(message.content, message.received))?;
    }
    Ok(count.div_ceil(addresses.len().max(1)))
}

fn visit(path: &Path, folder: &[String], depth: usize, search: &mut Search) -> Result<()> {
    let unreadable = || format!("could not read `{}`", path.display());
    let kind = fs::symlink_metadata(path).with_context(unreadable)?;
    if kind.is_file() {
        return visit_file(path, folder, search);
    }
    if !kind.is_dir() || depth > MAX_DEPTH {
        search.skipped.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(unreadable)?;
    entries.sort();
    let is_maildir = path.join("cur").is_dir() && path.join("new").is_dir();
    for entry in entries {
        anyhow::ensure!(
            search.messages.len() < MAX_MESSAGES,
            "there are more than {MAX_MESSAGES} messages: give a part of them"
        );
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut below = folder.to_vec();
        match name.as_str() {
            "tmp" if is_maildir => continue,
            "cur" | "new" if is_maildir => {}
            // Maildir++: folders of a mailbox lie side by side, their names begin with a dot.
            _ if is_maildir && name.starts_with('.') => {
                below.extend(name.split('.').skip(1).map(str::to_owned));
            }
            _ if name.starts_with('.') => continue,
            _ if entry.is_dir() => below.push(name),
            _ => {}
        }
        visit(&entry, &below, depth + 1, search)?;
    }
    Ok(())
}

fn visit_file(path: &Path, folder: &[String], search: &mut Search) -> Result<()> {
    let unreadable = || format!("could not read `{}`", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let time: DateTime<Utc> =
        file.metadata().and_then(|data| data.modified()).with_context(unreadable)?.into();
    let mut reader = BufReader::with_capacity(START, file);
    let start = reader.fill_buf().with_context(unreadable)?;
    if start.starts_with(b"From ") {
        let mut folder = folder.to_vec();
        if path.extension().is_some_and(|end| end == "mbox") {
            folder.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
        return split_mbox(reader, path, &folder, time, search).with_context(unreadable);
    }
    if !is_mail(start) {
        search.skipped.push(path.to_owned());
        return Ok(());
    }
    push(Content::file(path).with_context(unreadable)?, folder, time, search);
    Ok(())
}

/// Whether a file begins with a header field.
fn is_mail(start: &[u8]) -> bool {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len()
        && !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn push(content: Content, folder: &[String], time: DateTime<Utc>, search: &mut Search) {
    let fields = content.head().map(|head| header_fields(&head)).unwrap_or_default();
    let value = |wanted: &str| {
        fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let date = |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok().map(|at| at.to_utc());
    let received = value("Received")
        .and_then(|value| date(value.rsplit_once(';')?.1))
        .or_else(|| date(value("Date")?))
        .unwrap_or(time);
    search.messages.push(Found { folder: folder.to_vec(), content, received });
}

/// The messages of an mbox file (RFC 4155), each as a part of the file where that is possible.
fn split_mbox(
    mut reader: impl BufRead,
    path: &Path,
    folder: &[String],
    time: DateTime<Utc>,
    search: &mut Search,
) -> Result<()> {
    let shared: Arc<Path> = path.into();
    let mut message = Message::default();
    let mut line = Vec::new();
    let (mut at, mut after_blank) = (0, true);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 || (after_blank && line.starts_with(b"From ")) {
            let ended = std::mem::replace(&mut message, Message::at(at + length));
            if let Some(content) = ended.finish(at, &shared, length == 0)? {
                push(content, folder, time, search);
            }
            if length == 0 {
                return Ok(());
            }
        } else {
            let marks = line.iter().take_while(|byte| **byte == b'>').count();
            message.quoted |=
                marks > 0 && line.get(marks..).is_some_and(|l| l.starts_with(b"From "));
            message.blank = if line == b"\n" || line == b"\r\n" { length } else { 0 };
        }
        after_blank = message.blank > 0;
        at += length;
    }
}

/// One message while an mbox is read.
#[derive(Debug, Default)]
struct Message {
    start: Option<u64>,
    /// A line of it is quoted: `>From `.
    quoted: bool,
    /// Length of its last line if that is empty.
    blank: u64,
}

impl Message {
    fn at(start: u64) -> Self {
        Self { start: Some(start), ..Self::default() }
    }

    fn finish(self, end: u64, path: &Arc<Path>, last: bool) -> Result<Option<Content>> {
        let Some(offset) = self.start else { return Ok(None) };
        // The empty line before the next message is no part of this one.
        let end = if last { end } else { end - self.blank };
        let length = end.saturating_sub(offset);
        let content = Content::File { path: Arc::clone(path), offset, length };
        if !self.quoted {
            return Ok(Some(content));
        }
        let whole = content.to_bytes()?;
        let mut plain = Vec::with_capacity(whole.len());
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let marks = line.iter().take_while(|byte| **byte == b'>').count();
            let is_quoted = marks > 0 && line.get(marks..).is_some_and(|l| l.starts_with(b"From "));
            plain.extend_from_slice(line.get(usize::from(is_quoted)..).unwrap_or_default());
        }
        Ok(Some(plain.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(search: &Search) -> Vec<(String, String)> {
        let text =
            |found: &Found| String::from_utf8(found.content.to_bytes().unwrap().to_vec()).unwrap();
        search.messages.iter().map(|found| (found.folder.join("/"), text(found))).collect()
    }

    #[test]
    fn finds_mail_in_every_kind_of_place() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a.eml", "Subject: a\r\nDate: Sat, 21 Nov 2026 08:15:00 +0000\r\n\r\na\r\n");
        write("README.md", "# no mail\n");
        write("Sub/b.txt", "Subject: b\n\nb\n");
        write(
            "Sub/old.mbox",
            "From x\nSubject: c\n\n>From c\n>>From d\n\nFrom y\nSubject: d\n\nd\n",
        );
        write("Box/cur/1:2,S", "Subject: e\n\ne\n");
        write("Box/new/2", "Subject: f\n\nf\n");
        write("Box/tmp/3", "Subject: no\n\nno\n");
        write("Box/.Sent.2026/cur/4", "Subject: g\n\ng\n");
        fs::create_dir_all(directory.path().join("Box/.Sent.2026/new")).unwrap();

        let search = search(directory.path()).unwrap();
        let expected = [
            ("Box/Sent/2026", "Subject: g\n\ng\n"),
            ("Box", "Subject: e\n\ne\n"),
            ("Box", "Subject: f\n\nf\n"),
            ("Sub", "Subject: b\n\nb\n"),
            ("Sub/old", "Subject: c\n\nFrom c\n>From d\n"),
            ("Sub/old", "Subject: d\n\nd\n"),
            ("", "Subject: a\r\nDate: Sat, 21 Nov 2026 08:15:00 +0000\r\n\r\na\r\n"),
        ];
        assert_eq!(contents(&search), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(search.skipped.len(), 1);
        assert_eq!(search.messages[6].received.to_rfc3339(), "2026-11-21T08:15:00+00:00");
    }

    #[test]
    fn a_place_without_mail_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = search(directory.path()).unwrap_err().to_string();
        assert!(error.starts_with("there is no mail in `"), "{error}");
    }
}
