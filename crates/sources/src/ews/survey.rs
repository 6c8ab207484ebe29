//! Which folders a mailbox has, and which of them changed.
//!
//! The folder tree is read by `SyncFolderHierarchy` from its start, then one `GetFolder` asks for
//! the marks of its folders and of the top. Later rounds repeat only the `GetFolder`: new, moved,
//! renamed and deleted folders show there as another count of children, parent, name, or as
//! missing, and then the tree is read again. The cursor of the tree would save nothing: all
//! names are needed again to form paths, and the tree is small.
//!
//! What the cheap check cannot see is a mail folder made below a calendar or contacts folder that
//! had no children, or made between the two requests that read the tree. A thorough survey sees
//! both.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use record::{Checkpoint, Folder, FolderId, Position, SourceError, Survey};
use serde::{Deserialize, Serialize};

use super::{
    failure::{Subject, Verdict},
    mailbox::{EwsMailbox, Question},
    reply::{self, Fault, FolderRow},
    request::Target,
    stream::{Bodies, Malformed},
};
use crate::tree::{Branch, Found, find_mail, is_mail_class};

/// Folders whose marks are asked for at once.
const FOLDERS_AT_ONCE: usize = 250;
/// Pages of the folder tree that are followed. A server that has more is in a loop.
const MAX_PAGES: usize = 1000;

/// When a folder that may not be read is tried again.
const TRY_CLOSED_AFTER: Duration = Duration::from_secs(3600);

/// What is remembered of a mailbox's folders. It travels in the checkpoint, so that an idle
/// mailbox takes no memory here, and so that the first round after a start is cheap.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tree {
    /// [`shape`] of the top folder.
    top: u64,
    folders: Vec<Known>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: FolderId,
    /// Names from the top down.
    path: Vec<String>,
    /// What must stay the same for the tree to be the same.
    shape: u64,
    /// Holds mail. Other folders are watched for new children only.
    is_mail: bool,
}

impl Tree {
    /// Reads a tree that [`Tree::position`] wrote. One that another version wrote, in another
    /// form, is no loss: the tree is read from the server again.
    fn parse(position: &Position) -> Option<Self> {
        let Position::Cursor { token } = position else { return None };
        serde_json::from_str(token).ok()
    }

    fn position(&self) -> Option<Position> {
        serde_json::to_string(self).ok().map(|token| Position::Cursor { token })
    }
}

impl EwsMailbox {
    pub(super) async fn look_around(
        &mut self,
        known: &Checkpoint,
        thorough: bool,
    ) -> Result<Survey, SourceError> {
        let tree = known.hierarchy.as_ref().filter(|_| !thorough).and_then(Tree::parse);
        if let Some(tree) = tree {
            if let Some(survey) = self.check(&tree).await? {
                return Ok(survey);
            }
            tracing::debug!(mailbox.id = %self.id, "The folders of `{}` changed", self.id);
        }
        let found = self.read_tree().await?;
        self.first_check(found).await
    }

    /// The folders with their marks; `None` if the tree is no longer the same.
    async fn check(&mut self, tree: &Tree) -> Result<Option<Survey>, SourceError> {
        let ids: Vec<&FolderId> = tree.folders.iter().map(|known| &known.id).collect();
        let Some(marks) = self.marks(&ids).await? else { return Ok(None) };
        let same = |known: &Known| marks.rows.get(&known.id).map(shape) == Some(known.shape);
        if shape(&marks.top) != tree.top || !tree.folders.iter().all(same) {
            return Ok(None);
        }
        Ok(Some(self.survey_of(tree, &marks.rows)))
    }

    /// Adds to a new tree what later checks compare with. Folders that vanished meanwhile, or
    /// may not be read, are left out.
    async fn first_check(&mut self, found: Vec<Found>) -> Result<Survey, SourceError> {
        let ids: Vec<&FolderId> = found.iter().map(|found| &found.id).collect();
        let marks = self.partial_marks(&ids).await?;
        let known = |found: Found| {
            let row = marks.rows.get(&found.id)?;
            let Found { id, path, is_mail } = found;
            Some(Known { id, path, shape: shape(row), is_mail })
        };
        let folders = found.into_iter().filter_map(known).collect();
        let tree = Tree { top: shape(&marks.top), folders };
        Ok(self.survey_of(&tree, &marks.rows))
    }

    /// The marks of the top and of `ids`; `None` if one of them is gone.
    async fn marks(&mut self, ids: &[&FolderId]) -> Result<Option<Marks>, SourceError> {
        let marks = self.partial_marks(ids).await?;
        Ok((marks.rows.len() == ids.len()).then_some(marks))
    }

