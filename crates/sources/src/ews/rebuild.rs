//! Fetches the parts of a message that Exchange cannot convert to MIME, and builds it from them.

use record::{Entry, Fetched, Folder, SourceError};

use super::{
    compose::Composer,
    failure::{Subject, Verdict},
    fetch::email,
    mailbox::{EwsMailbox, Question},
    reply::{self, Attachment, AttachmentKind, Content, ItemContent, Parts},
    request::ItemShape,
    stream::Bodies,
};
use crate::{
    body::Limits,
    run::{ItemVerdict, Suspect, too_large},
};

/// Attachments that are fetched; a message with more is refused rather than cut.
const MAX_ATTACHMENTS: usize = 500;

impl EwsMailbox {
    /// Builds the message of `entry` from its properties; `None` if they cannot be had either.
    ///
    /// # Errors
    ///
    /// What concerns more than this item: the same call can succeed later.
    pub(super) async fn rebuild(
        &mut self,
        folder: &Folder,
        entry: &Entry,
        suspect: &Suspect,
        limits: &mut Limits,
    ) -> Result<Option<Fetched>, SourceError> {
        let (item, parts) = match self.parts(entry, limits).await {
            Ok(found) => found,
            Err(Verdict::Item { what: ItemVerdict::Gone, .. }) => return Ok(Some(Fetched::Gone)),
            Err(verdict) => return self.not_for_this_item(verdict).map(|_| None),
        };
        if parts.attachments.len() > MAX_ATTACHMENTS {
            return Ok(None);
        }
        let spool = |cause| SourceError::Spool { cause };
        let mut composer =
            Composer::begin(&parts, &item, entry.uid, &suspect.code, limits).map_err(spool)?;
        for attachment in &parts.attachments {
            let content = match attachment.kind {
                AttachmentKind::Reference => Err("it is a link to a file elsewhere".to_owned()),
                _ => self.attachment(attachment, limits).await?,
            };
            match content {
                Ok((content, body)) => composer.attach(attachment, content, &body, limits),
                Err(why) => composer.note(attachment, &why, limits),
            }
            .map_err(spool)?;
            if composer.size() > limits.max_size {
                return Ok(Some(too_large(limits.max_size).refused()));
            }
        }
        let body = composer.finish(limits).map_err(spool)?.finish(limits);
        tracing::info!(
            mailbox.id = %self.id, email.uid = %entry.uid,
            "Built an email of `{}` from its properties ({})", self.id, suspect.code,
        );
        Ok(Some(match body {
            Ok(body) => Fetched::Email(Box::new(email(folder, entry, item, body))),
            Err(_) => too_large(limits.max_size).refused(),
        }))
    }

    async fn parts(
        &mut self,
        entry: &Entry,
        limits: &Limits,
    ) -> Result<(ItemContent, Parts), Verdict> {
        let question = Question {
            operation: "GetItem",
            subject: Subject::Items(1),
            bodies: Bodies::Mime,
            limits: limits.clone(),
            write: &|envelope| envelope.get_item([entry.item.0.as_str()], ItemShape::Parts),
            read: reply::get_parts,
        };
        Ok(self.ask(question).await?.value)
    }

    /// The content of one attachment, or why it cannot be had.
    async fn attachment(
        &mut self,
        attachment: &Attachment,
        limits: &Limits,
    ) -> Result<Result<(Content, record::Body), String>, SourceError> {
        let question = Question {
            operation: "GetAttachment",
            subject: Subject::Items(1),
            bodies: Bodies::MimeAndContent,
            limits: limits.clone(),
            write: &|envelope| envelope.get_attachment(&attachment.id),
            read: reply::attachment,
        };
        let answer = match self.ask(question).await {
            Ok(answer) => answer,
            Err(verdict) => return self.not_for_this_item(verdict).map(Err),
        };
        let Some(content) = answer.value else { return Ok(Err("it has no content".to_owned())) };
        let (Content::File(index) | Content::Message(index)) = content;
        Ok(match answer.bodies.into_iter().nth(index) {
            Some(Ok(body)) => Ok((content, body)),
            Some(Err(fault)) => Err(fault.to_string()),
            None => Err("it has no content".to_owned()),
        })
    }

    /// Why something of an item cannot be had, or the error if more than the item is concerned.
    fn not_for_this_item(&self, verdict: Verdict) -> Result<String, SourceError> {
        match verdict {
            Verdict::Item { code, .. } => Ok(code),
            Verdict::Error(SourceError::TooMuch { code, .. }) => Ok(code),
            Verdict::Error(err @ SourceError::BadReply { .. }) => Ok(err.to_string()),
            verdict => Err(self.error(verdict, "GetItem")),
        }
    }
}
