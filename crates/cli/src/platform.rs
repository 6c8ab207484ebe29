//! `tributary serve`: the platform as a process.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use appliance::{
    config,
    exit::{Ending, Exit},
    flags::LogFormat,
    logging::{self, LogQueue},
};
use clap::Args;
use platform::{Limits, Options, PUBLIC_URL, Server, link_url};
use record::Chain;
use store::{Store, StoreError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vault::Vault;

use crate::{
    commands::show,
    hosted::{EgressPolicy, Prober},
    people::PeopleFlags,
    serve::{Signals, runtime},
    storage::{Storage, stored},
};

/// Time for requests that are under way when the process is told to end. Kubernetes kills after
/// 30 seconds.
const GRACE: Duration = Duration::from_secs(25);

/// Time for file work that is under way when everything else has ended.
const LAST_WRITES: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    storage: Storage,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    bind: SocketAddr,
    /// Certificate of the server and those above it, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Private key of the certificate, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Listens without TLS on an address that others can reach: for a proxy that has the
    /// certificate.
    #[arg(long, conflicts_with = "tls_key")]
    plain_http: bool,
    /// Path before every route, such as `/mail`, for a proxy that passes it on.
    #[arg(long, value_name = "PATH", default_value = "")]
    base_path: String,
    #[command(flatten)]
    people: PeopleFlags,
    /// File with the keys that the credentials of integrations are sealed with. Without it:
    /// `vault.key` in the data folder, which is made if it is not there. Keep a copy of it apart
    /// from those of the data.
    #[arg(long, value_name = "FILE")]
    vault_key_file: Option<PathBuf>,
    /// Addresses that integrations cannot make this program connect to: `metadata` blocks those
    /// where clouds serve the credentials of machines, `private` blocks private addresses and
    /// this machine as well, `off` blocks none.
    #[arg(long, value_name = "off|metadata|private", default_value = "metadata")]
    egress_policy: EgressPolicy,
    /// How much is logged: 0 = warnings, 1 = what the service does, 2 = every request.
    #[arg(long, value_name = "0|1|2", default_value = "1",
          value_parser = clap::value_parser!(u8).range(0..=2))]
    debug_level: u8,
    /// Form of the log lines. Without it: `text` on a terminal, `json` elsewhere.
    #[arg(long, value_name = "text|json")]
    log_format: Option<LogFormat>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let runtime = runtime()?;
        let terminal = io::stderr().is_terminal();
        let queue = LogQueue::start(Box::new(io::stderr()), None);
        let format =
            self.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
        #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
        let filter = std::env::var("RUST_LOG").ok();
        logging::install(self.level(), format, filter.as_deref(), queue.clone());
        let served = runtime.block_on(Box::pin(self.serve()));
        runtime.shutdown_timeout(LAST_WRITES);
        queue.flush();
        served.map(|()| Exit::Success)
    }

    fn level(&self) -> appliance::flags::DebugLevel {
        use appliance::flags::DebugLevel;
        match self.debug_level {
            0 => DebugLevel::None,
            1 => DebugLevel::Service,
            _ => DebugLevel::Full,
        }
    }

    async fn serve(self) -> Result<(), Ending> {
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(platform::acceptor(certificate, key).map_err(|err| Ending::config(&err))?)
            }
            _ => None,
        };
        if tls.is_none() && !self.bind.ip().is_loopback() && !self.plain_http {
            return Err(Ending::new(
                Exit::Config,
                format!(
                    "`--bind {}` can be reached by others, and tokens would cross the network \
                     as they are\nHint: Give `--tls-certificate` and `--tls-key`, or \
                     `--plain-http` if a proxy before it has the certificate.",
                    self.bind
                ),
            ));
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let people = self.people.settings(&|name| {
            #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
            std::env::var(name).ok()
        })?;
        let shutdown = CancellationToken::new();
        tokio::spawn(Signals::listen()?.obey(shutdown.clone(), Arc::default(), Arc::default()));
        let store = self.storage.open_or_make().await?;
        let vault = self.vault(&store).await?;
        let options = Options {
            bind: self.bind,
            tls,
            base_path: self.base_path.clone(),
            limits: Limits::default(),
            check_config: Some(Arc::new(check_config)),
            people,
            vault: Some(Arc::new(vault)),
            exchange: Some(Prober::new(self.egress_policy)),
            ..Options::default()
        };
        let server = Server::bind(store.clone(), options).await.map_err(|err| {
            if err.kind() == io::ErrorKind::Other {
                let hint = "Look at `--oidc-issuer` and `--oidc-ca-file`.";
                let message = format!("could not set up OpenID Connect: {err}\nHint: {hint}");
                return Ending::new(Exit::Config, message);
            }
            let hint = "Stop the program that listens there, or give another `--bind`.";
            let message = format!("could not listen on `--bind {}`: {err}", self.bind);
            Ending::new(Exit::Io, format!("{message}\nHint: {hint}"))
        })?;
        let url = format!("{scheme}://{}{}", server.address(), self.base_path);
        let public = self.people.public_url().map_or_else(|| url.clone(), ToString::to_string);
        leave_address(&store, &public).await.map_err(|err| stored(&err))?;
        // After the port is taken: what is printed once must not be lost to a wrong flag.
        let first = platform::first_start(&store).await.map_err(|err| stored(&err))?;
        if let Some(first) = first {
            show(&format!(
                "This is the first start. The user `admin` may do everything. Both of these are \
                 shown only now.\n\nTo set a password and sign in, open within a week:\n\n    \
                 {}\n\nFor programs, a token:\n\n    {}\n\nTry it: re --endpoint {url} --token \
                 TOKEN get current-user\n",
                link_url(&public, &first.link),
                first.token.reveal()
            ))?;
        }
        if self.plain_http && self.people.public_url().is_none() {
            warn!("Without `--public-url`, cookies and links are those of a platform without TLS");
        }
        if self.plain_http {
            warn!("Listening without TLS: only a proxy with a certificate may reach this port");
        }
        info!("The platform is at `{url}`, its data in `{}`", self.storage.place()?);
        server.serve(shutdown, GRACE).await;
        // A request that did not end in time may still hold a connection.
        if timeout(LAST_WRITES, store.close()).await.is_ok() {
            info!("The platform has ended in good order");
        }
        Ok(())
    }
}

