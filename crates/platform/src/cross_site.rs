//! Keeps other sites from acting with a person's cookie.
//!
//! A browser sends the cookie with whatever a page of any site asks it to send, within what
//! `SameSite=Lax` leaves. So a request that changes something and is let in by a cookie must
//!
//! 1. come from a page of ours, as far as the browser says where it comes from: `Sec-Fetch-Site`,
//!    which no page can set, or else `Origin`;
//! 2. carry a header that no form can send, and that a script of another origin can send only
//!    after it asked, which is never answered: there is no CORS here.
//!
//! The second holds where a browser or a proxy leaves out the headers of the first. Neither needs
//! anything to be kept. Spec: "Cross-Site Request Forgery Prevention Cheat Sheet", OWASP, sections
//! "Fetch Metadata headers" and "Employing Custom Request Headers for AJAX/API"; "Fetch Metadata
//! Request Headers", W3C; RFC 6454 §7.

use hyper::{HeaderMap, Method, StatusCode, header::HOST};

use crate::{refusal::Refusal, site::Site};

/// The header of the second rule, and what it says.
pub(crate) const HEADER: &str = "x-tributary-csrf";
const VALUE: &str = "1";

/// Refuses what another site may have caused.
pub(crate) fn check(site: &Site, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let from_here = match (header("sec-fetch-site"), header("origin")) {
        (Some(from), _) => from == "same-origin",
        (None, Some(origin)) => site.is_own(origin, header(HOST.as_str())),
        (None, None) => true,
    };
    let refused = |message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, message));
    if !from_here {
        return refused("this request comes from a page of another site");
    }
    if header(HEADER) != Some(VALUE) {
        return refused("with a session, this request needs the header `X-Tributary-CSRF: 1`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_act_with_a_cookie() {
        let address = ([127, 0, 0, 1], 1).into();
        let site =
            Site::new(Some(&"https://own.example".parse().unwrap()), &[], address, false, "");
        let csrf = (HEADER, "1");
        let own = ("origin", "https://own.example");
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[csrf, own, ("sec-fetch-site", "same-origin")], true),
            (&[csrf, own], true),
            (&[csrf], true),
            (&[], false),
            (&[own, ("sec-fetch-site", "same-origin")], false),
            (&[(HEADER, "0"), own], false),
            (&[csrf, own, ("sec-fetch-site", "same-site")], false),
            (&[csrf, own, ("sec-fetch-site", "cross-site")], false),
            (&[csrf, own, ("sec-fetch-site", "none")], false),
            (&[csrf, ("origin", "https://evil.example")], false),
            (&[csrf, ("origin", "null")], false),
        ];
        for (headers, allowed) in table {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.insert(hyper::header::HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!(check(&site, &Method::POST, &map).is_ok(), *allowed, "{headers:?}");
            assert_eq!(check(&site, &Method::DELETE, &map).is_ok(), *allowed, "{headers:?}");
            check(&site, &Method::GET, &map).unwrap();
        }
    }
}
