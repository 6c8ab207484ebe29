//! Does a request once more when another writer was in its way.
//!
//! Where several processes share a database, two requests can wait for one another, or make the
//! same thing at the same moment. The database then undoes one of them whole, so that it can be
//! done again without anybody having seen the first attempt.

use std::time::Duration;

use crate::{
    call::{self, Call},
    public::{self, Visit},
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::Op,
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

/// Lets somebody in who comes with a password or a link.
pub(crate) async fn visit(visit: &Visit<'_>, payload: Payload) -> Result<Reply, Refusal> {
    // The code of a provider is good once: whoever brings it does not come a second time.
    if !visit.shared.store.has_several_writers() || visit.route.op == Op::FinishOidc {
        return public::perform(visit, payload).await;
    }
    for attempt in 1..=ATTEMPTS {
        match public::perform(visit, payload.clone()).await {
            Err(refusal) if refusal.may_pass_now() => {
                tracing::debug!(attempt, op = ?visit.route.op, "Another writer was in the way");
                tokio::time::sleep(PAUSE * attempt).await;
            }
            done => return done,
        }
    }
    public::perform(visit, payload).await
}
