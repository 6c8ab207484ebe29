//! What a request asks for beside its path: options of `OData` and preferences.

use chrono::{DateTime, Utc};
use hyper::HeaderMap;

use super::{super::item::Item, error::Refusal};

/// The properties of a message (Microsoft Graph, "message resource type").
pub(crate) const MESSAGE: &[&str] = &[
    "bccRecipients",
    "body",
    "bodyPreview",
    "categories",
    "ccRecipients",
    "changeKey",
    "conversationId",
    "createdDateTime",
    "from",
    "hasAttachments",
    "id",
    "importance",
    "internetMessageHeaders",
    "internetMessageId",
    "isDraft",
    "isRead",
    "lastModifiedDateTime",
    "parentFolderId",
    "receivedDateTime",
    "replyTo",
    "sender",
    "sentDateTime",
    "subject",
    "toRecipients",
];
/// The properties of a folder ("mailFolder resource type").
pub(crate) const FOLDER: &[&str] = &[
    "childFolderCount",
    "displayName",
    "id",
    "isHidden",
    "parentFolderId",
    "totalItemCount",
    "unreadItemCount",
];
/// The options that `OData` defines and this server knows.
const OPTIONS: &[&str] = &[
    "$select",
    "$expand",
    "$filter",
    "$orderby",
    "$top",
    "$skip",
    "$count",
    "$skiptoken",
    "$deltatoken",
];

/// The query of a URL, decoded; the names of `OData` in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let name = if name.starts_with('$') { name.to_ascii_lowercase() } else { name.into() };
            if name.starts_with('$') && !OPTIONS.contains(&name.as_str()) {
                return Err(Refusal::bad(format!("The query option '{name}' is not supported.")));
            }
            if pairs.iter().any(|(own, _)| *own == name) {
                let text = format!("Query option '{name}' was specified more than once.");
                return Err(Refusal::bad(text));
            }
            pairs.push((name, value.into_owned()));
        }
        Ok(Self(pairs))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        pair.map(|(_, value)| value.as_str())
    }

    /// Refuses options of `OData` that are not among these.
    pub(crate) fn allow(&self, names: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(own, _)| own.starts_with('$') && !names.contains(&own.as_str()))
        {
            Some((name, _)) => {
                Err(Refusal::bad(format!("The query option '{name}' is not allowed here.")))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Refusal::bad(format!("Invalid value '{text}' for '{name}' query option.")))
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Which properties an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `None`: all of them.
    select: Option<Vec<&'static str>>,
    pub(crate) expand: Vec<Property>,
}

