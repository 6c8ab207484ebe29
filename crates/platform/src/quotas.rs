//! How many of a kind there may be.

use hyper::StatusCode;
use serde_json::{Value, json};
use store::{Quota, Session};

use crate::{
    TENANT,
    call::Call,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{natural, top, wrong},
};

/// Refuses one more of a kind than there may be.
pub(crate) async fn check(session: &mut Session, kind: &str) -> Result<(), Refusal> {
    let quota = session.quota(kind).await?;
    match quota.filter(|quota| quota.used >= quota.limit()) {
        None => Ok(()),
        Some(quota) => {
            let message =
                format!("the quota `{kind}` allows {}, and there are as many", quota.limit());
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
        }
    }
}

/// Refuses something that is to have more of a kind than there may be in one.
pub(crate) async fn check_size(
    session: &mut Session,
    kind: &str,
    size: usize,
) -> Result<(), Refusal> {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match session.quota(kind).await?.filter(|quota| size > quota.limit()) {
        None => Ok(()),
        Some(quota) => {
            let message = format!("the quota `{kind}` allows {}, not {size}", quota.limit());
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
        }
    }
}

/// There is one tenant; it goes by its id or its name.
fn check_tenant(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name == TENANT.0 || name == TENANT.1 {
        return Ok(());
    }
    Err(Refusal::not_found(format_args!("the tenant `{name}`")))
}

fn shown(quota: &Quota) -> Value {
    let mut shown = json!({
        "quota_kind": quota.kind,
        "hard_limit": quota.hard_limit,
        "current_max_usage": quota.used,
    });
    if let (Some(map), Some(most)) = (shown.as_object_mut(), quota.auto_increase_up_to) {
        map.insert("auto_increase_up_to".to_owned(), most.into());
    }
    shown
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    check_tenant(call.named.other(0))?;
    let mut session = call.shared.store.read().await?;
    let quotas = session.quotas().await?;
    Ok(Reply::json(json!({ "quotas": quotas.iter().map(shown).collect::<Vec<_>>() })))
}

pub(crate) async fn set(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    check_tenant(call.named.other(0))?;
    let kind = call.named.other(1);
    let number = |path: &str, value: Value| {
        i64::try_from(natural(path, value)?).map_err(|_| wrong(path, "this is too large"))
    };
    let mut fields = top(payload.json()?)?;
    let hard_limit = fields.required("hard_limit", number)?;
    // Missing: it stays. `null`: it goes.
    let most = fields.optional("auto_increase_up_to", |path, value| {
        if value.is_null() { Ok(None) } else { number(path, value).map(Some) }
    })?;
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    let quotas = session.quotas().await?;
    let Some(mut quota) = quotas.into_iter().find(|quota| quota.kind == kind) else {
        let kinds = Quota::kinds().collect::<Vec<_>>().join(", ");
        return Err(Refusal::invalid(format!("the quota '{kind}' is not one of {kinds}")));
    };
    quota.hard_limit = hard_limit;
    quota.auto_increase_up_to = most.unwrap_or(quota.auto_increase_up_to);
    session.set_quota(&quota).await?;
    let details = shown(&quota);
    session.audit(&call.caller.actor, "update_quota", &[], details).await?;
    session.commit().await?;
    Ok(Reply::ok())
}
