//! What a search shows of a comment.

use search::{Field, Query, Snippet, Span, highlight, snippet};
use serde_json::{Value, json};
use store::{Comment, Count};

use crate::{
    schema::show,
    search::{Scope, count},
};

/// Characters of a body that are shown.
const SNIPPET: usize = 240;
/// Characters of a subject and of an address.
const MAX_LINE: usize = 1_000;
/// Recipients that are shown.
const RECIPIENTS: usize = 10;

/// A comment that was found.
pub(crate) struct Hit {
    pub(crate) comment: Comment,
    /// Of its thread, how many were found and how many there are.
    pub(crate) thread: Option<(Count, Count)>,
}

pub(crate) fn shown(query: &Query, scope: &Scope, hit: &Hit) -> Value {
    let comment = &hit.comment;
    let body: Value = serde_json::from_str(&comment.body).unwrap_or_default();
    let message = body.pointer("/messages/0").unwrap_or(&Value::Null);
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    let lists = ["to", "cc", "bcc"].into_iter().filter_map(|name| message.get(name)?.as_array());
    let to: Vec<&Value> = lists.flatten().collect();
    let source = scope.sources.get(&comment.source_id);
    let mut shown = json!({
        "comment_id": comment.id,
        "uid": format!("{}.{}", comment.source_id, comment.id),
        "source_id": comment.source_id,
        "source": source.map(|own| json!({ "owner": own.owner, "name": own.name })),
        "timestamp": show(comment.at),
        "thread_id": comment.thread_id,
        "from": text("/from").map(|from| line(query, Field::From, from)),
        "to": to.iter().take(RECIPIENTS).collect::<Vec<_>>(),
        "num_recipients": to.len(),
        "subject": text("/subject/text").map(|own| line(query, Field::Subject, own)),
        "snippet": piece(&snippet(query, text("/body/text").unwrap_or_default(), SNIPPET)),
        "num_attachments": body.get("attachments").and_then(Value::as_array).map_or(0, Vec::len),
        "user_properties": body.get("user_properties").filter(|own| own.is_object())
            .cloned().unwrap_or_else(|| json!({})),
    });
    if let (Some((found, all)), Some(map)) = (hit.thread, shown.as_object_mut()) {
        let thread = json!({ "num_messages": count(all), "num_matching": count(found) });
        map.insert("thread".to_owned(), thread);
    }
    shown
}

fn line(query: &Query, field: Field, text: &str) -> Value {
    let text: String = text.chars().take(MAX_LINE).collect();
    json!({ "text": text, "highlights": spans(&highlight(query, field, &text)) })
}

fn piece(piece: &Snippet) -> Value {
    json!({
        "text": piece.text,
        "char_start": piece.char_start,
        "is_start": piece.is_start,
        "is_end": piece.is_end,
        "highlights": spans(&piece.spans),
    })
}

/// The same shape as that of markup.
fn spans(spans: &[Span]) -> Vec<Value> {
    let shown = |span: &Span| {
        json!({
            "char_start": span.char_start,
            "char_end": span.char_end,
            "utf16_byte_start": span.utf16_byte_start,
            "utf16_byte_end": span.utf16_byte_end,
        })
    };
    spans.iter().map(shown).collect()
}
