//! The API's description of itself, as OpenAPI 3.1: what each route takes and gives.
//!
//! Routes, their query parameters and permissions come from `routes`, so that none can be missing
//! or invented. What bodies and answers look like is declared beside it, and tests hold the
//! declarations to the code: every declared field is taken, every other refused, and every answer
//! looks as declared.

mod access;
mod annotations;
mod comments;
mod datasets;
mod integrations;
mod mail;
mod page;
mod people;
mod search;
mod shape;

use std::collections::BTreeMap;

use hyper::{
    Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde_json::{Map, Value, json};

use crate::{
    reply::Reply,
    routes::{Content, Need, Op, ROUTES, Route},
};
use shape::{Answer, Body, Operation, hex, matching, object, of, one_of};

/// Another form of a route has the same address for OpenAPI, which knows no difference between
/// names of parameters.
const SAME_ADDRESS: [&str; 4] = [
    "api/_private/buckets/{project}",
    "api/v1/sources/{project}",
    "api/_private/integrations/{project}",
    "api/v1/datasets/{project}",
];

fn operation_of(op: Op) -> Option<Operation> {
    mail::operation_of(op)
        .or_else(|| people::operation_of(op))
        .or_else(|| access::operation_of(op))
        .or_else(|| comments::operation_of(op))
        .or_else(|| search::operation_of(op))
        .or_else(|| integrations::operation_of(op))
        .or_else(|| datasets::operation_of(op))
        .or_else(|| annotations::operation_of(op))
}

/// Routes that nobody has described, as `METHOD /path`.
#[cfg(test)]
fn undescribed() -> Vec<String> {
    let described = |route: &&Route| operation_of(route.op).is_none();
    let name = |route: &Route| format!("{} /{}", route.method, route.path);
    ROUTES.iter().filter(described).map(name).collect()
}

/// The document. `base_path` is before each path, or empty.
pub fn openapi(base_path: &str) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in ROUTES.iter().filter(|route| !SAME_ADDRESS.contains(&route.path)) {
        let Some(operation) = operation_of(route.op) else { continue };
        if !tags.contains(&operation.tag) {
            tags.push(operation.tag);
        }
        let count = used.entry(format!("{:?}", route.op)).or_default();
        *count += 1;
        let described = describe(route, operation, *count);
        let path = paths.entry(format!("/{}", route.path)).or_default();
        path.insert(route.method.as_str().to_ascii_lowercase(), described);
    }
    let tags: Vec<Value> = tags.iter().map(|name| json!({ "name": name })).collect();
    let schemas = mail::schemas().into_iter().chain(people::schemas());
    let schemas = schemas.chain(access::schemas()).chain(comments::schemas());
    let schemas = schemas.chain(search::schemas()).chain(integrations::schemas());
    let schemas = schemas.chain(datasets::schemas()).chain(annotations::schemas());
    let mut schemas: Map<String, Value> =
        schemas.map(|(name, shape)| (name.to_owned(), shape)).collect();
    schemas.insert("Error".to_owned(), error());
    let server = if base_path.is_empty() { "/" } else { base_path };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tributary",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": server }],
        "security": [{ "token": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": { "Refused": {
                "description": "Why the request was refused.",
                "content": { "application/json": { "schema": of("Error") } },
            }},
        },
    })
}

/// The document for people and for programs that generate code, as it is kept beside the sources.
pub fn openapi_text() -> String {
    let mut text = serde_json::to_string_pretty(&openapi("")).unwrap_or_default();
    text.push('\n');
    text
}

const INTRODUCTION: &str = "\
The platform's HTTP API. A request carries `Authorization: Bearer <token>`. Answers in JSON have \
`status`, which is `ok` or `error`; an error has a `message` that names the field and what is \
allowed. Unknown fields and query parameters are refused. A bucket is named by `id:<id>` or by \
`owner/name`, which may be written as one part of the path (`owner%2Fname`) or as two.";

