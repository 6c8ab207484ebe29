//! The file of a form, read while it comes. Spec: RFC 7578, RFC 2046 §5.1.1.

use std::io::Read;

use memchr::memmem;

use crate::refusal::Refusal;

/// Largest head of a part, in bytes.
const MAX_HEAD: usize = 16 * 1024;
const PIECE: usize = 64 * 1024;

/// The boundary, if the content type is that of a form.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut parameters = parameters.split(';').filter_map(|own| own.trim().split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    let value = value.trim_matches('"');
    (1..=70).contains(&value.len()).then(|| value.to_owned())
}

/// Passes the content of the part `file` to `take`, piece by piece.
pub(crate) fn file(
    input: &mut dyn Read,
    boundary: &str,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let missing = || Refusal::invalid("`file`: this field of the form is required");
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter may be the very start of the body.
    let mut parts = Parts { input, delimiter, buffer: b"\r\n".to_vec(), ended: false };
    parts.skip(&mut |_| Ok(()))?;
    let mut found = false;
    while let Some(head) = parts.head()? {
        let head = String::from_utf8_lossy(&head);
        let is_file = head.contains("name=\"file\"") || head.contains("name=file");
        if is_file && found {
            return Err(Refusal::invalid("`file`: this field of the form appears twice"));
        }
        found |= is_file;
        parts.skip(&mut |piece| if is_file { take(piece) } else { Ok(()) })?;
    }
    if found { Ok(()) } else { Err(missing()) }
}

struct Parts<'a> {
    input: &'a mut dyn Read,
    delimiter: Vec<u8>,
    /// Read and not yet passed on.
    buffer: Vec<u8>,
    ended: bool,
}

impl Parts<'_> {
    fn fill(&mut self) -> Result<bool, Refusal> {
        let from = self.buffer.len();
        self.buffer.resize(from + PIECE, 0);
        let read = self.input.read(self.buffer.get_mut(from..).unwrap_or_default());
        self.buffer.truncate(from + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    /// Passes on everything before the next delimiter, which is taken as well.
    fn skip(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, &self.delimiter) {
                take(self.buffer.get(..at).unwrap_or_default())?;
                self.buffer.drain(..at + self.delimiter.len());
                return Ok(());
            }
            // The end may be the beginning of a delimiter.
            let sure = self.buffer.len().saturating_sub(self.delimiter.len());
            take(self.buffer.get(..sure).unwrap_or_default())?;
            self.buffer.drain(..sure);
            if !self.fill()? {
                return Err(Refusal::invalid("the form has no end"));
            }
        }
    }

    /// The head of the part that begins here; `None` behind the last one.
    fn head(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        loop {
            if self.ended || self.buffer.starts_with(b"--") {
                self.ended = true;
                return Ok(None);
            }
            if let Some(at) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.get(..at).unwrap_or_default().to_vec();
                self.buffer.drain(..at + 4);
                return Ok(Some(head));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Refusal::invalid("the head of a part of the form is too long"));
            }
            if !self.fill()? {
                return Err(Refusal::invalid("the form has no end"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let room = into.len().min(self.1);
            self.0.read(&mut into[..room])
        }
    }

    fn read(body: &[u8], boundary: &str, step: usize) -> Result<Vec<u8>, String> {
        let mut whole = Vec::new();
        let mut take = |piece: &[u8]| {
            whole.extend_from_slice(piece);
            Ok(())
        };
        let done = file(&mut Drip(body, step), boundary, &mut take);
        done.map(|()| whole).map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_file_of_a_form_is_found_wherever_the_pieces_end() {
        let kind = "multipart/form-data; boundary=\"x y\"";
        let body = b"--x y\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n\
                     --x y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.json\"\r\n\
                     \r\n{\"a\":\r\n1}\r\n--x y--\r\n";
        for step in 1..body.len() {
            let found = read(body, &boundary(kind).unwrap(), step);
            assert_eq!(found.as_deref(), Ok(&b"{\"a\":\r\n1}"[..]), "{step}");
        }
        assert_eq!(boundary("application/json; boundary=1"), None);
    }

    #[test]
    fn an_empty_file_is_a_file_and_no_file_is_refused() {
        let empty = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\r\n--b--\r\n";
        assert_eq!(read(empty, "b", 7).as_deref(), Ok(&b""[..]));
        assert!(read(b"--b--\r\n", "b", 7).unwrap_err().contains("`file`"));
        assert!(read(b"--b\r\nX: y\r\n\r\nno end", "b", 7).unwrap_err().contains("no end"));
        let long = [b"--b\r\n".to_vec(), vec![b'x'; 100_000]].concat();
        assert!(read(&long, "b", 999).unwrap_err().contains("too long"));
    }
}
