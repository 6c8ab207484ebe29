//! The cookies of one session: load balancers use them to find the same server again.

use std::fmt;

use hyper::{
    HeaderMap,
    header::{HeaderValue, SET_COOKIE},
};

const MAX_COOKIES: usize = 32;
/// Longest cookie, name and value, in bytes.
const MAX_COOKIE: usize = 4096;
/// Longest header, in bytes: IIS refuses a request whose head exceeds 16 KiB.
const MAX_HEADER: usize = 8192;

/// Cookies by name. A session talks to one endpoint, so domain and path need no looking at.
#[derive(Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

/// Names only: a cookie can be as good as a password.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Cookies {
    /// Keeps what a reply sets. Beyond the limits, the oldest go.
    pub(crate) fn store(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let mut parts = value.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            if name.is_empty() || name.len() + value.len() > MAX_COOKIE {
                continue;
            }
            self.0.retain(|(known, _)| known != name);
            let ended =
                parts.filter_map(|attribute| attribute.split_once('=')).any(|(key, age)| {
                    key.trim().eq_ignore_ascii_case("max-age")
                        && age.trim().parse::<i64>().is_ok_and(|age| age <= 0)
                });
            if ended || value.is_empty() {
                continue;
            }
            self.0.push((name.to_owned(), value.to_owned()));
            while self.0.len() > MAX_COOKIES || self.size() > MAX_HEADER {
                self.0.remove(0);
            }
        }
    }

    fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + "=; ".len()).sum()
    }

    /// The `Cookie` header for the next request.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[&str], expected: Option<&str>) {
        let mut cookies = Cookies::default();
        for value in set {
            let mut headers = HeaderMap::new();
            headers.insert(SET_COOKIE, HeaderValue::from_str(value).unwrap());
            cookies.store(&headers);
        }
        let header = cookies.header();
        assert_eq!(header.as_ref().map(|header| header.to_str().unwrap()), expected);
    }

    #[test]
    fn cookies_are_replaced_by_name_and_returned() {
        let set = ["a=1; path=/; secure; HttpOnly", "X-BackEndCookie=b=c=; expires=x", "a=2"];
        check(&set, Some("X-BackEndCookie=b=c=; a=2"));
    }

    #[test]
    fn ended_and_malformed_cookies_are_not_returned() {
        check(&["a=1", "a=1; Max-Age=0", "b=2; max-age=-1", "c=", "=d", "e", ""], None);
        check(&["a=1; Max-Age=60"], Some("a=1"));
    }

    #[test]
    fn values_are_not_printed() {
        let mut headers = HeaderMap::new();
        headers.insert(SET_COOKIE, HeaderValue::from_static("backend=hunter2"));
        let mut cookies = Cookies::default();
        cookies.store(&headers);
        assert_eq!(format!("{cookies:?}"), r#"{"backend"}"#);
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many: Vec<String> = (0..40).map(|n| format!("c{n}=1")).collect();
        let mut cookies = Cookies::default();
        let mut headers = HeaderMap::new();
        for one in &many {
            headers.append(SET_COOKIE, HeaderValue::from_str(one).unwrap());
        }
        cookies.store(&headers);
        assert_eq!(cookies.0.len(), MAX_COOKIES);
        assert_eq!(cookies.0.last().unwrap().0, "c39");
        check(&[&format!("a={}", "x".repeat(MAX_COOKIE))], None);
        let large = ["a", "b", "c"].map(|name| format!("{name}={}", "x".repeat(4000)));
        let kept = format!("{}; {}", large[1], large[2]);
        check(&large.each_ref().map(String::as_str), Some(&kept));
    }
}
