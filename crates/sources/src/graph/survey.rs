//! Which folders a mailbox has, and which of them may hold something new.
//!
//! `mailFolders/delta` names all folders at first, and later those that changed: renamed, moved,
//! deleted, and, as far as the server says so, those whose messages changed. What it says is a
//! hint, not a proof: no promise of the service covers it. Each folder that it names gets another
//! mark, and the engine, which knows that marks prove nothing here, looks into the others as well.
//!
//! While nothing changes, the first link stays good and the tree stays the same, so that an idle
//! mailbox costs one request and no write.

use std::collections::{BTreeMap, HashSet};

use record::{Checkpoint, Folder, FolderId, Position, SourceError, Survey};
use serde::{Deserialize, Serialize};

use super::{
    failure::Subject,
    list::MAX_PAGE,
    mailbox::{GraphMailbox, Refused},
    service::Ask,
    wire::{self, Collection, FolderRow},
};
use crate::{
    run::Outcome,
    tree::{Branch, find_mail, is_mail_class},
};

/// Pages of folders that are followed. A server that has more is in a loop.
const MAX_PAGES: usize = 1000;
/// Folders of a mailbox; one of Exchange Online has at most some ten thousand.
const MAX_FOLDERS: usize = 100_000;

const OPERATION: &str = "mailFolders";

/// What is remembered of a mailbox's folders. It travels in the checkpoint, so that an idle
/// mailbox takes no memory here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tree {
    /// Where the changes after this state are asked for; none in a cloud without delta queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Begins each mark; another one after marks that may have missed a change.
    epoch: u64,
    folders: BTreeMap<FolderId, Known>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    parent: Option<FolderId>,
    name: String,
    /// Empty if the server tells none; `None` as long as it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    hidden: bool,
    /// A saved search.
    #[serde(default, skip_serializing_if = "is_false")]
    search: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unread: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    children: Option<u64>,
    /// How often the server has named it since the epoch began.
    #[serde(default, skip_serializing_if = "is_zero")]
    changes: u64,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Tree {
    /// Reads a tree that [`Tree::position`] wrote. One that another version wrote, in another
    /// form, is no loss: the folders are read from the server again.
    fn parse(position: &Position) -> Option<Self> {
        let Position::Cursor { token } = position else { return None };
        serde_json::from_str(token).ok()
    }

    fn position(&self) -> Option<Position> {
        serde_json::to_string(self).ok().map(|token| Position::Cursor { token })
    }

    /// Takes over what the server says of a folder; what it leaves out has not changed.
    fn apply(&mut self, row: FolderRow) {
        let Some(id) = row.id() else { return };
        if row.removed.is_some() {
            self.folders.remove(&id);
            return;
        }
        let known = self.folders.entry(id).or_default();
        known.changes += 1;
        known.search |= row.is_search();
        known.class = row.class().or(known.class.take());
        known.hidden = row.is_hidden.unwrap_or(known.hidden);
        known.total = row.total_item_count.or(known.total);
        known.unread = row.unread_item_count.or(known.unread);
        known.children = row.child_folder_count.or(known.children);
        known.parent = row.parent_folder_id.map(FolderId).or(known.parent.take());
        if let Some(name) = row.display_name {
            known.name = name;
        }
    }

    /// Counts changes from here on.
    fn begin(&mut self) {
        for known in self.folders.values_mut() {
            known.changes = 0;
        }
    }

    /// Counts as changed what looks different than in `before`.
    fn compare(&mut self, before: &Self) {
        for (id, known) in &mut self.folders {
            let Some(was) = before.folders.get(id) else { continue };
            known.class = known.class.take().or(was.class.clone());
            let same = Known { changes: 0, ..was.clone() } == *known;
            known.changes = if same { was.changes } else { was.changes + 1 };
        }
    }

    fn survey(&self) -> Survey {
        let found = find_mail(&self.folders, branch).into_iter().filter(|found| found.is_mail);
        let folder = |found: crate::tree::Found| {
            let known = self.folders.get(&found.id);
            Folder {
                mark: known.map(|known| self.mark(known)),
                total: known.and_then(|known| known.total),
                path: found.path,
                id: found.id,
            }
        };
        Survey { folders: found.map(folder).collect(), hierarchy: self.position() }
    }

    fn mark(&self, known: &Known) -> String {
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let (total, unread) = (count(known.total), count(known.unread));
        format!("{}.{} {total} {unread}", self.epoch, known.changes)
    }
}

