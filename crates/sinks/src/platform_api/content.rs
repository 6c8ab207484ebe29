//! Emails, measured and brought into a form that a JSON string can hold.

use std::{
    fs::File,
    io::{self, BufWriter, IntoInnerError, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use record::{Body, Email, Route};
use tokio::sync::Semaphore;

use super::escape::measure;
use crate::{ascii_safe, email_new::EmailNew};

/// Bodies up to this size are put together in memory: fewer steps, and their length is known.
pub(super) const IN_MEMORY: u64 = 256 * 1024;
/// Bytes of an email that are escaped at a time.
pub(super) const STEP: usize = 16 * 1024;

/// An email, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) head: Bytes,
    pub(super) content: Body,
    pub(super) tail: Bytes,
    /// Bytes of the JSON object.
    pub(super) size: u64,
}

/// What a body of bytes is as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// UTF-8 without NUL, and its length once escaped.
    Text(u64),
    Bytes,
}

/// Puts emails into JSON.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    spool_dir: PathBuf,
    /// Emails that are not Unicode are rewritten one at a time.
    rewriting: Arc<Semaphore>,
}

impl Encoder {
    pub(super) fn new(spool_dir: PathBuf) -> Self {
        Self { spool_dir, rewriting: Arc::new(Semaphore::new(1)) }
    }

    /// Measures an email, and rewrites it if a JSON string cannot hold its bytes.
    pub(super) async fn prepare(&self, route: &Route, email: &Email) -> io::Result<Prepared> {
        let id = email.email_id();
        let around = EmailNew {
            id: &id,
            mailbox: &route.mailbox,
            timestamp: email.timestamp,
            mime_content: "",
            metadata: &email.metadata,
        };
        let (head, tail) = around.around_content()?;
        let (content, escaped) = match off_thread(&email.body, look).await? {
            Look::Text(escaped) => (email.body.clone(), escaped),
            Look::Bytes => {
                let turn = self.rewriting.acquire().await.map_err(io::Error::other)?;
                let dir = self.spool_dir.clone();
                let rewritten = off_thread(&email.body, move |body| rewrite(body, &dir)).await?;
                drop(turn);
                match off_thread(&rewritten, look).await? {
                    Look::Text(escaped) => (rewritten, escaped),
                    Look::Bytes => return Err(io::Error::other("the rewritten email is no text")),
                }
            }
        };
        let size = head.len() as u64 + escaped + tail.len() as u64;
        Ok(Prepared { head: head.into(), content, tail: tail.into(), size })
    }
}

/// Small bodies are quicker read than handed to another thread.
async fn off_thread<T: Send + 'static>(
    body: &Body,
    work: impl FnOnce(&Body) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match body {
        Body::Memory(bytes) if bytes.len() as u64 <= IN_MEMORY => work(body),
        _ => {
            let body = body.clone();
            tokio::task::spawn_blocking(move || work(&body)).await.map_err(io::Error::other)?
        }
    }
}

/// Reads a body once, for what it is and how long it gets.
fn look(body: &Body) -> io::Result<Look> {
    if let Body::Memory(bytes) = body {
        let found = measure(bytes);
        let is_text = found.is_ascii || std::str::from_utf8(bytes).is_ok();
        let is_text = is_text && !found.has_nul;
        return Ok(if is_text { Look::Text(found.escaped) } else { Look::Bytes });
    }
    let mut reader = body.reader();
    let (mut buffer, mut held, mut escaped) = (vec![0; STEP], 0, 0);
    loop {
        let read = match buffer.get_mut(held..) {
            Some(room) => reader.read(room)?,
            None => 0,
        };
        let filled = buffer.get(..held + read).unwrap_or_default();
        let valid = match std::str::from_utf8(filled) {
            Ok(text) => text.len(),
            // A character may be cut by the end of the buffer.
            Err(err) if err.error_len().is_none() && read > 0 => err.valid_up_to(),
            Err(_) => return Ok(Look::Bytes),
        };
        let (text, rest) = filled.split_at(valid);
        let found = measure(text);
        if found.has_nul {
            return Ok(Look::Bytes);
        }
        escaped += found.escaped;
        if read == 0 {
            return Ok(Look::Text(escaped));
        }
        let rest = rest.to_vec();
        held = rest.len();
        if let Some(front) = buffer.get_mut(..held) {
            front.copy_from_slice(&rest);
        }
    }
}

/// Rewrites a body as ASCII MIME; a large result goes to a file without a name.
fn rewrite(body: &Body, dir: &Path) -> io::Result<Body> {
    let mut out = Rewritten { memory: Vec::new(), file: None, dir };
    ascii_safe::rewrite(body, &mut out)?;
    let Some(file) = out.file else { return Ok(Body::Memory(out.memory.into())) };
    let file = file.into_inner().map_err(IntoInnerError::into_error)?;
    let size = file.metadata()?.len();
    Ok(Body::Spool { file: Arc::new(file), size })
}

/// Takes a body that may become large.
struct Rewritten<'a> {
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
    dir: &'a Path,
}

impl Write for Rewritten<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && (self.memory.len() + bytes.len()) as u64 > IN_MEMORY {
            let mut file = BufWriter::new(tempfile::tempfile_in(self.dir)?);
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => self.memory.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spooled(bytes: &[u8]) -> Body {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Body::Spool { file: Arc::new(file), size: bytes.len() as u64 }
    }

    #[test]
    fn a_character_across_two_steps_is_text() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "😀".repeat(20_000));
            let cut = &text.as_bytes()[..text.len() - 1];
            for body in [Body::Memory(text.clone().into()), spooled(text.as_bytes())] {
                assert_eq!(look(&body).unwrap(), Look::Text(text.len() as u64));
            }
            for body in [Body::Memory(cut.to_vec().into()), spooled(cut)] {
                assert_eq!(look(&body).unwrap(), Look::Bytes);
            }
        }
    }

    #[test]
    fn what_is_found_in_a_file_is_what_is_found_in_memory() {
        for end in ["", "\"\\\r\n", "\0", "é"] {
            let bytes = ["x".repeat(STEP - 1), end.to_owned(), "y".into()].concat().into_bytes();
            let in_memory = look(&Body::Memory(bytes.clone().into())).unwrap();
            assert_eq!(look(&spooled(&bytes)).unwrap(), in_memory, "{end:?}");
        }
    }

    #[test]
    fn a_large_rewritten_email_waits_in_a_file_and_a_small_one_in_memory() {
        let dir = std::env::temp_dir();
        for size in [10, 1 << 20] {
            let mut bytes = b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n".to_vec();
            bytes.resize(size + bytes.len(), b'\xe4');
            let expected = ascii_safe::to_unicode(bytes.clone());
            let body = rewrite(&Body::Memory(bytes.into()), &dir).unwrap();
            assert_eq!(matches!(body, Body::Memory(_)), size == 10);
            let mut text = String::new();
            body.reader().read_to_string(&mut text).unwrap();
            assert!(text == expected);
        }
    }
}
