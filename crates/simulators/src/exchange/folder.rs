//! One folder: what it is, what it holds, and the log of its changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::id::{FolderNo, ItemNo};

/// What kind of element a folder is in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mail,
    Calendar,
    Contacts,
    Tasks,
    /// Shows items of other folders; holds none.
    Search,
}

impl Kind {
    pub(crate) fn of_class(class: &str) -> Self {
        match class.split('.').nth(1) {
            Some("Appointment") => Self::Calendar,
            Some("Contact") => Self::Contacts,
            Some("Task") => Self::Tasks,
            _ => Self::Mail,
        }
    }

    pub(crate) fn element(self) -> &'static str {
        match self {
            Self::Mail => "t:Folder",
            Self::Calendar => "t:CalendarFolder",
            Self::Contacts => "t:ContactsFolder",
            Self::Tasks => "t:TasksFolder",
            Self::Search => "t:SearchFolder",
        }
    }
}

/// The last change of one item in a folder's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The item came or changed.
    Present(ItemNo),
    /// Only its read flag changed since the change before.
    Read(ItemNo),
    /// The item left; `created` is when it had come.
    Gone { item: ItemNo, immutable: ItemNo, created: u64, version: u32 },
}

/// A folder of a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) no: FolderNo,
    pub(crate) parent: Option<FolderNo>,
    pub(crate) name: String,
    pub(crate) class: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) distinguished: Option<&'static str>,
    pub(crate) version: u32,
    /// Sequence number of its creation.
    pub(crate) created: u64,
    /// Sequence number of its last change in the log of folders.
    pub(crate) logged: u64,
    pub(crate) deleted: bool,
    /// `PR_ATTR_HIDDEN`: programs do not show it.
    pub(crate) hidden: bool,
    /// Items by the sequence number of their arrival in this folder.
    pub(crate) items: BTreeMap<u64, ItemNo>,
    /// Items by the time they were received; those without one come first.
    pub(crate) by_date: BTreeSet<(Option<DateTime<Utc>>, ItemNo)>,
    /// One entry for each item that is or was here: its latest change.
    pub(crate) log: BTreeMap<u64, Change>,
    pub(crate) unread: usize,
    /// Items that ever left: `PR_DELETED_COUNT_TOTAL`.
    pub(crate) left: u32,
    /// Time of the last change of an item: `PR_LOCAL_COMMIT_TIME_MAX`.
    pub(crate) committed: DateTime<Utc>,
}

impl Folder {
    /// Whether a copy of the mailbox should hold its items.
    pub(crate) fn holds_mail(&self) -> bool {
        self.kind == Kind::Mail
            && self.class.as_deref().is_none_or(|class| class.starts_with("IPF.Note"))
    }
}

/// The folders that a new mailbox has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FolderSet {
    /// What a real mailbox has: mail, calendar, contacts, tasks, sync issues, search folders.
    #[default]
    Standard,
    /// Inbox, Drafts, Sent Items, Deleted Items and Junk Email only.
    Minimal,
}

/// A folder that every new mailbox has: distinguished name, name of the parent, display name,
/// class, kind.
pub(crate) type Template = (&'static str, &'static str, &'static str, Option<&'static str>, Kind);

const MAIL: Option<&str> = Some("IPF.Note");

const MINIMAL: &[Template] = &[
    ("root", "", "", None, Kind::Mail),
    ("msgfolderroot", "root", "Top of Information Store", None, Kind::Mail),
    ("inbox", "msgfolderroot", "Inbox", MAIL, Kind::Mail),
    ("drafts", "msgfolderroot", "Drafts", MAIL, Kind::Mail),
    ("sentitems", "msgfolderroot", "Sent Items", MAIL, Kind::Mail),
    ("deleteditems", "msgfolderroot", "Deleted Items", MAIL, Kind::Mail),
    ("junkemail", "msgfolderroot", "Junk Email", MAIL, Kind::Mail),
];

const MORE: &[Template] = &[
    ("outbox", "msgfolderroot", "Outbox", MAIL, Kind::Mail),
    ("calendar", "msgfolderroot", "Calendar", Some("IPF.Appointment"), Kind::Calendar),
    ("contacts", "msgfolderroot", "Contacts", Some("IPF.Contact"), Kind::Contacts),
    ("tasks", "msgfolderroot", "Tasks", Some("IPF.Task"), Kind::Tasks),
    ("notes", "msgfolderroot", "Notes", Some("IPF.StickyNote"), Kind::Mail),
    ("journal", "msgfolderroot", "Journal", Some("IPF.Journal"), Kind::Mail),
    ("syncissues", "msgfolderroot", "Sync Issues", MAIL, Kind::Mail),
    ("conflicts", "syncissues", "Conflicts", MAIL, Kind::Mail),
    ("localfailures", "syncissues", "Local Failures", MAIL, Kind::Mail),
    ("serverfailures", "syncissues", "Server Failures", MAIL, Kind::Mail),
    ("searchfolders", "root", "Finder", None, Kind::Mail),
    ("recoverableitemsroot", "root", "Recoverable Items", None, Kind::Mail),
    ("recoverableitemsdeletions", "recoverableitemsroot", "Deletions", None, Kind::Mail),
];

impl FolderSet {
    pub(crate) fn templates(self) -> impl Iterator<Item = &'static Template> {
        let more: &[Template] = match self {
            Self::Standard => MORE,
            Self::Minimal => &[],
        };
        MINIMAL.iter().chain(more)
    }
}