/// What a mark begins with.
pub(super) fn epoch_of(mark: Option<&str>) -> u64 {
    let epoch = mark.and_then(|mark| mark.split('.').next());
    epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

/// How a folder is placed in the tree.
fn branch(known: &Known) -> Branch<'_> {
    let of_mail = match &known.class {
        Some(class) => is_mail_class(class),
        None => !known.hidden,
    };
    let holds_mail = of_mail && !known.search;
    Branch { parent: known.parent.as_ref(), name: &known.name, holds_mail }
}

impl GraphMailbox {
    pub(super) async fn look_around(
        &mut self,
        known: &Checkpoint,
        thorough: bool,
    ) -> Result<Survey, SourceError> {
        let before = known.hierarchy.as_ref().and_then(Tree::parse);
        if let Some(tree) = &before {
            let next = match &tree.link {
                Some(link) if !thorough => self.changes(tree, link).await?,
                Some(_) => Some(self.read_all(tree.epoch, Some(tree)).await?),
                // Polling has no other way to find what it missed than to list everything.
                None => Some(self.read_all(tree.epoch + u64::from(thorough), Some(tree)).await?),
            };
            if let Some(next) = next {
                return Ok(next.survey());
            }
            tracing::debug!(mailbox.id = %self.id, "The folders of `{}` are read anew", self.id);
        }
        // What changed meanwhile is not known, so that no earlier mark may come again.
        let marks = known.folders.values().map(|state| epoch_of(state.mark.as_deref()));
        let latest = marks.chain(before.iter().map(|tree| tree.epoch)).max();
        let epoch = latest.map_or(0, |latest| latest + 1);
        Ok(self.read_all(epoch, None).await?.survey())
    }

    /// The tree with what changed since `link`; `None` if the server no longer knows it.
    async fn changes(&mut self, before: &Tree, link: &str) -> Result<Option<Tree>, SourceError> {
        // The settings may name another server now.
        let Ok(target) = self.service.base.follow(link) else { return Ok(None) };
        let mut tree = before.clone();
        match self.follow_folders(&mut tree, target).await {
            // The first link stays good, and no checkpoint is written for another.
            Ok(_) if tree == *before => Ok(Some(tree)),
            Ok(link) => {
                tree.link = Some(link);
                self.complete_classes(&mut tree).await?;
                Ok(Some(tree))
            }
            Err(Stopped::Refused(refused)) => {
                // A folder id that nobody can meet: the subject tells that a link was followed.
                let nobody = FolderId(String::new());
                let subject = Subject::Folder { id: &nobody, link: true };
                match self.error(refused, OPERATION, subject) {
                    SourceError::CursorExpired { .. } | SourceError::FolderGone { .. } => Ok(None),
                    err => Err(err),
                }
            }
            Err(Stopped::Error(err)) => Err(err),
        }
    }

    /// Reads the folders from the start.
    async fn read_all(&mut self, epoch: u64, before: Option<&Tree>) -> Result<Tree, SourceError> {
        let mut tree = Tree { epoch, ..Tree::default() };
        let mut link = None;
        if self.service.abilities.delta() {
            let target = self.target(&["mailFolders", "delta"]);
            match self.first_folders(&target, "").await {
                Ok(page) => match self.take_folders(&mut tree, page).await {
                    Ok(end) => link = Some(end),
                    Err(stopped) => return Err(self.stopped(stopped)),
                },
                Err(refused) if refused.status().is_some_and(|status| status.has_no_delta()) => {
                    // Only if the plain list works, it was the delta query that was refused.
                    self.walk(&mut tree).await?;
                    self.service.abilities.without_delta(self.service.host());
                }
                Err(refused) => return Err(self.error(refused, OPERATION, Subject::Mailbox)),
            }
        } else {
            self.walk(&mut tree).await?;
        }
        tree.link = link;
        self.without_top(&mut tree).await?;
        tree.begin();
        if let Some(before) = before {
            tree.compare(before);
        }
        self.complete_classes(&mut tree).await?;
        Ok(tree)
    }

