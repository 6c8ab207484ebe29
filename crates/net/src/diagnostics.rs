//! The headers of a reply that help to find the request in the server's logs.

use hyper::HeaderMap;

/// Never `Set-Cookie` or `WWW-Authenticate`: they carry secrets.
const NAMES: [&str; 8] = [
    "request-id",
    "client-request-id",
    "x-feserver",
    "x-targetbeserver",
    "x-calculatedbetarget",
    "x-diaginfo",
    "x-ms-diagnostics",
    "x-caserrorcode",
];

const MAX_VALUE: usize = 200;

/// The diagnostic headers of a reply in one line: `request-id: …, x-feserver: …`. Empty if the
/// server sent none.
///
/// Spec: "Instrumenting client requests for EWS and REST in Exchange".
pub fn diagnostics(headers: &HeaderMap) -> String {
    let present = NAMES.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(format!("{name}: {}", value.chars().take(MAX_VALUE).collect::<String>()))
    });
    present.collect::<Vec<_>>().join(", ")
}

/// The number at the front of `x-ms-diagnostics`: `2000003;reason="…"`.
pub(crate) fn oauth_code(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get("x-ms-diagnostics")?.to_str().ok()?;
    value.split(';').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn only_harmless_headers_are_shown() {
        let headers = headers(&[
            ("x-feserver", "FE1"),
            ("request-id", "4711"),
            ("set-cookie", "secret"),
            ("www-authenticate", "NTLM secret"),
        ]);
        assert_eq!(diagnostics(&headers), "request-id: 4711, x-feserver: FE1");
    }

    #[test]
    fn oauth_code_is_the_number_in_front() {
        let code = |value| oauth_code(&headers(&[("x-ms-diagnostics", value)]));
        assert_eq!(code("2000003;reason=\"wrong audience\""), Some(2_000_003));
        assert_eq!(code("2000001"), Some(2_000_001));
        assert_eq!(code("oops"), None);
        assert_eq!(oauth_code(&HeaderMap::new()), None);
    }
}