    async fn partial_marks(&mut self, ids: &[&FolderId]) -> Result<Marks, SourceError> {
        let mut top = None;
        let mut rows = HashMap::with_capacity(ids.len());
        let mut rest = ids;
        loop {
            let with_top = top.is_none();
            let room = FOLDERS_AT_ONCE - usize::from(with_top);
            let (group, left) = rest.split_at(rest.len().min(room));
            let mut answers = self.ask_marks(with_top, group).await?.into_iter();
            if with_top {
                top = match answers.next() {
                    Some(Ok(row)) => Some(row),
                    Some(Err(fault)) => return Err(self.judge_folder(&fault, Subject::Mailbox)),
                    None => None,
                };
            }
            for (id, answer) in group.iter().zip(answers) {
                match answer {
                    Ok(row) => {
                        rows.insert((*id).clone(), row);
                    }
                    Err(fault) => {
                        let subject = Subject::Folder { id, divisible: false };
                        match self.judge_folder(&fault, subject) {
                            SourceError::FolderGone { .. } => {}
                            err => return Err(err),
                        }
                    }
                }
            }
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        let top = top.ok_or_else(|| self.bad_reply(Malformed::Missing("top folder")))?;
        Ok(Marks { top, rows })
    }

    async fn ask_marks(
        &mut self,
        with_top: bool,
        group: &[&FolderId],
    ) -> Result<Vec<Result<FolderRow, Fault>>, SourceError> {
        let question = Question {
            operation: "GetFolder",
            subject: Subject::Mailbox,
            bodies: Bodies::Mime,
            limits: self.limits(),
            write: &|envelope| {
                let top = with_top.then_some(Target::Root);
                envelope.folder_marks(top.into_iter().chain(group.iter().map(|&id| id.into())))
            },
            read: reply::folder_marks,
        };
        let asked = group.len() + usize::from(with_top);
        match self.ask(question).await {
            Ok(answer) if answer.value.len() == asked => Ok(answer.value),
            Ok(_) => Err(self.bad_reply(Malformed::Missing("folder that was asked for"))),
            Err(verdict) => Err(self.error(verdict, "GetFolder")),
        }
    }

    /// What a fault of one folder means; a folder that cannot be read counts as gone.
    fn judge_folder(&mut self, fault: &Fault, subject: Subject<'_>) -> SourceError {
        let err = match (self.judge(fault, "GetFolder", subject), subject) {
            (Verdict::SkipFolder { .. }, Subject::Folder { id, .. }) => {
                SourceError::FolderGone { folder: id.clone() }
            }
            (verdict, _) => self.error(verdict, "GetFolder"),
        };
        self.heed(&err);
        err
    }

    fn survey_of(&mut self, tree: &Tree, rows: &HashMap<FolderId, FolderRow>) -> Survey {
        self.closed_folders.retain(|(_, since)| since.elapsed() < TRY_CLOSED_AFTER);
        let closed = |known: &Known| self.closed_folders.iter().any(|(id, _)| *id == known.id);
        let folder = |known: &Known| {
            let row = rows.get(&known.id);
            Folder {
                id: known.id.clone(),
                path: known.path.clone(),
                mark: row.and_then(mark),
                total: row.and_then(|row| row.total),
            }
        };
        let open = tree.folders.iter().filter(|known| known.is_mail && !closed(known));
        Survey { folders: open.map(folder).collect(), hierarchy: tree.position() }
    }

    fn bad_reply(&self, malformed: Malformed) -> SourceError {
        SourceError::BadReply {
            host: self.service.host().to_owned(),
            operation: "GetFolder",
            cause: malformed.into(),
        }
    }

    /// All folders below the top that hold mail, or that could get a child that does.
    async fn read_tree(&mut self) -> Result<Vec<Found>, SourceError> {
        let mut rows: BTreeMap<FolderId, FolderRow> = BTreeMap::new();
        let mut state: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let question = Question {
                operation: "SyncFolderHierarchy",
                subject: Subject::Mailbox,
                bodies: Bodies::Mime,
                limits: self.limits(),
                write: &|envelope| envelope.sync_folder_hierarchy(state.as_deref()),
                read: reply::hierarchy_page,
            };
            let page = match self.ask(question).await {
                Ok(answer) => answer.value,
                Err(verdict) => return Err(self.error(verdict, "SyncFolderHierarchy")),
            };
            for gone in page.deleted {
                rows.remove(&gone);
            }
            rows.extend(page.folders.into_iter().map(|row| (row.id.clone(), row)));
            if page.last {
                return Ok(find_mail(&rows, branch));
            }
            state = Some(page.state);
        }
        Err(self.bad_reply(Malformed::Missing("end of the folder tree")))
    }
}

