//! Comments out of a file of comma-separated values (RFC 4180): what is in the file, and then the
//! rows as comments, once somebody has said which column is what.
//!
//! The service's own description knows the two paths, the bodies as bytes and the answers, but not
//! how columns are named; here they are query parameters.

mod mapping;
mod sniff;
mod text;
mod times;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    call::Call,
    comments,
    refusal::Refusal,
    reply::Reply,
    request::{Head, Payload},
    schema::wrong,
};

use mapping::Mapping;
use text::Format;

/// Most rows of an upload.
pub(crate) const MAX_ROWS: usize = 65_536;
/// Rows that are stored together.
const BATCH: usize = 4096;

fn content(payload: Payload) -> Result<Vec<u8>, Refusal> {
    match payload {
        Payload::Bytes(bytes) => Ok(bytes),
        _ => Err(Refusal::invalid("the body must be a file")),
    }
}

/// Reads on a thread of its own: a large file keeps a processor busy. What is wrong within the file
/// is a value that is refused, while the request has the form that it must have.
async fn apart<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map_err(|why| Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, ..why }),
        Err(error) => {
            tracing::error!("Reading a CSV file did not end: {error}");
            let message = "the server could not read the file; its log has the reason";
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

/// `PUT …/sniff-csv`: how the file is written, and what its columns look like.
pub(crate) async fn sniff(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let (bytes, asked) = (content(payload)?, Format::asked(call.head)?);
    let found = apart(move || sniff::sniff(&bytes, &asked)).await?;
    Ok(Reply::json(found))
}

/// `PUT …/sync-csv`: the whole file is read before its first row is stored. What is stored is
/// stored in batches, so that others can write meanwhile; sending the file again is harmless.
pub(crate) async fn sync(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let bytes = content(payload)?;
    let (asked, mapping) = (Format::asked(call.head)?, Mapping::asked(call.head)?);
    let mut written = apart(move || mapping.read(&bytes, &asked)).await?;
    let mut counts = crate::comment_change::Counts::default();
    while !written.is_empty() {
        let rest = written.split_off(BATCH.min(written.len()));
        counts.join(&comments::sync_all(call, written).await?);
        written = rest;
    }
    Ok(Reply::json(Value::Object(comments::shown(&counts))))
}

/// The one value of a query parameter.
fn parameter<'a>(head: &'a Head, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut all = head.parameters(name);
    let first = all.next();
    if all.next().is_some() {
        return Err(wrong(name, "this query parameter appears twice"));
    }
    Ok(first)
}

/// A map from pairs, for the parts of a comment that are not empty.
fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    pairs.into_iter().filter_map(present).collect()
}

fn content_of(text: &str) -> Value {
    json!({ "text": text })
}
