//! Entities and extracted fields of an annotation, in the form in which clients read them.
//!
//! Clients write where a value stands as bytes of UTF-16, and read characters as well: the official
//! one takes nothing of a whole page in which one entity lacks them. So the text of the comment says
//! what the other numbers are, before anything is kept.

use serde_json::{Value, json};

use super::{definition::Definition, set};
use crate::{
    refusal::Refusal,
    schema::{Fields, flag, inner_text, list as array, natural, one_of, text, wrong},
};

/// Most spans of one value.
const MAX_SPANS: usize = 256;
const MAX_VALUE: usize = 65_536;

/// What an annotation is about.
pub(super) struct About<'a> {
    /// The body of the comment.
    pub(super) comment: &'a Value,
    pub(super) dataset: &'a Definition,
}

impl About<'_> {
    /// `{"assigned": […], "dismissed": […]}` of entities.
    pub(super) fn entity(&self, path: &str, value: Value) -> Result<Value, Refusal> {
        let mut own = Fields::of(path, value)?;
        let mut shown = json!({ "name": own.required("name", text(1, 256))? });
        own.optional("kind", |_, _| Ok(()))?;
        self.take_value(path, &mut own, &mut shown)?;
        own.optional("id", |_, _| Ok(()))?;
        own.finish()?;
        Ok(shown)
    }

    /// The value itself, where it stands, and which field of the dataset it is.
    fn take_value(&self, path: &str, own: &mut Fields, shown: &mut Value) -> Result<(), Refusal> {
        let value = own.required("formatted_value", inner_text(0, MAX_VALUE))?;
        set(shown, "formatted_value", value.into());
        let one = own.optional("span", or_null(|path, value| self.span(path, value)))?.flatten();
        let spans = own.optional(
            "spans",
            or_null(|path, value| {
                let spans = array(|path: &str, value| self.span(path, value))(path, value)?;
                if spans.len() <= MAX_SPANS {
                    return Ok(spans);
                }
                Err(wrong(path, format_args!("expected at most {MAX_SPANS} spans")))
            }),
        )?;
        if one.is_some() && spans.as_ref().is_some_and(Option::is_some) {
            return Err(wrong(
                &format!("{path}.span"),
                "this field and `spans` exclude each other",
            ));
        }
        let spans = spans.flatten().unwrap_or_else(|| one.into_iter().collect());
        set(shown, "spans", spans.into());
        if let Some(id) = own.optional("field_id", or_null(text(1, 256)))?.flatten() {
            set(shown, "field_id", id.into());
        }
        Ok(())
    }

    fn span(&self, path: &str, value: Value) -> Result<Value, Refusal> {
        let mut own = Fields::of(path, value)?;
        let part = own.required("content_part", one_of(&["body", "subject", "signature"]))?;
        let message = own.required("message_index", natural)?;
        let start = own.required("utf16_byte_start", natural)?;
        let end = own.required("utf16_byte_end", natural)?;
        let pointer = format!("/messages/{message}/{part}/text");
        let text = self.comment.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
        let at = |name: &str, byte: u64| {
            let place = character(text, byte);
            let why = || wrong(&format!("{path}.{name}"), "no character of the text begins there");
            place.ok_or_else(why)
        };
        let (from, to) = (at("utf16_byte_start", start)?, at("utf16_byte_end", end)?);
        if from > to {
            return Err(wrong(&format!("{path}.utf16_byte_end"), "this is before the start"));
        }
        for (name, place) in [("char_start", from), ("char_end", to)] {
            if own.optional(name, natural)?.is_some_and(|own| own != place) {
                let why = format_args!("expected {place}, which is where the bytes are");
                return Err(wrong(&format!("{path}.{name}"), why));
            }
        }
        own.finish()?;
        Ok(json!({
            "content_part": part, "message_index": message, "char_start": from, "char_end": to,
            "utf16_byte_start": start, "utf16_byte_end": end,
        }))
    }

    /// `{"group": …, "assigned": […], "dismissed": […]}` of the fields of labels.
    pub(super) fn form(&self, path: &str, value: Value) -> Result<Value, Refusal> {
        let mut own = Fields::of(path, value)?;
        let group = own.required("group", text(1, 256))?;
        let mut shown = json!({ "group": group });
        for name in ["assigned", "dismissed"] {
            let read = |path: &str, value| self.captures(&group, path, value);
            let captures = own.optional(name, or_null(array(read)))?.flatten();
            set(&mut shown, name, captures.unwrap_or_default().into());
        }
        own.finish()?;
        Ok(shown)
    }

    fn captures(&self, group: &str, path: &str, value: Value) -> Result<Value, Refusal> {
        let mut own = Fields::of(path, value)?;
        let label = own.required("label", super::annotations::label)?;
        let name = label.get("name").and_then(Value::as_str).unwrap_or_default();
        let field = |path: &str, value: Value| self.field((group, name), path, value);
        let captures = own.optional(
            "captures",
            array(|path: &str, value| {
                let mut own = Fields::of(path, value)?;
                let fields = own.optional("fields", array(field))?.unwrap_or_default();
                own.finish()?;
                Ok(json!({ "fields": fields }))
            }),
        )?;
        own.finish()?;
        Ok(json!({ "label": label, "captures": captures.unwrap_or_default() }))
    }

    fn field(&self, label: (&str, &str), path: &str, value: Value) -> Result<Value, Refusal> {
        let mut own = Fields::of(path, value)?;
        let name = own.required("name", text(1, 1024))?;
        let kind = own.optional("kind", or_null(text(1, 256)))?.flatten();
        let kind = self.dataset.kind_of_field(label, &name).map(str::to_owned).or(kind);
        // Clients need one; a field that the dataset does not know says nothing better.
        let mut shown = json!({ "name": name, "kind": kind.unwrap_or_else(|| name.clone()) });
        self.take_value(path, &mut own, &mut shown)?;
        let spans = own.optional("document_spans", or_null(array(document_span)))?.flatten();
        set(&mut shown, "document_spans", spans.unwrap_or_default().into());
        own.optional("confirmed", flag)?;
        own.optional("id", |_, _| Ok(()))?;
        own.finish()?;
        Ok(shown)
    }
}

