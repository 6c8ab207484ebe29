//! Configurations of appliances: stored as they are, if they are JSON.

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use openssl::sha::sha256;
use serde_json::{Map, Value, json};

use super::{ops::Call, refusal::Refusal, reply::Reply, schema::is_name, world::World};

pub(crate) fn get(world: &World, call: &Call<'_>) -> Result<Reply, Refusal> {
    let name = (call.owner().to_owned(), call.key().to_owned());
    let missing =
        || Refusal::not_found(format_args!("the configuration `{}/{}`", call.owner(), call.key()));
    let config = world.configs.get(&name).ok_or_else(missing)?;
    let etag = etag(config);
    let known = call.envelope.header(IF_NONE_MATCH).unwrap_or_default();
    let reply = if known.split(',').any(|own| own.trim() == etag || own.trim() == "*") {
        Reply::new(StatusCode::NOT_MODIFIED, "application/octet-stream", Vec::new())
    } else {
        Reply::new(StatusCode::OK, "application/octet-stream", config.to_vec())
    };
    Ok(reply.with(ETAG, etag))
}

pub(crate) fn put(world: &mut World, call: &Call<'_>, body: Vec<u8>) -> Result<Reply, Refusal> {
    let (owner, key) = (call.owner(), call.key());
    if !is_name(key, false) {
        return Err(Refusal::invalid(format!("`{key}` is no name of a configuration")));
    }
    world.project(owner)?;
    let kind = call.envelope.header(CONTENT_TYPE).unwrap_or_default();
    let config = match boundary(kind) {
        Some(boundary) => file(&body, &boundary)?,
        None => body,
    };
    let read = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes);
    let new = read(&config).map_err(|error| {
        Refusal::invalid(format!("`file`: the configuration is no JSON object: {error}"))
    })?;
    let name = (owner.to_owned(), key.to_owned());
    let old = world.configs.get(&name).and_then(|old| read(old).ok()).unwrap_or_default();
    let reply = Reply::json(json!({ "changes": changes(&old, &new) })).with(ETAG, etag(&config));
    world.configs.insert(name, Bytes::from(config));
    Ok(reply)
}

fn etag(config: &[u8]) -> String {
    let hash = sha256(config);
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// The fields that differ, with their old and new values.
fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Value {
    let names = old.keys().chain(new.keys());
    let changed = names.filter(|name| old.get(*name) != new.get(*name));
    let change = |name: &String| json!({ "old": old.get(name), "new": new.get(name) });
    changed.map(|name| (name.clone(), change(name))).collect::<Map<_, _>>().into()
}

/// The boundary of a form. Spec: RFC 7578 §4.1.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut parameters = parameters.split(';').filter_map(|own| own.trim().split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    Some(value.trim_matches('"').to_owned())
}

/// The content of the part `file`. Spec: RFC 2046 §5.1.1.
fn file(body: &[u8], boundary: &str) -> Result<Vec<u8>, Refusal> {
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter may be the very start of the body.
    let body = [b"\r\n", body].concat();
    let ends: Vec<_> = memchr::memmem::find_iter(&body, &delimiter).collect();
    for pair in ends.windows(2) {
        let [from, to] = *pair else { continue };
        let part = body.get(from + delimiter.len()..to).unwrap_or_default();
        let Some(head) = memchr::memmem::find(part, b"\r\n\r\n") else { continue };
        let names = String::from_utf8_lossy(part.get(..head).unwrap_or_default());
        if names.contains("name=\"file\"") || names.contains("name=file") {
            return Ok(part.get(head + 4..).unwrap_or_default().to_owned());
        }
    }
    Err(Refusal::invalid("`file`: this field of the form is required"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_form_is_found() {
        let kind = "multipart/form-data; boundary=\"x y\"";
        let body = b"--x y\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhi\r\n\
                     --x y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.json\"\r\n\
                     \r\n{\"a\":\r\n1}\r\n--x y--\r\n";
        assert_eq!(file(body, &boundary(kind).unwrap()).unwrap(), b"{\"a\":\r\n1}");
        assert!(file(b"--x y--\r\n", "x y").is_err());
        assert_eq!(boundary("application/json; boundary=1"), None);
    }
}
