//! The way of a server's bytes through this module, as one function for fuzzers.

use std::io::Read;

use super::{
    clean::clean,
    reply,
    stream::{Bodies, Reply, SplitError, Splitter},
};
use crate::body::Limits;

/// Takes `data` for a SOAP reply, reads it as every kind of reply, and checks that it does not
/// matter how the transport cut it into pieces.
///
/// Must neither panic nor take long, whatever `data` is.
pub fn reply_from_any_bytes(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    let pieces = read(data, 1 + data.len() % 7);
    assert_eq!(whole, pieces, "the result depends on how the reply was cut");
    let Some((skeleton, _)) = whole else { return };
    let cleaned = clean(&skeleton);
    let Ok(document) = reply::parse(&cleaned.text) else { return };
    drop(reply::hierarchy_page(&document));
    drop(reply::folder_marks(&document));
    drop(reply::items_page(&document));
    drop(reply::get_items(&document));
    drop(reply::get_parts(&document));
    drop(reply::attachment(&document));
}

type Outcome = Option<(Vec<u8>, Vec<Option<Vec<u8>>>)>;

fn read(data: &[u8], piece: usize) -> Outcome {
    let reply = split(data, piece).ok()?;
    let bodies = reply.bodies.into_iter().map(|body| {
        let mut bytes = Vec::new();
        body.ok()?.reader().read_to_end(&mut bytes).ok()?;
        Some(bytes)
    });
    Some((reply.skeleton, bodies.collect()))
}

fn split(data: &[u8], piece: usize) -> Result<Reply, SplitError> {
    let limits =
        Limits { spool_dir: std::env::temp_dir(), max_size: 1024 * 1024, memory: 1024 * 1024 };
    let mut splitter = Splitter::new(Bodies::MimeAndContent, limits);
    for piece in data.chunks(piece) {
        splitter.push(piece)?;
    }
    Ok(splitter.finish()?)
}
