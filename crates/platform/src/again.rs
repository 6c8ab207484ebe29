//! Does a request once more when another writer was in its way.
//!
//! Where several processes share a database, two requests can wait for one another, or make the
//! same thing at the same moment. The database then undoes one of them whole, so that it can be
//! done again without anybody having seen the first attempt.

use std::time::Duration;

use crate::{
    call::{self, Call},
    refusal::Refusal,
    reply::Reply,
    request::Payload,
};

/// Attempts after the first, and the pause before each of them, times its number.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(15);

/// Does what the request asks.
pub(crate) async fn perform(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    if !call.shared.store.has_several_writers() {
        return call::perform(call, payload).await;
    }
    for attempt in 1..=ATTEMPTS {
        match call::perform(call, payload.clone()).await {
            Err(refusal) if refusal.may_pass_now() => {
                tracing::debug!(attempt, op = ?call.route.op, "Another writer was in the way");
                tokio::time::sleep(PAUSE * attempt).await;
            }
            done => return done,
        }
    }
    call::perform(call, payload).await
}
