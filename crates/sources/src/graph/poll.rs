//! Lists a folder without delta queries, which some clouds lack: by the time of receipt, with an
//! overlap, and as a whole after each thorough survey.
//!
//! Mail can come into a folder with a time of receipt that has long passed: moved, imported,
//! late. Only the listing of the whole folder sees it.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use record::{Entry, Folder, Page, Position, SourceError};
use serde::{Deserialize, Serialize};

use super::{
    address::query_value, failure::Subject, mailbox::GraphMailbox, service::fnv, survey::epoch_of,
};

/// How far before the newest message a poll begins: messages do not become visible in the order of
/// their times.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// Messages of the overlap that are known to have been listed.
const MAX_SEEN: usize = 1000;

/// How far a folder was polled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Polled {
    /// How the folder's mark began when it was, or is being, listed as a whole.
    epoch: u64,
    /// The next page, in the middle of a listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Received time of the newest message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<DateTime<Utc>>,
    /// Hashes of the messages listed in the last [`OVERLAP`], which the next poll lists again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seen: Vec<(u64, DateTime<Utc>)>,
}

impl Polled {
    fn parse(position: &Position) -> Option<Self> {
        let Position::Cursor { token } = position else { return None };
        serde_json::from_str(token).ok()
    }

    fn position(&self) -> Option<Position> {
        serde_json::to_string(self).ok().map(|token| Position::Cursor { token })
    }

    /// Takes note of `entries`, and leaves those that were listed before out of them.
    fn note(&mut self, entries: &mut Vec<Entry>) {
        entries.retain(|entry| {
            let Some(received) = entry.received else { return true };
            self.newest = self.newest.max(Some(received));
            let mark = (fnv(entry.item.0.as_bytes()), received);
            let known = self.seen.contains(&mark);
            if !known {
                self.seen.push(mark);
            }
            !known
        });
        let start = self.newest.unwrap_or_default() - OVERLAP;
        self.seen.retain(|(_, received)| *received >= start);
        let surplus = self.seen.len().saturating_sub(MAX_SEEN);
        self.seen.drain(..surplus);
    }
}

impl GraphMailbox {
    pub(super) async fn poll_page(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError> {
        let expired = || SourceError::CursorExpired { folder: folder.id.clone() };
        let epoch = epoch_of(folder.mark.as_deref());
        let mut polled = match from {
            // A link of a delta query says nothing here.
            Some(position) => Polled::parse(position).ok_or_else(expired)?,
            None => Polled { epoch, ..Polled::default() },
        };
        let link = polled.link.take();
        let rows = match &link {
            Some(link) => {
                let target = self.service.base.follow(link).map_err(|_| expired())?;
                self.messages(target, limit).await
            }
            None => {
                let target = self.target(&["mailFolders", folder.id.0.as_str(), "messages"]);
                let query = if polled.epoch == epoch { polled.newest } else { None };
                if query.is_none() {
                    polled = Polled { epoch, ..Polled::default() };
                }
                self.first_messages(&target, &query_after(query, limit), limit).await
            }
        };
        let subject = Subject::Folder { id: &folder.id, link: link.is_some() };
        let rows = match rows {
            Ok(rows) => rows,
            Err(refused) => return Err(self.error(refused, "messages", subject)),
        };
        if let Some(next) = &rows.next {
            self.service.base.follow(next).map_err(|foreign| self.foreign(foreign))?;
            if link.as_ref() == Some(next) {
                return Err(self.bad_page("the page leads to itself".into()));
            }
        }
        polled.link = rows.next;
        let more = polled.link.is_some();
        let mut entries = self.entries(folder, rows.value).await?;
        polled.note(&mut entries);
        let next = polled.position().ok_or_else(|| self.bad_page("no position".into()))?;
        Ok(Page { entries, removed: 0, next, more })
    }
}

/// The rest of the query for messages since `newest`, or for all.
fn query_after(newest: Option<DateTime<Utc>>, limit: usize) -> String {
    let order = format!("&$orderby=receivedDateTime&$top={limit}");
    let Some(newest) = newest else { return order };
    let since = (newest - OVERLAP).to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{order}&$filter=receivedDateTime%20ge%20{}", query_value(&since))
}
