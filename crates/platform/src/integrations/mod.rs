//! Integrations: mailboxes that this platform is told to read, and the credentials for them.
//!
//! Credentials are taken and never given out: the store gets them sealed, and an answer only
//! says which of them are there.

mod appliance;
mod check;
mod configuration;
mod secrets;

use hyper::{
    StatusCode,
    header::{CONTENT_DISPOSITION, USER_AGENT},
};
use serde_json::{Value, json};
use store::{Held, Integration, IntegrationError, Session};

use crate::{
    buckets::make_bucket,
    call::Call,
    permissions::project::{BUCKETS_APPEND, BUCKETS_WRITE, INTEGRATIONS_READ},
    quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::ItemName,
    schema::{Fields, flag, is_name, one_of, only, show, text, time, wrong},
};

pub(crate) use check::validate;
use configuration::Configuration;
use secrets::Secrets;

/// The one type that there is. What a client does not name is of it: the official one never does.
const EXCHANGE: &str = "exchange_online";
const REASONS: &[&str] = &["user", "quota", "sync_error"];

fn shown(own: &Integration, secrets: &Secrets) -> Value {
    let configuration: Value = serde_json::from_str(&own.configuration).unwrap_or_default();
    json!({
        "id": own.id,
        "owner": own.owner,
        "name": own.name,
        "title": own.title,
        "type": own.kind,
        "enabled": own.enabled,
        "disabled_reason": own.disabled_reason,
        "created_at": show(own.created_at),
        "updated_at": show(own.updated_at),
        "stored_secrets": secrets.names(),
        "configuration": configuration,
    })
}

/// Whether the official client can read it. It knows one kind of sign-in, and one integration of
/// another kind in a list makes it read nothing at all.
fn is_simple(own: &Integration) -> bool {
    let configuration: Value = serde_json::from_str(&own.configuration).unwrap_or_default();
    let Some(connection) = configuration.get("connection") else { return true };
    let kind = |of: &str| connection.pointer(&format!("/{of}/kind")).and_then(Value::as_str);
    kind("access") == Some("user_access") && kind("application") == Some("custom")
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let owner = call.named.project.as_ref();
    // The official client is the one that does not say who it is.
    let careful = call.head.header(USER_AGENT).is_none();
    let (mut seen, mut left_out) = (Vec::new(), 0);
    for own in session.integrations().await? {
        if owner.is_some_and(|owner| *owner != own.owner)
            || !call.caller.may(&own.owner, INTEGRATIONS_READ)
        {
            continue;
        }
        if careful && !is_simple(&own) {
            left_out += 1;
            continue;
        }
        let secrets = Secrets::open(call, &own)?;
        seen.push(shown(&own, &secrets));
    }
    let mut payload = json!({ "integrations": seen });
    if let (1.., Some(map)) = (left_out, payload.as_object_mut()) {
        map.insert("left_out".to_owned(), left_out.into());
    }
    Ok(Reply::json(payload))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    let own = call.integration()?;
    let secrets = Secrets::open(call, own)?;
    Ok(Reply::json(json!({ "integration": shown(own, &secrets) })))
}

/// The fields that a new integration and a changed one share.
struct Changes {
    title: Option<String>,
    enabled: Option<bool>,
    configuration: Option<Configuration>,
}

fn changes(fields: &mut Fields) -> Result<Changes, Refusal> {
    Ok(Changes {
        title: fields.optional("title", text(0, 256))?,
        enabled: fields.optional("enabled", flag)?,
        configuration: fields.optional("configuration", Configuration::read)?,
    })
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("integration", payload.json()?)?;
    let kind = fields.optional("integration_type", one_of(&[EXCHANGE]))?;
    let reason = fields.optional("disabled_reason", |path, value| {
        if value.is_null() { Ok(None) } else { one_of(REASONS)(path, value).map(Some) }
    })?;
    let new = changes(&mut fields)?;
    fields.finish()?;
    let configuration = new
        .configuration
        .ok_or_else(|| wrong("integration.configuration", "this field is required"))?;
    let Some(ItemName::Full { owner, name }) = &call.named.item else {
        return Err(Refusal::invalid("an integration is made by its name, not by an id"));
    };
    if !is_name(name, false) {
        return Err(Refusal::invalid(format!("`{name}` is no name of an integration")));
    }
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    quotas::check(&mut session, "integrations").await?;
    quotas::check_size(&mut session, "mailboxes_per_integration", configuration.mailboxes).await?;
    make_buckets(call, &mut session, &configuration).await?;
    let id = session.draw_id()?;
    let secrets = Secrets::default().with(&configuration.secrets);
    let enabled = new.enabled.unwrap_or(true);
    let own = Integration {
        secrets: secrets.seal(call, &id)?,
        id,
        project_id: project.id.clone(),
        owner: owner.clone(),
        name: name.clone(),
        title: new.title.unwrap_or_else(|| name.clone()),
        kind: kind.unwrap_or_else(|| EXCHANGE.to_owned()),
        enabled,
        disabled_reason: reason.flatten().or_else(|| (!enabled).then(|| "user".to_owned())),
        configuration: configuration.value.to_string(),
        mailboxes: i64::try_from(configuration.mailboxes).unwrap_or(i64::MAX),
        created_at: session.now(),
        updated_at: session.now(),
    };
    let own = session.create_integration(own).await?;
    audit(call, &mut session, "create_integration", &own).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "integration": shown(&own, &secrets) })))
}

