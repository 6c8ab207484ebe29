//! Writes what became of emails, in one transaction with the queue.

use std::collections::HashMap;

use chrono::TimeDelta;
use serde_json::Value;
use store::{Claim, Claimant, CommentWrite, NewComment, Session, StoreError};
use tracing::warn;

use super::{Done, LATER, Made, Outcome};
use crate::{comment_change::changes_text, comment_files::email_reference};

/// Stores what became of emails, and counts the comments that changed.
pub(super) async fn write(
    session: &mut Session,
    by: &Claimant,
    done: &[Done],
) -> Result<u64, StoreError> {
    let mut sources: HashMap<&str, Vec<&Done>> = HashMap::new();
    for own in done {
        match &own.outcome {
            Outcome::Made(_) => sources.entry(&own.claim.source_id).or_default().push(own),
            Outcome::Bad(reason) if session.quarantine(by, &own.claim, reason).await? => {
                warn!(
                    source.id = %own.claim.source_id, content = %own.claim.hash,
                    "An email was set aside, and stays in its bucket: {reason}"
                );
            }
            Outcome::Bad(_) | Outcome::NotYet => {
                session.postpone(by, &own.claim, TimeDelta::zero()).await?;
            }
            Outcome::Later => session.postpone(by, &own.claim, LATER).await?,
        }
    }
    let mut sources: Vec<_> = sources.into_iter().collect();
    // Several processes lock them in the same order.
    sources.sort_unstable_by_key(|(id, _)| *id);
    let mut changed = 0;
    for (source_id, done) in sources {
        changed += write_comments(session, by, source_id, &done).await?;
    }
    Ok(changed)
}

async fn write_comments(
    session: &mut Session,
    by: &Claimant,
    source_id: &str,
    done: &[&Done],
) -> Result<u64, StoreError> {
    let claims: Vec<&Claim> = done.iter().map(|own| &own.claim).collect();
    let still = session.finish_conversions(by, &claims).await?;
    if !session.begin_comments(source_id).await? {
        return Ok(0);
    }
    let mut made = Vec::new();
    for (own, is_wanted) in done.iter().zip(still) {
        if let (true, Outcome::Made(comment)) = (is_wanted, &own.outcome) {
            made.push((&own.claim, comment));
        }
    }
    let ids: Vec<String> = made.iter().map(|(_, made)| made.comment.id.clone()).collect();
    let mut held = session.comments_by_id(source_id, &ids).await?;
    let (mut writes, mut confirmed) = (Vec::new(), HashMap::<i64, Vec<i64>>::new());
    for (claim, made) in made {
        let sent = match made.files == 0 && !made.comment.attachments.is_empty() {
            true => sent_beside(session, claim, made.comment.attachments.len()).await?,
            false => (0..made.files).collect(),
        };
        let Some(body) = body(source_id, claim, &made.comment, &sent) else { continue };
        let old = held.remove(&made.comment.id);
        let Some(old) = old else {
            writes.push(CommentWrite { new: new(claim, made, &body), old: None });
            continue;
        };
        // What a client wrote itself stays; so does what was made by newer rules.
        if old.email.is_none() || old.generation > made.generation {
            continue;
        }
        let before: Value = serde_json::from_str(&old.body).unwrap_or_default();
        let mut next = new(claim, made, &body);
        if old.generation == made.generation {
            // The email came again: its text stays what it was first.
            let mut kept = before.clone();
            if let (Some(kept), Some(properties)) =
                (kept.as_object_mut(), body.get("user_properties"))
            {
                kept.insert("user_properties".to_owned(), properties.clone());
            }
            next = NewComment {
                at: old.at,
                thread_id: old.thread_id.clone(),
                ..new(claim, made, &kept)
            };
        }
        next.changes_text = changes_text(&before, &next.body);
        if next.body == old.body && old.email == next.email {
            confirmed.entry(made.generation).or_default().push(old.place);
            continue;
        }
        writes.push(CommentWrite { new: next, old: Some(old) });
    }
    let changed = writes.len() as u64;
    session.put_comments(source_id, writes).await?;
    for (generation, places) in confirmed {
        session.confirm_comments(&places, generation).await?;
    }
    Ok(changed)
}

fn new(claim: &Claim, made: &Made, body: &Value) -> NewComment {
    NewComment {
        id: made.comment.id.clone(),
        at: made.comment.timestamp,
        thread_id: made.comment.thread_id.clone(),
        body: body.to_string(),
        email: Some(claim.email),
        generation: made.generation,
        changes_text: false,
        no_charge: claim.no_charge,
    }
}

/// The indices of attachments whose bytes were uploaded beside the email.
async fn sent_beside(
    session: &mut Session,
    claim: &Claim,
    most: usize,
) -> Result<Vec<usize>, StoreError> {
    let mut sent = Vec::new();
    for (index, place) in (0..most).zip(0..) {
        let hash = session.email_attachment(&claim.bucket_id, &claim.id, place).await?;
        sent.extend(hash.map(|_| index));
    }
    Ok(sent)
}

/// The comment as it is stored: what can be fetched has a reference.
fn body(
    source_id: &str,
    claim: &Claim,
    comment: &comment::Comment,
    sent: &[usize],
) -> Option<Value> {
    let mut body = serde_json::to_value(comment).ok()?;
    let attachments = body.get_mut("attachments").and_then(Value::as_array_mut);
    for (index, attachment) in attachments.into_iter().flatten().enumerate() {
        if let Some(map) = attachment.as_object_mut().filter(|_| sent.contains(&index)) {
            let reference = email_reference(source_id, claim.email, index);
            map.insert("attachment_reference".to_owned(), reference.into());
        }
    }
    Some(body)
}
