//! How far the conversion of emails is, for people and for whoever watches.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::{
    call::Call,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{show, top},
    server::Shared,
};

/// Quarantined emails that are listed.
const LISTED: usize = 100;

/// What waits and what was set aside, for whoever watches.
pub(crate) async fn queue(shared: &Shared) -> Option<(u64, u64)> {
    let counted = async { shared.store.read().await?.count_conversions().await };
    timeout(Duration::from_secs(2), counted).await.ok()?.ok()
}

/// How far the conversion of a source is.
pub(crate) async fn status(call: &Call<'_>) -> Result<Reply, Refusal> {
    let source = call.source()?;
    let mut session = call.shared.store.read().await?;
    let counts = session.conversion(&source.id).await?;
    let list = session.quarantined(&source.id, LISTED).await?;
    let total = match &source.details.bucket_id {
        Some(bucket) => session.count_emails(bucket).await?,
        None => 0,
    };
    let list = list.into_iter().map(|own| {
        json!({
            "email_id": own.email_id,
            "content_hash": own.hash,
            "reason": own.reason,
            "at": show(own.at),
        })
    });
    Ok(Reply::json(json!({
        "conversion": {
            "total": total,
            "converted": total.saturating_sub(counts.waiting + counts.quarantined),
            "waiting": counts.waiting,
            "quarantined": counts.quarantined,
            "scanning": counts.scanning,
            "quarantine": list.collect::<Vec<_>>(),
        }
    })))
}

/// Tries again what was set aside.
pub(crate) async fn retry(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    top(payload.json()?)?.finish()?;
    let mut session = call.shared.store.write().await?;
    let source = call.source_again(&mut session).await?;
    let retried = session.retry_quarantined(&source.id).await?;
    let about = [(&*source.project_id, &*source.owner)];
    let details = json!({ "source": source.name, "id": source.id, "count": retried });
    session.audit(&call.caller.actor, "retry_conversion", &about, details).await?;
    session.commit().await?;
    call.shared.converter.wake();
    Ok(Reply::json(json!({ "retried": retried })))
}
