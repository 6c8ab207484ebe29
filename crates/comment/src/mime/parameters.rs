//! `Content-Type` and `Content-Disposition`: a value and its parameters (RFC 2045 §5.1, RFC 2231).

use std::collections::BTreeMap;

use crate::{
    charset,
    guard::{Limits, Note, Notes},
    mime::words,
};

/// A structured value: `text/plain; charset=utf-8`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Structured {
    /// In lower case: `text/plain`.
    pub(crate) value: String,
    parameters: Vec<(String, Vec<u8>)>,
}

impl Structured {
    pub(crate) fn parse(text: &[u8], limits: &Limits, notes: &mut Notes) -> Self {
        let mut pieces = Pieces { rest: text };
        let first = pieces.next().unwrap_or_default();
        let value = String::from_utf8_lossy(&first)
            .chars()
            .filter(|it| !it.is_whitespace() && !it.is_control())
            .take(256)
            .collect::<String>()
            .to_ascii_lowercase();
        let mut parameters = Vec::new();
        for piece in pieces {
            if parameters.len() >= limits.parameters {
                notes.add(Note::TooManyParameters);
                break;
            }
            let Some(equals) = piece.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = piece.split_at(equals);
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            parameters.push((name, value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        }
        Self { value, parameters }
    }

    /// The bytes of a parameter that is written in one piece.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_slice())
    }

    /// The text of a parameter, whichever way it is written: plain, as encoded words, with a
    /// character set, in continuations.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let mut pieces: BTreeMap<u32, (&[u8], bool)> = BTreeMap::new();
        for (key, value) in &self.parameters {
            let Some(rest) = key.strip_prefix(name).and_then(|it| it.strip_prefix('*')) else {
                continue;
            };
            let (number, coded) = match rest.strip_suffix('*') {
                Some(number) => (number, true),
                None => (rest, rest.is_empty()),
            };
            let number = if number.is_empty() { Some(0) } else { number.parse().ok() };
            if let Some(number) = number {
                pieces.entry(number).or_insert((value, coded));
            }
        }
        if pieces.is_empty() {
            return self.bytes(name).map(words::decode).filter(|it| !it.is_empty());
        }
        let mut charset: Option<Vec<u8>> = None;
        let mut bytes = Vec::new();
        for (index, (value, coded)) in pieces.into_values().enumerate() {
            let mut value = value;
            if index == 0 && coded {
                let mut parts = value.splitn(3, |byte| *byte == b'\'');
                if let (Some(name), Some(_), Some(text)) =
                    (parts.next(), parts.next(), parts.next())
                {
                    charset = Some(name.to_vec());
                    value = text;
                }
            }
            if coded {
                percent_decode(value, &mut bytes);
            } else {
                bytes.extend_from_slice(value);
            }
        }
        let text = charset::decode(&bytes, charset.as_deref()).text.into_owned();
        Some(text.chars().filter(|it| !it.is_control()).collect())
            .filter(|it: &String| !it.is_empty())
    }
}

fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match digits.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => out.push(*first),
        }
    }
}

/// Splits at semicolons; quotes are taken off, comments and folds left out.
struct Pieces<'a> {
    rest: &'a [u8],
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut piece = Vec::new();
        let mut quoted = false;
        let mut escaped = false;
        let mut comment = 0_usize;
        let mut used = 0;
        let mut has_value = false;
        for byte in self.rest {
            used += 1;
            match byte {
                b'\r' | b'\n' => {}
                it if escaped => {
                    escaped = false;
                    // Windows paths in names are written without escaping the backslash.
                    if !matches!(it, b'"' | b'\\') {
                        piece.push(b'\\');
                    }
                    piece.push(*it);
                }
                b'\\' if quoted => escaped = true,
                b'"' if comment == 0 => quoted = !quoted,
                it if quoted => piece.push(*it),
                b'(' if !has_value || comment > 0 => comment += 1,
                b')' if comment > 0 => comment -= 1,
                _ if comment > 0 => {}
                b';' => break,
                it => {
                    has_value |= *it == b'=';
                    piece.push(*it);
                }
            }
        }
        self.rest = self.rest.get(used..).unwrap_or_default();
        Some(piece)
    }
}
