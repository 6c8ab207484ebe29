//! Which server is read, from `ews_endpoint` or from `host` and `port`.

use std::net::Ipv6Addr;

use serde_json::json;
use url::Url;

use super::{
    problem::{quoted, without_user},
    settings::{Origin, Server},
    validate::Reader,
    written::default,
};
use crate::flags::is_loopback;

const EWS_PATH: &str = "/EWS/Exchange.asmx";

impl Reader<'_> {
    /// The server, unless its address cannot be used.
    pub(super) fn server(&mut self) -> Option<Server> {
        let allow_http = self.config.ews_allow_http.unwrap_or(false);
        let address = self.address();
        if let Some((endpoint, origin)) = &address {
            self.check_transport("the Exchange server", endpoint, allow_http);
            self.note("ews_endpoint", &json!(endpoint.as_str()), origin.clone());
        }
        self.note_or_default("ews_allow_http", &json!(allow_http), self.config.ews_allow_http);
        let version = self.config.ews_server_version.clone();
        self.note_or_default("ews_server_version", &json!(version), version.as_ref());
        address.map(|(endpoint, _)| Server { endpoint, version })
    }

    /// `http:` leads to another machine only with permission, and then with a warning.
    pub(super) fn check_transport(&mut self, what: &str, url: &Url, allowed: bool) {
        if url.scheme() == "https" || is_loopback(url) {
            return;
        }
        if allowed {
            self.warn(format!(
                "The connection to {what} at `{url}` is not encrypted: mail, tokens and passwords \
                 can be read on the way."
            ));
        } else {
            let with_host = url.path() == EWS_PATH;
            let how = if with_host { " (with `host`: `https://…` or port 443)" } else { "" };
            self.problem(format!(
                "{what} would be reached at `{url}`, without encryption; allowed: an `https:` \
                 address{how}, or `\"ews_allow_http\": true`"
            ));
        }
    }

    /// The name of the server as the file itself gives it.
    pub(super) fn host_in_file(&self) -> Option<String> {
        self.server_in_file()?.host_str().map(str::to_owned)
    }

    /// The server that file and environment name together, as far as it can be read.
    pub(super) fn named_server(&self) -> Option<Url> {
        match &self.environment.host {
            Some(host) => address_of(&host.value, None).ok(),
            None => self.server_in_file(),
        }
    }

    fn server_in_file(&self) -> Option<Url> {
        let endpoint = self.config.ews_endpoint.as_ref().and_then(|text| Url::parse(text).ok());
        let host = self.config.host.as_ref().and_then(|text| address_of(text, None).ok());
        endpoint.or(host)
    }

    fn address(&mut self) -> Option<(Url, Origin)> {
        let endpoint = self.config.ews_endpoint.take();
        let in_file = self.config.host.take();
        let in_environment = self.environment.host.clone();
        let (host, origin) = match (endpoint, in_file, in_environment) {
            (endpoint, _, Some(host)) => {
                if endpoint.is_some() {
                    self.warn(format!(
                        "`ews_endpoint` has no effect: the environment variable `{}` names the \
                         server.",
                        host.variable
                    ));
                }
                (host.value, Origin::Environment(host.variable))
            }
            (Some(_), Some(_), None) => {
                self.problem(
                    "`host` and `ews_endpoint` both name the server; allowed: one of the two"
                        .into(),
                );
                return None;
            }
            (Some(endpoint), None, None) => return self.endpoint(&endpoint),
            (None, Some(host), None) => match &self.environment.port {
                Some(port) => (host, Origin::Environment(port.variable.clone())),
                None => (host, Origin::File),
            },
            (None, None, None) => {
                self.problem(
                    "`ews_endpoint` is missing; allowed: the address of the service, such as \
                     `https://outlook.office365.com/EWS/Exchange.asmx`, or the server in `host`; \
                     or `\"microsoft_api\": \"graph\"` for Exchange Online"
                        .into(),
                );
                return None;
            }
        };
        let port = self.port()?;
        match address_of(&host, port) {
            Ok(url) => Some((url, origin)),
            Err(allowed) => {
                let subject = match &self.environment.host {
                    Some(_) => origin.subject("host"),
                    None => "`host`".into(),
                };
                let host = quoted(&without_user(&host));
                self.problem(format!("{subject} is `{host}`; allowed: {allowed}"));
                None
            }
        }
    }

    fn endpoint(&mut self, text: &str) -> Option<(Url, Origin)> {
        if self.config.port.is_some() || self.environment.port.is_some() {
            self.warn("`port` has no effect: `ews_endpoint` names the whole address.".into());
        }
        let mut url =
            self.url("ews_endpoint", text, "https://mail.example.com/EWS/Exchange.asmx")?;
        if url.path() == "/" {
            url.set_path(EWS_PATH);
        }
        Some((url, Origin::File))
    }

    /// The port, if one is given; `None` if it cannot be used.
    fn port(&mut self) -> Option<Option<u16>> {
        let Some(given) = &self.environment.port else {
            return Some(self.config.port.and_then(|port| u16::try_from(port).ok()));
        };
        match given.value.parse::<u16>() {
            Ok(port) if port > 0 => Some(Some(port)),
            _ => {
                let mut problem = format!(
                    "the environment variable `{}` is `{}`; allowed: a whole number from 1 to 65535",
                    given.variable,
                    quoted(&given.value)
                );
                if given.value.contains("://") {
                    problem.push_str(
                        " (Kubernetes sets it for a service named `reinfer-ews`: rename the \
                         service, or set `enableServiceLinks: false`)",
                    );
                }
                self.problem(problem);
                None
            }
        }
    }

    /// An `http:` or `https:` address without user, query and fragment.
    pub(super) fn url(&mut self, key: &str, text: &str, example: &str) -> Option<Url> {
        if self.is_placeholder(key, text) {
            return None;
        }
        let url = Url::parse(text.trim()).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if url.is_none() {
            self.problem(format!(
                "`{key}` is `{}`; allowed: an address such as `{example}`, without user, \
                 password, `?` or `#`",
                quoted(&without_user(text))
            ));
        }
        url
    }
}

