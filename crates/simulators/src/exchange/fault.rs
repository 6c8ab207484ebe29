//! What can be made to go wrong, and for which requests.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::log::Op;

/// Where an error code appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// HTTP 500 with a SOAP fault.
    SoapFault,
    /// HTTP 200 with a response message for each thing asked for.
    Message,
}

/// Which text is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Subject,
    InternetMessageId,
    /// The name of a folder.
    DisplayName,
    /// The text beside an error code; comes with [`Fault::ItemError`] or another error.
    MessageText,
}

/// What XML 1.0 forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// A numeric reference: `&#x0;`, `&#xD800;`, `&#x1F;`.
    Reference(u32),
    /// A byte as it is: 0x0B, or one that makes the text invalid UTF-8.
    Byte(u8),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `ErrorServerBusy`, with the pause that the server asks for.
    ServerBusy {
        back_off: Option<Duration>,
        shape: Shape,
    },
    /// A status without XML: 429, 503, 403, …
    Http {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// 401 in the middle of a run; a connection's sign-in is forgotten.
    Unauthorized,
    /// The connection breaks: before the reply, or after so many bytes of its body.
    DropConnection {
        after_bytes: Option<u64>,
    },
    SlowBody {
        bytes_per_second: u64,
    },
    /// The body stops after so many bytes, and the connection stays open.
    Stall {
        after_bytes: u64,
    },
    /// The `MimeContent` of an item ends in its middle; the XML around it is whole.
    TruncatedBase64,
    /// `Content-Length` promises more than comes.
    WrongContentLength,
    /// A login page.
    Html200,
    /// 302 to the error page.
    RedirectToErrorPage,
    /// The response message of an item carries this code: any code that concerns one item.
    ItemError {
        code: String,
    },
    /// The same for a folder.
    FolderError {
        code: String,
    },
    /// A code for the whole request.
    RequestError {
        code: String,
        shape: Shape,
    },
    /// `ErrorMailboxMoveInProgress`.
    MailboxMove,
    /// `ErrorInvalidServerVersion`.
    VersionRefused,
    /// `SyncFolderItems` lists an item that `GetItem` does not find.
    PhantomItem,
    /// The reply ends in the middle of an element, or of a JSON value.
    BadXml,
    ForbiddenCharacters {
        place: Place,
        what: Forbidden,
    },
    /// A small gzip body that unpacks to so many bytes.
    GzipBomb {
        decoded_bytes: u64,
    },
    /// `ErrorBatchProcessingStopped` for every item after the first `after`.
    BatchTimeout {
        after: usize,
    },
    /// Graph: any status and code; a 410 says where to start again.
    Graph {
        status: u16,
        code: String,
        retry_after: Option<Duration>,
    },
    /// Graph: a delta page without entries, with a link to the next.
    EmptyPage,
    /// Graph: every entry of a page twice.
    Duplicates,
    /// Graph: everything in one page, whatever size was preferred.
    IgnorePageSize,
    /// Graph: the links of a page lead to another host.
    ForeignLink,
}

/// At what a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Request,
    Item,
    /// The text of an item, wherever it is shown.
    Text,
    Folder,
    /// The name of a folder, wherever it is shown.
    Name,
}

impl Fault {
    pub fn item_error(code: &str) -> Self {
        Self::ItemError { code: code.to_owned() }
    }

    pub fn folder_error(code: &str) -> Self {
        Self::FolderError { code: code.to_owned() }
    }

    /// An error of Graph with this status and code.
    pub fn graph(status: u16, code: &str) -> Self {
        Self::Graph { status, code: code.to_owned(), retry_after: None }
    }

    pub fn http(status: u16) -> Self {
        Self::Http { status, retry_after: None }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::ItemError { .. } | Self::TruncatedBase64 => Stage::Item,
            Self::ForbiddenCharacters { place, .. } => match place {
                Place::Subject | Place::InternetMessageId => Stage::Text,
                Place::DisplayName => Stage::Name,
                Place::MessageText => Stage::Request,
            },
            Self::FolderError { .. } => Stage::Folder,
            Self::ServerBusy { .. }
            | Self::Http { .. }
            | Self::Unauthorized
            | Self::DropConnection { .. }
            | Self::SlowBody { .. }
            | Self::Stall { .. }
            | Self::WrongContentLength
            | Self::Html200
            | Self::RedirectToErrorPage
            | Self::RequestError { .. }
            | Self::MailboxMove
            | Self::VersionRefused
            | Self::PhantomItem
            | Self::BadXml
            | Self::GzipBomb { .. }
            | Self::BatchTimeout { .. }
            | Self::Graph { .. }
            | Self::EmptyPage
            | Self::Duplicates
            | Self::IgnorePageSize
            | Self::ForeignLink => Stage::Request,
        }
    }
}

