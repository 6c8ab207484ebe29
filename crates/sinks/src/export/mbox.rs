//! The mbox format of mail programs, in the variant whose quoting can be undone (`mboxrd`).

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

use chrono::{DateTime, Utc};

use super::{ExportError, Failure, Filter, Report, each};
use crate::local_files::{Flaw, hash_file};

/// Bytes of the header in which the sender is looked for.
const MAX_HEADER: u64 = 64 << 10;
/// Piece of a line that is in memory at once.
const PIECE: u64 = 64 << 10;
/// Stands for a sender that is not known, as is the custom since `sendmail`.
const UNKNOWN_SENDER: &str = "MAILER-DAEMON";

/// Writes the emails as one mbox file, in pieces of fixed size.
///
/// Each email follows a line `From <sender> <time in UTC>` and ends with an empty line. Lines
/// that begin with `From `, or with that after any number of `>`, get one more `>`. CRLF becomes
/// LF; other bytes are kept. Spec: RFC 4155, appendix A.
///
/// # Errors
///
/// [`ExportError`] if the folder cannot be read or the output cannot be written. An email that is
/// not whole is no error: it is in the report.
pub fn mbox(prefix: &Path, filter: &Filter, out: &mut dyn Write) -> Result<Report, ExportError> {
    let report = each(prefix, filter, |eml, sidecar| {
        let unreadable = |err| Failure::Email(Flaw::EmlUnreadable(err));
        // Read once before anything is written: half an email cannot be taken back.
        if hash_file(eml).map_err(unreadable)? != sidecar.sha256 {
            return Err(Failure::Email(Flaw::WrongHash));
        }
        let sender = sender(File::open(eml).map_err(unreadable)?).map_err(unreadable)?;
        let file = File::open(eml).map_err(unreadable)?;
        write_email(file, &sender, sidecar.timestamp, out).map_err(Failure::Output)
    })?;
    out.flush().map_err(ExportError::Output)?;
    Ok(report)
}

fn write_email(
    eml: impl Read,
    sender: &str,
    at: DateTime<Utc>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "From {sender} {}", at.format("%a %b %e %H:%M:%S %Y"))?;
    let mut input = BufReader::new(eml);
    let mut piece = Vec::new();
    let mut at_line_start = true;
    let mut held_back = false;
    loop {
        piece.clear();
        (&mut input).take(PIECE).read_until(b'\n', &mut piece)?;
        if piece.is_empty() {
            break;
        }
        if held_back && piece != b"\n" {
            out.write_all(b"\r")?;
        }
        held_back = false;
        if at_line_start && is_from_line(&piece) {
            out.write_all(b">")?;
        }
        at_line_start = piece.ends_with(b"\n");
        if at_line_start {
            piece.pop();
            if piece.last() == Some(&b'\r') {
                piece.pop();
            }
            piece.push(b'\n');
        } else if piece.last() == Some(&b'\r') {
            // The line feed may be the first byte of the next piece.
            piece.pop();
            held_back = true;
        }
        out.write_all(&piece)?;
    }
    if held_back {
        out.write_all(b"\r")?;
    }
    out.write_all(if at_line_start { b"\n" } else { b"\n\n" })
}

fn is_from_line(line: &[u8]) -> bool {
    let unquoted = line.iter().position(|b| *b != b'>').and_then(|at| line.get(at..));
    unquoted.is_some_and(|rest| rest.starts_with(b"From "))
}

/// The address in `Return-Path`, else in `Sender`, else in `From`.
fn sender(eml: impl Read) -> io::Result<String> {
    let mut input = BufReader::new(eml.take(MAX_HEADER));
    let mut found: [Option<String>; 3] = Default::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        input.read_until(b'\n', &mut line)?;
        if line.trim_ascii().is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let Some((name, value)) = text.split_once(':') else { continue };
        let names = ["return-path", "sender", "from"];
        let slot = found.iter_mut().zip(names).find(|(_, n)| name.eq_ignore_ascii_case(n));
        if let Some((slot @ None, _)) = slot {
            *slot = address_in(value);
        }
    }
    Ok(found.into_iter().flatten().next().unwrap_or_else(|| UNKNOWN_SENDER.to_owned()))
}

fn address_in(value: &str) -> Option<String> {
    let inner = match value.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => value,
    };
    let address = inner.trim();
    let usable = address.contains('@') && address.bytes().all(|b| b.is_ascii_graphic());
    usable.then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(eml: &[u8]) -> String {
        let mut out = Vec::new();
        let at = DateTime::UNIX_EPOCH;
        write_email(eml, &sender(eml).unwrap(), at, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn from_lines_are_quoted_and_line_ends_are_unix() {
        assert_eq!(
            written(b"From: A <a@example.com>\r\n\r\nFrom me\r\n>From him\r\nFromage\r\n"),
            "From a@example.com Thu Jan  1 00:00:00 1970\n\
             From: A <a@example.com>\n\n>From me\n>>From him\nFromage\n\n"
        );
    }

    #[test]
    fn the_return_path_is_the_sender() {
        let text = written(b"From: a@example.com\nReturn-Path: <b@example.com>\n\nx");
        assert_eq!(text.lines().next(), Some("From b@example.com Thu Jan  1 00:00:00 1970"));
        assert!(text.ends_with("\nx\n\n"));
        assert!(written(b"From: nobody\n\n").starts_with("From MAILER-DAEMON "));
    }

    #[test]
    fn a_line_break_between_two_pieces_is_one() {
        for length in [PIECE - 1, PIECE, PIECE + 1] {
            let mut eml = vec![b'x'; usize::try_from(length).unwrap() - 1];
            eml.extend_from_slice(b"\r\nFrom a\rb\r");
            let text = written(&eml);
            let body = text.split_once('\n').unwrap().1;
            assert_eq!(&body[body.len() - 13..], "\n>From a\rb\r\n\n", "{length}");
            assert_eq!(body.matches('\r').count(), 2, "{length}");
        }
    }
}
