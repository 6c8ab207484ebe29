//! Reads JSON from a stream, piece by piece, so that a huge string need not be in memory.

use std::{
    fmt::Display,
    io::{ErrorKind, Read},
};

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// Bytes that are read at once, and that a piece of a string has at most.
const PIECE: usize = 64 * 1024;
/// Most levels of objects and arrays.
const MAX_DEPTH: usize = 32;
/// Most bytes of what is read as a [`Value`].
const MAX_VALUE: usize = 24 * 1024 * 1024;

/// A reader of one JSON text. Spec: RFC 8259.
pub(crate) struct Json<R> {
    input: R,
    buffer: Vec<u8>,
    at: usize,
    /// Bytes before the buffer.
    before: u64,
    /// Bytes that values may still take.
    budget: usize,
}

impl<R: Read> Json<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), at: 0, before: 0, budget: MAX_VALUE }
    }

    /// Lets the next values take so many bytes, whatever those before them took.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    /// Reads an object; `each` must read the value of every name that it is given.
    pub(crate) fn object(
        &mut self,
        path: &str,
        mut each: impl FnMut(&mut Self, String) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.open(path, b'{', "an object")?;
        if self.closes(b'}')? {
            return Ok(());
        }
        loop {
            if self.peek()? != Some(b'"') {
                return Err(self.bad("a name in quotes was expected"));
            }
            let name = self.text(path)?;
            self.expect(b':')?;
            each(self, name)?;
            if self.closes(b'}')? {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads an array; `each` must read the element with the number that it is given.
    pub(crate) fn array(
        &mut self,
        path: &str,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.open(path, b'[', "an array")?;
        if self.closes(b']')? {
            return Ok(());
        }
        for number in 0.. {
            each(self, number)?;
            if self.closes(b']')? {
                break;
            }
            self.expect(b',')?;
        }
        Ok(())
    }

    /// Reads a string; `take` gets it as UTF-8 in pieces, which may end within a character.
    pub(crate) fn string(
        &mut self,
        path: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.open(path, b'"', "a string")?;
        let mut piece = Vec::with_capacity(PIECE);
        let mut checked = Utf8::default();
        loop {
            if self.at == self.buffer.len() && !self.fill()? {
                return Err(self.bad("a string has no end"));
            }
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            let text = rest.get(..plain).unwrap_or_default();
            if text.iter().any(|byte| *byte < 0x20) {
                return Err(self.bad("a control character in a string is not escaped"));
            }
            piece.extend_from_slice(text);
            let ended = rest.get(plain).copied();
            self.at += plain + usize::from(ended.is_some());
            if ended == Some(b'\\') {
                self.escape(path, &mut piece)?;
            }
            if piece.len() >= PIECE || ended == Some(b'"') {
                checked.feed(&piece).map_err(|()| self.bad("a string is not UTF-8"))?;
                take(&piece)?;
                piece.clear();
            }
            if ended == Some(b'"') {
                return checked.end().map_err(|()| self.bad("a string is not UTF-8"));
            }
        }
    }

    /// Reads any value, which must not be large.
    pub(crate) fn value(&mut self, path: &str) -> Result<Value, Refusal> {
        self.nested(path, 0)
    }

    /// Makes sure that nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), Refusal> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.bad("something follows the end of the JSON text")),
        }
    }

    fn nested(&mut self, path: &str, depth: usize) -> Result<Value, Refusal> {
        if depth > MAX_DEPTH {
            return Err(self.bad("the nesting is too deep"));
        }
        match self.peek()? {
            Some(b'"') => Ok(Value::String(self.text(path)?)),
            Some(b'{') => {
                let mut map = Map::new();
                self.object(path, |json, name| {
                    let value = json.nested(&format!("{path}.{name}"), depth + 1)?;
                    match map.insert(name.clone(), value) {
                        None => Ok(()),
                        Some(_) => Err(twice(path, &name)),
                    }
                })?;
                Ok(Value::Object(map))
            }
            Some(b'[') => {
                let mut list = Vec::new();
                self.array(path, |json, number| {
                    list.push(json.nested(&format!("{path}[{number}]"), depth + 1)?);
                    Ok(())
                })?;
                Ok(Value::Array(list))
            }
            _ => self.word(),
        }
    }

    /// Reads a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<Value, Refusal> {
        let mut word = String::new();
        while let Some(byte) = self.next_if(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))? {
            if word.len() > 64 {
                break;
            }
            word.push(char::from(byte));
        }
        serde_json::from_str(&word).map_err(|_| self.bad("a value was expected"))
    }

    fn text(&mut self, path: &str) -> Result<String, Refusal> {
        let (mut text, mut budget) = (Vec::new(), self.budget);
        self.string(path, &mut |piece| {
            let too_much = || Refusal::invalid(format!("`{path}`: this is too long"));
            budget = budget.checked_sub(piece.len()).ok_or_else(too_much)?;
            text.extend_from_slice(piece);
            Ok(())
        })?;
        self.budget = budget;
        String::from_utf8(text).map_err(|_| self.bad("a string is not UTF-8"))
    }

    /// What follows a backslash.
    fn escape(&mut self, path: &str, piece: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(letter) = self.next_if(|_| true)? else {
            return Err(self.bad("a string has no end"));
        };
        let byte = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = self.unit()?;
                let mut units = vec![unit];
                if (0xd800..0xdc00).contains(&unit) {
                    if self.next_if(|b| b == b'\\')?.is_none()
                        || self.next_if(|b| b == b'u')?.is_none()
                    {
                        return Err(lone(path));
                    }
                    units.push(self.unit()?);
                }
                let text = String::from_utf16(&units).map_err(|_| lone(path))?;
                piece.extend_from_slice(text.as_bytes());
                return Ok(());
            }
            _ => return Err(self.bad("a backslash stands before a character that needs none")),
        };
        piece.push(byte);
        Ok(())
    }

    fn unit(&mut self) -> Result<u16, Refusal> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next_if(|b| b.is_ascii_hexdigit())?;
            let digit = digit.and_then(|digit| char::from(digit).to_digit(16));
            let digit = digit.and_then(|digit| u16::try_from(digit).ok());
            unit =
                unit << 4 | digit.ok_or_else(|| self.bad("four hex digits must follow `\\u`"))?;
        }
        Ok(unit)
    }

    fn open(&mut self, path: &str, byte: u8, what: &str) -> Result<(), Refusal> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                Err(Refusal::invalid(format!("`{path}`: expected {what}")))
            }
            _ => Err(self.bad("a value was expected")),
        }
    }

    fn closes(&mut self, byte: u8) -> Result<bool, Refusal> {
        let closes = self.peek()? == Some(byte);
        self.at += usize::from(closes);
        Ok(closes)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.closes(byte)? {
            Ok(())
        } else {
            Err(self.bad(&format!("`{}` was expected", char::from(byte))))
        }
    }

    /// The next byte that is no blank; it stays.
    fn peek(&mut self) -> Result<Option<u8>, Refusal> {
        loop {
            match self.buffer.get(self.at).copied() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(byte) => return Ok(Some(byte)),
                None if self.fill()? => {}
                None => return Ok(None),
            }
        }
    }

    fn next_if(&mut self, wanted: impl Fn(u8) -> bool) -> Result<Option<u8>, Refusal> {
        if self.at == self.buffer.len() && !self.fill()? {
            return Ok(None);
        }
        let found = self.buffer.get(self.at).copied().filter(|byte| wanted(*byte));
        self.at += usize::from(found.is_some());
        Ok(found)
    }

    /// Reads on; false at the end.
    fn fill(&mut self) -> Result<bool, Refusal> {
        self.before += self.buffer.len() as u64;
        self.at = 0;
        self.buffer.resize(PIECE, 0);
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    fn bad(&self, what: &str) -> Refusal {
        let at = self.before + self.at as u64;
        Refusal::invalid(format!("the body is no valid JSON at byte {at}: {what}"))
    }
}

