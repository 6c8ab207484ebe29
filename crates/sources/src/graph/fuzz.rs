//! The way of a server's bytes through this module, as one function for fuzzers.

use std::io::Read;

use super::{
    batch::{BatchError, Reply, Splitter},
    mend::mend,
    wire::{self, BatchReply, Collection, FolderRow, MessageRow},
};
use crate::body::Limits;

/// Takes `data` for an answer, reads it as every kind of answer, and checks that it does not
/// matter how the transport cut it into pieces.
///
/// Must neither panic nor take long, whatever `data` is.
pub fn answer_from_any_bytes(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    let pieces = read(data, 1 + data.len() % 7);
    assert_eq!(whole, pieces, "the result depends on how the answer was cut");
    if let Some((skeleton, _)) = whole {
        for answer in wire::parse::<BatchReply>(&skeleton).iter().flat_map(|reply| &reply.responses)
        {
            drop(wire::fault_in(&answer.body));
        }
    }
    drop(wire::fault(data));
    if let Ok(page) = wire::parse::<Collection<MessageRow>>(data) {
        page.value.iter().for_each(|row| drop((row.id(), row.message())));
    }
    if let Ok(page) = wire::parse::<Collection<FolderRow>>(data) {
        page.value.iter().for_each(|row| drop((row.id(), row.class())));
    }
    let mended = mend(data);
    assert_eq!(mend(&mended), mended, "what was mended is broken");
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

fn split(data: &[u8], piece: usize) -> Result<Reply, BatchError> {
    let limits =
        Limits { spool_dir: std::env::temp_dir(), max_size: 1024 * 1024, memory: 1024 * 1024 };
    let mut splitter = Splitter::new(limits);
    for piece in data.chunks(piece) {
        splitter.push(piece)?;
    }
    splitter.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn random_bytes_never_panic(data: Vec<u8>) {
            answer_from_any_bytes(&data);
        }

        #[test]
        fn random_answers_never_panic(
            data in r#"(\{|\}|\[|\]|"|:|,|\\|value|responses|body|id|status|200|error|code|QUJD|\\u002b|@odata.nextLink|null|-)*"#,
        ) {
            answer_from_any_bytes(data.as_bytes());
            answer_from_any_bytes(format!(r#"{{"responses":[{{"id":"1","status":200,"body":"{data}"#).as_bytes());
        }
    }
}