/// `SCHEME://HOST:PORT/EWS/Exchange.asmx`. The error completes "allowed: …".
fn address_of(host: &str, port: Option<u16>) -> Result<Url, String> {
    let bad = || {
        "the name of a server, such as `exchange-server.example.com` or \
         `https://exchange-server.example.com`; a whole address belongs into `ews_endpoint`"
            .to_owned()
    };
    let host = host.trim().trim_end_matches('/');
    let (scheme, name) = match host.split_once("://") {
        Some((scheme, name)) => (Some(scheme.to_ascii_lowercase()), name),
        None => (None, host),
    };
    if !matches!(scheme.as_deref(), None | Some("http" | "https"))
        || name.is_empty()
        || name.contains(['/', '?', '#', '@', '\\', '<', '>'])
    {
        return Err(bad());
    }
    let bare_v6 = name.parse::<Ipv6Addr>().is_ok();
    let name = if bare_v6 { format!("[{name}]") } else { name.to_owned() };
    // A scheme without a default port keeps the port that is written.
    let own = Url::parse(&format!("x://{name}")).map_err(|_| bad())?.port();
    let port = match (own, port) {
        (Some(own), Some(port)) if own != port => {
            return Err(format!("one port; here it is {own}, in `port` {port}"));
        }
        (own, port) => own.or(port),
    };
    let scheme =
        scheme.unwrap_or_else(|| String::from(if port == Some(443) { "https" } else { "http" }));
    let port = port.unwrap_or(if scheme == "https" { 443 } else { default::PORT });
    let mut url = Url::parse(&format!("{scheme}://{name}{EWS_PATH}")).map_err(|_| bad())?;
    url.set_port(Some(port)).map_err(|()| bad())?;
    Ok(url)
}
