//! Takes the answer to a `$batch` apart while it arrives: emails are decoded on the fly, the rest
//! is kept as a small document without them.
//!
//! A batch brings each email as base64 text inside a JSON string. Here that text never exists as a
//! whole: it goes to a [`Body`] piece by piece, and in the document, the *skeleton*, the number of
//! the body stands in its place. Only a text `body` of one of the `responses` is taken out, and
//! every one of them is, so that in the skeleton any text at this place is such a number.

use std::io;

use memchr::memchr2;
use record::Body;

use crate::body::{Base64Body, BodyFault, Limits};

/// Most bytes of an answer outside emails.
const MAX_SKELETON: usize = 4 * 1024 * 1024;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Longest key that is looked at.
const MAX_KEY: usize = 16;
/// Objects and arrays around a `body`: the answer, its `responses`, one of them.
const RESPONSE_DEPTH: usize = 3;

/// Why an answer cannot be taken apart further.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("it is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("it has more than {MAX_SKELETON} bytes outside emails")]
    TooMuchText,
    #[error("it closes what is not open")]
    Unbalanced,
    #[error("it ends too early")]
    Incomplete,
    /// The emails of one answer exceed every reason.
    #[error("it is too large")]
    TooLarge,
    #[error("could not write the spool file")]
    Spool(#[from] io::Error),
}

/// An answer without its emails, and the emails.
#[derive(Debug)]
pub(super) struct Reply {
    /// JSON in which the text of a `body` is its index in `bodies`.
    pub(super) skeleton: Vec<u8>,
    pub(super) bodies: Vec<Result<Body, BodyFault>>,
    /// What is left of the limits.
    pub(super) limits: Limits,
}

/// The scanner. Feed it with [`push`](Self::push), in pieces of any size.
pub(super) struct Splitter {
    limits: Limits,
    skeleton: Vec<u8>,
    bodies: Vec<Result<Body, BodyFault>>,
    state: State,
    /// Whether each open container is an object.
    open: Vec<bool>,
    begun: bool,
    /// The next string is a key.
    expects_key: bool,
    /// The beginning of the latest key.
    key: Vec<u8>,
    /// The value that begins now belongs to the key `responses` of the answer.
    in_responses: bool,
    /// Bytes that may still arrive.
    allowance: u64,
    /// Length of the skeleton after the last whole response.
    whole: Option<usize>,
}

enum State {
    /// Between strings.
    Plain,
    /// In a string that is kept.
    Text { is_key: bool, escaped: bool },
    /// In a string that is an email. `escape` holds an escape that has begun.
    Email { text: Box<Base64Body>, escape: Vec<u8> },
}

impl Splitter {
    pub(super) fn new(limits: Limits) -> Self {
        // Base64 text of the largest email and of others beside it.
        let allowance = limits.max_size.saturating_mul(2).saturating_add(64 * 1024 * 1024);
        Self {
            limits,
            skeleton: Vec::new(),
            bodies: Vec::new(),
            state: State::Plain,
            open: Vec::new(),
            begun: false,
            expects_key: false,
            key: Vec::new(),
            in_responses: false,
            allowance,
            whole: None,
        }
    }