fn error() -> Value {
    object(vec![
        shape::must("status", one_of(&["error"])),
        shape::must("message", shape::any_text()),
        shape::may(
            "position",
            shape::about(
                object(vec![
                    shape::must("char_start", shape::natural()),
                    shape::must("char_end", shape::natural()),
                    shape::must("utf16_byte_start", shape::natural()),
                    shape::must("utf16_byte_end", shape::natural()),
                ]),
                "Where in the query of a search the mistake is.",
            ),
        ),
    ])
}

fn describe(route: &Route, operation: Operation, count: usize) -> Value {
    let mut described = Map::new();
    let mut set = |name: &str, value: Value| described.insert(name.to_owned(), value);
    let name = format!("{:?}", route.op);
    let (first, rest) = name.split_at_checked(1).unwrap_or((&name, ""));
    let number = if count > 1 { count.to_string() } else { String::new() };
    set("operationId", format!("{}{rest}{number}", first.to_ascii_lowercase()).into());
    set("tags", json!([operation.tag]));
    set("summary", operation.summary.into());
    let needs = needs(route.need);
    let description = [operation.description, needs.as_str()];
    let description: Vec<_> = description.into_iter().filter(|it| !it.is_empty()).collect();
    set("description", description.join("\n\n").into());
    let parameters = parameters(route, &operation);
    if !parameters.is_empty() {
        set("parameters", parameters.into());
    }
    match &operation.body {
        Body::None => {}
        Body::Json(shape) => {
            let content = json!({ "application/json": { "schema": shape } });
            set("requestBody", json!({ "required": true, "content": content }));
        }
        Body::File => {
            let file = json!({ "type": "string", "format": "binary" });
            let form =
                json!({ "type": "object", "required": ["file"], "properties": { "file": file } });
            let content = json!({
                "multipart/form-data": { "schema": form },
                "application/octet-stream": { "schema": file },
            });
            // An attachment can be empty.
            let required = route.op != Op::PutAttachment;
            set("requestBody", json!({ "required": required, "content": content }));
        }
    }
    if route.need == Need::Public {
        set("security", json!([]));
    }
    set("responses", responses(route, operation));
    described.into()
}

fn needs(need: Need) -> String {
    match need {
        Need::Public => "Needs no token.".to_owned(),
        Need::Token => "Needs any valid token.".to_owned(),
        Need::Global(name) => format!("Needs the permission `{name}` everywhere."),
        Need::Member => "Needs any permission in the project.".to_owned(),
        Need::ManageProject => "Needs the permission `projects-admin` everywhere.".to_owned(),
        Need::Project(name) => format!("Needs the permission `{name}` in the project."),
        Need::User => "Needs to see the user: oneself, or members of the same projects with \
                       `users-read`."
            .to_owned(),
    }
}

