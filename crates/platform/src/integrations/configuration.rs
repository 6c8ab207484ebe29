//! What an integration is told, checked field by field.

use std::collections::BTreeMap;

use record::Secret;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    mail::is_address,
    refusal::Refusal,
    schema::{Fields, flag, is_name, list, one_of, text, time, wrong},
};

/// Most entries of a list of folders, people or domains, and most folders below one another.
const MAX_ENTRIES: usize = 1024;
const MAX_DEPTH: usize = 64;
/// Longest private key with its certificate, in characters.
const MAX_KEY: usize = 32 * 1024;

pub(super) struct Configuration {
    /// Without secrets and without fields that are `null`.
    pub(super) value: Value,
    pub(super) secrets: Given,
    pub(super) buckets: Vec<Bucket>,
    pub(super) mailboxes: usize,
}

/// Secrets by name; `None` for those that are to be forgotten.
pub(super) type Given = BTreeMap<&'static str, Option<Secret>>;

/// A bucket that mail goes to.
pub(super) struct Bucket {
    /// Where the configuration names it.
    pub(super) path: String,
    pub(super) project: String,
    pub(super) name: String,
    pub(super) title: String,
}

/// Fields as they are kept.
#[derive(Default)]
struct Kept(Map<String, Value>);

impl Kept {
    fn set(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
    }
}

impl Configuration {
    pub(super) fn read(path: &str, value: Value) -> Result<Self, Refusal> {
        let mut fields = fields(path, value)?;
        let (mut kept, mut secrets, mut buckets) = (Kept::default(), Given::new(), Vec::new());
        kept.set(
            "connection",
            fields.optional("connection", |path, value| connection(path, value, &mut secrets))?,
        );
        let mailboxes = fields.required("mailboxes", |path, value| {
            let Value::Array(list) = value else { return Err(wrong(path, "expected an array")) };
            let mut mailboxes: Vec<Value> = Vec::new();
            for (number, value) in list.into_iter().enumerate() {
                let path = format!("{path}[{number}]");
                let mailbox = mailbox(&path, value, &mut buckets)?;
                let address =
                    |of: &Value| of.get("email").and_then(Value::as_str).map(str::to_lowercase);
                if mailboxes.iter().any(|known| address(known) == address(&mailbox)) {
                    return Err(wrong(&format!("{path}.email"), "this mailbox is named twice"));
                }
                mailboxes.push(mailbox);
            }
            Ok(mailboxes)
        })?;
        fields.finish()?;
        let count = mailboxes.len();
        kept.set("mailboxes", Some(mailboxes));
        Ok(Self { value: Value::Object(kept.0), secrets, buckets, mailboxes: count })
    }
}

/// The fields of an object; those that are `null` are as if they were not there.
fn fields(path: &str, value: Value) -> Result<Fields, Refusal> {
    let Value::Object(mut map) = value else { return Err(wrong(path, "expected an object")) };
    // Of secrets, `null` means that they are to be forgotten.
    map.retain(|name, value| !value.is_null() || SECRETS.contains(&name.as_str()));
    Fields::of(path, Value::Object(map))
}

/// The names of secrets, in whichever object they are.
pub(super) const SECRETS: [&str; 3] = ["password", "client_secret", "private_key"];

fn secret(
    fields: &mut Fields,
    name: &'static str,
    most: usize,
    given: &mut Given,
) -> Result<(), Refusal> {
    let read = |path: &str, value: Value| {
        if value.is_null() {
            return Ok(None);
        }
        text(1, most)(path, value).map(|text| Some(Secret::from(text)))
    };
    if let Some(secret) = fields.optional(name, read)? {
        given.insert(name, secret);
    }
    Ok(())
}

/// How to sign in where.
pub(super) fn connection(path: &str, value: Value, given: &mut Given) -> Result<Value, Refusal> {
    let mut own = fields(path, value)?;
    let mut kept = Kept::default();
    let access = own.required("access", |path, value| {
        let mut own = fields(path, value)?;
        let mut kept = Kept::default();
        let kind = own.required("kind", one_of(&["user_access", "app_access"]))?;
        if kind == "user_access" {
            kept.set("username", Some(own.required("username", text(1, 320))?));
            secret(&mut own, "password", 1024, given)?;
        }
        kept.set("kind", Some(kind));
        own.finish()?;
        Ok(kept.0)
    })?;
    let application = own.required("application", |path, value| {
        let mut own = fields(path, value)?;
        let mut kept = Kept::default();
        let kind = own.required("kind", one_of(&["custom", "private_key", "ntlm"]))?;
        if kind != "ntlm" {
            kept.set("tenant_id", Some(own.required("tenant_id", tenant)?));
            kept.set("client_id", Some(own.required("client_id", text(1, 256))?));
        }
        match kind.as_str() {
            "custom" => secret(&mut own, "client_secret", 1024, given)?,
            "private_key" => {
                kept.set("thumbprint", Some(own.required("thumbprint", thumbprint)?));
                secret(&mut own, "private_key", MAX_KEY, given)?;
            }
            _ => {}
        }
        kept.set("kind", Some(kind));
        own.finish()?;
        Ok(kept.0)
    })?;
    let endpoint = own.optional("ews_endpoint", endpoint)?;
    let api = own.optional("microsoft_api", |path, value| {
        let mut own = fields(path, value)?;
        let kind = own.required("kind", one_of(&["graph", "ews"]))?;
        own.finish()?;
        Ok(json!({ "kind": kind }))
    })?;
    let version = own.optional("build_version", text(0, 64))?;
    own.finish()?;
    if application.get("kind") == Some(&json!("ntlm")) {
        if access.get("kind") != Some(&json!("user_access")) {
            let path = format!("{path}.access.kind");
            return Err(wrong(&path, "'ntlm' signs a user in: expected user_access"));
        }
        if endpoint.is_none() {
            let path = format!("{path}.ews_endpoint");
            return Err(wrong(&path, "this field is required with 'ntlm'"));
        }
        if api == Some(json!({ "kind": "graph" })) {
            let path = format!("{path}.microsoft_api.kind");
            return Err(wrong(&path, "Graph does not know 'ntlm': expected ews"));
        }
    }
    kept.set("access", Some(access));
    kept.set("application", Some(application));
    kept.set("ews_endpoint", endpoint);
    kept.set("microsoft_api", api);
    kept.set("build_version", version);
    Ok(Value::Object(kept.0))
}