impl Serve {
    /// The keys of credentials. New ones are made where there are none, unless credentials are
    /// there that they would not open: somebody who has restored a backup forgot the file.
    async fn vault(&self, store: &Store) -> Result<Vault, Ending> {
        let own = self.storage.data.join("vault.key");
        let opened = match &self.vault_key_file {
            Some(path) => Vault::open(path, false),
            None if own.exists() => Vault::open(&own, false),
            None => {
                let sealed = async { store.read().await?.count_sealed().await };
                let count = sealed.await.map_err(|err| stored(&err))?;
                if count > 0 {
                    return Err(Ending::new(
                        Exit::Config,
                        format!(
                            "there is no key file `{}`, and the credentials of {count} \
                             integrations were sealed with it\nHint: Copy `vault.key` of the \
                             platform that the data are of to that path, or name it with \
                             `--vault-key-file`. If it is lost, a new one lets the server start, \
                             and the credentials have to be entered again: \
                             docs/guides/operate-platform.md tells how.",
                            own.display()
                        ),
                    ));
                }
                Vault::open(&own, true)
            }
        };
        opened.map_err(|err| {
            let hint = err.hint().map(|hint| format!("\nHint: {hint}")).unwrap_or_default();
            Ending::new(Exit::Config, format!("{}{hint}", Chain(&err)))
        })
    }
}

/// Leaves the address to commands that print links.
async fn leave_address(store: &Store, address: &str) -> Result<(), StoreError> {
    if store.read().await?.setting(PUBLIC_URL).await?.as_deref() == Some(address) {
        return Ok(());
    }
    let mut session = store.write().await?;
    session.set_setting(PUBLIC_URL, address).await?;
    session.commit().await
}

