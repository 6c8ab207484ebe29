//! The attachments of a message: names, sizes, hashes, and where their content is.

use crate::{
    charset,
    comment::{Attachment, MAX_NAME_CHARS},
    guard::{Limits, Note, Notes},
    mime::{
        self, Fields, File, Location, end_of_fields,
        parameters::Structured,
        transfer::{self, Encoding},
        walk::Part,
        words,
    },
    text::{self, Flow, Text},
};

/// All parts that are not the text.
pub(super) fn find(
    message: &[u8],
    parts: &[Part<'_>],
    wrapper: Option<&Location>,
    limits: &Limits,
    notes: &mut Notes,
) -> Vec<(Attachment, File)> {
    let mut found: Vec<(Attachment, File)> = Vec::new();
    let mut first = true;
    for (index, part) in parts.iter().enumerate() {
        note_kind(part, notes);
        if super::bodies::is_body(part, first) {
            first = false;
            continue;
        }
        if part.open || is_seal(part) || part.body.is_empty() && index == 0 {
            continue;
        }
        if found.len() >= limits.attachments {
            notes.add(Note::TooManyAttachments);
            break;
        }
        found.push(attachment(message, part, parts, wrapper, found.len() + 1, limits, notes));
    }
    found
}

fn note_kind(part: &Part<'_>, notes: &mut Notes) {
    match part.kind.value.as_str() {
        "application/ms-tnef" | "application/vnd.ms-tnef" => notes.add(Note::Tnef),
        "multipart/encrypted" | "application/pgp-encrypted" => notes.add(Note::Encrypted),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            let kind = part.kind.bytes("smime-type").unwrap_or_default();
            if !kind.eq_ignore_ascii_case(b"signed-data") {
                notes.add(Note::Encrypted);
            }
        }
        _ => {}
    }
}

/// The signature of a signed message: a part of its packing, not of its content.
fn is_seal(part: &Part<'_>) -> bool {
    matches!(
        part.kind.value.as_str(),
        "application/pkcs7-signature"
            | "application/x-pkcs7-signature"
            | "application/pgp-signature"
            | "application/pgp-encrypted"
            | "text/x-amp-html"
    )
}

