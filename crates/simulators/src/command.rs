//! `tributary simulate exchange`: a simulated Exchange for people, over EWS and Graph.

pub mod platform;

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    exchange::{Auth, ChannelBinding, Exchange, FolderSet, Options, Transport, User, Version},
    generate::{self, Plan},
    load,
};

/// Most mailboxes that are generated.
const MAX_MAILBOXES: u32 = 100_000;

/// Runs a simulated Exchange server with mail in it, until Ctrl-C.
#[derive(Clone, Debug, Args)]
pub struct ExchangeArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub bind: SocketAddr,
    /// Mailboxes: user1@example.com, user2@example.com, …
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_MAILBOXES)))]
    pub mailboxes: u32,
    /// Generated messages in each mailbox.
    #[arg(long, default_value_t = 500)]
    pub messages: u64,
    /// Size of each generated message in bytes; without it, sizes vary as in real mail.
    #[arg(long)]
    pub size: Option<u32>,
    /// Age of the newest generated message, in seconds: mailboxes that have been quiet for so long.
    #[arg(long, value_parser = seconds)]
    pub newest_age: Option<Duration>,
    /// Number from which mail is generated; the same number gives the same mail.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Fills the mailboxes with this mail instead: a .eml or mbox file, a Maildir, or a folder.
    #[arg(long)]
    pub mail: Option<PathBuf>,
    /// Ways to sign in that are offered.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ntlm,basic")]
    pub auth: Vec<Scheme>,
    /// What to do about channel bindings (Extended Protection) in NTLM.
    #[arg(long, value_enum, default_value = "allow")]
    pub channel_binding: Binding,
    /// User who may open every mailbox.
    #[arg(long, default_value = Options::USER)]
    pub user: String,
    /// Delivers a new message every so many seconds.
    #[arg(long, value_parser = seconds)]
    pub deliver_every: Option<Duration>,
    /// Delivers a new message every two seconds; the same as --deliver-every 2.
    #[arg(long)]
    pub live: bool,
    /// Version that the server says it is.
    #[arg(long, value_enum, default_value = "2019")]
    pub server_version: Product,
    /// Only the folders that every mailbox has, no calendar, contacts and the like.
    #[arg(long)]
    pub minimal_folders: bool,
    /// Compresses replies for clients that accept it.
    #[arg(long)]
    pub gzip: bool,
    /// Serves HTTP without TLS.
    #[arg(long)]
    pub plain_http: bool,
    /// PEM file with the certificate; without it, one is made at the start.
    #[arg(long, requires = "key", conflicts_with = "plain_http")]
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Writes the certificate that clients must trust to this file.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// Writes a ready-made configuration for the appliance to this file.
    #[arg(long)]
    pub config_file: Option<PathBuf>,
}

/// A way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    Ntlm,
    Basic,
    Oauth2,
    /// Everybody is let in.
    None,
}

/// What the server does about channel bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Binding {
    None,
    Allow,
    Require,
}

/// A product, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Product {
    #[value(name = "2007")]
    Exchange2007,
    #[value(name = "2010")]
    Exchange2010,
    #[value(name = "2013")]
    Exchange2013,
    #[value(name = "2016")]
    Exchange2016,
    #[value(name = "2019")]
    Exchange2019,
    Online,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|period| *period >= Duration::from_millis(1))
        .ok_or_else(|| "must be at least 0.001 seconds".to_owned())
}