/// Marks of folders, and of the top.
struct Marks {
    top: FolderRow,
    rows: HashMap<FolderId, FolderRow>,
}

/// A folder's mark: when its items last changed, how many were ever deleted, how many there
/// are. `None` if the server tells only the last, which says too little.
fn mark(row: &FolderRow) -> Option<String> {
    if row.commit_time.is_none() && row.deleted.is_none() {
        return None;
    }
    let total = row.total.map(|total| total.to_string());
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    Some(format!("{} {} {}", part(&row.commit_time), part(&row.deleted), part(&total)))
}

/// What changes when the folder is renamed or moved, or gains or loses a child.
fn shape(row: &FolderRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&row.parent, &row.name, row.children).hash(&mut hasher);
    hasher.finish()
}

/// How a folder is placed in the tree.
fn branch(row: &FolderRow) -> Branch<'_> {
    let mail_class = row.class.as_deref().is_none_or(is_mail_class);
    Branch { parent: row.parent.as_ref(), name: &row.name, holds_mail: row.plain && mail_class }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn row(id: &str, parent: &str, name: &str, class: &str) -> (FolderId, FolderRow) {
        let id = FolderId(id.to_owned());
        let row = FolderRow {
            id: id.clone(),
            parent: Some(FolderId(parent.to_owned())),
            name: name.to_owned(),
            class: (!class.is_empty()).then(|| class.to_owned()),
            plain: true,
            total: Some(3),
            children: None,
            commit_time: None,
            deleted: None,
        };
        (id, row)
    }

    #[test]
    fn finds_mail_folders_wherever_they_hang() {
        let mut rows = BTreeMap::from([
            row("a", "top", "Inbox", "IPF.Note"),
            row("b", "a", "Claims/2026", ""),
            row("c", "top", "Contacts", "IPF.Contact"),
            row("d", "c", "Mail below contacts", "ipf.note.custom"),
            row("e", "top", "Calendar", "IPF.Appointment"),
            row("f", "top", "sync issues", "IPF.Note"),
            row("g", "f", "Conflicts", "IPF.Note"),
            row("h", "a", "Sync Issues", "IPF.Note"),
            row("i", "top", "", "IPF.Imap"),
            row("j", "top", "Saved search", "IPF.Note"),
            row("x", "y", "Circle", "IPF.Note"),
            row("y", "x", "Circle", "IPF.Note"),
        ]);
        if let Some(search) = rows.get_mut(&FolderId("j".to_owned())) {
            search.plain = false;
        }
        let shown: Vec<String> = find_mail(&rows, branch)
            .iter()
            .map(|found| format!("{} {:?} {}", found.id.0, found.path, found.is_mail))
            .collect();
        expect![[r#"
            a ["Inbox"] true
            b ["Inbox", "Claims/2026"] true
            c ["Contacts"] false
            d ["Contacts", "Mail below contacts"] true
            h ["Inbox", "Sync Issues"] true
            i ["(unnamed)"] true"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn marks_need_more_than_a_count() {
        let (_, mut row) = row("a", "top", "Inbox", "");
        assert_eq!(mark(&row), None);
        row.deleted = Some("7".to_owned());
        assert_eq!(mark(&row).as_deref(), Some("- 7 3"));
        row.commit_time = Some("2026-11-22T01:20:42Z".to_owned());
        assert_eq!(mark(&row).as_deref(), Some("2026-11-22T01:20:42Z 7 3"));
    }

    #[test]
    fn an_idle_mailbox_is_small() {
        // The tree of its folders is not part of it.
        assert!(size_of::<EwsMailbox>() < 256, "{}", size_of::<EwsMailbox>());
    }

    #[test]
    fn a_tree_comes_back_from_the_checkpoint() {
        let id = FolderId("AAMkAD=".to_owned());
        let path = vec!["Inbox".to_owned(), "Claims \"2026\"".to_owned()];
        let tree =
            Tree { top: u64::MAX, folders: vec![Known { id, path, shape: 7, is_mail: true }] };
        assert_eq!(Tree::parse(&tree.position().unwrap()), Some(tree));
        let strange = Position::Cursor { token: "H4sIAAA=".to_owned() };
        assert_eq!(Tree::parse(&strange), None);
    }
}