fn attachment(
    message: &[u8],
    part: &Part<'_>,
    parts: &[Part<'_>],
    wrapper: Option<&Location>,
    number: usize,
    limits: &Limits,
    notes: &mut Notes,
) -> (Attachment, File) {
    let disposition = part.fields.value("Content-Disposition").unwrap_or_default();
    let disposition = Structured::parse(disposition, limits, notes);
    let named = disposition.text("filename").or_else(|| part.kind.text("name"));
    let name = match named.map(|it| clean_name(&it)).filter(|it| !it.is_empty()) {
        Some(name) => name,
        None => clean_name(&made_up_name(message, part, number, limits, notes)),
    };
    let content_id = part.fields.value("Content-ID").map(words::decode);
    let content_id = content_id.map(|it| it.trim_matches(['<', '>', ' ']).to_owned());
    let parent = part.parent.and_then(|it| parts.get(it));
    let related = parent.is_some_and(|it| it.kind.value == "multipart/related");
    let inline = disposition.value == "inline"
        || disposition.value != "attachment" && related && content_id.is_some();
    let encoding = match part.kind.value.as_str() {
        // An encoding of these is against RFC 2046 §5.2.1, yet some write one and mean it.
        "message/rfc822" if part.encoding == Encoding::Identity => Encoding::Identity,
        _ => part.encoding,
    };
    let at = Location { range: part.body.clone(), encoding };
    let (size, hash) = mime::measure(at.decoder(message));
    if name.chars().count() > MAX_NAME_CHARS {
        notes.add(Note::FieldCut);
    }
    let attachment = Attachment {
        name: short_name(&name),
        size,
        content_type: part.kind.value.chars().take(MAX_NAME_CHARS).collect(),
        content_hash: Some(hash),
        inline,
    };
    (attachment, File { at, wrapper: wrapper.cloned(), content_id })
}

/// The last element of a path, without characters that change how a name is shown.
fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).find(|it| !it.trim().is_empty()).unwrap_or_default();
    let kept = last.chars().filter(|it| {
        !it.is_control() && !matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    let kept: String = kept.collect();
    let kept = kept.trim();
    if kept.chars().all(|it| it == '.') { String::new() } else { kept.to_owned() }
}

/// A name that fits, with its extension.
fn short_name(name: &str) -> String {
    const MAX_EXTENSION: usize = 16;
    if name.chars().count() <= MAX_NAME_CHARS {
        return name.to_owned();
    }
    let extension = name.rfind('.').and_then(|at| name.get(at..)).unwrap_or_default();
    let extension = if extension.chars().count() <= MAX_EXTENSION { extension } else { "" };
    let room = MAX_NAME_CHARS - extension.chars().count();
    name.chars().take(room).chain(extension.chars()).collect()
}

fn made_up_name(
    message: &[u8],
    part: &Part<'_>,
    number: usize,
    limits: &Limits,
    notes: &mut Notes,
) -> String {
    let kind = part.kind.value.as_str();
    match kind {
        "message/rfc822" | "message/global" => {
            let content = message.get(part.body.clone()).unwrap_or_default();
            let end = end_of_fields(content, 0, &mut Notes::default());
            let block = content.get(..end.fields).unwrap_or_default();
            let subject = Fields::new(block, limits, notes).value("Subject").map(words::decode);
            let subject = subject.unwrap_or_default().replace(['/', '\\', ':'], "_");
            if subject.is_empty() { format!("message-{number}.eml") } else { subject + ".eml" }
        }
        "text/calendar" => "invite.ics".to_owned(),
        "text/rfc822-headers" => "headers.txt".to_owned(),
        "message/delivery-status" => "delivery-status.txt".to_owned(),
        "message/disposition-notification" => "disposition-notification.txt".to_owned(),
        "application/ms-tnef" | "application/vnd.ms-tnef" => "winmail.dat".to_owned(),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => "smime.p7m".to_owned(),
        "image/jpeg" => format!("image-{number}.jpg"),
        "text/plain" => format!("text-{number}.txt"),
        _ => {
            let (main, sub) = kind.split_once('/').unwrap_or(("part", ""));
            let plain = sub.len() <= 8 && sub.bytes().all(|it| it.is_ascii_alphanumeric());
            match (main, plain && !sub.is_empty()) {
                ("image" | "text" | "audio" | "video", true) => format!("{main}-{number}.{sub}"),
                ("application", true) if sub == "pdf" || sub == "zip" || sub == "json" => {
                    format!("attachment-{number}.{sub}")
                }
                _ => format!("attachment-{number}"),
            }
        }
    }
}

/// What an invitation says, for an email that says nothing else (RFC 5545).
pub(super) fn event_text(message: &[u8], part: &Part<'_>, limits: &Limits) -> Text {
    const MAX: usize = 64 * 1024;
    let encoded = message.get(part.body.clone()).unwrap_or_default();
    let bytes = transfer::decode(encoded, part.encoding, MAX);
    let calendar = charset::decode(&bytes, part.kind.bytes("charset").or(Some(b"utf-8"))).text;
    let unfolded = calendar.replace("\r\n ", "").replace("\n ", "").replace("\r\n\t", "");
    let mut said = String::new();
    let mut inside = false;
    for line in unfolded.lines() {
        match line.trim_end() {
            "BEGIN:VEVENT" => inside = true,
            "END:VEVENT" => break,
            line if inside => {
                let Some((name, value)) = line.split_once(':') else { continue };
                let name = name.split(';').next().unwrap_or_default();
                if matches!(name, "SUMMARY" | "LOCATION" | "DTSTART" | "DTEND" | "DESCRIPTION") {
                    let value = value.replace("\\n", "\n").replace("\\N", "\n");
                    said.push_str(&value.replace("\\,", ",").replace("\\;", ";"));
                    said.push('\n');
                }
            }
            _ => {}
        }
    }
    text::from_plain(&said, Flow::default(), limits, &mut Notes::default())
}
