//! Where requests go, and under which limits.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use hyper::{header::HeaderValue, http::uri::PathAndQuery};
use record::Clock;
use url::{Host, Url};

use crate::{Egress, Tls};

/// How connections are made; shared by all endpoints of a program.
#[derive(Clone)]
pub struct Transport {
    pub tls: Tls,
    pub egress: Arc<Egress>,
    pub plain_http: PlainHttp,
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("tls", &self.tls)
            .field("egress", &self.egress)
            .field("plain_http", &self.plain_http)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where an `http` URL may lead. It carries passwords that anybody on the way can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    #[default]
    LoopbackOnly,
    Everywhere,
}

/// Limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For name resolution, TCP and TLS together; also for the first leg of an NTLM handshake.
    pub connect: Duration,
    /// Between two parts of a request that the server takes.
    pub idle_send: Duration,
    /// From the last byte of the request to the head of the reply.
    pub answer: Duration,
    /// Between two parts of a body.
    pub idle_body: Duration,
    /// Largest reply, in bytes after decompression.
    pub max_body: u64,
    /// Largest factor by which a body may grow when it is decompressed, once it has grown
    /// beyond 32 MiB.
    pub max_expansion: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle_send: Duration::from_secs(60),
            answer: Duration::from_secs(120),
            idle_body: Duration::from_secs(60),
            max_body: 1 << 30,
            max_expansion: 250,
        }
    }
}

/// The URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    #[error("not a URL such as `https://mail.example.com/EWS/Exchange.asmx`")]
    NotAUrl(#[from] url::ParseError),
    #[error("the scheme `{0}` is not supported, only `https` and `http`")]
    Scheme(String),
    #[error("the URL carries a user name or password, which do not belong there")]
    Credentials,
    #[error(
        "plain `http` to `{0}` would show passwords and mail to everybody on the way: use `https`, \
         or allow plain `http` explicitly"
    )]
    PlainHttp(String),
    /// An OAuth authority that names no tenant.
    #[error("the authority names no tenant: `https://login.microsoftonline.com/<tenant>/`")]
    NoTenant,
}

/// One URL, and how to get there. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Arc<Parts>);

/// Without the query, in which some services carry a secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}{})", self.name(), self.path().path())
    }
}

struct Parts {
    secure: bool,
    /// A name, or an address without brackets.
    host: String,
    address: Option<IpAddr>,
    port: u16,
    /// Host and, unless it is the usual one, port: the `Host` header, and the name in messages.
    authority: HeaderValue,
    name: String,
    path: PathAndQuery,
    transport: Transport,
}

