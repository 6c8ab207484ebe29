//! The web UI: files that were built into the program, and the headers that fence them in.
//!
//! The UI is a client of the API like any other and has no door of its own: nothing here reads the
//! database. What is served is the same for everybody, and needs no sign-in.

use hyper::{
    Method, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
        HeaderName, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use percent_encoding::percent_decode_str;

use crate::{reply::Reply, request::Head, routes};

/// A file of the UI, and its compressed forms.
pub(super) struct File {
    /// Path below the folder of the UI.
    pub(super) name: &'static str,
    /// There is always one.
    pub(super) plain: Option<&'static [u8]>,
    pub(super) brotli: Option<&'static [u8]>,
    pub(super) gzip: Option<&'static [u8]>,
}

mod files {
    use super::File;
    include!(concat!(env!("OUT_DIR"), "/ui_files.rs"));
}

/// The one page, which draws all the others.
const PAGE: &str = "index.html";
/// Shown instead when the UI is not in this program.
const NOT_BUILT: &str = include_str!("ui_not_built.html");
/// Files whose names change with their contents.
const HASHED: &str = "assets/";
/// First parts of paths that the API has to itself.
const OF_THE_API: &[&str] = &["api", "auth", "external", "livez", "healthz", "readyz", "metrics"];
/// First parts of the paths of pages. Others are told to be missing. A test compares them with
/// `web/src/pages.ts`, which may not be there when the program is built.
const PAGES: &[&str] =
    &["sign-in", "link", "p", "search", "users", "audit", "quotas", "account", "outbox"];
/// Bytes of a nonce.
const NONCE: usize = 16;

/// Answers whoever asks for the UI; `None`: this is for the API.
pub(crate) fn answer(head: &Head, base: &str) -> Option<Reply> {
    let (method, path) = (&head.parts.method, head.parts.uri.path());
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let rest = below(&decoded, base)?;
    let first = rest.split('/').next().unwrap_or_default();
    // A path that the API knows is the API's, whatever it is called.
    if OF_THE_API.contains(&first) || is_of_the_api(method, path, base) {
        return None;
    }
    if let Some(file) = files::FILES.iter().find(|file| file.name == rest && rest != PAGE) {
        return Some(asset(head, file));
    }
    if rest.starts_with(HASHED) {
        // Of another version, as a rule: the page is told to load itself again.
        return Some(fenced(Reply::new(StatusCode::NOT_FOUND, TEXT, b"no such file\n".into())));
    }
    // Clients of the API that are lost get an answer of the API.
    let is_browser = head.header(ACCEPT).is_some_and(|kinds| kinds.contains("text/html"));
    if !is_browser && !rest.is_empty() {
        return None;
    }
    let known = first.is_empty() || PAGES.contains(&first);
    Some(page(if known { StatusCode::OK } else { StatusCode::NOT_FOUND }, base))
}

const TEXT: &str = "text/plain; charset=utf-8";

/// What of the path is below the base, without slashes around it.
fn below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let base = base.trim_matches('/');
    let path = path.trim_start_matches('/');
    let rest = path.strip_prefix(base)?;
    let whole = base.is_empty() || rest.is_empty() || rest.starts_with('/');
    whole.then(|| rest.trim_matches('/'))
}

fn is_of_the_api(method: &Method, path: &str, base: &str) -> bool {
    match routes::find(method, path, base) {
        Ok(_) => true,
        Err(refusal) => refusal.status == StatusCode::METHOD_NOT_ALLOWED,
    }
}

