//! Puts a request together: the caller's headers, and those that every request has.

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Uri,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue,
        USER_AGENT,
    },
};
use openssl::{error::ErrorStack, rand::rand_bytes};

use crate::{Endpoint, cookies::Cookies, payload::Outgoing};

pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tributary/", env!("CARGO_PKG_VERSION")));

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("return-client-request-id");

/// What one request carries beside its address.
pub(crate) struct Content<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) cookies: Option<&'a Cookies>,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

/// A `POST` to `endpoint`. The caller's headers win, except those that belong to the connection.
pub(crate) fn post(
    endpoint: &Endpoint,
    content: Content<'_>,
) -> Result<Request<Outgoing>, ErrorStack> {
    let mut headers = content.headers.clone();
    headers.insert(HOST, endpoint.authority().clone());
    // Spelled out, since an empty body would otherwise go without.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.body.len()));
    headers.entry(USER_AGENT).or_insert(AGENT);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let id = guid()?;
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.entry(CLIENT_REQUEST_ID).or_insert(id);
        headers.insert(RETURN_CLIENT_REQUEST_ID, HeaderValue::from_static("true"));
    }
    for (name, value) in [
        (COOKIE, content.cookies.and_then(Cookies::header)),
        (AUTHORIZATION, content.authorization),
    ] {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
    let mut request = Request::new(Outgoing::whole(content.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from(endpoint.path().clone());
    *request.headers_mut() = headers;
    Ok(request)
}

/// A new random identifier. Spec: RFC 9562 §5.4.
pub(crate) fn guid() -> Result<String, ErrorStack> {
    let mut bytes = [0; 16];
    rand_bytes(&mut bytes)?;
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let hex = format!("{bits:032x}");
    let mut id = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guid_has_the_form_of_version_4() {
        let id = guid().unwrap();
        let bytes = id.as_bytes();
        assert_eq!(id.len(), 36);
        assert_eq!([bytes[8], bytes[13], bytes[18], bytes[23]], [b'-'; 4]);
        assert_eq!(bytes[14], b'4');
        assert!(b"89ab".contains(&bytes[19]), "{id}");
        assert_ne!(id, guid().unwrap());
    }
}
