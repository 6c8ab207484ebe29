//! The clouds of Microsoft 365: who signs in where, and what belongs to it.
//!
//! Tokens of one cloud are worth nothing in another. Source: Microsoft, "National cloud
//! deployments" of Microsoft Graph.

use url::Url;

/// One cloud.
#[derive(Debug)]
pub(super) struct Cloud {
    /// Hosts of the authority. The first cloud with the host is meant, unless the mail server
    /// says otherwise.
    logins: &'static [&'static str],
    /// Hosts of Exchange Web Services. The first one is what tokens are asked for.
    exchange: &'static [&'static str],
    graph: &'static str,
}

/// Also US GCC.
const WORLDWIDE: Cloud = Cloud {
    logins: &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com"],
    exchange: &["outlook.office365.com", "outlook.office.com"],
    graph: "graph.microsoft.com",
};

const CLOUDS: &[Cloud] = &[
    WORLDWIDE,
    // US GCC High.
    Cloud {
        logins: &["login.microsoftonline.us"],
        exchange: &["outlook.office365.us"],
        graph: "graph.microsoft.us",
    },
    // US Department of Defense: the same authority, so that only the server tells it apart.
    Cloud {
        logins: &["login.microsoftonline.us"],
        exchange: &["outlook-dod.office365.us", "webmail.apps.mil"],
        graph: "dod-graph.microsoft.us",
    },
    // China, operated by 21Vianet.
    Cloud {
        logins: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        exchange: &["partner.outlook.cn"],
        graph: "microsoftgraph.chinacloudapi.cn",
    },
];

impl Cloud {
    /// The cloud of an authority, the one of the mail server if both could be meant. An unknown
    /// authority is taken for the worldwide one, whose services it may front.
    pub(super) fn find(authority: Option<&Url>, server: Option<&Url>) -> &'static Self {
        let host = |url: Option<&Url>| url.and_then(Url::host_str).unwrap_or_default().to_owned();
        let (authority, server) = (host(authority), host(server));
        let of_authority =
            || CLOUDS.iter().filter(|cloud| cloud.logins.contains(&authority.as_str()));
        of_authority()
            .find(|cloud| cloud.exchange.contains(&server.as_str()))
            .or_else(|| of_authority().next())
            .unwrap_or(&WORLDWIDE)
    }

    /// What a token for Exchange Web Services is asked for.
    pub(super) fn exchange_scope(&self) -> String {
        format!("https://{}/.default", self.exchange.first().copied().unwrap_or_default())
    }

    /// What a token for Graph is asked for.
    pub(super) fn graph_scope(&self) -> String {
        format!("https://{}/.default", self.graph)
    }

    /// The address of Graph, with its version.
    pub(super) fn graph_endpoint(&self) -> String {
        format!("https://{}/v1.0", self.graph)
    }
}

/// Tells whether `url` is Exchange Online, in whichever cloud.
pub(crate) fn is_exchange_online(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let named = CLOUDS.iter().any(|cloud| cloud.exchange.contains(&host));
    named || host.ends_with(".office365.us")
}

/// Tells whether `url` is Microsoft Graph, in whichever cloud.
pub(crate) fn is_graph(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    url.port().is_none() && CLOUDS.iter().any(|cloud| cloud.graph == host)
}
