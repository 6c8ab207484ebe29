//! Which messages a folder holds: by delta query, or by polling where there is none.
//!
//! The link that ends one page is the position in the checkpoint, and is followed as it is. A
//! message is listed with all that its identity and its metadata are made of; what a server leaves
//! out is asked for by message.

use std::collections::HashMap;

use record::{Entry, Folder, ItemId, Page, Position, SourceError, Uid};

use super::{
    address::ForeignLink,
    failure::Subject,
    mailbox::{GraphMailbox, Refused},
    service::Ask,
    wire::{self, Collection, Message, MessageRow},
};

/// Most entries of one page.
pub(super) const MAX_PAGE: usize = 512;

const OPERATION: &str = "messages";

impl GraphMailbox {
    pub(super) async fn list_page(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError> {
        // Where each message has to be asked for, a page must not use up the budget.
        let half = self.service.settings.mailbox_allowance.at_once() / 2;
        let limit = limit.min(half).clamp(1, MAX_PAGE);
        if !self.service.abilities.delta() {
            return self.poll_page(folder, from, limit).await;
        }
        let link = match from {
            Some(Position::Link { url }) => Some(url.as_str()),
            None => None,
            // What polling has noted says nothing to a delta query.
            Some(Position::Cursor { .. }) => {
                return Err(SourceError::CursorExpired { folder: folder.id.clone() });
            }
        };
        let rows = match link {
            Some(link) => match self.service.base.follow(link) {
                Ok(target) => self.messages(target, limit).await,
                // The settings name another server now.
                Err(_) => return Err(SourceError::CursorExpired { folder: folder.id.clone() }),
            },
            None => {
                let path = ["mailFolders", folder.id.0.as_str(), "messages", "delta"];
                let target = self.target(&path);
                let first = self.first_messages(&target, "", limit).await;
                let no_delta = |refused: &Refused| {
                    refused.status().is_some_and(|status| status.has_no_delta())
                };
                match first {
                    Err(refused) if no_delta(&refused) => {
                        // Only if polling works, it was the delta query that the server refused.
                        let page = self.poll_page(folder, None, limit).await?;
                        self.service.abilities.without_delta(self.service.host());
                        return Ok(page);
                    }
                    first => first,
                }
            }
        };
        let subject = Subject::Folder { id: &folder.id, link: link.is_some() };
        let rows = match rows {
            Ok(rows) => rows,
            Err(refused) => return Err(self.error(refused, OPERATION, subject)),
        };
        let (next, more) = match (&rows.next, &rows.delta) {
            (Some(next), _) => (next.clone(), true),
            (None, Some(delta)) => (delta.clone(), false),
            (None, None) => return Err(self.bad_page("the page has no link".into())),
        };
        if let Err(foreign) = self.service.base.follow(&next) {
            return Err(self.foreign(foreign));
        }
        if link == Some(next.as_str()) && more {
            return Err(self.bad_page("the page leads to itself".into()));
        }
        let removed = rows.value.iter().filter(|row| row.removed.is_some()).count();
        let entries = self.entries(folder, rows.value).await?;
        Ok(Page { entries, removed, next: Position::Link { url: next }, more })
    }

    /// The first page of a listing, with extended properties if the server has them there.
    pub(super) async fn first_messages(
        &mut self,
        target: &str,
        more: &str,
        limit: usize,
    ) -> Result<Collection<MessageRow>, Refused> {
        let plain = format!("{target}?{}{more}", wire::MESSAGE_SELECT);
        if self.plain_listings || !self.service.abilities.message_properties() {
            return self.messages(plain, limit).await;
        }
        let expanded = format!("{plain}&{}", wire::MESSAGE_EXPAND);
        let refused = match self.messages(expanded, limit).await {
            Ok(rows) => return Ok(rows),
            Err(refused) => refused,
        };
        let status = refused.status();
        let not_understood = status.is_some_and(|status| status.is_not_understood());
        let in_trouble = status.is_some_and(|status| status.status == 500);
        if !not_understood && !in_trouble {
            return Err(refused);
        }
        // Only if the same works without them, they were what the server refused.
        let Ok(rows) = self.messages(plain, limit).await else { return Err(refused) };
        if not_understood {
            self.service.abilities.without_message_properties(self.service.host());
        } else {
            self.plain_listings = true;
        }
        Ok(rows)
    }

    pub(super) async fn messages(
        &mut self,
        target: String,
        limit: usize,
    ) -> Result<Collection<MessageRow>, Refused> {
        self.ask(&Ask { page: Some(limit), ..Ask::get(OPERATION, target) }).await
    }

    /// Entries for the messages of a page, whose details are remembered until they are fetched.
    pub(super) async fn entries(
        &mut self,
        folder: &Folder,
        rows: Vec<MessageRow>,
    ) -> Result<Vec<Entry>, SourceError> {
        let mut nameless = 0;
        let mut listed: Vec<(ItemId, Message)> = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| row.removed.is_none()) {
            match row.id() {
                Some(id) => listed.push((id, row.message())),
                None => nameless += 1,
            }
        }
        if nameless > 0 {
            tracing::warn!(
                mailbox.id = %self.id, folder.path = ?folder.path, items = nameless,
                "`{}` lists items without an id, they cannot be read", self.service.host(),
            );
        }
        self.complete(&mut listed).await?;
        listed.retain(|(_, message)| message.is_mail);
        let entries = listed.iter().map(|(id, message)| self.entry(id, message)).collect();
        self.service.remember(&self.id, listed.into_iter().collect());
        Ok(entries)
    }

    /// Asks for what the listing did not bring: a server may list no extended properties, and of a
    /// message that changed only what changed. What has no key then has none.
    async fn complete(&mut self, listed: &mut [(ItemId, Message)]) -> Result<(), SourceError> {
        let is_partial = |message: &Message| message.search_key.is_none();
        let missing: Vec<ItemId> = listed
            .iter()
            .filter(|(_, message)| is_partial(message))
            .map(|(id, _)| id.clone())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut found: HashMap<ItemId, Message> = self.details(&missing).await?;
        for (id, message) in listed.iter_mut().filter(|(_, message)| is_partial(message)) {
            if let Some(whole) = found.remove(id) {
                *message = whole;
            }
        }
        Ok(())
    }

    fn entry(&self, id: &ItemId, message: &Message) -> Entry {
        let key = message.search_key.as_deref().unwrap_or(id.0.as_bytes());
        let message_id = message.message_id.as_deref().unwrap_or_default();
        // The same words as over EWS: the email keeps its identity when a mailbox moves from one
        // to the other. A draft has one of its own, since it may be sent.
        let kind = if message.is_draft { "exchange-draft" } else { "exchange" };
        Entry {
            uid: Uid::derive(kind, &self.id, key, message_id),
            item: id.clone(),
            message_id: message.message_id.clone(),
            received: message.metadata.received_at,
            // A message that was moved here keeps the time at which it was made.
            created: message.created.max(message.modified),
            size: message.metadata.size,
            is_draft: message.is_draft,
        }
    }

    pub(super) fn bad_page(&self, cause: record::Cause) -> SourceError {
        SourceError::BadReply { host: self.service.host().to_owned(), operation: OPERATION, cause }
    }

    pub(super) fn foreign(&self, link: ForeignLink) -> SourceError {
        SourceError::Misconfigured {
            host: self.service.host().to_owned(),
            hint: format!(
                "The server's links lead to `{}`. If that is the same service, set the address of \
                 Graph to it; no token is sent there otherwise.",
                link.0
            ),
            cause: Some(Box::new(link)),
        }
    }
}
