//! Writes XML, and reads what requests need of it without regard to prefixes.

use chrono::{DateTime, SecondsFormat, Utc};
use roxmltree::Node;

/// Escapes `text` into `out`. Characters that XML 1.0 forbids become references, as Exchange
/// writes them: that is what real mailboxes contain.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\t' | '\n' => out.push(c as u8),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                out.extend_from_slice(format!("&#x{:X};", c as u32).as_bytes());
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// An XML document that grows at its end. Bytes, not text: faults put invalid UTF-8 into it.
#[derive(Debug, Default)]
pub(crate) struct Xml(pub(crate) Vec<u8>);

impl Xml {
    pub(crate) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        escape(&mut self.0, text);
        self
    }

    /// `<name>value</name>`; `name` with its prefix.
    pub(crate) fn element(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw("<").raw(name).raw(">").text(value).raw("</").raw(name).raw(">")
    }

    pub(crate) fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }
}

/// A time as Exchange writes it: UTC, with `digits` digits after the second.
pub(crate) fn time(at: DateTime<Utc>, digits: usize) -> String {
    match digits {
        0 => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        _ => {
            let nanos = format!("{:09}", at.timestamp_subsec_nanos());
            let part: String = nanos.chars().chain(std::iter::repeat('0')).take(digits).collect();
            format!("{}.{part}Z", at.format("%Y-%m-%dT%H:%M:%S"))
        }
    }
}

/// The first child element with this local name.
pub(crate) fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    elements(node).find(|child| child.tag_name().name() == name)
}

pub(crate) fn elements<'a>(node: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(Node::is_element)
}

/// The text of the first child element with this local name, without blanks around it.
pub(crate) fn child_text<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    child(node, name).and_then(|child| child.text()).map(str::trim)
}

pub(crate) fn name<'a>(node: Node<'a, 'a>) -> &'a str {
    node.tag_name().name()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn writes_times_with_any_number_of_digits() {
        let at = Utc.timestamp_opt(1_763_712_902, 123_456_789).unwrap();
        assert_eq!(time(at, 0), "2025-11-21T08:15:02Z");
        assert_eq!(time(at, 7), "2025-11-21T08:15:02.1234567Z");
        assert_eq!(time(at, 11), "2025-11-21T08:15:02.12345678900Z");
    }

    #[test]
    fn forbidden_characters_become_references() {
        let mut out = Vec::new();
        escape(&mut out, "a\u{b}<\u{0}&\u{ffff}é");
        assert_eq!(String::from_utf8(out).unwrap(), "a&#xB;&lt;&#x0;&amp;&#xFFFF;é");
    }
}