impl Shape {
    /// Reads `$select` and `$expand` for a resource with the properties `known`.
    pub(crate) fn read(query: &Query, known: &[&'static str]) -> Result<Self, Refusal> {
        let select = query.get("$select").map(|list| {
            list.split(',')
                .map(str::trim)
                .map(|name| {
                    let own = known.iter().find(|own| own.eq_ignore_ascii_case(name));
                    own.copied().ok_or_else(|| {
                        Refusal::bad(format!(
                            "Parsing OData Select and Expand failed: Could not find a property \
                             named '{name}' on the type."
                        ))
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        });
        let expand = query.get("$expand").map(expand).transpose()?.unwrap_or_default();
        Ok(Self { select: select.transpose()?, expand })
    }

    pub(crate) fn shows(&self, name: &str) -> bool {
        self.select.as_ref().is_none_or(|names| names.contains(&name))
    }
}

/// A MAPI property, as requests name it: `Binary 0x300B`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) kind: String,
    pub(crate) tag: u16,
}

impl Property {
    fn read(id: &str) -> Option<Self> {
        let (kind, tag) = id.split_once(' ')?;
        let digits = tag.strip_prefix("0x").or_else(|| tag.strip_prefix("0X"))?;
        let kinds = ["Binary", "Boolean", "Integer", "Long", "String", "SystemTime"];
        let kind = kinds.iter().find(|own| own.eq_ignore_ascii_case(kind))?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        // A whole tag has the type in its lower half.
        let number = if digits.len() > 4 { number >> 16 } else { number };
        Some(Self { kind: (*kind).to_owned(), tag: u16::try_from(number).ok()? })
    }

    /// As answers name it: digits in lower case, without zeros before them.
    pub(crate) fn id(&self) -> String {
        format!("{} {:#x}", self.kind, self.tag)
    }
}

/// Reads `singleValueExtendedProperties($filter=id eq 'Binary 0x300B' or id eq '…')`.
fn expand(text: &str) -> Result<Vec<Property>, Refusal> {
    let refused = || {
        Refusal::bad(format!(
            "Parsing OData Select and Expand failed: `{text}` is not supported in $expand."
        ))
    };
    let (name, inner) = text.trim().split_once('(').ok_or_else(refused)?;
    let filter = inner.strip_suffix(')').and_then(|inner| inner.trim().strip_prefix("$filter="));
    if !name.eq_ignore_ascii_case("singleValueExtendedProperties") {
        return Err(refused());
    }
    let words = words(filter.ok_or_else(refused)?).ok_or_else(refused)?;
    let mut properties = Vec::new();
    for condition in words.split(|word| *word == Word::Name("or")) {
        match condition {
            [Word::Name("id"), Word::Name("eq"), Word::Text(id)] => {
                let property = Property::read(id);
                properties.push(property.ok_or_else(|| {
                    let text = format!("The property id '{id}' is not valid.");
                    Refusal::new(400, "ErrorInvalidExtendedProperty", text)
                })?);
            }
            _ => return Err(refused()),
        }
    }
    Ok(properties)
}

#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Name(&'a str),
    /// What stood in single quotes.
    Text(String),
}

/// The words of a filter; `None` if a quoted text does not end.
fn words(text: &str) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let mut value = String::new();
            let mut left = quoted;
            loop {
                let (part, after) = left.split_once('\'')?;
                value.push_str(part);
                left = after;
                // Two quotes stand for one.
                match after.strip_prefix('\'') {
                    Some(more) => {
                        value.push('\'');
                        left = more;
                    }
                    None => break,
                }
            }
            words.push(Word::Text(value));
            rest = left.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            words.push(Word::Name(word));
            rest = after.trim_start();
        }
    }
    Some(words)
}

/// One condition of a `$filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Received(String, DateTime<Utc>),
    MessageId(String),
    IsDraft(bool),
    IsRead(bool),
}

/// A `$filter` of messages: conditions that all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter(Vec<Condition>);

impl Filter {
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let refused = || {
            let text = format!("Invalid filter clause: `{text}`.");
            Refusal::new(400, "ErrorInvalidUrlQueryFilter", text)
        };
        let words = words(text).ok_or_else(refused)?;
        words
            .split(|word| *word == Word::Name("and"))
            .map(|condition| match condition {
                [Word::Name("receivedDateTime"), Word::Name(how), Word::Name(at)]
                    if ["ge", "gt", "le", "lt", "eq"].contains(how) =>
                {
                    let at = DateTime::parse_from_rfc3339(at).ok()?;
                    Some(Condition::Received((*how).to_owned(), at.to_utc()))
                }
                [Word::Name("internetMessageId"), Word::Name("eq"), Word::Text(id)] => {
                    Some(Condition::MessageId(id.clone()))
                }
                [Word::Name("isDraft"), Word::Name("eq"), Word::Name(value)] => {
                    value.parse().ok().map(Condition::IsDraft)
                }
                [Word::Name("isRead"), Word::Name("eq"), Word::Name(value)] => {
                    value.parse().ok().map(Condition::IsRead)
                }
                _ => None,
            })
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(refused)
    }

    pub(crate) fn matches(&self, item: &Item) -> bool {
        let delivery = &item.delivery;
        self.0.iter().all(|condition| match condition {
            Condition::Received(how, at) => {
                delivery.received.is_some_and(|received| match how.as_str() {
                    "ge" => received >= *at,
                    "gt" => received > *at,
                    "le" => received <= *at,
                    "lt" => received < *at,
                    _ => received == *at,
                })
            }
            Condition::MessageId(id) => delivery.message_id.as_ref() == Some(id),
            Condition::IsDraft(value) => delivery.is_draft == *value,
            Condition::IsRead(value) => delivery.is_read == *value,
        })
    }

    /// Whether it is of the kind that a delta query may have: `receivedDateTime ge` or `gt`.
    pub(crate) fn fits_delta(&self) -> bool {
        matches!(self.0.as_slice(), [Condition::Received(how, _)] if how == "ge" || how == "gt")
    }

    /// Whether the first condition is about the time of receipt, as an order by it demands.
    pub(crate) fn begins_with_received(&self) -> bool {
        matches!(self.0.first(), Some(Condition::Received(..)))
    }
}

