//! Converts generated messages and tells how fast, beside mail-parser on the same messages.
//! `cargo run --release -p comment --example speed -- 20000`, or with a folder of `.eml` files.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example for people to read")]

#[allow(dead_code, unused_imports, reason = "shared with the tests")]
#[path = "../tests/it/letters/mod.rs"]
mod letters;

use std::{path::Path, time::Instant};

use comment::{Delivery, Transform, convert};
use record::Metadata;

fn main() {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "4000".to_owned());
    let messages = match argument.parse::<u64>() {
        Ok(count) => generated(count),
        Err(_) => read_folder(Path::new(&argument)),
    };
    let bytes: usize = messages.iter().map(Vec::len).sum();
    println!("{} messages, {} bytes on average", messages.len(), bytes / messages.len().max(1));
    let attached = with_attachments(&messages);
    let largest = attached.iter().chain(&messages).max_by_key(|it| it.len()).expect("a message");
    let metadata = Metadata::default();
    let memory = allocation_counter::measure(|| {
        convert(largest, &delivery(&metadata), &Transform::default());
    });
    let peak = memory.bytes_max;
    println!("largest: {} bytes, {peak} bytes at the most beside it", largest.len());
    measure("text", &messages);
    measure("with an attachment of 40 KB", &attached);
}

fn measure(name: &str, messages: &[Vec<u8>]) {
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let report = |what: &str, seconds: f64| {
        println!(
            "{name}: {what}: {:.0} messages/s, {:.1} MB/s",
            messages.len() as f64 / seconds,
            bytes as f64 / seconds / 1e6
        );
        seconds
    };
    let metadata = Metadata::default();
    let start = Instant::now();
    let mut length = 0;
    for raw in messages {
        let converted = convert(raw, &delivery(&metadata), &Transform::default());
        length += converted.comment.id.len() + converted.quoted.len();
    }
    let ours = report("comment", start.elapsed().as_secs_f64());
    let start = Instant::now();
    for raw in messages {
        let parsed = mail_parser::MessageParser::default().parse(raw);
        length += parsed.map_or(0, |it| it.parts.len());
    }
    let theirs = report("mail-parser", start.elapsed().as_secs_f64());
    println!("{name}: {:.2} times the time of mail-parser ({length})", ours / theirs);
}

fn delivery(metadata: &Metadata) -> Delivery<'_> {
    Delivery {
        email_id: "<a@example.com>",
        mailbox: "a@example.com",
        timestamp: chrono::DateTime::UNIX_EPOCH,
        metadata,
        listed: &[],
    }
}

fn generated(count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|seed| {
            let tongue = letters::TONGUES.get((seed % 4) as usize).expect("four languages");
            letters::write(tongue, seed).raw
        })
        .collect()
}

/// The same messages, each with a file of 40 KB.
fn with_attachments(messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let line = format!("{}\r\n", "QUJD".repeat(19));
    let file = line.repeat(720);
    messages
        .iter()
        .take(2_000)
        .map(|raw| {
            let text = String::from_utf8_lossy(raw);
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let at = head.find("Content-Type").unwrap_or(head.len());
            let (head, kind) = head.split_at(at);
            format!("{head}Content-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n{kind}\r\n\r\n{body}\r\n--zz\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}--zz--\r\n").into_bytes()
        })
        .collect()
}

fn read_folder(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a number, or a folder of messages");
    let files = entries.filter_map(Result::ok).map(|it| it.path()).filter(|it| it.is_file());
    files.map(|it| std::fs::read(it).expect("a file")).collect()
}
