//! Where people find the platform: its address as browsers see it, and who stands between.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use net::egress::Network;
use url::Url;

/// Most addresses of `X-Forwarded-For` that are looked at.
const MAX_HOPS: usize = 16;

/// The address that people type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    path: String,
    secure: bool,
}

/// The text is not such an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as `https://mail.example.com/path`, without a query or a user")]
pub struct BadPublicUrl;

impl std::str::FromStr for PublicUrl {
    type Err = BadPublicUrl;

    fn from_str(text: &str) -> Result<Self, BadPublicUrl> {
        let url = Url::parse(text).map_err(|_| BadPublicUrl)?;
        let plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() || !plain {
            return Err(BadPublicUrl);
        }
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            path: url.path().trim_end_matches('/').to_owned(),
            secure: url.scheme() == "https",
        })
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.origin, self.path)
    }
}

/// The same for a server that has its port.
pub(crate) struct Site {
    /// Whether browsers come over TLS.
    pub(crate) secure: bool,
    /// Path before every page.
    pub(crate) path: String,
    /// Scheme, host and port.
    origin: String,
    /// The origin was given, and is not a guess.
    is_certain: bool,
    proxies: Vec<Network>,
}

impl Site {
    pub(crate) fn new(
        public: Option<&PublicUrl>,
        proxies: &[Network],
        address: SocketAddr,
        tls: bool,
        base_path: &str,
    ) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let guess = || PublicUrl {
            origin: format!("{scheme}://{address}"),
            path: base_path.trim_end_matches('/').to_owned(),
            secure: tls,
        };
        let url = public.cloned().unwrap_or_else(guess);
        Self {
            secure: url.secure,
            path: url.path,
            origin: url.origin,
            is_certain: public.is_some(),
            proxies: proxies.to_vec(),
        }
    }

    /// The whole address of a page.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.path)
    }

    /// Whether a page of that origin is one of ours. Where the address is a guess, such as behind
    /// a proxy that nobody told us about, the host that the request names decides.
    pub(crate) fn is_own(&self, origin: &str, host: Option<&str>) -> bool {
        if self.is_certain {
            return origin.eq_ignore_ascii_case(&self.origin);
        }
        let named = origin.split_once("://").map(|(_, authority)| authority);
        named.zip(host).is_some_and(|(named, host)| named.eq_ignore_ascii_case(host))
    }

    /// Where a request comes from. What proxies say counts only as far as they are ours: the last
    /// address that is not one of theirs.
    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let ours = |address: IpAddr| self.proxies.iter().any(|own| own.contains(address));
        let mut caller = peer.to_canonical();
        let named = headers.get_all("x-forwarded-for").iter().rev();
        let named = named.filter_map(|value| value.to_str().ok());
        let mut hops = named.flat_map(|value| value.split(',').rev()).map(str::trim);
        for _ in 0..MAX_HOPS {
            if !ours(caller) {
                break;
            }
            match hops.next().and_then(address) {
                Some(before) => caller = before.to_canonical(),
                None => break,
            }
        }
        caller
    }
}

/// An address, with its port or without: proxies write both.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse().ok().map(|full: SocketAddr| full.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(public: Option<&str>, proxies: &[&str]) -> Site {
        let public: Option<PublicUrl> = public.map(|url| url.parse().unwrap());
        let proxies: Vec<Network> = proxies.iter().map(|own| own.parse().unwrap()).collect();
        let address = SocketAddr::from(([127, 0, 0, 1], 8000));
        Site::new(public.as_ref(), &proxies, address, false, "/own")
    }

    #[test]
    fn nobody_chooses_the_address_that_is_written_down() {
        let site = site(None, &["10.0.0.0/8", "::1"]);
        for (peer, forwarded, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.1.1.1", "198.51.100.1", "198.51.100.1"),
            ("10.1.1.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("10.1.1.1", "6.6.6.6, 198.51.100.1:4711, 10.2.2.2", "198.51.100.1"),
            ("::ffff:10.1.1.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("::1", "nonsense", "::1"),
            ("10.1.1.1", "", "10.1.1.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            let caller = site.caller(peer.parse().unwrap(), &headers);
            assert_eq!(caller.to_string(), expected, "{peer} {forwarded}");
        }
        let mut headers = HeaderMap::new();
        let many = vec!["10.0.0.1"; 10_000].join(",");
        headers.insert("x-forwarded-for", many.parse().unwrap());
        assert_eq!(site.caller([10, 0, 0, 1].into(), &headers).to_string(), "10.0.0.1");
    }

    #[test]
    fn a_page_of_ours_is_one_of_the_address_that_was_given() {
        let own = site(Some("https://mail.example.com/base/"), &[]);
        assert_eq!(own.page("/link"), "https://mail.example.com/base/link");
        assert!(own.is_own("https://mail.example.com", Some("10.0.0.1:8000")));
        for other in [
            "http://mail.example.com",
            "https://mail.example.com:8443",
            "https://example.com",
            "null",
        ] {
            assert!(!own.is_own(other, Some("mail.example.com")), "{other}");
        }
        let guess = site(None, &[]);
        assert_eq!(guess.page(""), "http://127.0.0.1:8000/own");
        assert!(guess.is_own("https://a.example.com", Some("a.example.com")));
        assert!(!guess.is_own("https://b.example.com", Some("a.example.com")));
        assert!(!guess.is_own("null", Some("null")) && !guess.is_own("https://a", None));
    }

    #[test]
    fn what_is_no_address_of_a_platform_is_refused() {
        for text in [
            "mail.example.com",
            "ftp://mail.example.com",
            "https://mail.example.com/?a=b",
            "https://a:b@mail.example.com",
            "https://",
            "",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(BadPublicUrl), "{text}");
        }
    }
}
