//! An integration as the configuration of an appliance.

use serde_json::{Map, Value, json};

use super::secrets::Secrets;
use crate::{refusal::Refusal, schema::wrong};

/// Address of Microsoft's sign-in, before the tenant.
const AUTHORITY: &str = "https://login.microsoftonline.com/";
const EWS: &str = "https://outlook.office365.com/EWS/Exchange.asmx";

/// Lists that appliances do not know.
const FILTERS: [&str; 4] = [
    "participant_allowlist",
    "participant_denylist",
    "participant_domain_allowlist",
    "participant_domain_denylist",
];

fn text<'a>(value: &'a Value, place: &str) -> Option<&'a str> {
    value.pointer(place).and_then(Value::as_str)
}

/// The configuration of an appliance that does the same, with secrets if they are given.
pub(super) fn config(
    configuration: &Value,
    secrets: Option<&Secrets>,
) -> Result<Map<String, Value>, Refusal> {
    let connection = configuration
        .get("connection")
        .ok_or_else(|| wrong("configuration.connection", "the integration has none"))?;
    let mut config = sign_in(connection, secrets)?;
    let mailboxes = configuration.get("mailboxes").and_then(Value::as_array);
    let mut own = Map::new();
    for (number, mailbox) in mailboxes.into_iter().flatten().enumerate() {
        if mailbox.get("enabled") != Some(&Value::Bool(true)) {
            continue;
        }
        let path = format!("configuration.mailboxes[{number}]");
        let email = text(mailbox, "/email").unwrap_or_default();
        own.insert(email.to_owned(), Value::Object(self::mailbox(&path, mailbox)?));
    }
    config.insert("mailboxes".to_owned(), Value::Object(own));
    Ok(config)
}

/// Where to sign in, and as whom.
pub(super) fn sign_in(
    connection: &Value,
    secrets: Option<&Secrets>,
) -> Result<Map<String, Value>, Refusal> {
    let mut config = Map::new();
    let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
    let secret = |name: &str| secrets.and_then(|own| own.get(name)).map(|own| own.reveal().into());
    let endpoint = text(connection, "/ews_endpoint");
    let application = text(connection, "/application/kind").unwrap_or_default();
    if application == "ntlm" {
        set("auth_type", "ntlm".into());
        set("auth_user", text(connection, "/access/username").into());
        set("ews_endpoint", endpoint.into());
        set("access_type", "delegate".into());
        secret("password").map(|own| set("auth_password", own));
        return Ok(config);
    }
    if text(connection, "/access/kind") == Some("user_access") {
        let why = "appliances sign in as an application with 'app_access', or as a user with \
                   'ntlm'; Microsoft takes the password of a user in neither way";
        return Err(wrong("configuration.connection.access.kind", why));
    }
    let tenant = text(connection, "/application/tenant_id").unwrap_or_default();
    set("auth_type", "oauth2".into());
    set("auth_oauth_authority", format!("{AUTHORITY}{tenant}/").into());
    set("auth_oauth_client_id", text(connection, "/application/client_id").into());
    match application {
        "private_key" => {
            let print = text(connection, "/application/thumbprint");
            set("auth_oauth_client_credential_thumbprint", print.into());
            let key = "auth_oauth_client_credential_private_key";
            secret("private_key").map(|own| set(key, own));
        }
        _ => {
            secret("client_secret").map(|own| set("auth_oauth_client_secret", own));
        }
    }
    let api = text(connection, "/microsoft_api/kind");
    if api == Some("graph") || api.is_none() && endpoint.is_none() {
        set("microsoft_api", "graph".into());
    } else {
        set("microsoft_api", "ews".into());
        set("ews_endpoint", endpoint.unwrap_or(EWS).into());
        // An application has no mailbox of its own to open others from.
        set("access_type", "impersonation".into());
    }
    Ok(config)
}

fn mailbox(path: &str, mailbox: &Value) -> Result<Map<String, Value>, Refusal> {
    for name in FILTERS {
        let list = mailbox.get(name).and_then(Value::as_array);
        if list.is_some_and(|list| !list.is_empty()) {
            let path = format!("{path}.{name}");
            return Err(wrong(&path, "appliances choose by folder and time, not by people"));
        }
    }
    let mut config = Map::new();
    let owner = text(mailbox, "/bucket_specification/project_name");
    let name = text(mailbox, "/bucket_specification/name");
    config.insert("bucket".to_owned(), json!({ "owner": owner, "name": name }));
    if let Some(start) = mailbox.get("start_timestamp") {
        config.insert("start_timestamp".to_owned(), start.clone());
    }
    for (from, to) in [("folder_allowlist", "folders_allow"), ("folder_denylist", "folders_deny")] {
        if let Some(list) = mailbox.get(from).and_then(Value::as_array) {
            let patterns: Vec<String> = list.iter().map(pattern).collect();
            config.insert(to.to_owned(), json!(patterns));
        }
    }
    Ok(config)
}

/// A folder and those below it, as an appliance names them.
fn pattern(folder: &Value) -> String {
    let mut pattern = String::new();
    for part in folder.as_array().into_iter().flatten().filter_map(Value::as_str) {
        for character in part.chars() {
            if matches!(character, '*' | '/' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('/');
    }
    pattern + "**"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integration_becomes_what_an_appliance_reads() {
        let configuration = json!({
            "connection": {
                "access": { "kind": "app_access" },
                "application": { "kind": "custom", "tenant_id": "t", "client_id": "c" },
                "microsoft_api": { "kind": "graph" },
            },
            "mailboxes": [
                { "email": "a@x", "enabled": true, "start_timestamp": "2020-01-01T00:00:00Z",
                  "folder_allowlist": [["Inbox", "A/B *"]],
                  "bucket_specification": { "project_name": "p", "name": "b", "title": "B" } },
                { "email": "off@x", "enabled": false,
                  "bucket_specification": { "project_name": "p", "name": "b", "title": "B" } },
            ],
        });
        let expected = json!({
            "auth_type": "oauth2",
            "auth_oauth_authority": "https://login.microsoftonline.com/t/",
            "auth_oauth_client_id": "c",
            "microsoft_api": "graph",
            "mailboxes": { "a@x": {
                "bucket": { "owner": "p", "name": "b" },
                "start_timestamp": "2020-01-01T00:00:00Z",
                "folders_allow": ["Inbox/A\\/B \\*/**"],
            }},
        });
        assert_eq!(Value::Object(config(&configuration, None).unwrap()), expected);
    }

    #[test]
    fn what_appliances_cannot_do_is_named() {
        let connection = json!({
            "access": { "kind": "user_access", "username": "u" },
            "application": { "kind": "custom", "tenant_id": "t", "client_id": "c" },
        });
        let refused = sign_in(&connection, None).unwrap_err();
        assert!(refused.message.starts_with("`configuration.connection.access.kind`"));
        let filtered = json!({ "participant_denylist": ["a@x"] });
        let refused = mailbox("m", &filtered).unwrap_err();
        assert!(refused.message.starts_with("`m.participant_denylist`"), "{}", refused.message);
    }
}
