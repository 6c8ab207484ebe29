//! `Restriction` and `SortOrder` of `FindItem`.

use chrono::{DateTime, Utc};
use roxmltree::Node;

use super::super::{
    folder::Folder,
    id::ItemNo,
    item::Item,
    mailbox::Mailbox,
    mime,
    soap::Refusal,
    xml::{child, elements, name},
};

/// Deepest nesting of a restriction.
const MAX_DEPTH: usize = 30;

/// A value of an item that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Missing,
    Time(DateTime<Utc>),
    Number(u64),
    Text(String),
}

fn value(item: &Item, uri: &str) -> Option<Value> {
    let delivery = &item.delivery;
    let text = |text: &str| Value::Text(text.to_lowercase());
    Some(match uri {
        "item:DateTimeReceived" => delivery.received.map_or(Value::Missing, Value::Time),
        "item:DateTimeCreated" => Value::Time(item.created_at),
        "item:LastModifiedTime" => Value::Time(item.modified_at),
        "item:DateTimeSent" => delivery
            .content
            .head()
            .ok()
            .and_then(|head| mime::field(&head, "Date"))
            .and_then(|date| DateTime::parse_from_rfc2822(&date).ok())
            .map_or(Value::Missing, |date| Value::Time(date.to_utc())),
        "item:Size" => Value::Number(delivery.content.size()),
        "item:ItemClass" => text(&delivery.class),
        "item:Subject" => {
            let subject = delivery.content.head().ok().and_then(|h| mime::field(&h, "Subject"));
            subject.map_or(Value::Missing, |subject| text(&mime::decode_words(&subject)))
        }
        "item:HasAttachments" => text(if delivery.has_attachments { "true" } else { "false" }),
        "message:IsRead" => text(if delivery.is_read { "true" } else { "false" }),
        "message:InternetMessageId" => delivery.message_id.as_deref().map_or(Value::Missing, text),
        _ => return None,
    })
}

/// `constant` as the kind of value that `like` is.
fn constant(constant: &str, like: &Value) -> Option<Value> {
    Some(match like {
        Value::Time(_) | Value::Missing => match DateTime::parse_from_rfc3339(constant) {
            Ok(time) => Value::Time(time.to_utc()),
            Err(_) => Value::Text(constant.to_lowercase()),
        },
        Value::Number(_) => Value::Number(constant.parse().ok()?),
        Value::Text(_) => Value::Text(constant.to_lowercase()),
    })
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Contains,
}

/// A condition on items.
#[derive(Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Exists(String),
    Compare(Comparison_),
}

/// A property compared with a constant.
#[derive(Debug)]
pub(super) struct Comparison_ {
    uri: String,
    how: Comparison,
    constant: String,
}

impl Filter {
    /// Reads the element `Restriction`.
    pub(super) fn read<'n>(restriction: Node<'n, 'n>) -> Result<Self, Refusal> {
        let inner = restriction.first_element_child();
        Self::parse(inner.ok_or_else(|| Refusal::code("ErrorInvalidRestriction"))?, 0)
    }

    fn parse<'n>(node: Node<'n, 'n>, depth: usize) -> Result<Self, Refusal> {
        let invalid = || Refusal::code("ErrorInvalidRestriction");
        if depth > MAX_DEPTH {
            return Err(invalid());
        }
        let all = || -> Result<Vec<Self>, Refusal> {
            elements(node).map(|part| Self::parse(part, depth + 1)).collect()
        };
        let how = match name(node) {
            "And" => return Ok(Self::All(all()?)),
            "Or" => return Ok(Self::Any(all()?)),
            "Not" => {
                let inner = node.first_element_child().ok_or_else(invalid)?;
                return Ok(Self::Not(Box::new(Self::parse(inner, depth + 1)?)));
            }
            "Exists" => return Ok(Self::Exists(uri(node)?)),
            "IsEqualTo" => Comparison::Equal,
            "IsNotEqualTo" => Comparison::NotEqual,
            "IsGreaterThan" => Comparison::Greater,
            "IsGreaterThanOrEqualTo" => Comparison::GreaterOrEqual,
            "IsLessThan" => Comparison::Less,
            "IsLessThanOrEqualTo" => Comparison::LessOrEqual,
            "Contains" => Comparison::Contains,
            _ => return Err(invalid()),
        };
        let constant = child(node, "FieldURIOrConstant")
            .map_or_else(|| child(node, "Constant"), |either| child(either, "Constant"))
            .and_then(|constant| constant.attribute("Value"))
            .ok_or_else(invalid)?;
        Ok(Self::Compare(Comparison_ { uri: uri(node)?, how, constant: constant.to_owned() }))
    }

    pub(super) fn matches(&self, item: &Item) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(item)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(item)),
            Self::Not(part) => !part.matches(item),
            Self::Exists(uri) => value(item, uri).is_some_and(|value| value != Value::Missing),
            Self::Compare(comparison) => comparison.matches(item),
        }
    }
}

impl Comparison_ {
    fn matches(&self, item: &Item) -> bool {
        let Some(own) = value(item, &self.uri) else { return false };
        let Some(other) = constant(&self.constant, &own) else { return false };
        if own == Value::Missing {
            return false;
        }
        match self.how {
            Comparison::Equal => own == other,
            Comparison::NotEqual => own != other,
            Comparison::Greater => own > other,
            Comparison::GreaterOrEqual => own >= other,
            Comparison::Less => own < other,
            Comparison::LessOrEqual => own <= other,
            Comparison::Contains => match (own, other) {
                (Value::Text(own), Value::Text(other)) => own.contains(&other),
                _ => false,
            },
        }
    }
}

/// The property that a condition is about.
fn uri<'n>(node: Node<'n, 'n>) -> Result<String, Refusal> {
    child(node, "FieldURI")
        .and_then(|field| field.attribute("FieldURI"))
        .map(str::to_owned)
        .ok_or_else(|| Refusal::code("ErrorUnsupportedPathForQuery"))
}

/// The first field of a `SortOrder`.
#[derive(Debug)]
pub(super) enum Order {
    Received { ascending: bool },
    By { uri: String, ascending: bool },
}

impl Order {
    pub(super) fn read<'n>(order: Node<'n, 'n>) -> Result<Self, Refusal> {
        let field = order
            .first_element_child()
            .ok_or_else(|| Refusal::code("ErrorUnsupportedPathForSortGroup"))?;
        let ascending = field.attribute("Order") == Some("Ascending");
        Ok(match uri(field)?.as_str() {
            "item:DateTimeReceived" => Self::Received { ascending },
            uri => Self::By { uri: uri.to_owned(), ascending },
        })
    }

    pub(super) fn sort(&self, mailbox: &Mailbox, folder: &Folder) -> Vec<ItemNo> {
        let (uri, ascending) = match self {
            Self::Received { ascending } => ("item:DateTimeReceived", *ascending),
            Self::By { uri, ascending } => (uri.as_str(), *ascending),
        };
        let mut keyed: Vec<_> = folder
            .items
            .values()
            .filter_map(|no| Some((value(mailbox.items.get(no)?, uri), *no)))
            .collect();
        keyed.sort();
        if !ascending {
            keyed.reverse();
        }
        keyed.into_iter().map(|(_, no)| no).collect()
    }
}