fn parameters(route: &Route, operation: &Operation) -> Vec<Value> {
    let named = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named
        .map(|name| {
            let schema = match (route.op, name) {
                // By the id of the source and its own.
                (Op::Annotate, "comment") => {
                    matching("^[0-9a-f]{16}\\.[!-~]{1,1024}$", "0123456789abcdef.3c613e")
                }
                _ => path_parameter(name),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    for name in route.query.iter().filter(|name| **name != "*") {
        let described = operation.query.iter().find(|(known, _)| known == name);
        let schema = described.map_or_else(shape::any_text, |(_, shape)| shape.clone());
        let required = schema.get("description").and_then(Value::as_str);
        let required = required.is_some_and(|text| text.ends_with("Required."));
        parameters
            .push(json!({ "name": name, "in": "query", "required": required, "schema": schema }));
    }
    parameters
}

fn path_parameter(name: &str) -> Value {
    match name {
        "bucket" | "source" | "integration" | "dataset" => matching(
            "^(id:[0-9a-f]{16}|[A-Za-z0-9_.-]{1,200}/[A-Za-z0-9_-]{1,200})$",
            "example/mail",
        ),
        "project" => matching("^[A-Za-z0-9_.-]{1,200}$", "example"),
        "comment" => matching("^[!-~]{1,1024}$", "3c613e"),
        "attachment" => matching("^[A-Za-z0-9_-]{1,128}$", "00000000000000aa-e01-0"),
        "tag" => matching("^[A-Za-z0-9_.-]{1,128}$", "generic.0.CONVKER5"),
        "name" => matching("^[A-Za-z0-9_-]{1,200}$", "config"),
        "user" | "session" | "token" | "mail" => hex(16),
        "stream" => matching("^[A-Za-z0-9_-]{1,256}$", "stream"),
        "group" => shape::text(1, 256),
        "version" => shape::natural(),
        "key" => matching("^[0-9a-f]{1,200}$", "00ff"),
        "index" => json!({ "type": "integer", "minimum": 0, "maximum": 9999 }),
        "tenant" => matching("^[A-Za-z0-9_-]{1,200}$", "tributary"),
        "kind" => people::quota_kind(),
        "email" => json!({
            "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[^\\u0000]+$",
            "examples": ["<a@example.com>"],
        }),
        _ => {
            json!({ "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[^\\u0000]+$" })
        }
    }
}

fn responses(route: &Route, operation: Operation) -> Value {
    let content: Map<String, Value> = match operation.answer {
        Answer::Ok(fields) => {
            let mut all = vec![shape::must("status", one_of(&["ok"]))];
            all.extend(fields);
            let schema = json!({ "schema": object(all) });
            [("application/json".to_owned(), schema)].into_iter().collect()
        }
        Answer::Json(shape) => {
            let schema = json!({ "schema": shape });
            [("application/json".to_owned(), schema)].into_iter().collect()
        }
        Answer::Bytes(types) => {
            let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
            types.iter().map(|name| ((*name).to_owned(), bytes.clone())).collect()
        }
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "Done.", "content": content }));
    if matches!(route.op, Op::StartOidc | Op::FinishOidc | Op::SignedOutOidc) {
        responses.clear();
        responses.insert("303".to_owned(), json!({ "description": "The next page." }));
    }
    if matches!(route.op, Op::GetValidation | Op::AskModel) {
        // No dataset has a model.
        responses.clear();
    }
    if matches!(route.op, Op::GetConfig | Op::GetConfigVersion) {
        responses.insert("304".to_owned(), json!({ "description": "Known already." }));
    }
    let mut refusals = vec![400, 401, 429, 503];
    if route.need != Need::Token {
        refusals.push(403);
    }
    if route.path.contains('{') {
        refusals.push(404);
    }
    let own = ["buckets/{bucket}", "sources/{source}", "datasets/{dataset}"];
    let own = own.iter().chain(&["integrations/{integration}"]);
    if own.into_iter().any(|end| route.path.ends_with(end)) {
        // One part that is no id is the name of a project, whose own can only be listed.
        refusals.push(405);
    }
    if route.content != Content::Nothing {
        refusals.extend([408, 413, 415]);
    }
    refusals.extend(operation.refusals);
    refusals.sort_unstable();
    for status in refusals {
        responses.insert(status.to_string(), json!({ "$ref": "#/components/responses/Refused" }));
    }
    responses.into()
}

/// Answers who asks for the document or its page. They need no token: they hold what the source
/// code of this program does, and no name of this installation.
pub(crate) fn answer(method: &Method, path: &str, base_path: &str) -> Option<Reply> {
    const PAGE_POLICY: &str =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'";
    let name = path.strip_prefix(base_path.trim_end_matches('/'))?;
    if *method != Method::GET {
        return None;
    }
    let reply = match name {
        "/api/openapi.json" => {
            let body = openapi(base_path).to_string().into_bytes();
            Reply::new(StatusCode::OK, "application/json", body)
        }
        "/api/docs" => {
            let body = page::page(&openapi(base_path)).into_bytes();
            Reply::new(StatusCode::OK, "text/html; charset=utf-8", body)
                .with(CONTENT_SECURITY_POLICY, PAGE_POLICY)
        }
        _ => return None,
    };
    Some(reply.with(X_CONTENT_TYPE_OPTIONS, "nosniff").with(CACHE_CONTROL, "no-cache"))
}

#[cfg(test)]
mod tests;