    /// The first page of a listing of folders, with all that can be asked for if the server takes
    /// it.
    async fn first_folders(
        &mut self,
        target: &str,
        more: &str,
    ) -> Result<Collection<FolderRow>, Refused> {
        let plain = format!("{target}?{}", more.trim_start_matches('&'));
        let plain = plain.trim_end_matches('?').to_owned();
        if !self.service.abilities.folder_properties() {
            return self.folders(plain).await;
        }
        let (select, expand) = (wire::FOLDER_SELECT, wire::FOLDER_EXPAND);
        let refused = match self.folders(format!("{target}?{select}&{expand}{more}")).await {
            Ok(page) => return Ok(page),
            Err(refused) => refused,
        };
        let status = refused.status();
        if !status.is_some_and(|status| status.is_not_understood() || status.status == 500) {
            return Err(refused);
        }
        let in_trouble = status.is_some_and(|status| status.status == 500);
        // Only if the same works without them, they were what the server refused.
        let Ok(page) = self.folders(plain).await else { return Err(refused) };
        if !in_trouble {
            self.service.abilities.without_folder_properties(self.service.host());
        }
        Ok(page)
    }

    async fn folders(&mut self, target: String) -> Result<Collection<FolderRow>, Refused> {
        self.ask(&Ask { page: Some(MAX_PAGE), ..Ask::get(OPERATION, target) }).await
    }

    async fn follow_folders(&mut self, tree: &mut Tree, target: String) -> Result<String, Stopped> {
        let page = self.folders(target).await.map_err(Stopped::Refused)?;
        self.take_folders(tree, page).await
    }

    /// Takes over `page` and all that follow it; returns the link for later changes.
    async fn take_folders(
        &mut self,
        tree: &mut Tree,
        mut page: Collection<FolderRow>,
    ) -> Result<String, Stopped> {
        for _ in 0..MAX_PAGES {
            page.value.drain(..).for_each(|row| tree.apply(row));
            if tree.folders.len() > MAX_FOLDERS {
                break;
            }
            let (link, is_last) = match (page.next, page.delta) {
                (Some(next), _) => (next, false),
                (None, Some(delta)) => (delta, true),
                (None, None) => {
                    return Err(Stopped::Error(self.bad_page("the folders have no link".into())));
                }
            };
            let target = self.service.base.follow(&link);
            let target = target.map_err(|foreign| Stopped::Error(self.foreign(foreign)))?;
            if is_last {
                return Ok(link);
            }
            page = self.folders(target).await.map_err(Stopped::Refused)?;
        }
        Err(Stopped::Error(self.bad_page("the folders have no end".into())))
    }