    /// Takes the next piece of the answer.
    ///
    /// # Errors
    ///
    /// [`BatchError`]; the splitter is of no use afterwards.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), BatchError> {
        self.allowance =
            self.allowance.checked_sub(piece.len() as u64).ok_or(BatchError::TooLarge)?;
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            let used = match self.state {
                State::Plain => self.plain(first)?,
                State::Text { .. } => self.text(rest)?,
                State::Email { .. } => self.email(rest)?,
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the answer. One that broke off yields what arrived whole.
    ///
    /// # Errors
    ///
    /// [`BatchError::Incomplete`] when it broke off before the first response was whole.
    pub(super) fn finish(mut self) -> Result<Reply, BatchError> {
        let complete = matches!(self.state, State::Plain) && self.open.is_empty() && self.begun;
        if !complete {
            self.skeleton.truncate(self.whole.ok_or(BatchError::Incomplete)?);
            self.skeleton.extend_from_slice(b"]}");
        }
        Ok(Reply { skeleton: self.skeleton, bodies: self.bodies, limits: self.limits })
    }

    fn plain(&mut self, byte: u8) -> Result<usize, BatchError> {
        match byte {
            b'"' => return self.begin_string(),
            b'{' | b'[' => {
                if self.open.len() == MAX_DEPTH {
                    return Err(BatchError::TooDeep);
                }
                if self.open.len() == 1 {
                    self.in_responses = byte == b'[' && self.key == b"responses";
                }
                self.open.push(byte == b'{');
                self.begun = true;
                self.expects_key = byte == b'{';
            }
            b'}' | b']' => {
                self.open.pop().ok_or(BatchError::Unbalanced)?;
                self.expects_key = false;
            }
            b',' => self.expects_key = self.open.last() == Some(&true),
            b':' => self.expects_key = false,
            _ => {}
        }
        self.keep(&[byte])?;
        if byte == b'}' && self.open.len() + 1 == RESPONSE_DEPTH && self.in_responses {
            self.whole = Some(self.skeleton.len());
        }
        Ok(1)
    }

    fn begin_string(&mut self) -> Result<usize, BatchError> {
        self.keep(b"\"")?;
        let in_response = self.in_responses && self.open == [true, false, true];
        if in_response && !self.expects_key && self.key == b"body" {
            self.state = State::Email { text: Box::default(), escape: Vec::new() };
        } else {
            if self.expects_key {
                self.key.clear();
            }
            self.state = State::Text { is_key: self.expects_key, escaped: false };
        }
        Ok(1)
    }

    fn text(&mut self, rest: &[u8]) -> Result<usize, BatchError> {
        let State::Text { is_key, escaped } = &mut self.state else { return Ok(0) };
        let is_key = *is_key;
        let used = if std::mem::take(escaped) {
            1
        } else {
            match memchr2(b'"', b'\\', rest) {
                Some(at) => {
                    match rest.get(at) {
                        Some(b'\\') => *escaped = true,
                        _ => self.state = State::Plain,
                    }
                    at + 1
                }
                None => rest.len(),
            }
        };
        let run = rest.get(..used).unwrap_or(rest);
        if is_key {
            let content = if matches!(self.state, State::Plain) {
                run.get(..used - 1).unwrap_or(run)
            } else {
                run
            };
            let room = MAX_KEY.saturating_sub(self.key.len()).min(content.len());
            self.key.extend_from_slice(content.get(..room).unwrap_or_default());
        }
        self.keep(run)?;
        Ok(used)
    }

    fn email(&mut self, rest: &[u8]) -> Result<usize, BatchError> {
        let State::Email { text, escape } = &mut self.state else { return Ok(0) };
        if !escape.is_empty() {
            escape.push(rest.first().copied().unwrap_or_default());
            match (escape.get(1), escape.len()) {
                (Some(b'u'), 2..6) => {}
                _ => {
                    match unescaped(escape) {
                        Some(byte) => text.push(&[byte], &self.limits)?,
                        None => text.damage(),
                    }
                    escape.clear();
                }
            }
            return Ok(1);
        }
        let end = memchr2(b'"', b'\\', rest);
        let run = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        if memchr2(b'-', b'_', run).is_some() {
            text.push(&standard(run), &self.limits)?;
        } else {
            text.push(run, &self.limits)?;
        }
        let Some(end) = end else { return Ok(rest.len()) };
        if rest.get(end) == Some(&b'\\') {
            escape.push(b'\\');
            return Ok(end + 1);
        }
        if let State::Email { text, .. } = std::mem::replace(&mut self.state, State::Plain) {
            let mut text = *text;
            text.pad();
            let body = text.finish(&mut self.limits)?;
            let index = self.bodies.len().to_string();
            self.bodies.push(body);
            self.keep(index.as_bytes())?;
            self.keep(b"\"")?;
        }
        Ok(end + 1)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        if self.skeleton.len() + bytes.len() > MAX_SKELETON {
            return Err(BatchError::TooMuchText);
        }
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }
}

/// The base64 character of an escape; some writers escape `/`, and some `+`.
fn unescaped(escape: &[u8]) -> Option<u8> {
    match escape.get(1..)? {
        [b'/'] => Some(b'/'),
        [b'n' | b'r' | b't'] => Some(b' '),
        [b'u', digits @ ..] => {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok().filter(u8::is_ascii)
        }
        _ => None,
    }
}

/// Text of the alphabet for URLs in the usual one (RFC 4648 §4 and §5).
fn standard(text: &[u8]) -> Vec<u8> {
    let usual = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    text.iter().map(usual).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn limits() -> Limits {
        Limits { spool_dir: std::env::temp_dir(), max_size: 1 << 20, memory: 1 << 20 }
    }

    fn split(json: &str, piece: usize) -> Result<Reply, BatchError> {
        let mut splitter = Splitter::new(limits());
        for piece in json.as_bytes().chunks(piece) {
            splitter.push(piece)?;
        }
        splitter.finish()
    }

    /// The skeleton, and each body as text or what is wrong with it.
    fn shown(reply: Reply) -> (Value, Vec<String>) {
        let body = |body: Result<Body, BodyFault>| match body {
            Ok(body) => {
                let mut text = String::new();
                body.reader().read_to_string(&mut text).unwrap();
                text
            }
            Err(fault) => fault.to_string(),
        };
        let skeleton = serde_json::from_slice(&reply.skeleton).unwrap();
        (skeleton, reply.bodies.into_iter().map(body).collect())
    }

    #[track_caller]
    fn check(json: &str, skeleton: Value, bodies: &[&str]) {
        for piece in [1, 2, 3, 7, json.len()] {
            let reply = shown(split(json, piece).unwrap());
            assert_eq!(reply.0, skeleton, "in pieces of {piece}");
            assert_eq!(reply.1, bodies, "in pieces of {piece}");
        }
    }

    #[test]
    fn emails_are_taken_out_and_the_rest_stays() {
        check(
            r#"{"a":"body","responses":[
                {"body":"QUJD","id":"1","status":200,"headers":{"body":"QUJD"}},
                {"id":"\"body\"","status":404,"body":{"error":{"body":"x","code":"No"}}},
                {"id":"3","status":200,"headers":{},"body":"REVG"}
            ],"body":"QUJD","z":[["body","QUJD"]]}"#,
            json!({"a": "body", "responses": [
                {"body": "0", "id": "1", "status": 200, "headers": {"body": "QUJD"}},
                {"id": "\"body\"", "status": 404, "body": {"error": {"body": "x", "code": "No"}}},
                {"id": "3", "status": 200, "headers": {}, "body": "1"},
            ], "body": "QUJD", "z": [["body", "QUJD"]]}),
            &["ABC", "DEF"],
        );
    }

    #[test]
    fn base64_is_read_in_every_spelling() {
        for (text, expected) in [
            ("QUJDRA==", "ABCD"),
            ("QUJDRA", "ABCD"),
            ("QUJDREU", "ABCDE"),
            (r"QUJD\r\nREVG", "ABCDEF"),
            (r"Pz8\/", "???"),
            (r"Pj4\u002B", ">>>"),
            (r"Pj4\u002b", ">>>"),
            ("Pj4-Pz8_", ">>>???"),
            ("", ""),
            ("Subject: x", "its base64 text is damaged"),
            (r"QUJ\u00e4", "its base64 text is damaged"),
            (r#"QUJD\""#, "its base64 text is damaged"),
            ("QUJDR", "its base64 text is damaged"),
        ] {
            check(
                &format!(r#"{{"responses":[{{"body":"{text}"}}]}}"#),
                json!({"responses": [{"body": "0"}]}),
                &[expected],
            );
        }
    }

    #[test]
    fn an_answer_that_breaks_off_keeps_what_is_whole() {
        let json = r#"{"responses":[{"id":"1","body":"QUJD"},{"id":"2","body":"REVG"#;
        check(json, json!({"responses": [{"id": "1", "body": "0"}]}), &["ABC"]);
        let none = split(r#"{"responses":[{"id":"1","body":"QUJD""#, 5);
        assert!(matches!(none, Err(BatchError::Incomplete)), "{none:?}");
        assert!(matches!(split("", 1), Err(BatchError::Incomplete)));
    }

    #[test]
    fn hostile_answers_are_refused() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert!(matches!(split(&deep, 7), Err(BatchError::TooDeep)));
        assert!(matches!(split("]", 1), Err(BatchError::Unbalanced)));
        let long = format!("[\"{}", "x".repeat(MAX_SKELETON));
        assert!(matches!(split(&long, 1 << 16), Err(BatchError::TooMuchText)));
        let endless = "A".repeat(1 << 20);
        let mut splitter = Splitter::new(limits());
        splitter.push(br#"{"responses":[{"body":""#).unwrap();
        let refused = (0..200).find_map(|_| splitter.push(endless.as_bytes()).err());
        assert!(matches!(refused, Some(BatchError::TooLarge)));
    }

    #[test]
    fn an_email_that_is_too_large_is_not_kept() {
        let text = "QUJD".repeat(400_000);
        let json = format!(r#"{{"responses":[{{"body":"{text}"}},{{"body":"QUJD"}}]}}"#);
        let (_, bodies) = shown(split(&json, 1 << 16).unwrap());
        assert_eq!(bodies, ["it is larger than the settings allow", "ABC"]);
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_answer_was_cut(
            json in r#"[\[\]{}",:\\bodyresponsA/u0=-]{0,80}"#,
            piece in 1_usize..9,
        ) {
            let json = format!(r#"{{"responses":[{json}"#);
            let result = |piece| split(&json, piece).map(|reply| (reply.skeleton, reply.bodies.len()));
            let (whole, cut) = (result(json.len()), result(piece));
            prop_assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
        }
    }
}
