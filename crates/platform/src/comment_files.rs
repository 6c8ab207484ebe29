//! Bytes that belong to comments: attachments and audio, sent by clients or found in raw emails.

use std::{io, time::Duration};

use bytes::Bytes;
use comment::{Delivery, Transform};
use hyper::header::HeaderName;
use serde_json::{Value, json};
use store::{AUDIO, Comment, ContentReader, StoreError};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use crate::{
    call::Call,
    comment_pages::named_id,
    original::unopened,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{hex_number, wrong},
    server::Shared,
    uploads,
};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;
/// Pieces that wait for the client, and how long they do.
const PIECES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// What leads to the bytes that a client has sent beside a comment.
pub(crate) fn reference(comment: &Comment, place: i64) -> String {
    format!("{}-c{:016x}-{place}", comment.source_id, comment.place)
}

/// What leads to the bytes of an attachment of an email.
pub(crate) fn email_reference(source_id: &str, email: i64, place: usize) -> String {
    format!("{source_id}-e{email:016x}-{place}")
}

/// What a reference leads to.
#[derive(Debug, PartialEq, Eq)]
enum Referred {
    Comment { place: i64, index: i64 },
    Email { number: i64, index: usize },
}

fn referred(reference: &str) -> Option<Referred> {
    let (_, rest) = reference.split_once('-')?;
    let (number, index) = rest.split_once('-')?;
    let (kind, number) = number.split_at_checked(1)?;
    let number = hex_number(number)?;
    match kind {
        "c" => Some(Referred::Comment { place: number, index: index.parse().ok()? }),
        "e" => Some(Referred::Email { number, index: index.parse().ok()? }),
        _ => None,
    }
}

fn content(payload: Payload) -> Result<store::Staged, Refusal> {
    match payload {
        Payload::File(content) => Ok(content),
        _ => Err(wrong("file", "this field of the form is required")),
    }
}

pub(crate) async fn put(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let place = call.named.other(1);
    let place = place.parse::<i64>().ok().filter(|place| (0..10_000).contains(place));
    let place = place.ok_or_else(|| wrong("index", "expected a number from 0 to 9999"))?;
    let hash = store(call, place, content(payload)?).await?;
    Ok(Reply::json(json!({ "content_hash": hash })))
}

pub(crate) async fn put_audio(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    store(call, AUDIO, content(payload)?).await?;
    Ok(Reply::ok())
}

async fn store(call: &Call<'_>, place: i64, content: store::Staged) -> Result<String, Refusal> {
    let id = named_id(call)?;
    let mut session = call.shared.store.write().await?;
    let source = call.source_again(&mut session).await?;
    session.put_comment_attachment(&source.id, &id, place, &content).await?;
    uploads::note_source(call, &mut session, &source).await?;
    session.commit().await?;
    Ok(content.hash().to_owned())
}

pub(crate) async fn audio(call: &Call<'_>) -> Result<Reply, Refusal> {
    let id = call.named.other(0);
    let mut session = call.shared.store.read().await?;
    let hash = session.comment_attachment(&call.source()?.id, id, AUDIO).await?;
    let missing = || Refusal::not_found(format_args!("the audio of the comment `{id}`"));
    let content = session.content(&hash.ok_or_else(missing)?).await?;
    Ok(send(call, Found::Content(content), None))
}

pub(crate) async fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    let reference = call.named.attachment.clone().unwrap_or_default();
    let missing = || Refusal::not_found(format_args!("the attachment `{reference}`"));
    let source = call.source()?;
    let mut session = call.shared.store.read().await?;
    match referred(&reference).ok_or_else(missing)? {
        Referred::Comment { place, index } => {
            let comment = session.comment_at(place).await?;
            let comment = comment.filter(|own| own.source_id == source.id).ok_or_else(missing)?;
            let hash = session.comment_attachment(&source.id, &comment.id, index).await?;
            let content = session.content(&hash.ok_or_else(missing)?).await?;
            Ok(send(call, Found::Content(content), None))
        }
        Referred::Email { number, index } => {
            // Only what a comment of this source was made of: the number alone proves nothing.
            let comment = session.comment_of_email(&source.id, number).await?;
            let comment = comment.ok_or_else(missing)?;
            let hash = hash_of(&comment, index);
            let (bucket_id, email) = session.email_by_number(number).await?.ok_or_else(missing)?;
            let sent = match i64::try_from(index) {
                Ok(index) => session.email_attachment(&bucket_id, &email.id, index).await?,
                Err(_) => None,
            };
            // Others read while this one waits and unpacks.
            drop(session);
            let place = call.shared.place_for_unpacking().await?;
            let content = call.shared.store.read().await?.content(&email.hash).await?;
            if let Some(bytes) = unpack(call.shared, content, &email, index, hash).await? {
                return Ok(send(call, bytes, Some(place)));
            }
            // Sent beside the email, not in it.
            let mut session = call.shared.store.read().await?;
            let content = session.content(&sent.ok_or_else(missing)?).await?;
            Ok(send(call, Found::Content(content), None))
        }
    }
}