/// The refusal of a name that an object has twice.
pub(crate) fn twice(path: &str, name: impl Display) -> Refusal {
    Refusal::invalid(format!("`{path}`: the field `{name}` appears twice"))
}

fn lone(path: &str) -> Refusal {
    Refusal::invalid(format!("`{path}`: half of a surrogate pair is no text"))
}

/// Checks UTF-8 that comes in pieces.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character.
    open: Vec<u8>,
}

impl Utf8 {
    fn feed(&mut self, mut piece: &[u8]) -> Result<(), ()> {
        while !self.open.is_empty() {
            let Some((first, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.open.push(*first);
            match std::str::from_utf8(&self.open) {
                Ok(_) => self.open.clear(),
                Err(error) if error.error_len().is_some() => return Err(()),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(()),
            Err(error) => {
                let open = piece.get(error.valid_up_to()..).unwrap_or_default();
                self.open.extend_from_slice(open);
                Ok(())
            }
        }
    }

    fn end(&self) -> Result<(), ()> {
        if self.open.is_empty() { Ok(()) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every boundary is met.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let room = into.len().min(1);
            self.0.read(&mut into[..room])
        }
    }

    fn read(text: &[u8]) -> Result<Value, String> {
        let mut json = Json::new(Drip(text));
        let value = json.value("$").and_then(|value| json.end().map(|()| value));
        value.map_err(|refusal| refusal.message)
    }

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            r#"{"a": [1, -2.5e3, true, false, null, "x\"\\\/\b\f\n\r\tz"], "b": {}, "c": []}"#,
            r#" "\u00e9\ud83d\ude00é😀" "#,
            "17",
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(read(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_serde_json_refuses() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\n\"",
            "[1] 2",
            "{a:1}",
            "\"\\ud83d\"",
            "\"\\udc00x\"",
            "{\"a\" 1}",
            "+1",
            "[1 2]",
            "\"\\u12\"",
        ] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"\"\xff\"").is_err() && read(b"\"\xc3\"").is_err());
        assert!(read("[".repeat(1000).as_bytes()).is_err());
    }

    #[test]
    fn a_name_that_appears_twice_is_refused() {
        let refused = read(br#"{"a":{"b":1,"b":2}}"#);
        assert_eq!(refused, Err("`$.a`: the field `b` appears twice".to_owned()));
    }

    #[test]
    fn a_long_string_comes_in_pieces() {
        let text = format!("\"{}\"", "é\\r\\n".repeat(100_000));
        let (mut whole, mut pieces) = (Vec::new(), 0);
        let mut take = |piece: &[u8]| {
            whole.extend_from_slice(piece);
            pieces += 1;
            assert!(piece.len() <= 2 * PIECE);
            Ok(())
        };
        Json::new(text.as_bytes()).string("$", &mut take).unwrap();
        assert_eq!(String::from_utf8(whole).unwrap(), "é\r\n".repeat(100_000));
        assert!(pieces > 5);
    }
}
