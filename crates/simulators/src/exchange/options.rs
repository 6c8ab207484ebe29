//! How the simulated server presents itself.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use record::{Clock, Secret, clock::SystemClock};

use super::{folder::FolderSet, graph::GraphOptions};
use crate::tls::Transport;

/// Settings of the simulated server.
#[derive(Clone)]
pub struct Options {
    pub bind: SocketAddr,
    pub transport: Transport,
    pub auth: Auth,
    pub users: Vec<User>,
    /// Clients of the token endpoint.
    pub apps: Vec<App>,
    /// Tenant in the path of the token endpoint.
    pub tenant: String,
    /// Life of a token.
    pub token_life: Duration,
    pub version: Version,
    /// The highest `RequestServerVersion` that is accepted, such as `Exchange2010_SP2`.
    pub accepts_up_to: Option<String>,
    /// The code with which a higher version is refused.
    pub version_refusal: String,
    /// Folders of a new mailbox.
    pub folders: FolderSet,
    /// Whether the first listing of a folder shows the newest item first, as from 2010 SP2 on.
    pub newest_first: bool,
    /// Most folders in one reply to `SyncFolderHierarchy`.
    pub hierarchy_page: usize,
    /// Compress replies for clients that accept it. Costs CPU time.
    pub gzip: bool,
    /// Pause before each reply.
    pub latency: Duration,
    /// The code for a mailbox that a user may not open as delegate.
    pub denial: String,
    /// Digits after the second of the folder property 0x670A.
    pub commit_time_digits: usize,
    pub clock: Arc<dyn Clock>,
    /// The Graph face of the same mailboxes.
    pub graph: GraphOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            transport: Transport::default(),
            auth: Auth::basic(),
            users: vec![User::new(Self::USER, Self::PASSWORD)],
            apps: vec![App::with_secret(Self::CLIENT_ID, Self::CLIENT_SECRET)],
            tenant: Self::TENANT.to_owned(),
            token_life: Duration::from_secs(3600),
            version: Version::EXCHANGE_2019,
            accepts_up_to: None,
            version_refusal: "ErrorInvalidServerVersion".to_owned(),
            folders: FolderSet::Standard,
            newest_first: true,
            hierarchy_page: 10_000,
            gzip: false,
            latency: Duration::ZERO,
            denial: "ErrorAccessDenied".to_owned(),
            commit_time_digits: 0,
            clock: Arc::new(SystemClock),
            graph: GraphOptions::default(),
        }
    }
}

impl Options {
    /// The user that there is unless others are given; may open every mailbox.
    pub const USER: &str = "EXAMPLE\\svc-tributary";
    pub const PASSWORD: &str = "correct horse battery staple";
    pub const CLIENT_ID: &str = "0f5e7a3c-2b1d-4e6f-8a9b-0c1d2e3f4a5b";
    pub const CLIENT_SECRET: &str = "s3cr3t~of.the_app";
    pub const TENANT: &str = "example.onmicrosoft.com";
}

/// What the server does about channel bindings (Extended Protection).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Ignored.
    #[default]
    None,
    /// Checked when present.
    Allow,
    /// Demanded; the zero value does not count.
    Require,
}

/// The ways to sign in that are offered. None at all: everybody is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    pub basic: bool,
    pub ntlm: Option<ChannelBinding>,
    pub bearer: bool,
}

impl Auth {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn basic() -> Self {
        Self { basic: true, ..Self::default() }
    }

    pub fn ntlm(binding: ChannelBinding) -> Self {
        Self { ntlm: Some(binding), ..Self::default() }
    }

    pub fn bearer() -> Self {
        Self { bearer: true, ..Self::default() }
    }

    pub(crate) fn is_open(self) -> bool {
        self == Self::none()
    }
}

/// An account.
#[derive(Clone, Debug)]
pub struct User {
    /// `DOMAIN\name` or `name@example.com`.
    pub name: String,
    pub password: Secret,
    pub rights: Rights,
}

impl User {
    /// A user who may open every mailbox.
    pub fn new(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: password.into(), rights: Rights::default() }
    }
}

/// Which mailboxes somebody may open.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// `None`: every one.
    pub only: Option<BTreeSet<String>>,
    pub denied: BTreeSet<String>,
}

impl Rights {
    pub(crate) fn allow(&self, mailbox: &str) -> bool {
        !self.denied.contains(mailbox)
            && self.only.as_ref().is_none_or(|only| only.contains(mailbox))
    }
}

/// A client of the token endpoint.
#[derive(Clone, Debug)]
pub struct App {
    pub client_id: String,
    pub secret: Option<Secret>,
    /// Certificates in PEM form, with whose keys assertions may be signed.
    pub certificates: Vec<Vec<u8>>,
    pub rights: Rights,
    /// Application permissions on Graph: `Mail.Read`, `Mail.ReadBasic.All`, `User.Read.All`, …
    pub roles: Vec<String>,
}

impl App {
    const ROLES: [&str; 2] = ["Mail.Read", "User.Read.All"];

    pub fn with_secret(client_id: &str, secret: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            secret: Some(secret.into()),
            certificates: Vec::new(),
            rights: Rights::default(),
            roles: Self::ROLES.map(str::to_owned).to_vec(),
        }
    }

    pub fn with_certificate(client_id: &str, pem: &[u8]) -> Self {
        Self {
            client_id: client_id.to_owned(),
            secret: None,
            certificates: vec![pem.to_owned()],
            rights: Rights::default(),
            roles: Self::ROLES.map(str::to_owned).to_vec(),
        }
    }

    /// Other application permissions on Graph.
    #[must_use]
    pub fn roles(mut self, roles: &[&str]) -> Self {
        self.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self
    }
}

/// `ServerVersionInfo`: the build, and the version string that Exchange 2007 leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub build: u16,
    pub revision: u16,
    pub name: Option<&'static str>,
}

impl Version {
    pub const EXCHANGE_2007_SP1: Self =
        Self { major: 8, minor: 1, build: 436, revision: 0, name: None };
    pub const EXCHANGE_2010_SP2: Self =
        Self { major: 14, minor: 2, build: 247, revision: 5, name: Some("Exchange2010_SP2") };
    pub const EXCHANGE_2013: Self =
        Self { major: 15, minor: 0, build: 516, revision: 32, name: Some("Exchange2013") };
    pub const EXCHANGE_2016: Self =
        Self { major: 15, minor: 1, build: 2507, revision: 6, name: Some("V2017_07_11") };
    pub const EXCHANGE_2019: Self =
        Self { major: 15, minor: 2, build: 1544, revision: 4, name: Some("V2017_07_11") };
    pub const EXCHANGE_ONLINE: Self =
        Self { major: 15, minor: 20, build: 8230, revision: 14, name: Some("V2018_01_08") };
}

/// The versions that a request may name, oldest first.
pub(crate) const REQUEST_VERSIONS: &[&str] = &[
    "Exchange2007",
    "Exchange2007_SP1",
    "Exchange2009",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2012",
    "Exchange2013",
    "Exchange2013_SP1",
    "Exchange2015",
    "Exchange2016",
    "V2015_10_05",
    "V2016_01_06",
    "V2016_04_13",
    "V2016_07_13",
    "V2016_10_10",
    "V2017_01_07",
    "V2017_04_14",
    "V2017_07_11",
];
