//! Comments out of a file of comma-separated values (RFC 4180): what is in the file, and then the
//! rows as comments, once somebody has said which column is what.
//!
//! The service's own description knows the two paths, the bodies as bytes and the answers, but not
//! how columns are named; here they are query parameters.

mod mapping;
mod records;
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
    let place = call.shared.places.tables.enter().await?;
    let found = apart(move || {
        // Held by the work: whoever hangs up does not make room for one more.
        let _place = place;
        sniff::sniff(bytes, &asked)
    });
    Ok(Reply::json(found.await?))
}

/// `PUT …/sync-csv`: the whole file is read before its first row is stored, and once more to be
/// stored in batches, so that others can write meanwhile; sending the file again is harmless.
pub(crate) async fn sync(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let bytes = content(payload)?;
    let (asked, mapping) = (Format::asked(call.head)?, Mapping::asked(call.head)?);
    let place = call.shared.places.tables.enter().await?;
    let read = apart(move || Ok((mapping.read(bytes, &asked)?, place)));
    let (mut upload, mut place) = read.await?;
    let mut counts = crate::comment_change::Counts::default();
    loop {
        let batch = apart(move || {
            let batch = upload.batch()?;
            Ok((batch, upload, place))
        });
        let written;
        (written, upload, place) = batch.await?;
        if written.is_empty() {
            break;
        }
        counts.join(&comments::sync_all(call, written).await?);
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
