//! Addresses of Graph: how they are formed, and which ones of a server's are followed.

use net::Endpoint;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// All but the unreserved characters (RFC 3986 §2.3) and the `$` of `$value` and `$batch`.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$');

/// Longest link that is followed; those of Graph have some hundred bytes, seldom some thousand.
const MAX_LINK: usize = 16 * 1024;

/// The address below which everything is asked for, and whose links are followed.
#[derive(Debug)]
pub(super) struct Base {
    origin: Option<Url>,
    /// Without a slash at its end: `/v1.0`.
    path: String,
    /// Hosts beside that of the endpoint which a link may name.
    hosts: Vec<String>,
}

/// The server answered with a link that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a link leads to `{0}`")]
pub(super) struct ForeignLink(pub(super) String);

impl Base {
    pub(super) fn new(endpoint: &Endpoint, hosts: &[String]) -> Self {
        let origin = Url::parse(&endpoint.url()).ok();
        let path = origin.as_ref().map(|url| url.path().trim_end_matches('/').to_owned());
        let hosts = hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        Self { path: path.unwrap_or_default(), origin, hosts }
    }

    /// The path of an absolute address: `/v1.0/users/…`.
    pub(super) fn target(&self, relative: &str) -> String {
        format!("{}{relative}", self.path)
    }

    /// The part of a server's link that is asked for at the endpoint, as it was written.
    ///
    /// The token goes to nobody but the endpoint: a link to another host is not followed.
    ///
    /// # Errors
    ///
    /// It leads to another host than those that are allowed, or is no link at all.
    pub(super) fn follow(&self, link: &str) -> Result<String, ForeignLink> {
        let strange = |what: &str| ForeignLink(what.to_owned());
        if link.len() > MAX_LINK {
            return Err(strange("an address that is too long"));
        }
        let url = Url::parse(link).map_err(|_| strange("something that is no address"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let own = self.origin.as_ref().is_some_and(|own| own.origin() == url.origin());
        if !own && !self.hosts.contains(&authority) {
            return Err(ForeignLink(authority));
        }
        // As it was written: parsing may have put characters in other words.
        let rest = link.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
        match rest.find(['/', '\\', '?', '#']).and_then(|at| rest.get(at..)) {
            Some(target) if target.starts_with('/') && !target.contains('#') => {
                Ok(target.to_owned())
            }
            _ => Err(strange("an address without a path")),
        }
    }
}

/// A path of `segments`, each of which may hold any text: `/users/abc%40example.com/…`.
pub(super) fn path(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
        path
    })
}

/// Text as a value in a query.
pub(super) fn query_value(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        let origin = Url::parse("https://graph.example.com/v1.0").ok();
        let hosts = vec!["graph.microsoft.com".to_owned()];
        Base { origin, path: "/v1.0".to_owned(), hosts }
    }

    #[test]
    fn any_text_can_be_part_of_a_path() {
        let id = "AQMk/+=_-'?#%\u{e4} ..";
        assert_eq!(
            path(&["users", "o'hara@example.com", "messages", id, "$value"]),
            "/users/o%27hara%40example.com/messages/AQMk%2F%2B%3D_-%27%3F%23%25%C3%A4%20../$value"
        );
        assert_eq!(query_value("2026-11-22T10:00:00Z"), "2026-11-22T10%3A00%3A00Z");
    }

    #[test]
    fn a_link_is_asked_for_as_it_was_written() {
        let link = "https://GRAPH.example.com:443/v1.0/users('a%40b')/x?$skiptoken=%41b+'c'&d=é";
        let target = base().follow(link).unwrap();
        assert_eq!(target, "/v1.0/users('a%40b')/x?$skiptoken=%41b+'c'&d=é");
        assert_eq!(base().follow("https://graph.microsoft.com/v1.0/y").unwrap(), "/v1.0/y");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_refused() {
        let long = format!("https://graph.example.com/{}", "x".repeat(MAX_LINK));
        for link in [
            "https://graph.example.net/v1.0/users",
            "http://graph.example.com/v1.0/users",
            "https://graph.example.com:8443/v1.0/users",
            "https://graph.example.com@evil.example.net/v1.0/users",
            "https://graph.example.com.example.net/v1.0/users",
            "https://graph.example.com\\@evil.example.net/",
            "//graph.example.net/v1.0",
            "/v1.0/users",
            "https://graph.example.com",
            "",
            &long,
        ] {
            assert!(base().follow(link).is_err(), "{link}");
        }
    }
}
