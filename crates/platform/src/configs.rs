//! Configurations of appliances. Their bytes are kept as they came.

use hyper::{
    StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};
use serde_json::{Map, Value, json};
use store::{Config, ConfigVersion};

use crate::{
    call::Call,
    mail::{config_changed, is_address},
    permissions::project::INTEGRATIONS_WRITE,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{is_name, show, wrong},
};

/// The keys of a configuration that say where credentials are sent to, in which form, and who could
/// listen. A token that may write configurations and no more must not be able to have them sent
/// elsewhere. An appliance asks the same of what it is sent, as long as nobody allows it more.
///
/// `graph_applications` is none of them: further applications sign in where the first does.
pub const ENDPOINTS: &[&str] = &[
    "host",
    "port",
    "ews_endpoint",
    "ews_allow_http",
    "microsoft_api",
    "graph_endpoint",
    "auth_type",
    "auth_oauth_authority",
    "auth_oauth_token_url",
    "ews_ssl_verify",
    "ews_ssl_ciphers",
    "ews_ca_file",
    "ews_channel_binding",
    "egress_policy",
];

/// What is shown of a value that is nobody's business.
const HIDDEN: &str = "***";
const SECRETS: &[&str] = &["auth_password", "auth_oauth_client_secret"];
/// Part of the names of other secrets.
const PRIVATE: &str = "private_key";

fn tag(hash: &str) -> String {
    format!("\"{}\"", hash.get(..32).unwrap_or(hash))
}

pub(crate) async fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    let (project, name) = (call.project()?, call.named.other(0));
    let mut session = call.shared.store.read().await?;
    let missing =
        || Refusal::not_found(format_args!("the configuration `{}/{name}`", project.name));
    let config = session.config(&project.id, name).await?.ok_or_else(missing)?;
    Ok(file(call, config))
}

/// A configuration as it was sent, unless the client has it.
fn file(call: &Call<'_>, config: Config) -> Reply {
    let tag = tag(&config.hash);
    let known = call.head.header(IF_NONE_MATCH).unwrap_or_default();
    let reply = if known.split(',').any(|own| own.trim() == tag || own.trim() == "*") {
        Reply::new(StatusCode::NOT_MODIFIED, "application/octet-stream", Vec::new())
    } else {
        Reply::new(StatusCode::OK, "application/octet-stream", config.content)
    };
    reply.with(ETAG, tag)
}

/// Most versions in one answer.
const PAGE: usize = 200;

fn shown(config: &ConfigVersion) -> Map<String, Value> {
    let own = json!({
        "version": config.version,
        "size": config.size,
        "hash": config.hash,
        "written_by": config.written_by,
        "created_at": show(config.created_at),
    });
    own.as_object().cloned().unwrap_or_default()
}

/// The configurations of a project.
pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let configs = session.configs(&call.project()?.id).await?;
    let shown = |config: &ConfigVersion| {
        let mut own = shown(config);
        own.insert("name".to_owned(), config.name.clone().into());
        own
    };
    let configs: Vec<_> = configs.iter().map(shown).collect();
    Ok(Reply::json(json!({ "appliance_configs": configs })))
}

/// What a configuration was, newest first.
pub(crate) async fn versions(call: &Call<'_>) -> Result<Reply, Refusal> {
    let (project, name) = (call.project()?, call.named.other(0));
    let number = |text: &str| {
        let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
        number.ok_or_else(|| wrong("before", "expected the number of a version"))
    };
    let before = call.head.parameters("before").next().map(number).transpose()?;
    let mut session = call.shared.store.read().await?;
    let missing =
        || Refusal::not_found(format_args!("the configuration `{}/{name}`", project.name));
    let newest = session.config_history(&project.id, name, None, 1).await?.pop();
    let newest = newest.ok_or_else(missing)?.version;
    let history = session.config_history(&project.id, name, before, PAGE).await?;
    let shown = |config: &ConfigVersion| {
        let mut own = shown(config);
        own.insert("current".to_owned(), (config.version == newest).into());
        own
    };
    let versions: Vec<_> = history.iter().map(shown).collect();
    Ok(Reply::json(json!({ "versions": versions })))
}

/// One version, as it was sent.
pub(crate) async fn version(call: &Call<'_>) -> Result<Reply, Refusal> {
    let (project, name, text) = (call.project()?, call.named.other(0), call.named.other(1));
    let missing = || {
        let name = format!("{}/{name}", project.name);
        Refusal::not_found(format_args!("the version `{text}` of the configuration `{name}`"))
    };
    let version = text.parse().map_err(|_| missing())?;
    let mut session = call.shared.store.read().await?;
    let config = session.config_version(&project.id, name, version).await?;
    Ok(file(call, config.ok_or_else(missing)?))
}