pub(crate) async fn update(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("integration", payload.json()?)?;
    let seen = fields.optional("updated_at", time)?;
    let new = changes(&mut fields)?;
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    session.hold(Held::Integration(&call.integration()?.id)).await?;
    let mut own = call.integration_again(&mut session).await?;
    if seen.is_some_and(|seen| seen != own.updated_at) {
        let message = format!(
            "`integration.updated_at`: the integration was changed at {}; read it again",
            show(own.updated_at)
        );
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    let mut secrets = Secrets::open(call, &own)?;
    if let Some(configuration) = &new.configuration {
        let size = configuration.mailboxes;
        quotas::check_size(&mut session, "mailboxes_per_integration", size).await?;
        make_buckets(call, &mut session, configuration).await?;
        let old: Value = serde_json::from_str(&own.configuration).unwrap_or_default();
        secrets = secrets.moved(&old, &configuration.value, &configuration.secrets)?;
        own.secrets = secrets.seal(call, &own.id)?;
        own.configuration = configuration.value.to_string();
        own.mailboxes = i64::try_from(size).unwrap_or(i64::MAX);
    }
    own.title = new.title.unwrap_or(own.title);
    if let Some(enabled) = new.enabled.filter(|enabled| *enabled != own.enabled) {
        own.enabled = enabled;
        own.disabled_reason = (!enabled).then(|| "user".to_owned());
    }
    session.update_integration(&mut own).await?;
    audit(call, &mut session, "update_integration", &own).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "integration": shown(&own, &secrets) })))
}

/// Makes the buckets that are named and not there. Whoever has mail delivered into a project must
/// be allowed to do that themselves.
async fn make_buckets(
    call: &Call<'_>,
    session: &mut Session,
    configuration: &Configuration,
) -> Result<(), Refusal> {
    for bucket in &configuration.buckets {
        let (owner, name) = (&bucket.project, &bucket.name);
        let held = session.bucket(owner, name).await?;
        let permission = if held.is_some() { BUCKETS_APPEND } else { BUCKETS_WRITE };
        if !call.caller.is_member(owner) {
            return Err(wrong(&bucket.path, format_args!("the project `{owner}` was not found")));
        }
        if !call.caller.may(owner, permission) {
            let message = format!(
                "`{}`: this needs the permission `{permission}` in the project `{owner}`, which \
                 the token has not",
                bucket.path
            );
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
        if held.is_none() {
            let project = session.project(owner).await?.ok_or_else(|| {
                wrong(&bucket.path, format_args!("the project `{owner}` was not found"))
            })?;
            make_bucket(call, session, &project, name, &bucket.title).await?;
        }
    }
    Ok(())
}

async fn audit(
    call: &Call<'_>,
    session: &mut Session,
    kind: &str,
    own: &Integration,
) -> Result<(), Refusal> {
    let about = [(&*own.project_id, &*own.owner)];
    let configuration: Value = serde_json::from_str(&own.configuration).unwrap_or_default();
    let details = json!({
        "integration": own.name, "id": own.id, "enabled": own.enabled, "mailboxes": own.mailboxes,
        "connection": configuration.get("connection"),
    });
    Ok(session.audit(&call.caller.actor, kind, &about, details).await?)
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.write().await?;
    let own = call.integration_again(&mut session).await?;
    session.delete_integration(&own.id).await?;
    audit(call, &mut session, "delete_integration", &own).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn errors(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let errors = session.integration_errors(&call.integration()?.id).await?;
    let shown = |error: &IntegrationError| {
        let action: Value = serde_json::from_str(&error.action).unwrap_or_default();
        json!({
            "id": error.number.to_string(),
            "kind": error.kind,
            "action": action,
            "full_error_text": error.text,
            "created_at": show(error.created_at),
        })
    };
    Ok(Reply::json(json!({ "errors": errors.iter().map(shown).collect::<Vec<_>>() })))
}

/// What an appliance would be told to do the same. It holds no secrets.
pub(crate) fn appliance_config(call: &Call<'_>) -> Result<Reply, Refusal> {
    let own = call.integration()?;
    let configuration: Value = serde_json::from_str(&own.configuration).unwrap_or_default();
    let config = appliance::config(&configuration, None)?;
    let text = serde_json::to_vec_pretty(&config).unwrap_or_default();
    let name = format!("attachment; filename=\"{}.json\"", own.name);
    Ok(Reply::new(StatusCode::OK, "application/json", text).with(CONTENT_DISPOSITION, name))
}
