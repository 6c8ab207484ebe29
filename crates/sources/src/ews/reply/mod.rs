//! Reads SOAP replies, once [`super::stream`] has taken the email bodies out of them.
//!
//! Elements are found by their local names: prefixes are the server's choice, and no name that
//! we ask for occurs in two namespaces with two meanings.

mod folders;
mod items;
mod parts;

use std::time::Duration;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Utc};
use roxmltree::{Document, Node, ParsingOptions};

pub use folders::{FolderRow, HierarchyPage, folder_marks, hierarchy_page};
pub use items::{ItemContent, ItemRow, ItemsPage, get_items, items_page};
pub use parts::{Address, Attachment, AttachmentKind, Content, Parts, attachment, get_parts};

use super::stream::Malformed;

/// Most elements and texts of one reply; the parser takes about 50 bytes for each.
const MAX_NODES: u32 = 600_000;

/// Longest pause that a server can ask for. A longer one is a mistake of the server.
const MAX_BACK_OFF: Duration = Duration::from_secs(24 * 3600);

/// What the server says went wrong, with a request or with one part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// `ErrorServerBusy` and its like.
    pub code: String,
    /// For people; may hold anything.
    pub text: String,
    /// The code behind an `ErrorInternalServerError`.
    pub inner: Option<String>,
    /// How long the server wants to be left alone.
    pub back_off: Option<Duration>,
    /// The address to use, when the one in the request was not the primary one.
    pub primary: Option<String>,
}

/// The reply holds no result.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejected {
    Fault(Fault),
    Malformed(Malformed),
}

impl From<Malformed> for Rejected {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Parses a cleaned skeleton.
///
/// # Errors
///
/// [`Malformed::Xml`] with the parser's words.
pub fn parse(text: &str) -> Result<Document<'_>, Malformed> {
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    Document::parse_with_options(text, options).map_err(|err| Malformed::Xml(err.to_string()))
}

/// The fault that the reply consists of, if it does.
pub fn soap_fault(document: &Document<'_>) -> Option<Fault> {
    let fault = child(child(document.root_element(), "Body")?, "Fault")?;
    let detail = child(fault, "detail");
    let faultcode = text(fault, "faultcode").map(|code| code.rsplit(':').next().unwrap_or(code));
    let code = detail.and_then(|detail| text(detail, "ResponseCode")).or(faultcode);
    let message = detail.and_then(|detail| text(detail, "Message"));
    Some(fault_of(
        code.unwrap_or("Fault"),
        message.or_else(|| text(fault, "faultstring")),
        detail.and_then(|detail| child(detail, "MessageXml")),
    ))
}

/// The response messages of `operation`, in the order of what was asked.
fn messages<'a, 'i>(
    document: &'a Document<'i>,
) -> Result<impl Iterator<Item = Node<'a, 'i>>, Rejected> {
    if let Some(fault) = soap_fault(document) {
        return Err(Rejected::Fault(fault));
    }
    let list = child(document.root_element(), "Body")
        .and_then(|body| body.first_element_child())
        .and_then(|response| child(response, "ResponseMessages"))
        .ok_or(Malformed::Missing("response messages"))?;
    Ok(list.children().filter(Node::is_element))
}

/// The only response message, which must be a success.
fn single<'a, 'i>(document: &'a Document<'i>) -> Result<Node<'a, 'i>, Rejected> {
    let message = messages(document)?.next().ok_or(Malformed::Missing("response message"))?;
    match failure(message) {
        Some(fault) => Err(Rejected::Fault(fault)),
        None => Ok(message),
    }
}

/// Why a response message is no success.
fn failure(message: Node<'_, '_>) -> Option<Fault> {
    if message.attribute("ResponseClass") == Some("Success") {
        return None;
    }
    Some(fault_of(
        text(message, "ResponseCode").unwrap_or("no response code"),
        text(message, "MessageText"),
        child(message, "MessageXml"),
    ))
}

fn fault_of(code: &str, message: Option<&str>, xml: Option<Node<'_, '_>>) -> Fault {
    let value = |name: &str| {
        xml?.descendants()
            .find(|node| node.attribute("Name") == Some(name))?
            .text()
            .map(|text| text.trim().to_owned())
    };
    let milliseconds = value("BackOffMilliseconds").and_then(|text| text.parse().ok());
    Fault {
        code: short(code, 100),
        text: short(message.unwrap_or_default(), 500),
        inner: value("InnerErrorResponseCode"),
        back_off: milliseconds.map(|ms| Duration::from_millis(ms).min(MAX_BACK_OFF)),
        primary: value("Primary"),
    }
}

fn short(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

/// The text of a child element, without white space around it; `None` if there is none.
fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let text = child(node, name)?.text()?.trim();
    (!text.is_empty()).then_some(text)
}

fn owned(node: Node<'_, '_>, name: &str) -> Option<String> {
    text(node, name).map(str::to_owned)
}

fn flag(node: Node<'_, '_>, name: &str) -> Option<bool> {
    match text(node, name)? {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn number(node: Node<'_, '_>, name: &str) -> Option<u64> {
    text(node, name)?.parse().ok()
}

fn time(node: Node<'_, '_>, name: &str) -> Option<DateTime<Utc>> {
    parse_time(text(node, name)?)
}

fn id(node: Node<'_, '_>, name: &str) -> Option<String> {
    let id = child(node, name)?.attribute("Id")?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// The value of the extended property `tag`, such as `0x300b`.
fn extended<'a>(node: Node<'a, '_>, tag: &str) -> Option<&'a str> {
    let wanted = |property: &Node<'_, '_>| {
        property.tag_name().name() == "ExtendedProperty"
            && child(*property, "ExtendedFieldURI")
                .and_then(|uri| uri.attribute("PropertyTag"))
                .is_some_and(|found| same_tag(found, tag))
    };
    text(node.children().find(wanted)?, "Value")
}

/// Property tags are numbers that each server writes in its way: `0x300b`, `0x300B`, `12299`.
fn same_tag(a: &str, b: &str) -> bool {
    let number = |tag: &str| match tag.strip_prefix("0x").or_else(|| tag.strip_prefix("0X")) {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => tag.parse().ok(),
    };
    number(a).is_some_and(|a| Some(a) == number(b))
}

/// Reads a date and time with any number of fractional digits, with a zone, or without one,
/// which means UTC. Times before 1601 are how servers write "none".
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let (whole, rest) = match text.find(['.', ',']) {
        Some(dot) => {
            let (whole, fraction) = (text.get(..dot)?, text.get(dot + 1..)?);
            let zone = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            (whole, (fraction.get(..zone)?, fraction.get(zone..)?))
        }
        None => {
            // The date has two hyphens of its own, in its first ten characters.
            let zone = text.get(10..)?.find(['Z', 'z', '+', '-']).map_or(text.len(), |at| at + 10);
            (text.get(..zone)?, ("", text.get(zone..)?))
        }
    };
    let (fraction, zone) = rest;
    let time = NaiveDateTime::parse_from_str(whole, "%Y-%m-%dT%H:%M:%S").ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    let time = chrono::Timelike::with_nanosecond(&time, nanoseconds)?;
    let time = match zone {
        "" | "Z" | "z" => time.and_utc(),
        _ => time.and_local_timezone(zone.parse::<FixedOffset>().ok()?).single()?.to_utc(),
    };
    (time.year() >= 1601).then_some(time)
}
