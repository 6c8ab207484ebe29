//! A folder of emails as one stream: for the platform's client, or for mail programs.
//!
//! Reads what is there while others may be writing, and leaves out, with the reason, what is not
//! whole. Emails come mailbox by mailbox, in the order of their uids.

mod json_lines;
mod mbox;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use record::{BucketId, MailboxId, SinkError};

pub use self::{json_lines::json_lines, mbox::mbox};
use crate::local_files::{
    Flaw, Layout, Sidecar, Stored, bucket_dir, mailbox_dir, stored_uids, subdirs,
};

/// Reasons that a report keeps; further ones are only counted.
const MAX_REASONS: usize = 1_000;

/// Which emails to export; the default is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub bucket: Option<BucketId>,
    pub mailbox: Option<MailboxId>,
    /// Only emails whose timestamp is this or later.
    pub since: Option<DateTime<Utc>>,
}

/// What became of an export.
#[derive(Debug, Default)]
pub struct Report {
    pub exported: u64,
    /// Emails that should be there and could not be exported.
    pub skipped: u64,
    /// The first 1,000 of them.
    pub reasons: Vec<Skipped>,
}

/// An email that was not exported.
#[derive(Debug)]
pub struct Skipped {
    pub path: PathBuf,
    pub reason: Flaw,
}

/// The export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("could not read the folder")]
    Folder(#[source] SinkError),
    #[error("could not write the output")]
    Output(#[source] io::Error),
}

/// Why one email was not exported.
enum Failure {
    Email(Flaw),
    Output(io::Error),
}

/// Hands each email that `filter` lets through to `write`.
fn each(
    prefix: &Path,
    filter: &Filter,
    mut write: impl FnMut(&Path, &Sidecar) -> Result<(), Failure>,
) -> Result<Report, ExportError> {
    let mut report = Report::default();
    for dir in mailbox_dirs(prefix, filter).map_err(ExportError::Folder)? {
        for uid in stored_uids(&dir).map_err(ExportError::Folder)? {
            let Some(Stored { eml, sidecar, .. }) = Stored::open(&dir, uid) else { continue };
            let failure = match sidecar {
                Ok(sidecar) if filter.since.is_some_and(|since| sidecar.timestamp < since) => {
                    continue;
                }
                Ok(sidecar) => match write(&eml, &sidecar) {
                    Ok(()) => {
                        report.exported += 1;
                        continue;
                    }
                    Err(Failure::Output(err)) => return Err(ExportError::Output(err)),
                    Err(Failure::Email(flaw)) => flaw,
                },
                Err(flaw) => flaw,
            };
            report.skipped += 1;
            if report.reasons.len() < MAX_REASONS {
                report.reasons.push(Skipped { path: eml, reason: failure });
            }
        }
    }
    Ok(report)
}

fn mailbox_dirs(prefix: &Path, filter: &Filter) -> Result<Vec<PathBuf>, SinkError> {
    let layout = Layout::new(prefix);
    // A wrong path must not look like an empty folder.
    fs::read_dir(layout.data()).map_err(|cause| SinkError::Unwritable {
        place: layout.data().display().to_string(),
        cause: cause.into(),
    })?;
    let is = |path: &Path, name: Option<String>| {
        name.is_none_or(|name| path.file_name() == Some(name.as_ref()))
    };
    let owner = filter.bucket.as_ref().map(|bucket| bucket_dir(bucket.owner()));
    let bucket = filter.bucket.as_ref().map(|bucket| bucket_dir(bucket.name()));
    let mailbox = filter.mailbox.as_ref().map(|mailbox| mailbox_dir(mailbox.as_str()));
    let mut dirs = vec![layout.data()];
    for name in [owner, bucket, mailbox] {
        let mut below = Vec::new();
        for dir in &dirs {
            below.extend(subdirs(dir)?.into_iter().filter(|path| is(path, name.clone())));
        }
        dirs = below;
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests;
