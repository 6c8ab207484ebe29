//! Which interface mail is read through: EWS, Graph, or whichever is possible.

use serde_json::json;
use url::Url;

use super::{
    cloud::{Cloud, is_exchange_online, is_graph},
    settings::{Auth, Graph, GraphDelta, OAuth, Origin, Server, Service},
    validate::Reader,
    values::{AuthType, MicrosoftApi},
    written::default,
};

const GRAPH_ONLY: &str = "with `\"microsoft_api\": \"graph\"`";

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    Ews,
    Graph,
    /// Graph if possible, else EWS.
    Either,
}

impl Interface {
    pub(super) fn has_ews(self) -> bool {
        matches!(self, Self::Ews | Self::Either)
    }

    pub(super) fn has_graph(self) -> bool {
        matches!(self, Self::Graph | Self::Either)
    }
}

impl Reader<'_> {
    /// The interface, and why it is this one.
    pub(super) fn interface(&mut self) -> (Interface, &'static str) {
        let written = self.config.microsoft_api;
        let asked = written.unwrap_or(MicrosoftApi::Ews);
        self.note_or_default("microsoft_api", &json!(asked.name()), written);
        let says_so = "`microsoft_api` says so";
        match asked {
            MicrosoftApi::Ews if written.is_none() => {
                (Interface::Ews, "`microsoft_api` is not set, which means `ews`")
            }
            MicrosoftApi::Ews => (Interface::Ews, says_so),
            MicrosoftApi::Graph => (Interface::Graph, says_so),
            MicrosoftApi::Auto => self.found_possible(),
        }
    }

    fn found_possible(&self) -> (Interface, &'static str) {
        let user = self.config.auth_user.is_some() || self.environment.auth_user.is_some();
        let with_oauth = match self.config.auth_type {
            Some(auth_type) => auth_type == AuthType::OAuth2,
            None => self.config.auth_oauth_client_id.is_some() && !user,
        };
        if !with_oauth {
            return (Interface::Ews, "the sign-in is by password, which Graph does not take");
        }
        let server = self.named_server();
        match server {
            None => (
                Interface::Graph,
                "the sign-in is that of an application, and no server is \
                named",
            ),
            Some(_) if self.config.graph_endpoint.is_some() => {
                (Interface::Either, "both a server and `graph_endpoint` are named")
            }
            Some(server) if is_exchange_online(&server) => {
                (Interface::Either, "the server is Exchange Online, which has both")
            }
            Some(_) => (Interface::Ews, "the server is not Exchange Online"),
        }
    }

    /// The parts that have been read, as one.
    pub(super) fn service(
        &mut self,
        interface: Interface,
        ews: Option<Server>,
        auth: Option<&Auth>,
        graph_scope: Option<String>,
    ) -> Option<Service> {
        if !interface.has_graph() {
            self.without_graph();
            return Some(Service::Ews(ews?));
        }
        let server = ews.as_ref().map(|ews| ews.endpoint.clone());
        let token_url = match auth {
            Some(Auth::OAuth2(oauth)) => Some(oauth.token_url.clone()),
            _ => None,
        };
        let endpoint = self.graph_endpoint(token_url.as_ref(), server.as_ref());
        let delta = self.config.graph_delta.unwrap_or(GraphDelta::Auto);
        let name = match delta {
            GraphDelta::Auto => "auto",
            GraphDelta::Never => "never",
        };
        self.note_or_default("graph_delta", &json!(name), self.config.graph_delta);
        let rate = self.config.graph_requests_per_second;
        let requests_per_second =
            self.or_default("graph_requests_per_second", rate, default::GRAPH_REQUESTS_PER_SECOND);
        let further = self.further_applications();
        let Some(Auth::OAuth2(first)) = auth else { return None };
        let scope = graph_scope?;
        let mut applications = vec![OAuth { scope: scope.clone(), ..first.clone() }];
        applications.extend(further?.into_iter().map(|(client_id, credential)| OAuth {
            token_url: first.token_url.clone(),
            client_id,
            scope: scope.clone(),
            credential,
        }));
        let graph = Graph { endpoint: endpoint?, applications, delta, requests_per_second };
        Some(match interface {
            Interface::Either => Service::Either { graph, ews: ews? },
            Interface::Ews | Interface::Graph => Service::Graph(graph),
        })
    }

    fn graph_endpoint(&mut self, token_url: Option<&Url>, server: Option<&Url>) -> Option<Url> {
        let cloud = Cloud::find(token_url, server);
        let written = self.config.graph_endpoint.clone();
        let origin = Origin::of(written.as_ref());
        let text = written.unwrap_or_else(|| cloud.graph_endpoint());
        let mut url = self.url("graph_endpoint", &text, "https://graph.microsoft.com/v1.0")?;
        let allowed = self.config.ews_allow_http.unwrap_or(false);
        self.check_transport("Microsoft Graph", &url, allowed);
        let path = url.path().trim_end_matches('/').to_owned();
        // Every cloud has this version; `beta` may change under us.
        url.set_path(if path.is_empty() { "/v1.0" } else { &path });
        self.note("graph_endpoint", &json!(url.as_str()), origin);
        Some(url)
    }

    /// The scope that Graph's tokens are asked for if none is written.
    pub(super) fn default_graph_scope(&self, cloud: &Cloud) -> String {
        let written = self.config.graph_endpoint.as_ref().and_then(|text| Url::parse(text).ok());
        match written.filter(is_graph).as_ref().and_then(Url::host_str) {
            Some(host) => format!("https://{host}/.default"),
            // What stands in front of Graph takes Graph's tokens.
            None => cloud.graph_scope(),
        }
    }

    /// Tells what has no effect over Graph.
    pub(super) fn without_ews(&mut self) {
        let config = &self.config;
        let unused = [
            ("ews_endpoint", config.ews_endpoint.is_some()),
            ("host", config.host.is_some()),
            ("port", config.port.is_some()),
            ("ews_server_version", config.ews_server_version.is_some()),
            ("ews_channel_binding", config.ews_channel_binding.is_some()),
        ];
        for (key, _) in unused.iter().filter(|(_, given)| *given) {
            self.warn(format!("`{key}` has no effect {GRAPH_ONLY}."));
        }
        let environment = self.environment;
        let access = environment.access_type.as_ref().map(|given| given.variable.clone());
        let in_file = self.config.access_type.map(|_| "access_type".to_owned());
        if let Some(name) = access.or(in_file) {
            self.warn(format!(
                "`{name}` has no effect {GRAPH_ONLY}: the application opens each mailbox by its own \
                 permission, `Mail.Read`."
            ));
        }
        for given in [&environment.host, &environment.port].into_iter().flatten() {
            self.warn(format!(
                "The environment variable `{}` has no effect {GRAPH_ONLY}.",
                given.variable
            ));
        }
    }

    /// Tells what has no effect over EWS.
    fn without_graph(&mut self) {
        let config = &self.config;
        let unused = [
            ("graph_endpoint", config.graph_endpoint.is_some()),
            ("graph_delta", config.graph_delta.is_some()),
            ("graph_requests_per_second", config.graph_requests_per_second.is_some()),
            ("graph_applications", config.graph_applications.is_some()),
        ];
        for (key, _) in unused.iter().filter(|(_, given)| *given) {
            self.warn(format!("`{key}` has no effect: mail is read over EWS, not Graph."));
        }
    }
}
