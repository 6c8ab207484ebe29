//! Replies that tell of folders.

use record::FolderId;
use roxmltree::{Document, Node};

use super::{Fault, Malformed, Rejected, child, extended, failure, flag, id, messages, number};
use super::{owned, single, text};

/// A folder as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRow {
    pub id: FolderId,
    pub parent: Option<FolderId>,
    pub name: String,
    /// `IPF.Note` and its like.
    pub class: Option<String>,
    /// The element is `Folder`: not one for calendars, contacts, tasks or saved searches.
    pub plain: bool,
    pub total: Option<u64>,
    pub children: Option<u64>,
    /// `PR_LOCAL_COMMIT_TIME_MAX`.
    pub commit_time: Option<String>,
    /// `PR_DELETED_COUNT_TOTAL`.
    pub deleted: Option<String>,
}

/// A part of the changes of the folder tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HierarchyPage {
    pub folders: Vec<FolderRow>,
    pub deleted: Vec<FolderId>,
    pub state: String,
    pub last: bool,
}

/// Reads the reply to SyncFolderHierarchy.
///
/// # Errors
///
/// [`Rejected`] with the server's fault, or with what is wrong about the reply.
pub fn hierarchy_page(document: &Document<'_>) -> Result<HierarchyPage, Rejected> {
    let message = single(document)?;
    let state = owned(message, "SyncState").ok_or(Malformed::Missing("SyncState"))?;
    let mut page = HierarchyPage { folders: Vec::new(), deleted: Vec::new(), state, last: false };
    let changes = child(message, "Changes");
    for change in changes.iter().flat_map(Node::children).filter(Node::is_element) {
        match change.tag_name().name() {
            "Delete" => page.deleted.extend(id(change, "FolderId").map(FolderId)),
            _ => page.folders.extend(change.first_element_child().and_then(folder_row)),
        }
    }
    let empty = page.folders.is_empty() && page.deleted.is_empty();
    page.last = flag(message, "IncludesLastFolderInRange").unwrap_or(empty);
    Ok(page)
}

/// Reads the reply to GetFolder: one result for each folder asked for, in that order.
///
/// # Errors
///
/// As [`hierarchy_page`].
pub fn folder_marks(document: &Document<'_>) -> Result<Vec<Result<FolderRow, Fault>>, Rejected> {
    let mut rows = Vec::new();
    for message in messages(document)? {
        rows.push(match failure(message) {
            Some(fault) => Err(fault),
            None => Ok(child(message, "Folders")
                .and_then(|folders| folders.first_element_child())
                .and_then(folder_row)
                .ok_or(Malformed::Missing("folder"))?),
        });
    }
    Ok(rows)
}

fn folder_row(folder: Node<'_, '_>) -> Option<FolderRow> {
    Some(FolderRow {
        id: FolderId(id(folder, "FolderId")?),
        parent: id(folder, "ParentFolderId").map(FolderId),
        name: text(folder, "DisplayName").unwrap_or_default().to_owned(),
        class: owned(folder, "FolderClass"),
        plain: folder.tag_name().name() == "Folder",
        total: number(folder, "TotalCount"),
        children: number(folder, "ChildFolderCount"),
        commit_time: extended(folder, "0x670a").map(str::to_owned),
        deleted: extended(folder, "0x670b").map(str::to_owned),
    })
}
