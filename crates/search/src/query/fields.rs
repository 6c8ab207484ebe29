//! The names that a colon can follow, and what each looks for.

use super::Field;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Words of a text.
    Text(Field),
    /// Words, or an address, or a domain after `@`.
    Address(Field),
    Domain,
    FromDomain,
    ToDomain,
    Folder,
    Mailbox,
    Thread,
    Has,
    After,
    Before,
    Source,
    Project,
    Property,
}

/// Name and kind. Names that mean the same stand together.
const FIELDS: &[(&str, Kind)] = &[
    ("subject", Kind::Text(Field::Subject)),
    ("body", Kind::Text(Field::Body)),
    ("from", Kind::Address(Field::From)),
    ("to", Kind::Address(Field::To)),
    ("domain", Kind::Domain),
    ("from-domain", Kind::FromDomain),
    ("to-domain", Kind::ToDomain),
    ("folder", Kind::Folder),
    ("mailbox", Kind::Mailbox),
    ("filename", Kind::Text(Field::Name)),
    ("has", Kind::Has),
    ("thread", Kind::Thread),
    ("after", Kind::After),
    ("before", Kind::Before),
    ("source", Kind::Source),
    ("project", Kind::Project),
    ("prop", Kind::Property),
    ("property", Kind::Property),
];

pub(crate) fn kind(name: &str) -> Option<Kind> {
    FIELDS.iter().find(|(own, _)| *own == name).map(|(_, kind)| *kind)
}

pub(crate) fn is_property(name: &str) -> bool {
    kind(name) == Some(Kind::Property)
}

/// A field that differs in one letter: `form:ann` is a slip, `re: invoice` is none.
pub(crate) fn similar(name: &str) -> Option<&'static str> {
    if name.chars().count() < 4 {
        return None;
    }
    let near = |(own, _): &&(&str, Kind)| strsim::osa_distance(own, name) == 1;
    FIELDS.iter().find(near).map(|(own, _)| *own)
}
