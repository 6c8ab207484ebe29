//! Cookies: their names, and how browsers are told to keep them.

use hyper::{HeaderMap, header::COOKIE};

use crate::site::Site;

/// Longest value that is looked at.
const MAX_VALUE: usize = 4096;

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    Session,
    /// A sign-in with OpenID Connect that is under way.
    Oidc,
}

impl Cookie {
    /// Over TLS the prefix makes browsers refuse a cookie of this name that another host or a page
    /// without TLS has set; it demands the path `/`, so that the path of the platform is part of
    /// the name. Spec: "Cookies: HTTP State Management Mechanism" (RFC 6265bis), §4.1.3.2.
    fn name(self, site: &Site) -> String {
        let prefix = if site.secure { "__Host-" } else { "" };
        let name = match self {
            Self::Session => "tributary_session",
            Self::Oidc => "tributary_oidc",
        };
        let path = site.path.trim_matches('/');
        let fits = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let path: String = path.chars().map(fits).collect();
        let separator = if path.is_empty() { "" } else { "_" };
        format!("{prefix}{name}{separator}{path}")
    }

    /// The value that a request carries. One that is there twice is none: somebody else has set
    /// one of the two.
    pub(crate) fn find(self, site: &Site, headers: &HeaderMap) -> Option<String> {
        let wanted = self.name(site);
        let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim() == wanted).map(|(_, value)| value);
        let value = values.next()?.trim();
        let lone = values.next().is_none();
        (lone && !value.is_empty() && value.len() <= MAX_VALUE).then(|| value.to_owned())
    }

    /// The value of `Set-Cookie`. Scripts never see it; pages of other sites send it only when
    /// somebody follows a link here.
    pub(crate) fn set(self, site: &Site, value: &str, seconds: i64) -> String {
        let name = self.name(site);
        let secure = if site.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly{secure}; SameSite=Lax")
    }

    pub(crate) fn clear(self, site: &Site) -> String {
        self.set(site, "", 0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn site(url: &str) -> Site {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Site::new(Some(&url.parse().unwrap()), &[], address, false, "")
    }

    #[test]
    fn over_tls_the_name_binds_a_cookie_to_its_host() {
        let set = Cookie::Session.set(&site("https://a.example/x/y"), "v", 60);
        assert_eq!(
            set,
            "__Host-tributary_session_x-y=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
        let plain = Cookie::Session.clear(&site("http://127.0.0.1:8000"));
        assert_eq!(plain, "tributary_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn a_cookie_is_found_among_others_and_never_guessed() {
        let site = site("http://a.example");
        let found = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, text.parse().unwrap());
            Cookie::Session.find(&site, &headers)
        };
        assert_eq!(found("a=b; tributary_session=v; c=d").as_deref(), Some("v"));
        for text in [
            "",
            "tributary_session",
            "tributary_session=",
            "xtributary_session=v",
            "tributary_session=v; tributary_session=w",
            "TRIBUTARY_SESSION=v",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(found(&format!("tributary_session={}", "v".repeat(5000))), None);
    }
}