/// The page, told where it is and with which nonce it may add styles.
fn page(status: StatusCode, base: &str) -> Reply {
    let built = files::FILES.iter().find(|file| file.name == PAGE);
    let text = built.and_then(|file| std::str::from_utf8(file.plain?).ok()).unwrap_or(NOT_BUILT);
    let nonce = nonce();
    let base = base.trim_matches('/');
    let base = if base.is_empty() { "/".to_owned() } else { format!("/{}/", quoted(base)) };
    let text = text.replace("%BASE%", &base).replace("%NONCE%", &nonce);
    let reply = Reply::new(status, "text/html; charset=utf-8", text.into_bytes());
    fenced(reply)
        .with(CONTENT_SECURITY_POLICY, policy(&nonce))
        .with(CACHE_CONTROL, "no-cache")
        .with(X_FRAME_OPTIONS, "DENY")
        .with(HeaderName::from_static("cross-origin-opener-policy"), "same-origin")
        .with(
            HeaderName::from_static("permissions-policy"),
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        )
}

/// Scripts, styles, fonts and requests from here only. Styles that components add while they run
/// carry the nonce. Pictures as `data:` are our own icons; original messages are in a frame with
/// a policy of its own. Spec: <https://www.w3.org/TR/CSP3/>.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-src 'self'; \
         manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
}

fn nonce() -> String {
    let mut bytes = [0; NONCE];
    // Without randomness there are no added styles: the page is plain, and as safe.
    if openssl::rand::rand_bytes(&mut bytes).is_err() {
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// What every answer of the UI carries.
fn fenced(reply: Reply) -> Reply {
    reply
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with(REFERRER_POLICY, "no-referrer")
        .with(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
}

fn asset(head: &Head, file: &'static File) -> Reply {
    let takes = |coding: &str| {
        let accepted = head.header(ACCEPT_ENCODING).unwrap_or_default();
        accepted.split(',').any(|one| {
            let (name, rest) = one.split_once(';').unwrap_or((one, ""));
            name.trim().eq_ignore_ascii_case(coding) && !matches!(rest.trim(), "q=0" | "q=0.0")
        })
    };
    let coded = [("br", file.brotli), ("gzip", file.gzip)]
        .into_iter()
        .find_map(|(coding, bytes)| bytes.filter(|_| takes(coding)).map(|bytes| (coding, bytes)));
    let bytes = coded.map_or(file.plain.unwrap_or_default(), |(_, bytes)| bytes);
    let lasting = if file.name.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=3600"
    };
    let reply = Reply::fixed(StatusCode::OK, content_type(file.name), bytes);
    let reply = fenced(reply)
        .with(CACHE_CONTROL, lasting)
        .with(VARY, "accept-encoding")
        // Opened by itself, a picture must not become a page with rights of its own.
        .with(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    match coded {
        Some((coding, _)) => reply.with(CONTENT_ENCODING, coding),
        None => reply,
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => TEXT,
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_base_or_not_the_uis() {
        assert_eq!(below("/", ""), Some(""));
        assert_eq!(below("/p/acme/", ""), Some("p/acme"));
        assert_eq!(below("/mail", "/mail"), Some(""));
        assert_eq!(below("/mail/p/acme", "/mail"), Some("p/acme"));
        assert_eq!(below("/mailbox", "/mail"), None);
        assert_eq!(below("/p/acme", "/mail"), None);
    }

    #[test]
    fn the_pages_are_those_of_the_ui() {
        let pages = include_str!("../../../web/src/pages.ts");
        let patterns = pages.split("page(\"/").skip(1).filter_map(|rest| rest.split('"').next());
        let first = patterns.filter_map(|pattern| pattern.split('/').next());
        let mut first: Vec<&str> = first.filter(|part| !part.is_empty()).collect();
        first.sort_unstable();
        first.dedup();
        let mut known = PAGES.to_vec();
        known.sort_unstable();
        assert_eq!(first, known);
        // Else the API would answer in place of the page.
        assert!(first.iter().all(|part| !OF_THE_API.contains(part)));
    }

    #[test]
    fn no_script_of_a_page_itself_and_no_frame_around_it() {
        let policy = policy("0f");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_ne!(nonce(), nonce());
    }

    #[test]
    fn a_base_stays_within_its_attribute() {
        assert_eq!(quoted(r#"a"><script>&"#), "a&quot;>&lt;script>".to_owned() + "&amp;");
    }
}