impl ExchangeArgs {
    fn options(&self) -> Options {
        let offers = |scheme| self.auth.contains(&scheme);
        let binding = match self.channel_binding {
            Binding::None => ChannelBinding::None,
            Binding::Allow => ChannelBinding::Allow,
            Binding::Require => ChannelBinding::Require,
        };
        // Versions before this one are refused with the codes that make clients step down.
        let (version, accepts_up_to) = match self.server_version {
            Product::Exchange2007 => (Version::EXCHANGE_2007_SP1, Some("Exchange2007_SP1")),
            Product::Exchange2010 => (Version::EXCHANGE_2010_SP2, Some("Exchange2010_SP2")),
            Product::Exchange2013 => (Version::EXCHANGE_2013, Some("Exchange2013")),
            Product::Exchange2016 => (Version::EXCHANGE_2016, None),
            Product::Exchange2019 => (Version::EXCHANGE_2019, None),
            Product::Online => (Version::EXCHANGE_ONLINE, None),
        };
        Options {
            bind: self.bind,
            transport: match (&self.certificate, &self.key) {
                _ if self.plain_http => Transport::Plain,
                (Some(certificate), Some(key)) => {
                    Transport::Files { certificate: certificate.clone(), key: key.clone() }
                }
                _ => Transport::SelfSigned,
            },
            auth: Auth {
                basic: offers(Scheme::Basic),
                ntlm: offers(Scheme::Ntlm).then_some(binding),
                bearer: offers(Scheme::Oauth2),
            },
            users: vec![User::new(&self.user, Options::PASSWORD)],
            version,
            accepts_up_to: accepts_up_to.map(str::to_owned),
            folders: if self.minimal_folders { FolderSet::Minimal } else { FolderSet::Standard },
            gzip: self.gzip,
            ..Options::default()
        }
    }

    fn addresses(&self) -> Vec<String> {
        (1..=self.mailboxes).map(|number| format!("user{number}@example.com")).collect()
    }

    fn plan(&self, server: &Exchange) -> Plan {
        Plan {
            seed: self.seed,
            messages: self.messages,
            size: self.size,
            until: server.now() - self.newest_age.unwrap_or_default(),
            with_other_items: !self.minimal_folders,
        }
    }
}

/// Starts the server and fills its mailboxes.
///
/// # Errors
///
/// The address is taken, a file cannot be read, or there is no mail where it should be.
pub async fn start(args: &ExchangeArgs) -> Result<Exchange> {
    let server = Exchange::start(args.options()).await?;
    let addresses = args.addresses();
    match &args.mail {
        Some(path) => {
            let found = load::search(path)?;
            load::fill(&server, &addresses, found.messages)?;
        }
        None => {
            for (number, address) in (0..).zip(&addresses) {
                let plan = args.plan(&server);
                generate::fill(&server, address, &Plan { seed: plan.seed + number, ..plan })?;
            }
        }
    }
    if let Some(path) = &args.ca_file {
        write_file(path, server.ca_pem())?;
    }
    if let Some(path) = &args.config_file {
        let config = serde_json::to_vec_pretty(&appliance_config(args, &server))?;
        write_file(path, &config)?;
    }
    Ok(server)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("could not write `{}`", path.display()))
}