/// Where a value stands on a page of an attachment.
fn document_span(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let page = own.required("page_index", natural)?;
    let attachment = own.required("attachment_index", natural)?;
    let vertices = own.required("polygon", |path, value| {
        let mut own = Fields::of(path, value)?;
        let vertices = own.required(
            "vertices",
            array(|path: &str, value| {
                let number = |path: &str, value: Value| {
                    value.as_f64().ok_or_else(|| wrong(path, "expected a number"))
                };
                let mut own = Fields::of(path, value)?;
                let (x, y) = (own.required("x", number)?, own.required("y", number)?);
                own.finish()?;
                Ok(json!({ "x": x, "y": y }))
            }),
        )?;
        own.finish()?;
        Ok(vertices)
    })?;
    own.finish()?;
    Ok(json!({
        "page_index": page, "attachment_index": attachment, "polygon": { "vertices": vertices },
    }))
}

fn or_null<T>(
    read: impl FnOnce(&str, Value) -> Result<T, Refusal>,
) -> impl FnOnce(&str, Value) -> Result<Option<T>, Refusal> {
    move |path, value| if value.is_null() { Ok(None) } else { read(path, value).map(Some) }
}

/// Which character begins at a byte of the text in UTF-16; its end counts.
fn character(text: &str, byte: u64) -> Option<u64> {
    let mut at = 0;
    for (number, own) in (0..).zip(text.chars()) {
        if at >= byte {
            return (at == byte).then_some(number);
        }
        at += 2 * own.len_utf16() as u64;
    }
    (at == byte).then(|| text.chars().count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_utf16_is_that_of_a_character_or_none() {
        let text = "a\u{1f600}\u{e9}";
        let places: Vec<_> = (0..10).map(|byte| character(text, byte)).collect();
        let none = None;
        assert_eq!(
            places,
            [Some(0), none, Some(1), none, none, none, Some(2), none, Some(3), none]
        );
        assert_eq!(character("", 0), Some(0));
    }
}
