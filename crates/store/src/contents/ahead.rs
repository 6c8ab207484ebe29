//! Contents that are kept behind a network: they travel before the transaction that names them, so
//! that no writer waits for one, and the transaction only sees whether they are still there.

use std::{
    collections::HashSet,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::TempPath;

use super::{Place, Staged};
use crate::{Contents, Result, Session, Store};

/// Contents that are on their way at once, or asked for; each may need a connection to the database.
pub(crate) const AT_ONCE: usize = 4;

/// A file of a content that waits to be stored. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    file: TempPath,
    /// It was sent to where contents are kept. A sweep may have removed it since.
    is_sent: AtomicBool,
}

impl Waiting {
    pub(super) fn new(file: TempPath) -> Self {
        Self { file, is_sent: AtomicBool::new(false) }
    }

    fn path(&self) -> &Path {
        &self.file
    }
}

/// The files among contents, each once.
fn files<'a>(all: impl IntoIterator<Item = &'a Staged>) -> Vec<(&'a str, &'a Waiting)> {
    let mut seen = HashSet::new();
    let file = |staged: &'a Staged| match &staged.place {
        Place::File(file) => Some((&*staged.hash, &**file)),
        Place::Memory(_) => None,
    };
    all.into_iter().filter_map(file).filter(|(hash, _)| seen.insert(*hash)).collect()
}

impl Store {
    /// Brings contents to where they are kept, if that is far. Nobody sees them before a
    /// transaction has named them; what none names is removed by a sweep.
    ///
    /// # Errors
    ///
    /// They could not be kept; then nothing was written, and the same may pass later.
    pub async fn send_ahead(&self, all: &[&Staged]) -> Result<()> {
        if !self.contents.is_far() {
            return Ok(());
        }
        let sent: Vec<_> =
            files(all.iter().copied()).into_iter().map(|own| send(&*self.contents, own)).collect();
        stream::iter(sent).buffer_unordered(AT_ONCE).try_collect().await
    }
}

impl Session {
    /// Keeps the files among contents that are about to be named.
    pub(super) async fn keep_files(&mut self, all: &[Staged]) -> Result<()> {
        let files = files(all);
        for (hash, _) in &files {
            // Within the transaction that writes, so that nobody removes it meanwhile.
            self.guard_content(hash).await?;
        }
        let kept: Vec<_> = files.into_iter().map(|own| keep(&*self.contents, own)).collect();
        stream::iter(kept).buffer_unordered(AT_ONCE).try_collect().await
    }
}

async fn send(contents: &dyn Contents, (hash, file): (&str, &Waiting)) -> Result<()> {
    contents.put(hash, file.path()).await?;
    file.is_sent.store(true, Ordering::Relaxed);
    Ok(())
}

async fn keep(contents: &dyn Contents, (hash, file): (&str, &Waiting)) -> Result<()> {
    if file.is_sent.load(Ordering::Relaxed) && contents.has(hash).await? {
        return Ok(());
    }
    contents.put(hash, file.path()).await
}
