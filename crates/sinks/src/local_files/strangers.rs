//! What lies below `state/` and is not ours, such as the state of another program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{durable::is_temp, layout::Layout};

/// `state/OWNER/BUCKET/MAILBOX/`
const DEPTH_OF_MAILBOX: usize = 3;

/// Says what was found, once. It is neither read nor changed.
pub(super) fn tell(layout: &Layout) {
    let state = layout.state();
    let mut found = Vec::new();
    look_into(&state, 0, &mut found);
    let Some(first) = found.iter().min() else { return };
    tracing::warn!(
        entries = found.len(), file.path = %first.display(),
        "{} entries of `{}` are not of this program, such as `{}`: they are neither read nor \
         changed, and a mailbox without state of this program is read anew",
        found.len(), state.display(), first.display()
    );
}

/// What cannot be read is passed over: whoever needs it will say so.
fn look_into(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !is_ours(&name, is_dir, depth) {
            found.push(entry.path());
        } else if is_dir && !name.starts_with('.') {
            look_into(&entry.path(), depth + 1, found);
        }
    }
}

/// Folders lead to mailboxes; files are at the top, and in mailboxes.
fn is_ours(name: &str, is_dir: bool, depth: usize) -> bool {
    if name.starts_with('.') {
        return depth == 0 || is_temp(name);
    }
    match (is_dir, depth) {
        (true, _) => depth < DEPTH_OF_MAILBOX,
        (false, 0) => name.starts_with("status.json"),
        (false, DEPTH_OF_MAILBOX) => {
            ["checkpoint.json", "ledger.jsonl"].contains(&name) || name.contains("quarantine")
        }
        (false, _) => false,
    }
}
