//! Whether everything that is stored is what was stored: `tributary fsck`.
//!
//! Nothing is held for long: each page of contents has its own short transaction, so that a server
//! goes on beside it. What is gone between two looks was deleted, and is no finding.

mod repair;
mod tables;

use std::{collections::BTreeMap, path::Path};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sqlx::Row;

use crate::{
    NeededBy, Progress, Result, Session, Store, StoreError, Swept, Watcher,
    contents::{AT_ONCE, on_disk},
    is_hash,
};

/// Most findings that are told one by one; of the others, only the number is.
const MOST: usize = 1000;
/// Contents of one transaction.
const PAGE: usize = 256;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file of the database is not in order.
    Database,
    /// A row names another that is not there.
    Reference,
    /// Somebody changed or removed audit events.
    Audit,
    /// A content is not what was stored.
    DamagedContent,
    /// A content is not there.
    MissingContent,
    /// A file that is no content of ours.
    StrangeFile,
    /// A content that nothing needs: a crash left it behind, or a backup kept it.
    Unused,
}

impl Kind {
    /// What to do, as a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Database => {
                "Stop the server, keep a copy of the folder, and restore the newest backup."
            }
            Self::Reference => "Restore the newest backup; what is told here cannot be mended.",
            Self::Audit => {
                "Compare with a backup made before: somebody wrote to the database directly."
            }
            Self::DamagedContent | Self::MissingContent => {
                "Run `tributary fsck --repair --from BACKUP`: contents have the same name in every \
                 backup. Without one, upload the emails again under other ids, or delete them."
            }
            Self::StrangeFile => "Find out who put it there; Tributary leaves it alone.",
            Self::Unused => "Nothing: `--repair` removes it, and so does the server by itself.",
        }
    }

    /// Whether something was lost, as opposed to left over.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::Unused | Self::StrangeFile)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    /// What it is about: a hash, a table, a file.
    pub what: String,
    #[serde(flatten)]
    pub needed_by: NeededBy,
    /// What was done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<String>,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// How many there are of each kind, and of those, how many were put in order.
    pub counts: BTreeMap<Kind, (u64, u64)>,
    pub contents: u64,
    pub bytes: u64,
    pub files: u64,
    pub swept: Option<Swept>,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        let (found, repaired) = self.counts.entry(finding.kind).or_default();
        *found += 1;
        *repaired += u64::from(finding.repaired.is_some());
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }

    fn note(&mut self, kind: Kind, what: impl Into<String>) {
        let (needed_by, repaired) = (NeededBy::default(), None);
        self.add(Finding { kind, what: what.into(), needed_by, repaired });
    }

    /// A database that is damaged is a finding, and no reason to look at nothing else.
    fn survive(&mut self, done: Result<()>) -> Result<()> {
        match done {
            Err(StoreError::Damaged { what }) => self.note(Kind::Database, what),
            done => return done,
        }
        Ok(())
    }

    /// Whether something is lost that is not back.
    pub fn is_damaged(&self) -> bool {
        self.counts.iter().any(|(kind, (found, repaired))| kind.is_loss() && found > repaired)
    }
}

/// What is to be done beside looking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Repair<'a> {
    /// Sweeps what is left over, and sets damaged contents aside.
    pub wanted: bool,
    /// A backup with good copies of contents.
    pub from: Option<&'a Path>,
}

struct Known {
    hash: String,
    size: u64,
}

impl Store {
    /// Looks at everything.
    ///
    /// # Errors
    ///
    /// The database or a disk could not be read at all.
    pub async fn check(&self, repair: Repair<'_>, watcher: Watcher<'_>) -> Result<Report> {
        let mut report = Report::default();
        let done = self.check_tables(&mut report, watcher).await;
        report.survive(done)?;
        let done = self.check_contents(&mut report, repair, watcher).await;
        report.survive(done)?;
        let done = self.check_files(&mut report, repair, watcher).await;
        report.survive(done)?;
        Ok(report)
    }

    async fn check_contents(
        &self,
        report: &mut Report,
        repair: Repair<'_>,
        watcher: Watcher<'_>,
    ) -> Result<()> {
        let total = self.read().await?.count_contents().await?;
        let mut after = String::new();
        loop {
            let page = self.read().await?.known_page(&after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.hash);
            // A look is a way over the network where contents are far.
            let at_once = if self.contents.is_far() { AT_ONCE } else { 1 };
            let looks: Vec<_> = page.iter().map(|known| self.look_at(&known.hash)).collect();
            let found: Vec<_> = stream::iter(looks).buffered(at_once).collect().await;
            for (known, found) in page.into_iter().zip(found) {
                let found = found?;
                report.contents += 1;
                report.bytes += known.size;
                if let Some(kind) = found {
                    let needed_by = self.read().await?.needed_by(&known.hash).await?;
                    let repaired = self.repair(&known, kind, repair).await?;
                    report.add(Finding { kind, what: known.hash, needed_by, repaired });
                }
            }
            watcher(Progress { what: "contents", done: report.contents, total });
        }
    }

    /// What is wrong with a content.
    async fn look_at(&self, hash: &str) -> Result<Option<Kind>> {
        let mut session = self.read().await?;
        let opened = session.content(hash).await;
        session.end().await?;
        let (kind, error) = match opened {
            Ok(content) => match on_disk(move || content.verify()).await {
                Ok(()) => return Ok(None),
                // What cannot be read now may be whole.
                Err(error @ StoreError::File { .. }) => return Err(error),
                Err(error) => (Kind::DamagedContent, error),
            },
            Err(error) => (Kind::MissingContent, error),
        };
        if !matches!(error, StoreError::Damaged { .. } | StoreError::File { .. }) {
            return Err(error);
        }
        // It may have been deleted between the two looks.
        let is_there = self.read().await?.has_content(hash).await?;
        Ok(is_there.then_some(kind))
    }

    /// Looks for files that nothing needs.
    async fn check_files(
        &self,
        report: &mut Report,
        repair: Repair<'_>,
        watcher: Watcher<'_>,
    ) -> Result<()> {
        let mut all = self.contents.list();
        while let Some(listed) = all.try_next().await? {
            report.files += listed.len() as u64;
            for file in listed.iter().filter(|file| !is_hash(&file.name)) {
                report.note(Kind::StrangeFile, file.place.clone());
            }
            if !repair.wanted {
                for (hash, _) in self.orphans(listed).await? {
                    report.note(Kind::Unused, hash);
                }
            }
            watcher(Progress { what: "files", done: report.files, total: 0 });
        }
        drop(all);
        if repair.wanted {
            report.swept = Some(self.sweep().await?);
            return Ok(());
        }
        let mut after = String::new();
        loop {
            let unused = self.read().await?.unused_contents(&after, PAGE).await?;
            let Some(last) = unused.last() else { return Ok(()) };
            after.clone_from(last);
            for hash in unused {
                report.note(Kind::Unused, hash);
            }
        }
    }
}

impl Session {
    async fn count_contents(&mut self) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM contents").fetch_one(self.database()).await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    async fn known_page(&mut self, after: &str) -> Result<Vec<Known>> {
        let sql = "SELECT hash, size FROM contents WHERE hash > $1 ORDER BY hash LIMIT $2";
        let query = sqlx::query(sql).bind(after.to_owned());
        let query = query.bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
        let rows = query.fetch_all(self.database()).await?;
        let known = |row: &sqlx::any::AnyRow| {
            let size = u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
            Ok(Known { hash: row.try_get(0)?, size })
        };
        rows.iter().map(known).collect()
    }
}
