//! One parser for each kind of flag value. An error says what is allowed, as the end of
//! "`--flag` is `value`; allowed: …".

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use sinks::object_store::{BadPlace, Location};
use url::{Host, Url};

use super::{DebugLevel, LogFormat, PrivatePrefix};
use crate::{redirection::Pin, shard::MAX_SHARDS};

const MAX_GRACE: Duration = Duration::from_secs(3600);

pub(super) fn bind(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an IP address and a port, such as `0.0.0.0:8000`, `127.0.0.1:8000` or `[::]:8000`".into()
    })
}

pub(super) fn api_endpoint(text: &str) -> Result<Url, String> {
    let allowed = "an address such as `https://mydomain.example.com/api/`, without user, \
                   password, `?` or `#`";
    let url = Url::parse(text).map_err(|_| allowed)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let good = matches!(url.scheme(), "http" | "https") && url.has_host() && plain;
    if good { Ok(url) } else { Err(allowed.into()) }
}

/// Nobody but this machine can read what goes to `url`.
pub(super) fn is_safe_transport(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

/// The host is this machine, whatever the resolver says.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    // A URL here is the value of another flag, and would become a folder named `az:`.
    if text.is_empty() || text.contains("://") || text.contains('\0') {
        return Err("the path of a folder, such as `/mnt/ews`".into());
    }
    Ok(text.into())
}

pub(super) fn private_prefix(text: &str) -> Result<PrivatePrefix, String> {
    let allowed = "`az://ACCOUNT/CONTAINER` or `s3://BUCKET`, either with `/PREFIX`, without user, \
                   password, `?` or `#`, or `file:///FOLDER`";
    if text.starts_with("file:") {
        return folder_of_url(text).map(PrivatePrefix::Folder).ok_or_else(|| allowed.into());
    }
    match Location::of(text) {
        Ok(place) => Ok(PrivatePrefix::Container(place)),
        Err(BadPlace::Form) => Err(allowed.into()),
        Err(part) => Err(format!("{allowed}: {part}")),
    }
}

/// The folder that `file:///FOLDER` names.
fn folder_of_url(text: &str) -> Option<PathBuf> {
    // `file://a/b` would be a folder of the machine `a`.
    let url = Url::parse(text).ok().filter(|_| text.starts_with("file:///"))?;
    let plain = url.query().is_none() && url.fragment().is_none();
    plain.then(|| url.to_file_path().ok()).flatten()
}

/// A part of a remote configuration's name, which becomes one path segment.
pub(super) fn name_part(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 200 || text.starts_with('.') || !text.bytes().all(good) {
        return Err("1 to 200 letters, digits, `-`, `_` or `.`, not beginning with `.`".into());
    }
    Ok(text.into())
}

pub(super) fn pin(text: &str) -> Result<Pin, String> {
    Pin::parse(text)
        .ok_or_else(|| "names of servers, such as `mail.example.com,login.example.com:8443`".into())
}

pub(super) fn debug_level(text: &str) -> Result<DebugLevel, String> {
    match text {
        "0" => Ok(DebugLevel::None),
        "1" => Ok(DebugLevel::Service),
        "2" => Ok(DebugLevel::Full),
        _ => Err("`0`, `1` or `2`".into()),
    }
}

pub(super) fn total_shards(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|total| (1..=MAX_SHARDS).contains(total))
        .ok_or_else(|| format!("a whole number from 1 to {MAX_SHARDS}"))
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "`true` or `false`, or the flag without a value".into())
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("`text` or `json`".into()),
    }
}

pub(super) fn grace(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .map(Duration::from_secs)
        .filter(|time| *time <= MAX_GRACE)
        .ok_or_else(|| "a time from `0s` to `3600s`, such as `60s` or `2m`".into())
}