/// The hash of an attachment, as the comment tells it.
fn hash_of(comment: &Comment, index: usize) -> Option<String> {
    let body: Value = serde_json::from_str(&comment.body).ok()?;
    let hash = body.pointer(&format!("/attachments/{index}/content_hash"))?;
    hash.as_str().map(str::to_owned)
}

/// What is to be sent.
enum Found {
    Content(ContentReader),
    /// A part of a raw email.
    Part(Vec<u8>, comment::File),
}

/// Finds an attachment in a raw email. The email may have been replaced since its comment was
/// made: only bytes with the hash that the comment tells are the right ones.
async fn unpack(
    shared: &Shared,
    content: ContentReader,
    email: &store::Email,
    index: usize,
    hash: Option<String>,
) -> Result<Option<Found>, Refusal> {
    let id = email.id.clone();
    let (mailbox, timestamp) = (email.mailbox.clone(), email.sent_at);
    let threads = &shared.converter.opened;
    let found = threads.run(move |watch| {
        let raw = content.read_whole()?;
        watch.begin(());
        let metadata = record::Metadata::default();
        let delivery = Delivery {
            email_id: &id,
            mailbox: &mailbox,
            timestamp,
            metadata: &metadata,
            listed: &[],
        };
        let mut converted = comment::convert(&raw, &delivery, &Transform::default());
        let same = |own: &comment::Attachment| own.content_hash == hash;
        // Where it was, or wherever it is now.
        let place = match converted.comment.attachments.get(index).is_some_and(same) {
            true => Some(index),
            false => converted.comment.attachments.iter().position(same),
        };
        let place = place.filter(|place| *place < converted.files.len());
        Ok(place.map(|place| Found::Part(raw, converted.files.swap_remove(place))))
    });
    let found: Result<_, StoreError> =
        found.await.map_err(|failed| unopened(failed, threads.time()))?;
    Ok(found?)
}

/// An answer of bytes that no browser takes for a page.
fn send(call: &Call<'_>, bytes: Found, place: Option<OwnedSemaphorePermit>) -> Reply {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let runtime = tokio::runtime::Handle::current();
    call.shared.tasks.spawn_blocking(move || {
        let _place = place;
        let sent = match bytes {
            Found::Content(mut content) => send_all(&runtime, &pieces, &mut |into| {
                content.read(into).map_err(io::Error::other)
            }),
            Found::Part(raw, file) => {
                let mut reader = file.reader(&raw);
                send_all(&runtime, &pieces, &mut |into| reader.read(into))
            }
        };
        if let Err(error) = sent {
            tracing::debug!("An attachment was not sent whole: {error}");
            // The connection breaks unless the client was the one to leave.
            pieces.blocking_send(Err(error)).unwrap_or_default();
        }
    });
    let header = HeaderName::from_static;
    Reply::bytes(receiver)
        .with(header("content-disposition"), "attachment")
        .with(header("x-content-type-options"), "nosniff")
}

fn send_all(
    runtime: &tokio::runtime::Handle,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut piece = vec![0; PIECE];
    loop {
        let count = read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(piece.get(..count).unwrap_or_default());
        let sent = runtime.block_on(timeout(PATIENCE, pieces.send(Ok(bytes))));
        sent.map_err(|_| gone())?.map_err(|_| gone())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_leads_to_what_it_was_made_of() {
        let email = email_reference("00000000000000aa", 77, 3);
        assert_eq!(referred(&email), Some(Referred::Email { number: 77, index: 3 }));
        let before_1970 = format!("00aa-c{:016x}-0", -5_i64);
        assert_eq!(referred(&before_1970), Some(Referred::Comment { place: -5, index: 0 }));
        for wrong in ["", "00aa", "00aa-e1", "00aa-x1-0", "00aa-é1-0", "00aa-e-0", "00aa-e1-x"] {
            assert_eq!(referred(wrong), None, "{wrong}");
        }
    }
}
