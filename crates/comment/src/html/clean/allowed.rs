//! Which elements and attributes of a sender's HTML are written again.
//!
//! What is missing is missing on purpose: whatever loads (`link`, `iframe`, `object`, `video`,
//! `background`, `srcset`), whatever runs, whatever sends (`form`, `input`), whatever changes how
//! the rest is read (`base`, `meta`, `svg`, `math`, `style`, `template`, `noscript`, `plaintext`),
//! and names that others could refer to (`id`, `name`).

/// How an element stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ends an open paragraph.
    Block,
    Inline,
    /// Of a list; ends the item before it.
    Item(&'static [&'static str]),
    /// Of a table; stands in the first of these that is open, or in the table itself.
    Table(&'static [&'static str]),
}

pub(super) struct Element {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Has no end tag.
    pub(super) is_void: bool,
}

const LISTS: Kind = Kind::Item(&["ul", "ol", "menu", "dir"]);
const TERMS: Kind = Kind::Item(&["dl"]);
const IN_TABLE: Kind = Kind::Table(&[]);
const IN_GROUP: Kind = Kind::Table(&["tbody", "thead", "tfoot"]);
const IN_ROW: Kind = Kind::Table(&["tr"]);
const IN_COLUMNS: Kind = Kind::Table(&["colgroup"]);

#[rustfmt::skip]
const ELEMENTS: &[(&str, Kind)] = &[
    ("a", Kind::Inline), ("abbr", Kind::Inline), ("acronym", Kind::Inline), ("b", Kind::Inline),
    ("bdi", Kind::Inline), ("bdo", Kind::Inline), ("big", Kind::Inline), ("cite", Kind::Inline),
    ("code", Kind::Inline), ("del", Kind::Inline), ("dfn", Kind::Inline), ("em", Kind::Inline),
    ("font", Kind::Inline), ("i", Kind::Inline), ("ins", Kind::Inline), ("kbd", Kind::Inline),
    ("mark", Kind::Inline), ("q", Kind::Inline), ("s", Kind::Inline), ("samp", Kind::Inline),
    ("small", Kind::Inline), ("span", Kind::Inline), ("strike", Kind::Inline),
    ("strong", Kind::Inline), ("sub", Kind::Inline), ("sup", Kind::Inline), ("time", Kind::Inline),
    ("tt", Kind::Inline), ("u", Kind::Inline), ("var", Kind::Inline),
    ("br", Kind::Inline), ("hr", Kind::Block), ("img", Kind::Inline), ("wbr", Kind::Inline),
    ("address", Kind::Block), ("article", Kind::Block), ("aside", Kind::Block),
    ("blockquote", Kind::Block), ("center", Kind::Block), ("dir", Kind::Block),
    ("div", Kind::Block), ("dl", Kind::Block), ("figcaption", Kind::Block),
    ("figure", Kind::Block), ("footer", Kind::Block), ("h1", Kind::Block), ("h2", Kind::Block),
    ("h3", Kind::Block), ("h4", Kind::Block), ("h5", Kind::Block), ("h6", Kind::Block),
    ("header", Kind::Block), ("main", Kind::Block), ("menu", Kind::Block), ("nav", Kind::Block),
    ("ol", Kind::Block), ("p", Kind::Block), ("pre", Kind::Block), ("section", Kind::Block),
    ("table", Kind::Block), ("ul", Kind::Block),
    ("li", LISTS), ("dt", TERMS), ("dd", TERMS),
    ("col", IN_COLUMNS), ("caption", IN_TABLE), ("colgroup", IN_TABLE), ("tbody", IN_TABLE), ("thead", IN_TABLE),
    ("tfoot", IN_TABLE), ("tr", IN_GROUP), ("td", IN_ROW), ("th", IN_ROW),
];

/// Longest name on the list.
const MAX_NAME: usize = 14;
/// Longest value of an attribute, in characters.
pub(super) const MAX_VALUE: usize = 1_000;

/// The element of that name, if it is allowed.
pub(super) fn element(name: &str) -> Option<Element> {
    if name.len() > MAX_NAME {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    // Colors and fonts of the whole message stand in its body.
    let lower = if lower == "body" { "div" } else { lower.as_str() };
    let (name, kind) = ELEMENTS.iter().find(|(known, _)| *known == lower)?;
    let is_void = matches!(*name, "br" | "hr" | "img" | "wbr" | "col");
    Some(Element { name, kind: *kind, is_void })
}

/// The name of an attribute, if that element may have it.
pub(super) fn attribute(element: &'static str, name: &str) -> Option<&'static str> {
    const EVERYWHERE: &[&str] = &["style", "class", "title", "dir", "lang", "align", "valign"];
    let own: &[&str] = match element {
        "a" => &["href"],
        "img" => &["src", "alt", "width", "height", "border", "hspace", "vspace"],
        "table" => &[
            "width",
            "height",
            "border",
            "cellpadding",
            "cellspacing",
            "bgcolor",
            "rules",
            "frame",
        ],
        "td" | "th" => &["colspan", "rowspan", "width", "height", "bgcolor", "nowrap"],
        "tr" | "tbody" | "thead" | "tfoot" => &["bgcolor", "height"],
        "col" | "colgroup" => &["span", "width", "bgcolor"],
        "ol" => &["start", "type", "reversed"],
        "ul" => &["type"],
        "li" => &["value", "type"],
        "div" => &["bgcolor"],
        "font" => &["color", "face", "size"],
        "hr" => &["size", "width", "color", "noshade"],
        "br" => &["clear"],
        _ => &[],
    };
    let all = EVERYWHERE.iter().chain(own);
    all.copied().find(|known| known.eq_ignore_ascii_case(name))
}