    /// Lists folders level by level, where there is no delta query.
    async fn walk(&mut self, tree: &mut Tree) -> Result<(), SourceError> {
        let mut visited: HashSet<FolderId> = HashSet::new();
        let mut parents: Vec<Option<FolderId>> = vec![None];
        let mut pages = 0;
        while let Some(parent) = parents.pop() {
            let target = match &parent {
                None => self.target(&["mailFolders"]),
                Some(parent) => self.target(&["mailFolders", &parent.0, "childFolders"]),
            };
            let mut page = self.first_folders(&target, &format!("&$top={MAX_PAGE}")).await;
            loop {
                pages += 1;
                if pages > MAX_PAGES || tree.folders.len() > MAX_FOLDERS {
                    return Err(self.bad_page("the folders have no end".into()));
                }
                let Collection { value, next, .. } = match page {
                    Ok(page) => page,
                    Err(refused) => {
                        let gone = parent.as_ref().map(|id| Subject::Folder { id, link: false });
                        let subject = gone.unwrap_or(Subject::Mailbox);
                        match self.error(refused, OPERATION, subject) {
                            SourceError::FolderGone { .. } => break,
                            err => return Err(err),
                        }
                    }
                };
                for row in value {
                    let children = row.child_folder_count.unwrap_or(0) > 0;
                    let id = row.id().filter(|_| children && !row.is_search());
                    parents.extend(id.filter(|id| visited.insert(id.clone())).map(Some));
                    tree.apply(row);
                }
                let Some(next) = next else { break };
                let target = self.service.base.follow(&next);
                let target = target.map_err(|foreign| self.foreign(foreign))?;
                page = self.folders(target).await;
            }
        }
        Ok(())
    }

    /// Asks for the classes that the listing did not bring, once for each folder: calendars and the
    /// like are no mail, wherever they hang.
    async fn complete_classes(&mut self, tree: &mut Tree) -> Result<(), SourceError> {
        let is_unknown = |known: &Known| known.class.is_none() && !known.search;
        let unknown: Vec<FolderId> = tree
            .folders
            .iter()
            .filter(|(_, known)| is_unknown(known))
            .map(|(id, _)| id.clone())
            .collect();
        let mut rest = unknown.as_slice();
        while !rest.is_empty() {
            let (group, left) = rest.split_at(rest.len().min(self.service.abilities.batch()));
            rest = left;
            let query = format!("?$select=id&{}", wire::FOLDER_EXPAND);
            let urls = group.iter().map(|id| self.path(&["mailFolders", &id.0]) + &query);
            for (place, answer) in self.ask_batch(urls.collect(), OPERATION).await? {
                let id = place.parse().ok().and_then(|place: usize| group.get(place));
                let Some(known) = id.and_then(|id| tree.folders.get_mut(id)) else { continue };
                match answer.status {
                    200 => {
                        let row = FolderRow::deserialize(&answer.body).ok();
                        known.class = Some(row.and_then(|row| row.class()).unwrap_or_default());
                    }
                    429 => match self.refused_answer(&answer, group.len()) {
                        Outcome::Stop(err) => return Err(self.heed(err)),
                        _ => continue,
                    },
                    // The server does not tell, and will not tomorrow.
                    400..=499 | 501 => known.class = Some(String::new()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Leaves out the folder at the top, if the server lists it: it is no part of any path.
    async fn without_top(&mut self, tree: &mut Tree) -> Result<(), SourceError> {
        let has_parent = |known: &Known| {
            known.parent.as_ref().is_some_and(|parent| tree.folders.contains_key(parent))
        };
        let mut tops = tree.folders.iter().filter(|(_, known)| !has_parent(known));
        let (Some((only, _)), None) = (tops.next(), tops.next()) else { return Ok(()) };
        let only = only.clone();
        let target = self.target(&["mailFolders", "msgfolderroot"]) + "?$select=id";
        match self.ask::<FolderRow>(&Ask::get(OPERATION, target)).await {
            Ok(top) => {
                if top.id().as_ref() == Some(&only) {
                    tree.folders.remove(&only);
                }
                Ok(())
            }
            Err(refused) => match self.error(refused, OPERATION, Subject::Mailbox) {
                err @ (SourceError::Unreachable { .. } | SourceError::Throttled { .. }) => Err(err),
                _ => Ok(()),
            },
        }
    }

    fn stopped(&mut self, stopped: Stopped) -> SourceError {
        match stopped {
            Stopped::Error(err) => err,
            Stopped::Refused(refused) => self.error(refused, OPERATION, Subject::Mailbox),
        }
    }
}

/// Why the folders could not be followed to their end.
enum Stopped {
    Refused(Refused),
    Error(SourceError),
}
