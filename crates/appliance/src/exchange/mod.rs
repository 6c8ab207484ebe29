//! Wires a source out of the settings: Exchange Web Services, or Microsoft Graph.

mod choice;
mod transport;

use std::{fs, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use net::{Endpoint, TokenSource};
use record::{MailboxId, Meter, Protocol, Source, Unmetered};
use sources::{
    ews::{Access, Ews, EwsSettings, Version},
    graph::{Allowance, Application, Graph, GraphSettings},
};
use url::Url;

use crate::{
    config::{self, AccessType, Auth, GraphDelta, Server, Service, Settings},
    exit::{Ending, Exit},
    shard::Shard,
};

use transport::{identity, token_source, transport};

/// Below this many requests a second, an allowance is given for longer than a second: a `$batch`
/// has 20 requests and must fit.
const BATCH: u32 = 20;

/// The service that all mailboxes share.
#[derive(Clone)]
pub enum Exchange {
    Ews(Arc<Ews>),
    Graph(Arc<Graph>),
}

impl Exchange {
    /// A reader for one mailbox. Makes no request.
    pub fn mailbox(&self, id: &MailboxId) -> Box<dyn Source> {
        match self {
            Self::Ews(ews) => Box::new(ews.mailbox(id)),
            Self::Graph(graph) => Box::new(graph.mailbox(id)),
        }
    }

    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Ews(_) => Protocol::Ews,
            Self::Graph(_) => Protocol::Graph,
        }
    }
}

/// A service, and how it was chosen.
pub struct Opened {
    pub exchange: Exchange,
    /// Which interface is used, and why, as a sentence.
    pub told: String,
    /// The other interface was preferred, and did not let us in.
    pub fell_back: bool,
}

/// Opens the service that all mailboxes of `settings` share. Contacts nobody, unless it has to be
/// found out whether Graph lets the application in. `spool` is created if need be.
///
/// # Errors
///
/// Settings that only show to be wrong when they are used: the cipher list, the CA file, the key.
pub async fn open(
    settings: &Settings,
    shard: Shard,
    spool: &Path,
    meter: Arc<dyn Meter>,
) -> Result<Opened, Ending> {
    fs::create_dir_all(spool).map_err(|err| {
        Ending::new(Exit::Io, format!("could not create `{}`: {err}", spool.display()))
    })?;
    // A read-only root shows here, and not with the first large email.
    tempfile::tempfile_in(spool).map_err(|err| {
        let text = format!(
            "could not write to `{}`, where large emails wait: {err}\n\
             Hint: Mount a volume there, or name another folder with --spool-dir.",
            spool.display()
        );
        Ending::new(Exit::Io, text)
    })?;
    let wiring = Wiring { settings, shard, spool, meter };
    choice::choose(&wiring).await
}

/// The same for a command that has a look and is gone.
///
/// # Errors
///
/// Those of [`open`].
pub async fn open_to_look(settings: &Settings, shard: Shard) -> Result<Opened, Ending> {
    open(settings, shard, &std::env::temp_dir(), Arc::new(Unmetered)).await
}

/// EWS, for a diagnosis.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn open_ews(
    settings: &Settings,
    server: &Server,
    meter: Arc<dyn Meter>,
) -> Result<Exchange, Ending> {
    let wiring = Wiring { settings, shard: Shard::ONLY, spool: &std::env::temp_dir(), meter };
    wiring.ews(server).map(Exchange::Ews)
}

/// Graph, for a diagnosis.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn open_graph(
    settings: &Settings,
    graph: &config::Graph,
    meter: Arc<dyn Meter>,
) -> Result<Exchange, Ending> {
    let wiring = Wiring { settings, shard: Shard::ONLY, spool: &std::env::temp_dir(), meter };
    wiring.graph(graph).map(Exchange::Graph)
}

/// Tells whether [`open`] would find something wrong with the settings. Leaves nothing behind.
///
/// # Errors
///
/// Those of [`open`].
pub fn check(settings: &Settings) -> Result<(), Ending> {
    let (shard, meter) = (Shard::ONLY, Arc::new(Unmetered));
    let wiring = Wiring { settings, shard, spool: Path::new(""), meter };
    match &settings.service {
        Service::Ews(ews) => wiring.ews(ews).map(drop),
        Service::Graph(graph) => wiring.graph(graph).map(drop),
        Service::Either { graph, ews } => {
            wiring.ews(ews)?;
            wiring.graph(graph).map(drop)
        }
    }
}

