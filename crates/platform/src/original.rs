//! Emails as their senders made them, for people to look at.
//!
//! Whoever can send an email writes what is shown here. Three layers stand between them and the
//! reader, and each holds without the others: the HTML is written anew from a list (`comment`);
//! the policy of each answer forbids scripts and everything that loads, and makes the document a
//! stranger to the rest of the site; and the page that shows it puts it into a sandboxed frame.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::Path,
    time::Duration,
};

use comment::{Html, Original, Page, Remote, escape, original};
use hyper::{
    StatusCode,
    header::{
        CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use store::{ContentReader, Email};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    body::full,
    call::Call,
    emails::{PATIENCE, PIECE, PIECES},
    refusal::Refusal,
    reply::Reply,
    schema::wrong,
    server::Shared,
    watched::Unfinished,
};

/// Emails that are opened at once, how long one more waits, and what it hears. Each is in memory
/// as a whole while it is read.
pub(crate) const MAX_OPENED: usize = 4;
/// After how many seconds a client may try again when all threads are taken.
const BUSY_PAUSE: u32 = 30;
/// Largest email that is opened; a larger one can be downloaded.
const MAX_SIZE: u64 = 256 * 1024 * 1024;
/// Largest part of an email that is sent from memory; a larger one is put into a file meanwhile,
/// so that a slow client does not hold memory.
const MAX_MEMORY: u64 = 4 * 1024 * 1024;

/// What the document of an email may do: have colors, and pictures of its own. Links may open
/// windows, which are then as free as any other; nothing else leaves the frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";
const POLICY_WITH_PICTURES: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                                    img-src data: https:; base-uri 'none'; form-action 'none'";
/// What only a header can say.
const FRAME: &str = "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox";
/// What a file of an email may do, should a browser show it.
const FILE_POLICY: &str = "default-src 'none'; frame-ancestors 'self'; sandbox";

const STYLE: &str = "body{margin:12px;background:#fff;color:#111;font:14px/1.45 \
                     system-ui,sans-serif;overflow-wrap:break-word}img{max-width:100%}\
                     img:not([src]){outline:1px dashed #aaa}pre{white-space:pre-wrap}\
                     blockquote{margin:0 0 0 .6em;padding-left:.8em;border-left:2px solid #ccc}";

/// Characters that a parameter of a header cannot have. Spec: RFC 8187 §3.2.1.
const NO_ATTRIBUTE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

async fn find(call: &Call<'_>) -> Result<(Email, ContentReader), Refusal> {
    let id = call.named.other(0);
    let mut session = call.shared.store.read().await?;
    let missing = || Refusal::not_found(format_args!("the email `{id}`"));
    let email = session.email(&call.bucket()?.id, id).await?.ok_or_else(missing)?;
    let content = session.content(&email.hash).await?;
    Ok((email, content))
}

/// Does `work` with a whole email, where it does not keep others waiting.
async fn open<T: Send + 'static>(
    shared: &Shared,
    mut content: ContentReader,
    work: impl FnOnce(&[u8]) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if content.size() > MAX_SIZE {
        let message = format!("the email has more than {MAX_SIZE} bytes; download it instead");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let _place = shared.place_to_open().await?;
    let threads = &shared.converter.opened;
    let worked = threads.run(move |watch| {
        let mut raw = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let read = content.read(&mut piece)?;
            if read == 0 {
                break;
            }
            raw.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
        watch.begin(());
        work(&raw)
    });
    worked.await.unwrap_or_else(|failed| Err(unopened(failed, threads.time())))
}

/// What a client hears of an email that could not be looked into.
pub(crate) fn unopened(failed: Unfinished<()>, time: Duration) -> Refusal {
    match failed {
        Unfinished::NoThread => Refusal::busy("too many emails are being opened", BUSY_PAUSE),
        Unfinished::TooLong(()) => {
            let message =
                format!("the email takes more than {time:?} to be read; download it instead");
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
        }
        Unfinished::Panicked(_) => {
            tracing::error!("Opening an email panicked");
            let message = "the server could not open the email; its log has the reason";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

pub(crate) async fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    let (email, content) = find(call).await?;
    let size = content.size();
    let shown = open(call.shared, content, move |raw| {
        Ok(shown(&email.id, size, &original(raw, Remote::Blocked)))
    });
    Ok(guarded(Reply::json(json!({ "original": shown.await? })), FILE_POLICY))
}

fn shown(id: &str, size: u64, original: &Original) -> Value {
    let headers = original.headers.iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let html = original.html.as_ref().map(|html| {
        let none = Page::default();
        let (state, page) = match html {
            Html::Shown(page) => ("shown", page),
            Html::TooLarge => ("too_large", &none),
            Html::TooDeep => ("too_deep", &none),
        };
        json!({
            "state": state,
            "blocked": page.blocked,
            "links": page.links,
            "inline_pictures": page.pictures,
        })
    });
    let files = original.files.iter().zip(&original.pictures);
    let parts = original.attachments.iter().zip(files).enumerate();
    let parts: Vec<_> = parts
        .map(|(index, (about, (file, picture)))| {
            let mut part = json!(about);
            if let Some(map) = part.as_object_mut() {
                map.insert("index".to_owned(), index.into());
                let mut add = |name: &str, value: Option<&str>| {
                    value.map(|value| map.insert(name.to_owned(), value.into()))
                };
                add("content_id", file.content_id.as_deref());
                add("shown_as", *picture);
            }
            part
        })
        .collect();
    json!({
        "email_id": id,
        "size": size,
        "headers": headers,
        "text": original.text,
        "text_cut": original.text_is_cut,
        "html": html,
        "parts": parts,
        "notes": original.notes,
    })
}

pub(crate) async fn html(call: &Call<'_>) -> Result<Reply, Refusal> {
    let remote = match call.head.parameters("remote").next() {
        None | Some("none") => Remote::Blocked,
        Some("images") => Remote::Pictures,
        Some(_) => return Err(wrong("remote", "expected none or images")),
    };
    let (_, content) = find(call).await?;
    let work = move |raw: &[u8]| Ok(document(&original(raw, remote), remote));
    let document = open(call.shared, content, work).await?;
    let reply = Reply::new(StatusCode::OK, "text/html; charset=utf-8", document.into_bytes());
    Ok(guarded(reply, &format!("{}; {FRAME}", policy(remote))))
}

fn policy(remote: Remote) -> &'static str {
    match remote {
        Remote::Blocked => POLICY,
        Remote::Pictures => POLICY_WITH_PICTURES,
    }
}

/// The document of an email. Its policy is in it once more, for pages that get it with a token
/// and show it by `srcdoc`, where no header counts.
fn document(original: &Original, remote: Remote) -> String {
    let mut body = String::new();
    match &original.html {
        Some(Html::Shown(page)) => body.push_str(&page.html),
        _ => {
            body.push_str("<div style=\"white-space:pre-wrap\">");
            escape(&original.text, &mut body);
            body.push_str("</div>");
        }
    }
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\
         <meta name=\"referrer\" content=\"no-referrer\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light\"><title>Email</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>\n",
        policy(remote)
    )
}

/// An answer that holds what a sender wrote.
fn guarded(reply: Reply, policy: &str) -> Reply {
    reply
        .with(CONTENT_SECURITY_POLICY, policy)
        .with(REFERRER_POLICY, "no-referrer")
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
        .with(HeaderName::from_static("x-dns-prefetch-control"), "off")
}

fn as_file(reply: Reply, name: &str) -> Reply {
    guarded(reply, FILE_POLICY).with(CONTENT_DISPOSITION, disposition(name))
}

/// Always to be saved, under that name. Spec: RFC 6266 §4.3.
fn disposition(name: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || " .-_()".contains(it);
    let ascii: String = name.chars().map(|it| if plain(it) { it } else { '_' }).collect();
    let coded = utf8_percent_encode(name, NO_ATTRIBUTE);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{coded}")
}

/// A part of an email that waits to be sent.
enum Part {
    Memory(Vec<u8>),
    File(File, u64),
}

pub(crate) async fn part(call: &Call<'_>) -> Result<Reply, Refusal> {
    let missing = || Refusal::not_found(format_args!("the part `{}`", call.named.other(1)));
    let index: usize = call.named.other(1).parse().map_err(|_| missing())?;
    let (_, content) = find(call).await?;
    let folder = call.shared.store.temporary_folder();
    let work = move |raw: &[u8]| {
        let original = original(raw, Remote::Blocked);
        let found = original.attachments.into_iter().zip(&original.files).nth(index);
        let Some((about, file)) = found else { return Ok(None) };
        let picture = original.pictures.get(index).copied().flatten();
        let mut reader = file.reader(raw);
        let part = if about.size > MAX_MEMORY {
            let (kept, size) = keep(&mut reader, &folder).map_err(full)?;
            Part::File(kept, size)
        } else {
            let mut kept = Vec::new();
            reader.read_to_end(&mut kept).map_err(full)?;
            Part::Memory(kept)
        };
        Ok(Some((about.name, picture, part)))
    };
    let found = open(call.shared, content, work).await?;
    let (name, picture, part) = found.ok_or_else(missing)?;
    let kind = picture.unwrap_or("application/octet-stream");
    let reply = match part {
        Part::Memory(bytes) => Reply::new(StatusCode::OK, kind, bytes),
        Part::File(mut file, size) => {
            let pieces = send(call.shared, move |piece| file.read(piece));
            Reply::stream(kind, pieces).with(CONTENT_LENGTH, size.to_string())
        }
    };
    Ok(as_file(reply, &name))
}

pub(crate) async fn raw(call: &Call<'_>) -> Result<Reply, Refusal> {
    let (email, mut content) = find(call).await?;
    let size = content.size();
    let pieces = send(call.shared, move |piece| content.read(piece).map_err(io::Error::other));
    let name = format!("{}.eml", email.id.trim_matches(['<', '>']));
    let reply = Reply::stream("message/rfc822", pieces).with(CONTENT_LENGTH, size.to_string());
    Ok(as_file(reply, &name))
}

fn keep(reader: &mut dyn Read, folder: &Path) -> io::Result<(File, u64)> {
    let mut kept = tempfile::tempfile_in(folder)?;
    let size = io::copy(reader, &mut kept)?;
    kept.flush()?;
    kept.rewind()?;
    Ok((kept, size))
}

/// Sends what `read` gives until it gives nothing, as fast as the client takes it.
fn send(
    shared: &Shared,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
) -> mpsc::Receiver<io::Result<bytes::Bytes>> {
    let (pieces, receiver) = mpsc::channel(PIECES);
    shared.tasks.spawn(async move {
        loop {
            let step = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; PIECE];
                let count = read(&mut piece);
                (read, count, piece)
            });
            let Ok((again, count, mut piece)) = step.await else { return };
            read = again;
            let next = match count {
                Ok(0) => return,
                Ok(count) => {
                    piece.truncate(count);
                    Ok(piece.into())
                }
                Err(error) => {
                    tracing::error!("Could not read an email back: {}", record::Chain(&error));
                    Err(io::Error::other("the content could not be read"))
                }
            };
            let is_last = next.is_err();
            let passed = timeout(PATIENCE, pieces.send(next)).await;
            if is_last || !matches!(passed, Ok(Ok(()))) {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_one_value_of_one_header() {
        assert_eq!(
            disposition("a\"; filename=b.html\r\nX: y/é.pdf"),
            "attachment; filename=\"a__ filename_b.html__X_ y__.pdf\"; \
             filename*=UTF-8''a%22%3B%20filename%3Db.html%0D%0AX%3A%20y%2F%C3%A9.pdf"
        );
    }

    #[test]
    fn the_document_carries_the_policy_itself() {
        let plain = original(b"Subject: x\r\n\r\n<script>1</script>", Remote::Blocked);
        let document = document(&plain, Remote::Blocked);
        assert!(document.contains(&format!("content=\"{POLICY}\"")), "{document}");
        assert!(document.contains("&lt;script&gt;1"), "{document}");
    }
}