/// When a fault strikes. What is `None` matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    pub op: Option<Op>,
    /// Address of the mailbox.
    pub mailbox: Option<String>,
    /// Item id or Message-ID. A fault of a whole request strikes if the item is asked for.
    pub item: Option<String>,
    /// Folder id or display name.
    pub folder: Option<String>,
    /// Matches that pass before the first strike.
    pub skip: usize,
    /// Strikes before the rule is spent.
    pub times: usize,
    pub fault: Fault,
}

impl FaultRule {
    /// Strikes once, at the next occasion.
    pub fn new(fault: Fault) -> Self {
        Self { op: None, mailbox: None, item: None, folder: None, skip: 0, times: 1, fault }
    }

    #[must_use]
    pub fn op(mut self, op: Op) -> Self {
        self.op = Some(op);
        self
    }

    #[must_use]
    pub fn mailbox(mut self, address: &str) -> Self {
        self.mailbox = Some(address.to_ascii_lowercase());
        self
    }

    #[must_use]
    pub fn item(mut self, id_or_message_id: &str) -> Self {
        self.item = Some(id_or_message_id.to_owned());
        self
    }

    #[must_use]
    pub fn folder(mut self, id_or_name: &str) -> Self {
        self.folder = Some(id_or_name.to_owned());
        self
    }

    #[must_use]
    pub fn skip(mut self, matches: usize) -> Self {
        self.skip = matches;
        self
    }

    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

/// What a request, an item or a folder is, for the comparison with the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) op: Op,
    pub(crate) mailbox: Option<&'a str>,
    /// Ids and Message-IDs.
    pub(crate) items: &'a [String],
    /// Ids and names.
    pub(crate) folders: &'a [String],
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<FaultRule>>);

impl Faults {
    pub(crate) fn add(&self, rule: FaultRule) {
        self.lock().push(rule);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Strikes that are still to come from rules that end.
    pub(crate) fn outstanding(&self) -> usize {
        self.lock().iter().filter(|rule| rule.times < usize::MAX).map(|rule| rule.times).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Faults of the request as a whole.
    pub(crate) fn strike_request(&self, occasion: Occasion<'_>) -> Vec<Fault> {
        self.strike(Stage::Request, occasion)
    }

    pub(crate) fn strike_item(&self, occasion: Occasion<'_>) -> Vec<Fault> {
        self.strike(Stage::Item, occasion)
    }

    pub(crate) fn strike_text(&self, occasion: Occasion<'_>) -> Vec<Fault> {
        self.strike(Stage::Text, occasion)
    }

    pub(crate) fn strike_name(&self, occasion: Occasion<'_>) -> Vec<Fault> {
        self.strike(Stage::Name, occasion)
    }

    pub(crate) fn strike_folder(&self, occasion: Occasion<'_>) -> Vec<Fault> {
        self.strike(Stage::Folder, occasion)
    }

    fn strike(&self, stage: Stage, occasion: Occasion<'_>) -> Vec<Fault> {
        let mut rules = self.lock();
        let mut struck = Vec::new();
        for rule in rules.iter_mut() {
            let applies = rule.fault.stage() == stage
                && rule.op.is_none_or(|op| op == occasion.op)
                && rule.mailbox.as_deref().is_none_or(|own| occasion.mailbox == Some(own))
                && rule.item.as_ref().is_none_or(|own| occasion.items.contains(own))
                && rule.folder.as_ref().is_none_or(|own| occasion.folders.contains(own));
            if !applies {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= usize::from(rule.times < usize::MAX);
                struck.push(rule.fault.clone());
            }
        }
        rules.retain(|rule| rule.times > 0);
        struck
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<FaultRule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(items: &[String]) -> Occasion<'_> {
        Occasion { op: Op::GetItem, mailbox: Some("a@example.com"), items, folders: &[] }
    }

    #[test]
    fn a_rule_skips_strikes_and_is_spent() {
        let faults = Faults::default();
        faults.add(FaultRule::new(Fault::Html200).op(Op::GetItem).skip(1).times(2));
        let strikes: Vec<_> = (0..5).map(|_| faults.strike_request(subject(&[])).len()).collect();
        assert_eq!(strikes, [0, 1, 1, 0, 0]);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_rule_for_one_item_leaves_the_others_alone() {
        let faults = Faults::default();
        faults.add(FaultRule::new(Fault::item_error("ErrorItemCorrupt")).item("<1@x>").always());
        assert!(faults.strike_item(subject(&["<2@x>".to_owned()])).is_empty());
        assert_eq!(faults.strike_item(subject(&["id".to_owned(), "<1@x>".to_owned()])).len(), 1);
        assert!(faults.strike_request(subject(&["<1@x>".to_owned()])).is_empty());
    }
}