pub(crate) async fn put(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let name = call.named.other(0);
    if !is_name(name, false) {
        return Err(Refusal::invalid(format!("`{name}` is no name of a configuration")));
    }
    let Payload::Bytes(content) = payload else {
        return Err(Refusal::invalid("the configuration is missing"));
    };
    let read = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes);
    let new = read(&content).map_err(|error| {
        Refusal::invalid(format!("`file`: the configuration is no JSON object: {error}"))
    })?;
    if let Some(check) = &call.shared.check_config {
        check(&content).map_err(|problem| Refusal::invalid(format!("`file`: {problem}")))?;
    }
    let watcher = watcher(&new);
    if watcher.is_some_and(|own| !is_address(own)) {
        return Err(wrong("audit_email", "expected an email address"));
    }
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    let held = session.config(&project.id, name).await?;
    let old = held.as_ref().and_then(|held| read(&held.content).ok()).unwrap_or_default();
    let moves = ENDPOINTS.iter().find(|key| held.is_some() && old.get(**key) != new.get(**key));
    if let Some(key) = moves
        && !call.caller.may(&project.name, INTEGRATIONS_WRITE)
    {
        let message = format!(
            "`{key}`: to change where credentials are sent needs the permission \
             `{INTEGRATIONS_WRITE}` as well, which the token has not"
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    let changes = changes(&old, &new);
    let config =
        session.put_config(&project.id, name, &content, &call.caller.actor.username).await?;
    let about = [(&*project.id, &*project.name)];
    let details = json!({ "name": name, "version": config.version, "changes": changes });
    let actor = &call.caller.actor;
    session.audit(actor, "update_appliance_config", &about, details).await?;
    if held.is_none_or(|held| held.version != config.version) {
        let full_name = format!("{}/{name}", project.name);
        let keys: Vec<&str> =
            changes.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        // Whoever is no longer to be told learns that.
        let before = self::watcher(&old).filter(|own| watcher != Some(*own) && is_address(own));
        for recipient in watcher.into_iter().chain(before) {
            let (version, by) = (config.version, &actor.username);
            let mail = config_changed(recipient, &full_name, version, by, &keys);
            session.post_mail(mail).await?;
        }
    }
    session.commit().await?;
    Ok(Reply::json(json!({ "changes": changes })).with(ETAG, tag(&config.hash)))
}

/// Who is told of changes.
fn watcher(config: &Map<String, Value>) -> Option<&str> {
    config.get("audit_email").and_then(Value::as_str)
}

/// The fields that differ, with their old and new values.
fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Value {
    let shown = |name: &str, value: Option<&Value>| {
        value.map_or(Value::Null, |value| without_secrets(name, value))
    };
    let names = old.keys().chain(new.keys());
    let changed = names.filter(|name| old.get(*name) != new.get(*name));
    let change = |name: &String| json!({ "old": shown(name, old.get(name)), "new": shown(name, new.get(name)) });
    changed.map(|name| (name.clone(), change(name))).collect::<Map<_, _>>().into()
}

/// A value of that name, and what is within it: applications have secrets of their own.
fn without_secrets(name: &str, value: &Value) -> Value {
    if SECRETS.contains(&name) || name.contains(PRIVATE) {
        return json!(HIDDEN);
    }
    match value {
        Value::Array(list) => list.iter().map(|own| without_secrets(name, own)).collect(),
        Value::Object(map) => {
            let shown =
                |(name, value): (&String, &Value)| (name.clone(), without_secrets(name, value));
            Value::Object(map.iter().map(shown).collect())
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_changes_is_named_but_not_shown() {
        let of = |value: Value| value.as_object().cloned().unwrap();
        let old = of(json!({ "auth_password": "old", "port": 1, "same": 1 }));
        let application = json!({
            "auth_oauth_client_id": "c", "auth_oauth_client_secret": "s",
            "auth_oauth_client_credential_private_key": "k",
        });
        let new = of(json!({
            "auth_password": "new", "port": 2, "same": 1, "graph_applications": [application],
        }));
        let expected = json!({
            "auth_password": { "old": "***", "new": "***" },
            "port": { "old": 1, "new": 2 },
            "graph_applications": { "old": null, "new": [{
                "auth_oauth_client_id": "c", "auth_oauth_client_secret": "***",
                "auth_oauth_client_credential_private_key": "***",
            }] },
        });
        assert_eq!(changes(&old, &new), expected);
    }
}