/// Runs the server until `stop` is ready; what people need to know goes to `out`.
///
/// # Errors
///
/// Those of [`start`], and those of `out`.
pub async fn run(
    args: &ExchangeArgs,
    out: &mut (impl Write + Send),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let server = start(args).await?;
    describe(args, &server, out)?;
    let period = args.deliver_every.or(args.live.then_some(Duration::from_secs(2)));
    let plan = args.plan(&server);
    let live = async {
        match period {
            // Numbers that no message has that is there already.
            Some(period) => generate::deliver_every(&server, period, &plan, 1 << 40..).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        delivered = live => delivered,
        () = stop => Ok(()),
    }
}

fn describe(args: &ExchangeArgs, server: &Exchange, out: &mut impl Write) -> Result<()> {
    writeln!(out, "Simulated Exchange: {}", server.ews_url())?;
    if !args.plain_http {
        let path = args.ca_file.clone().unwrap_or_else(|| server.ca_file());
        writeln!(out, "Certificate to trust: {}", path.display())?;
    }
    writeln!(out, "Microsoft Graph: {}", server.graph_url())?;
    writeln!(out, "           token endpoint {}", server.token_url())?;
    let (id, secret) = (Options::CLIENT_ID, Options::CLIENT_SECRET);
    writeln!(out, "           client id `{id}`, client secret `{secret}`")?;
    let mailboxes = server.mailboxes();
    let mails: usize = mailboxes.iter().map(|address| server.mail_count(address)).sum();
    let first = mailboxes.first().map(String::as_str).unwrap_or_default();
    let last = mailboxes.last().map(String::as_str).unwrap_or_default();
    let count = mailboxes.len();
    writeln!(out, "Mailboxes: {count} ({first} … {last}), {mails} messages")?;
    for scheme in &args.auth {
        match scheme {
            Scheme::Ntlm | Scheme::Basic => {
                let name = if *scheme == Scheme::Ntlm { "NTLM" } else { "Basic" };
                writeln!(out, "{name}: user `{}`, password `{}`", args.user, Options::PASSWORD)?;
            }
            Scheme::Oauth2 => {
                writeln!(out, "OAuth 2.0: authority {}", server.authority_url())?;
            }
            Scheme::None => writeln!(out, "No sign-in is needed.")?,
        }
    }
    let config = serde_json::to_string_pretty(&appliance_config(args, server))?;
    writeln!(out, "\nConfiguration for the appliance:\n{config}")?;
    out.flush()?;
    Ok(())
}

/// A configuration with which the appliance reads every mailbox of the server.
pub fn appliance_config(args: &ExchangeArgs, server: &Exchange) -> Value {
    let mailboxes: BTreeMap<String, Value> = server
        .mailboxes()
        .into_iter()
        .map(|address| {
            let bucket = json!({ "owner": "example", "name": "mail" });
            (address, json!({ "bucket": bucket, "start_from": "bucket" }))
        })
        .collect();
    let mut config = json!({
        "ews_endpoint": server.ews_url(),
        "poll_frequency": 2,
        "poll_message_sleep": 0,
        "mailboxes": mailboxes,
    });
    let mut set = |name: &str, value: Value| {
        if let Some(config) = config.as_object_mut() {
            config.insert(name.to_owned(), value);
        }
    };
    if !args.plain_http {
        let path = args.ca_file.clone().unwrap_or_else(|| server.ca_file());
        set("ews_ca_file", json!(path));
    }
    match args.auth.first() {
        Some(Scheme::Oauth2) => {
            set("auth_type", json!("oauth2"));
            set("auth_oauth_authority", json!(server.authority_url()));
            set("auth_oauth_client_id", json!(Options::CLIENT_ID));
            set("auth_oauth_client_secret", json!(Options::CLIENT_SECRET));
            set("access_type", json!("impersonation"));
        }
        scheme => {
            let name = if scheme == Some(&Scheme::Basic) { "basic" } else { "ntlm" };
            set("auth_type", json!(name));
            set("auth_user", json!(args.user));
            set("auth_password", json!(Options::PASSWORD));
            set("access_type", json!("delegate"));
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ExchangeArgs,
    }

    #[tokio::test]
    async fn says_how_to_reach_the_server_and_stops_when_told() {
        let line = ["simulate", "--bind", "127.0.0.1:0", "--mailboxes", "2", "--messages", "20"];
        let args = Cli::parse_from(line.iter().chain(&["--auth", "oauth2"])).args;
        let mut out = Vec::new();
        run(&args, &mut out, std::future::ready(())).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("Mailboxes: 2 (user1@example.com … user2@example.com), 40 messages"));
        assert!(text.contains("\nMicrosoft Graph: https://localhost:"), "{text}");
        assert!(text.contains(&format!("/{}/oauth2/v2.0/token\n", Options::TENANT)), "{text}");
        let (_, config) = text.split_once("appliance:\n").unwrap();
        let config: Value = serde_json::from_str(config).unwrap();
        assert_eq!(config["auth_oauth_client_id"], Options::CLIENT_ID);
        assert_eq!(config["mailboxes"].as_object().unwrap().len(), 2);
    }

    #[test]
    fn refuses_a_period_of_nothing() {
        for text in ["0", "-1", "x", "inf", "NaN"] {
            assert!(seconds(text).is_err(), "{text} was accepted");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    }
}