/// It becomes a part of an address.
fn tenant(path: &str, value: Value) -> Result<String, Refusal> {
    let tenant = text(1, 256)(path, value)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if tenant.bytes().all(fits) && tenant.bytes().any(|byte| byte != b'.') {
        return Ok(tenant);
    }
    Err(wrong(path, "expected the id or the domain of a tenant: letters, digits, `-` and `.`"))
}

fn thumbprint(path: &str, value: Value) -> Result<String, Refusal> {
    let print = text(40, 64)(path, value)?;
    let is_print = matches!(print.len(), 40 | 64) && print.bytes().all(|b| b.is_ascii_hexdigit());
    if is_print { Ok(print) } else { Err(wrong(path, "expected 40 or 64 hex digits")) }
}

fn endpoint(path: &str, value: Value) -> Result<String, Refusal> {
    let endpoint = text(1, 2048)(path, value)?;
    let url = Url::parse(&endpoint).ok().filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    match url {
        Some(_) => Ok(endpoint),
        None => Err(wrong(path, "expected an address such as https://HOST/EWS/Exchange.asmx")),
    }
}

fn mailbox(path: &str, value: Value, buckets: &mut Vec<Bucket>) -> Result<Value, Refusal> {
    let mut own = fields(path, value)?;
    let mut kept = Kept::default();
    kept.set("email", Some(own.required("email", address)?));
    kept.set("enabled", Some(own.required("enabled", flag)?));
    let reason = own.optional("disabled_reason", one_of(super::REASONS))?;
    kept.set("disabled_reason", reason);
    for name in ["folder_allowlist", "folder_denylist"] {
        kept.set(name, own.optional(name, bounded(folder))?);
    }
    for name in ["participant_allowlist", "participant_denylist"] {
        kept.set(name, own.optional(name, bounded(text(1, 320)))?);
    }
    for name in ["participant_domain_allowlist", "participant_domain_denylist"] {
        kept.set(name, own.optional(name, bounded(text(1, 255)))?);
    }
    // As it was written: it is compared with what its writer has.
    let start =
        own.optional("start_timestamp", |path, value| time(path, value.clone()).map(|_| value))?;
    kept.set("start_timestamp", start);
    let bucket = own.required("bucket_specification", |path, value| {
        let mut own = fields(path, value)?;
        let name_of = |project: bool| {
            move |path: &str, value: Value| {
                let name = text(1, 1024)(path, value)?;
                if is_name(&name, project) { Ok(name) } else { Err(wrong(path, "this is no name")) }
            }
        };
        let project = own.required("project_name", name_of(true))?;
        let name = own.required("name", name_of(false))?;
        let title = own.optional("title", text(0, 128))?.unwrap_or_else(|| name.clone());
        own.finish()?;
        Ok(Bucket { path: path.to_owned(), project, name, title })
    })?;
    own.finish()?;
    kept.set(
        "bucket_specification",
        Some(json!({
            "project_name": bucket.project, "name": bucket.name, "title": bucket.title,
        })),
    );
    buckets.push(bucket);
    Ok(Value::Object(kept.0))
}

fn address(path: &str, value: Value) -> Result<String, Refusal> {
    let address = text(3, 320)(path, value)?;
    if is_address(&address) { Ok(address) } else { Err(wrong(path, "expected an email address")) }
}

/// The path of a folder, from the top of the mailbox.
fn folder(path: &str, value: Value) -> Result<Vec<String>, Refusal> {
    let parts = list(text(1, 255))(path, value)?;
    if (1..=MAX_DEPTH).contains(&parts.len()) {
        return Ok(parts);
    }
    Err(wrong(path, format_args!("expected 1 to {MAX_DEPTH} names of folders")))
}

fn bounded<T>(
    read: impl Fn(&str, Value) -> Result<T, Refusal>,
) -> impl FnOnce(&str, Value) -> Result<Vec<T>, Refusal> {
    move |path, value| {
        let entries = list(read)(path, value)?;
        if entries.len() <= MAX_ENTRIES {
            return Ok(entries);
        }
        Err(wrong(path, format_args!("expected at most {MAX_ENTRIES} entries")))
    }
}
