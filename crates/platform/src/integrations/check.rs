//! Tries credentials before they are relied on.

use serde_json::{Map, Value, json};
use store::Integration;

use super::{
    appliance,
    configuration::{Given, connection},
    secrets::Secrets,
};
use crate::{
    call::Call,
    permissions::project::INTEGRATIONS_WRITE,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{text, top, wrong},
};

/// Bucket of the test. Nothing is written to it.
const NOWHERE: &str = "test";

/// `PUT /api/_private/validate-exchange-credentials`.
pub(crate) async fn validate(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    if !call.caller.may_everywhere(crate::permissions::ROOT)
        && !call.caller.may_somewhere(INTEGRATIONS_WRITE)
    {
        return Err(Refusal::forbidden(INTEGRATIONS_WRITE));
    }
    let mut body = top(payload.json()?)?;
    let mut given = Given::new();
    let wanted = body.required("connection", |path, value| connection(path, value, &mut given))?;
    let mailbox = body.optional("test_mailbox", text(3, 320))?;
    let id = body.optional("integration_id", text(16, 16))?;
    body.finish()?;
    let secrets = match id {
        Some(id) => {
            let own = stored(call, &id).await?;
            let old: Value = serde_json::from_str(&own.configuration).unwrap_or_default();
            let new = json!({ "connection": wanted });
            Secrets::open(call, &own)?.moved(&old, &new, &given)?
        }
        None => Secrets::default().with(&given),
    };
    let Some(prober) = &call.shared.exchange else {
        return Err(wrong("connection", "this server cannot try credentials"));
    };
    let mut config = appliance::sign_in(&wanted, Some(&secrets))?;
    let mailbox = mailbox.or_else(|| user(&wanted));
    let mailbox = mailbox.ok_or_else(|| wrong("test_mailbox", "this field is required here"))?;
    let bucket = json!({ "bucket": { "owner": NOWHERE, "name": NOWHERE } });
    let mailboxes: Map<String, Value> = [(mailbox, bucket)].into_iter().collect();
    config.insert("mailboxes".to_owned(), Value::Object(mailboxes));
    let config = record::Secret::from(Value::Object(config).to_string());
    let steps = prober.try_out(config).await.map_err(Refusal::invalid)?;
    let bad = steps.iter().find(|step| step.outcome == "fail");
    let shown: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({
                "check": step.check, "outcome": step.outcome, "detail": step.detail,
                "advice": step.advice,
            })
        })
        .collect();
    let kind = if bad.is_some() { "error" } else { "ok" };
    let message = bad.map(|step| format!("{}: {}", step.check, step.detail));
    Ok(Reply::json(json!({ "result": { "kind": kind, "message": message, "steps": shown } })))
}

async fn stored(call: &Call<'_>, id: &str) -> Result<Integration, Refusal> {
    let mut session = call.shared.store.read().await?;
    let own = session.integration_by_id(id).await?;
    let own = own.filter(|own| call.caller.is_member(&own.owner));
    let own = own.ok_or_else(|| {
        wrong("integration_id", format_args!("the integration `{id}` was not found"))
    })?;
    if !call.caller.may(&own.owner, INTEGRATIONS_WRITE) {
        return Err(Refusal::forbidden(INTEGRATIONS_WRITE));
    }
    Ok(own)
}

/// A user who is an address has a mailbox.
fn user(connection: &Value) -> Option<String> {
    let name = connection.pointer("/access/username").and_then(Value::as_str);
    name.filter(|name| crate::mail::is_address(name)).map(str::to_owned)
}