/// The servers that the settings lead to, for a diagnosis of the way: Exchange, Graph, and
/// whoever issues tokens.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn endpoints(settings: &Settings) -> Result<Vec<(&'static str, Endpoint)>, Ending> {
    let endpoint = |url: &Url, verify| {
        Endpoint::new(url.as_str(), transport(settings, verify)?)
            .map_err(|err| Ending::config(&err))
    };
    let mut endpoints = Vec::new();
    if let Some(graph) = settings.service.graph() {
        endpoints.push(("graph", endpoint(&graph.endpoint, settings.tls.verify)?));
    }
    if let Some(ews) = settings.service.ews() {
        endpoints.push(("server", endpoint(&ews.endpoint, settings.tls.verify)?));
    }
    if let Auth::OAuth2(oauth) = &settings.auth {
        endpoints.push(("authority", endpoint(&oauth.token_url, true)?));
    }
    Ok(endpoints)
}

/// The client id of each application that reads over Graph, and whoever issues its tokens.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn applications(
    settings: &Settings,
    graph: &config::Graph,
) -> Result<Vec<(String, Arc<TokenSource>)>, Ending> {
    let applications = graph.applications.iter();
    applications
        .map(|oauth| Ok((oauth.client_id.clone(), token_source(settings, oauth)?)))
        .collect()
}

/// All that a service is made of.
struct Wiring<'a> {
    settings: &'a Settings,
    shard: Shard,
    spool: &'a Path,
    meter: Arc<dyn Meter>,
}

impl Wiring<'_> {
    fn endpoint(&self, url: &Url) -> Result<Endpoint, Ending> {
        let transport = transport(self.settings, self.settings.tls.verify)?;
        Endpoint::new(url.as_str(), transport).map_err(|err| Ending::config(&err))
    }

    fn connections(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.settings.max_concurrent_mailboxes).unwrap_or(NonZeroUsize::MIN)
    }

    fn ews(&self, server: &Server) -> Result<Arc<Ews>, Ending> {
        let settings = self.settings;
        let endpoint = self.endpoint(&server.endpoint)?;
        let version = server.version.as_deref().and_then(Version::parse);
        let ews = EwsSettings {
            access: match settings.access_type {
                AccessType::Delegate => Access::Delegate,
                AccessType::Impersonation => Access::Impersonation,
            },
            version: version.unwrap_or(Version::NEWEST),
            connections: self.connections(),
            max_email_size: settings.max_email_size,
            spool_dir: self.spool.to_owned(),
            meter: Arc::clone(&self.meter),
        };
        Ok(Ews::new(endpoint, identity(settings)?, ews))
    }

    fn graph(&self, graph: &config::Graph) -> Result<Arc<Graph>, Ending> {
        let settings = self.settings;
        let endpoint = self.endpoint(&graph.endpoint)?;
        let allowance = allowance(graph.requests_per_second, self.shard);
        let applications = applications(settings, graph)?.into_iter();
        let applications = applications
            .map(|(name, token)| Application { name, token: Some(token), allowance })
            .collect();
        let graph = GraphSettings {
            connections: self.connections(),
            mailbox_allowance: Allowance::MAILBOX,
            delta: graph.delta == GraphDelta::Auto,
            link_hosts: own_name(graph).into_iter().collect(),
            max_email_size: settings.max_email_size,
            spool_dir: self.spool.to_owned(),
            meter: Arc::clone(&self.meter),
        };
        Ok(Graph::new(endpoint, applications, graph))
    }
}

/// The name under which Graph knows itself, which its links bear: what tokens are asked for. It is
/// not the endpoint's if something stands in front.
fn own_name(graph: &config::Graph) -> Option<String> {
    let scope = graph.applications.first().and_then(|first| Url::parse(&first.scope).ok())?;
    scope.host_str().filter(|host| graph.endpoint.host_str() != Some(host)).map(str::to_owned)
}

/// The part of this shard.
fn allowance(requests_per_second: f64, shard: Shard) -> Allowance {
    let rate = requests_per_second / f64::from(shard.total());
    if rate < f64::from(BATCH) {
        let per = Duration::from_secs_f64(f64::from(BATCH) / rate);
        return Allowance { requests: BATCH, per };
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 20 to 13,000, rounded down"
    )]
    let requests = rate as u32;
    Allowance { requests, per: Duration::from_secs(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // All shards together stay within what was configured.
    #[test]
    fn shards_divide_the_budget_of_an_application() {
        for (rate, shards) in [(6500.0, 1), (6500.0, 7), (100.0, 5), (100.0, 6), (0.1, 3)] {
            let shard = Shard::parse(Some("ews-0"), Some(shards)).unwrap();
            let Allowance { requests, per } = allowance(rate, shard);
            assert!(requests >= BATCH, "a batch does not fit: {rate} by {shards}");
            let total = f64::from(requests) / per.as_secs_f64() * f64::from(shards);
            assert!(total <= rate * 1.000_001, "{total} of {rate} by {shards}");
            assert!(total > rate * 0.9, "{total} of {rate} by {shards} wastes much");
        }
    }
}
