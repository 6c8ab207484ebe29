//! Which folders of a mailbox hold mail, and where they hang: the same for every protocol, so that
//! a folder has the same path in each.

use std::collections::{BTreeMap, HashSet};

use record::FolderId;

/// Deepest folder that is followed; Exchange allows 300.
const MAX_DEPTH: usize = 512;

/// Names of the folder in which Outlook logs its own troubles; it hangs at the top of a mailbox.
/// Versions before Exchange 2013 have no name for it that does not depend on the language.
const SYNC_ISSUES: &[&str] = &[
    "Sync Issues",
    "Problemas de sincronización",
    "Problemas de sincronização",
    "Problemi di sincronizzazione",
    "Problèmes de synchronisation",
    "Synchronisatieproblemen",
    "Synchronisierungsprobleme",
];

/// What places a folder in the tree.
pub(crate) struct Branch<'a> {
    pub(crate) parent: Option<&'a FolderId>,
    pub(crate) name: &'a str,
    pub(crate) holds_mail: bool,
}

/// A folder of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: FolderId,
    /// Names from the top down.
    pub(crate) path: Vec<String>,
    pub(crate) is_mail: bool,
}

/// Sorts out the folders of a mailbox and finds their paths: those that hold mail, and those that
/// have children.
pub(crate) fn find_mail<R>(
    rows: &BTreeMap<FolderId, R>,
    branch: fn(&R) -> Branch<'_>,
) -> Vec<Found> {
    let parents: HashSet<&FolderId> = rows.values().filter_map(|row| branch(row).parent).collect();
    let mut found = Vec::new();
    for (id, row) in rows {
        let Some(chain) = chain(rows, row, branch) else {
            tracing::warn!(folder.id = id.0, "A folder is its own ancestor, it is left out");
            continue;
        };
        let outlook_log = chain.first().is_some_and(|top| is_sync_issues(top.name));
        let is_mail = branch(row).holds_mail && !outlook_log;
        if is_mail || (parents.contains(id) && !outlook_log) {
            let path = chain.iter().map(|part| path_part(part.name)).collect();
            found.push(Found { id: id.clone(), path, is_mail });
        }
    }
    found
}

/// The folders from the top down to `row`. The parent of the first one is the top folder, which
/// the listing does not hold. `None` if they form a circle.
fn chain<'a, R>(
    rows: &'a BTreeMap<FolderId, R>,
    row: &'a R,
    branch: fn(&R) -> Branch<'_>,
) -> Option<Vec<Branch<'a>>> {
    let parent = |row: &Branch<'a>| rows.get(row.parent?).map(branch);
    let mut chain: Vec<_> =
        std::iter::successors(Some(branch(row)), parent).take(MAX_DEPTH + 1).collect();
    if chain.len() > MAX_DEPTH {
        return None;
    }
    chain.reverse();
    Some(chain)
}

/// `IPF.Note` is mail; so is `IPF.Imap`, which folders keep that Outlook imported from an IMAP
/// account. A folder without a class is mail too.
pub(crate) fn is_mail_class(class: &str) -> bool {
    let is =
        |base: &str| class.get(..base.len()).is_some_and(|start| start.eq_ignore_ascii_case(base));
    class.is_empty() || is("IPF.Note") || is("IPF.Imap")
}

fn is_sync_issues(name: &str) -> bool {
    SYNC_ISSUES.iter().any(|known| known.to_lowercase() == name.to_lowercase())
}

/// A name as a part of a path: never empty, without the character that separates remembered
/// parts.
fn path_part(name: &str) -> String {
    if name.is_empty() { "(unnamed)".to_owned() } else { name.replace('\0', "\u{FFFD}") }
}