/// What the header `Prefer` says (RFC 7240).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    pub(crate) immutable: bool,
    pub(crate) page: Option<usize>,
    pub(crate) text_body: bool,
    /// What the answer says was done.
    pub(crate) applied: Vec<String>,
}

impl Prefer {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let lines = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')).map(str::trim) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "idtype" if value.eq_ignore_ascii_case("ImmutableId") => prefer.immutable = true,
                "odata.maxpagesize" => match value.parse() {
                    Ok(page) if page > 0 => prefer.page = Some(page),
                    _ => continue,
                },
                "outlook.body-content-type" if value == "text" => prefer.text_body = true,
                _ => continue,
            }
            prefer.applied.push(preference.to_owned());
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn query(text: &str) -> Query {
        Query::read(text).unwrap()
    }

    #[test]
    fn reads_properties_to_expand() {
        let text = "$select=id,receivedDateTime&%24expand=singleValueExtendedProperties(\
                    $filter=id%20eq%20'Binary%200x300B'+or+id+eq+'Integer+0x0E08')";
        let shape = Shape::read(&query(text), MESSAGE).unwrap();
        let ids: Vec<_> = shape.expand.iter().map(Property::id).collect();
        assert_eq!(ids, ["Binary 0x300b", "Integer 0xe08"]);
        assert!(shape.shows("id") && !shape.shows("subject"));
        for wrong in ["singleValueExtendedProperties", "attachments", "x($filter=id eq 'y')"] {
            assert_eq!(expand(wrong).unwrap_err().status, 400, "{wrong}");
        }
        assert!(expand("singleValueExtendedProperties($filter=id eq 'Bin 0x300B')").is_err());
        assert!(Shape::read(&query("$select=size"), MESSAGE).is_err());
    }

    #[test]
    fn reads_filters_and_knows_those_of_a_delta() {
        let delta = Filter::read("receivedDateTime ge 2026-11-21T08:00:00Z").unwrap();
        assert!(delta.fits_delta());
        let other = "receivedDateTime gt 2026-11-21T08:00:00Z and isDraft eq false";
        assert!(!Filter::read(other).unwrap().fits_delta());
        let id = Filter::read("internetMessageId eq '<it''s and@x>'").unwrap();
        assert_eq!(id, Filter(vec![Condition::MessageId("<it's and@x>".to_owned())]));
        for wrong in ["", "receivedDateTime ge yesterday", "size gt 5", "isDraft eq 'x"] {
            assert!(Filter::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_preferences_in_any_order_and_ignores_unknown_ones() {
        let mut headers = HeaderMap::new();
        headers.append("prefer", HeaderValue::from_static("x, odata.maxpagesize=50"));
        headers.append("prefer", HeaderValue::from_static("IdType=\"ImmutableId\""));
        let prefer = Prefer::read(&headers);
        assert_eq!((prefer.immutable, prefer.page), (true, Some(50)));
        assert_eq!(prefer.applied, ["odata.maxpagesize=50", "IdType=\"ImmutableId\""]);
    }

    #[test]
    fn refuses_options_that_are_unknown_or_there_twice() {
        assert!(Query::read("$apply=x").is_err());
        assert!(Query::read("$top=1&$top=2").is_err());
        assert!(Query::read("whatever=1").is_ok());
    }
}
