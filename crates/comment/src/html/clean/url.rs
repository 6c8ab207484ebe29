//! Where links and pictures may lead.

use percent_encoding::percent_decode_str;

use crate::comment::MAX_HREF_CHARS;

/// Longest `cid:` URL.
const MAX_CID: usize = 1_024;

pub(super) enum Picture {
    /// A `cid:` URL, decoded, or a `data:` URL.
    Own(String),
    /// On another server; always `https:`.
    Remote(String),
}

/// As a browser reads it: without blanks around it, without line breaks inside of it.
/// Spec: WHATWG URL, "basic URL parser".
fn trimmed(url: &str) -> String {
    let inner = url.trim_matches(|it: char| it <= ' ');
    inner.chars().filter(|it| !matches!(it, '\t' | '\r' | '\n')).collect()
}

/// What follows the scheme, if it is that one.
fn after<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let start = url.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| url.get(scheme.len()..)).flatten()
}

fn is_clean(url: &str) -> bool {
    !url.chars().any(|it| it.is_control() || it == '\\')
}

/// The target of a link: the web, an email address or a telephone, never a script or a file.
pub(super) fn link(url: &str) -> Option<String> {
    let url = trimmed(url);
    let known = ["http://", "https://", "mailto:", "tel:"];
    let allowed = known.iter().any(|scheme| after(&url, scheme).is_some_and(|it| !it.is_empty()));
    (allowed && url.chars().count() <= MAX_HREF_CHARS && is_clean(&url)).then_some(url)
}

pub(super) fn picture(url: &str) -> Option<Picture> {
    if let Some(id) = after(url.trim_start(), "cid:").filter(|id| id.len() <= MAX_CID) {
        let id = percent_decode_str(id.trim()).decode_utf8_lossy().into_owned();
        return Some(Picture::Own(format!("cid:{id}")));
    }
    if after(url.trim_start(), "data:").is_some() {
        return Some(Picture::Own(trimmed(url)));
    }
    let url = trimmed(url);
    let rest = ["https://", "http://", "//"].iter().find_map(|start| after(&url, start))?;
    let fits = !rest.is_empty() && url.chars().count() <= MAX_HREF_CHARS && is_clean(rest);
    fits.then(|| Picture::Remote(format!("https://{rest}")))
}
