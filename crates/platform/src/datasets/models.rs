//! Models of a dataset: there are none, and clients hear that in words.

use hyper::StatusCode;
use serde_json::json;

use crate::{call::Call, refusal::Refusal, reply::Reply, request::Payload, schema::top};

/// `POST …/labellers`: the pinned models.
pub(crate) fn list(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    call.dataset()?;
    top(payload.json()?)?.finish()?;
    Ok(Reply::json(json!({ "labellers": [] })))
}

/// Whatever is asked of one model.
pub(crate) fn none(call: &Call<'_>) -> Result<Reply, Refusal> {
    let own = call.dataset()?;
    let version = call.named.other(0);
    let message = format!(
        "the dataset `{}/{}` has no model `{version}`: nothing is trained or predicted here",
        own.owner, own.name
    );
    Err(Refusal::new(StatusCode::NOT_FOUND, message))
}