impl Endpoint {
    /// Parses `url`. Nothing is resolved or connected yet.
    ///
    /// # Errors
    ///
    /// [`BadEndpoint`], also for plain `http` to where `transport` does not allow it.
    pub fn new(url: &str, transport: Transport) -> Result<Self, BadEndpoint> {
        let url = Url::parse(url)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(BadEndpoint::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadEndpoint::Credentials);
        }
        let parsed = url.host().ok_or(url::ParseError::EmptyHost)?;
        let (host, address) = match &parsed {
            Host::Domain(name) => ((*name).to_owned(), None),
            Host::Ipv4(ip) => (ip.to_string(), Some(IpAddr::V4(*ip))),
            Host::Ipv6(ip) => (ip.to_string(), Some(IpAddr::V6(*ip))),
        };
        let loopback = match address {
            Some(ip) => ip.to_canonical().is_loopback(),
            // RFC 6761 §6.3; the address is looked at once more when it is known.
            None => host == "localhost" || host.ends_with(".localhost"),
        };
        if !secure && !loopback && transport.plain_http == PlainHttp::LoopbackOnly {
            return Err(BadEndpoint::PlainHttp(host));
        }
        let port = url.port_or_known_default().ok_or(url::ParseError::InvalidPort)?;
        let name = match url.port() {
            Some(port) => format!("{parsed}:{port}"),
            None => parsed.to_string(),
        };
        let unusable = url::ParseError::InvalidDomainCharacter;
        let authority = HeaderValue::from_str(&name).map_err(|_| unusable)?;
        let path = match url.query() {
            Some(query) => PathAndQuery::try_from(format!("{}?{query}", url.path())),
            None => PathAndQuery::try_from(url.path()),
        };
        let path = path.map_err(|_| unusable)?;
        Ok(Self(Arc::new(Parts { secure, host, address, port, authority, name, path, transport })))
    }

    /// Host and port as people know them: `mail.example.com`, `127.0.0.1:8443`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn secure(&self) -> bool {
        self.0.secure
    }

    pub(crate) fn host(&self) -> &str {
        &self.0.host
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.0.authority
    }

    pub(crate) fn path(&self) -> &PathAndQuery {
        &self.0.path
    }

    /// The whole URL, as a token endpoint is called in an assertion. Its query may hold a secret.
    pub fn url(&self) -> String {
        let scheme = if self.secure() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.name(), self.path())
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.transport.limits
    }

    /// Whether a connection to `address` is allowed.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let transport = self.transport();
        let plain = self.secure() || transport.plain_http == PlainHttp::Everywhere;
        transport.egress.allows(address) && (plain || address.to_canonical().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use record::clock::SystemClock;

    use super::*;
    use crate::TlsSettings;

    fn endpoint(url: &str, plain_http: PlainHttp) -> Result<Endpoint, BadEndpoint> {
        let transport = Transport {
            tls: Tls::new(&TlsSettings::default()).unwrap(),
            egress: Arc::default(),
            plain_http,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        };
        Endpoint::new(url, transport)
    }

    #[test]
    fn plain_http_is_for_loopback_only_unless_allowed() {
        for url in [
            "http://localhost/",
            "http://127.0.0.2:80/",
            "http://[::1]:8080/x",
            "http://[::ffff:127.0.0.1]/",
        ] {
            endpoint(url, PlainHttp::LoopbackOnly).unwrap();
        }
        for url in ["http://mail.example.com/", "http://10.0.0.1/", "http://localhost.example.com/"]
        {
            let refused = endpoint(url, PlainHttp::LoopbackOnly);
            assert!(matches!(refused, Err(BadEndpoint::PlainHttp(_))), "{url}: {refused:?}");
            endpoint(url, PlainHttp::Everywhere).unwrap();
        }
    }

    #[test]
    fn unusable_urls_are_refused() {
        let check = |url| endpoint(url, PlainHttp::Everywhere).unwrap_err().to_string();
        assert_eq!(
            check("ftp://mail.example.com/"),
            "the scheme `ftp` is not supported, only `https` and `http`"
        );
        assert!(
            check("https://ana:hunter2@mail.example.com/").starts_with("the URL carries a user")
        );
        for url in ["mail.example.com", "", "https://", "https://mail.example.com:99999/"] {
            assert!(check(url).starts_with("not a URL"), "{url}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_is_seen_for_what_it_is() {
        for url in [
            "https://169.254.169.254/",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0251.0376.0251.0376/",
            "https://169.254.43518/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[fd00:ec2::254]/",
            "https://169。254。169。254/",
        ] {
            let endpoint = endpoint(url, PlainHttp::LoopbackOnly).unwrap();
            let address = endpoint.address().expect(url);
            assert!(!endpoint.allows(address), "{url} led to {address}");
        }
    }

    // `localhost` may be made to resolve to anything.
    #[test]
    fn plain_http_never_leaves_the_machine_through_a_loopback_name() {
        let local = endpoint("http://localhost/", PlainHttp::LoopbackOnly).unwrap();
        assert!(local.allows("127.0.0.1".parse().unwrap()));
        assert!(!local.allows("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn name_shows_a_port_only_if_it_is_unusual() {
        let name = |url| endpoint(url, PlainHttp::Everywhere).unwrap().name().to_owned();
        assert_eq!(name("https://Mail.Example.com:443/EWS"), "mail.example.com");
        assert_eq!(name("http://[::1]:8080/"), "[::1]:8080");
        let query = endpoint("https://mail.example.com/a?b=c", PlainHttp::LoopbackOnly).unwrap();
        assert_eq!(query.url(), "https://mail.example.com/a?b=c");
    }
}