/// What is wrong with the form of an appliance's configuration. Values that only its environment
/// has are not missed.
pub(crate) fn check_config(bytes: &[u8]) -> Result<(), String> {
    config::check_form(bytes).map_err(|err| err.problems().join("; "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use appliance::{config, environment::Environment, redirection::redirection};
    use serde_json::{Value, json};

    /// Configurations that differ in how they sign in and over which interface they read.
    fn configurations() -> Vec<Value> {
        let common = json!({
            "mailboxes": { "abc@example.com": { "bucket": { "owner": "o", "name": "b" } } },
            "auth_user": "svc@example.com", "auth_password": "p",
            "auth_oauth_client_id": "c", "auth_oauth_client_secret": "s",
            "auth_oauth_authority": "https://login.example.com/t/", "access_type": "impersonation",
        });
        let mut all = Vec::new();
        for auth in ["ntlm", "oauth2"] {
            for server in [
                json!({ "ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx" }),
                json!({ "ews_endpoint": "http://mail.example.com/EWS/Exchange.asmx", "ews_allow_http": true }),
                json!({ "host": "https://mail.example.com", "port": 443 }),
                json!({ "microsoft_api": "graph", "ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx" }),
                json!({ "microsoft_api": "graph", "graph_endpoint": "https://graph.microsoft.com/v1.0" }),
            ] {
                let mut config = common.clone();
                let map = config.as_object_mut().unwrap();
                map.extend(server.as_object().unwrap().clone());
                map.insert("auth_type".to_owned(), auth.into());
                all.push(config);
            }
        }
        all
    }

    /// What an appliance takes for a way to lead credentials elsewhere, the platform must not let
    /// everybody write who may write configurations. Found out by trying: each key of the
    /// configuration, with values of every kind.
    #[test]
    fn what_appliances_refuse_to_follow_not_everybody_may_write() {
        let schema: Value = serde_json::from_str(&config::reference::json_schema()).unwrap();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let parse = |config: &Value| {
            config::parse(config.to_string().as_bytes(), "test", &Environment::default()).ok()
        };
        let application = json!([{ "auth_oauth_client_id": "d", "auth_oauth_client_secret": "t" }]);
        let values = [
            json!("https://elsewhere.example.net/v1.0"),
            json!("elsewhere.example.net"),
            json!("/tmp/ca.pem"),
            json!("aNULL"),
            json!(8443),
            json!(1),
            application,
        ];
        let words = ["ews", "graph", "auto", "ntlm", "basic", "oauth2", "false", "off", "metadata"];
        let words = words.into_iter().map(Value::from).chain([true.into(), false.into()]);
        let values: Vec<Value> = values.into_iter().chain(words).collect();
        let (mut judged, mut parsed) = (BTreeSet::new(), 0);
        for old in configurations() {
            let Some(before) = parse(&old) else { continue };
            parsed += 1;
            for key in &keys {
                if judged.contains(key.as_str()) {
                    continue;
                }
                let mut all: Vec<Value> = Vec::new();
                for value in &values {
                    let mut new = old.clone();
                    new[key.as_str()] = value.clone();
                    all.push(new);
                }
                let mut without = old.clone();
                without.as_object_mut().unwrap().remove(key.as_str());
                all.push(without);
                let leads = |new: &Value| {
                    parse(new).is_some_and(|after| redirection(&before, &after).is_some())
                };
                if all.iter().any(leads) {
                    judged.insert(key.as_str());
                }
            }
        }
        assert!(parsed >= 6, "{parsed} of the configurations can be read");
        let listed: BTreeSet<&str> = platform::CONFIG_ENDPOINTS.iter().copied().collect();
        // What is listed besides opens a way that another key leads.
        let besides: Vec<_> = listed.difference(&judged).copied().collect();
        assert_eq!(judged.difference(&listed).count(), 0, "{judged:?}");
        assert_eq!(besides, ["ews_allow_http"], "{judged:?}");
        assert!(listed.iter().all(|key| keys.iter().any(|own| own == key)), "{listed:?}");
    }
}
