//! The flags of the appliance, and what they mean together with the environment.

mod explain;
mod value;

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};
use sinks::object_store::Location;
use url::Url;

use crate::{
    environment::Environment,
    redirection::Pin,
    shard::{Shard, ShardError},
};

pub use explain::explain;
pub(crate) use value::is_loopback;

/// Copies mail from Exchange to a folder, continuously.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Address and port that serve health (`/livez`, `/readyz`), metrics (`/metrics`) and the
    /// status of each mailbox (`/status`), such as `0.0.0.0:8000`. Without it, nothing is served.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::bind)]
    pub bind: Option<SocketAddr>,

    /// Address of the platform's API, such as `https://mydomain.example.com/api/`. Excludes
    /// `--local-files-prefix` and `--private-file-prefix`.
    #[arg(
        long,
        value_name = "URL",
        value_parser = value::api_endpoint,
        conflicts_with_all = ["local_files_prefix", "private_file_prefix"],
    )]
    pub reinfer_api_endpoint: Option<Url>,

    /// Folder that receives the emails (`data`) and the state of the sync (`state`), and may
    /// hold configurations (`config/OWNER/KEY.json`). Excludes `--reinfer-api-endpoint`,
    /// `--private-file-prefix` and the environment variable `REINFER_API_TOKEN`.
    #[arg(
        long,
        value_name = "PATH",
        value_parser = value::folder,
        conflicts_with = "private_file_prefix",
    )]
    pub local_files_prefix: Option<PathBuf>,

    /// Container of Azure Blob Storage (`az://account/container`) or bucket of S3 (`s3://bucket`)
    /// that receives emails and state, or a prefix in it, such as `az://account/container/emails`.
    /// `file:///mnt/ews` is the same as `--local-files-prefix /mnt/ews`. Excludes
    /// `--reinfer-api-endpoint` and `--local-files-prefix`.
    #[arg(
        long,
        value_name = "az://ACCOUNT/CONTAINER|s3://BUCKET",
        value_parser = value::private_prefix,
    )]
    pub private_file_prefix: Option<PrivatePrefix>,

    /// Project that owns the remote configuration. Goes with `--remote-config-key`. With
    /// `--local-files-prefix` the two select the file `config/OWNER/KEY.json` of that folder.
    #[arg(long, value_name = "OWNER", value_parser = value::name_part)]
    pub remote_config_owner: Option<String>,

    /// Name of the remote configuration. Goes with `--remote-config-owner`.
    #[arg(long, value_name = "KEY", value_parser = value::name_part)]
    pub remote_config_key: Option<String>,

    /// How much is logged: 0 = warnings, 1 = what the service does, 2 = everything except
    /// secrets and the content of emails.
    #[arg(long, value_name = "0|1|2", default_value = "1", value_parser = value::debug_level)]
    pub debug_level: DebugLevel,

    /// Name of this process among its shards, ending with its number from zero, such as
    /// `ews-0`; in Kubernetes the name of the pod. Goes with `--total-shards`.
    #[arg(long, value_name = "NAME-N")]
    pub shard_name: Option<String>,

    /// Number of processes that divide the mailboxes among themselves; in Kubernetes the
    /// replicas of the stateful set. Goes with `--shard-name`.
    #[arg(
        long,
        value_name = "TOTAL",
        value_parser = value::total_shards,
        allow_negative_numbers = true,
    )]
    pub total_shards: Option<u32>,

    /// Restarts the service inside the process, after a growing pause, where it would
    /// otherwise end with an error.
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true",
        value_parser = value::yes_or_no,
        action = clap::ArgAction::Set,
    )]
    pub restart_on_unrecoverable_errors: bool,

    /// Form of the log lines. Without it: `text` on a terminal, `json` elsewhere.
    #[arg(long, value_name = "text|json", value_parser = value::log_format)]
    pub log_format: Option<LogFormat>,

    /// Most time that a stop may take to finish what is under way: a number of seconds, or
    /// one with a unit, such as `90s` or `2m`; up to one hour. The default is less than the 30
    /// seconds that Kubernetes waits before it kills.
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = value::grace)]
    pub shutdown_grace: Duration,

    /// Accepts a `--reinfer-api-endpoint` with `http:` on another machine, where everybody on
    /// the way can read the token and the mail.
    #[arg(long)]
    pub allow_http_endpoint: bool,

    /// Accepts that a changed remote configuration names another Exchange server or token
    /// endpoint, or protects the connection less. Without it, whoever can write the remote
    /// configuration could lead the credentials of the mailboxes elsewhere, so such a change is
    /// not used.
    #[arg(long)]
    pub allow_remote_endpoint_change: bool,

    /// The only servers that credentials of mailboxes are sent to: Exchange, Microsoft Graph, and
    /// with `oauth2` that of the token endpoint, each with its port if it is not 443. A configuration that names
    /// another is not used, not even at the start. A first remote one must not lessen the
    /// verification of certificates either, unless `--allow-remote-endpoint-change` is given.
    #[arg(
        long,
        value_name = "HOST[:PORT],…",
        value_delimiter = ',',
        value_parser = value::pin,
    )]
    pub credentials_only_to: Vec<Pin>,

    /// File with certificates of authorities (PEM) that are trusted for the platform and for
    /// object stores, besides those of the system.
    #[arg(long, value_name = "PATH", value_parser = value::folder)]
    pub destination_ca_file: Option<PathBuf>,

    /// Folder in which bodies of large emails wait, as files without a name, when emails do not
    /// go to a local folder. Without it, the system's folder for temporary files.
    #[arg(long, value_name = "PATH", value_parser = value::folder)]
    pub spool_dir: Option<PathBuf>,
}

/// Value of `--debug-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DebugLevel {
    /// 0: warnings and errors.
    None,
    /// 1: what the service does.
    Service,
    /// 2: everything except secrets and the content of emails.
    Full,
}

/// Value of `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Value of `--private-file-prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivatePrefix {
    Container(Location),
    Folder(PathBuf),
}

impl PrivatePrefix {
    /// Reads a URL; the error says what is allowed.
    ///
    /// # Errors
    ///
    /// It names neither a container nor a folder.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        value::private_prefix(text).map_err(FlagError)
    }
}

/// Where emails and state go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    LocalFiles(PathBuf),
    Platform(Url),
    ObjectStore(Location),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigPlace {
    /// A file of this machine; re-read while running when it is the remote configuration of
    /// a local folder.
    File(PathBuf),
    /// A configuration that the platform keeps.
    Remote { owner: String, key: String },
}

/// The flags cannot be used. One message, complete without further context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FlagError(pub(crate) String);

impl From<ShardError> for FlagError {
    fn from(error: ShardError) -> Self {
        Self(error.to_string())
    }
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Request {
    Run(Box<Flags>),
    /// The text of `--help` or `--version`, for stdout.
    Show(String),
}

#[derive(Parser)]
#[command(name = "reinfer-ews", version)]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
}

/// Reads the arguments that follow the program's name. A first argument `reinfer-ews` is
/// skipped, as existing manifests have it.
///
/// # Errors
///
/// [`FlagError`], which ends the process with exit code 78.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, FlagError> {
    let mut arguments = arguments.into_iter().peekable();
    arguments.next_if(|first| first == OsStr::new("reinfer-ews"));
    let all = std::iter::once(OsString::from("reinfer-ews")).chain(arguments);
    let mut command = command();
    match command.try_get_matches_from_mut(all).and_then(|found| Flags::from_arg_matches(&found)) {
        Ok(flags) => flags.check().map(|()| Request::Run(Box::new(flags))),
        Err(error) if error.use_stderr() => Err(explain(&error, &command)),
        Err(error) => Ok(Request::Show(error.to_string())),
    }
}

/// The command line as clap sees it, for the reference page.
pub(crate) fn command() -> clap::Command {
    CommandLine::command()
}

impl Flags {
    /// Checks what no single flag shows. [`parse`] has done so already.
    ///
    /// # Errors
    ///
    /// [`FlagError`], if flags contradict each other.
    pub fn check(&self) -> Result<(), FlagError> {
        self.shard()?;
        let (owner, key) = ("--remote-config-owner", "--remote-config-key");
        let lonely = match (&self.remote_config_owner, &self.remote_config_key) {
            (Some(_), None) => Some((owner, key)),
            (None, Some(_)) => Some((key, owner)),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some((given, missing)) = lonely {
            return Err(FlagError(format!(
                "`{given}` is given without `{missing}`; give both or neither"
            )));
        }
        if let Some(endpoint) = &self.reinfer_api_endpoint
            && !value::is_safe_transport(endpoint)
            && !self.allow_http_endpoint
        {
            return Err(FlagError(format!(
                "`--reinfer-api-endpoint` is `{endpoint}`, and `http:` would show token and mail \
                 to everybody on the way; allowed: an `https:` address, `http:` on this machine, \
                 or `--allow-http-endpoint` as well"
            )));
        }
        Ok(())
    }

    /// The shard that the flags name; the only one without them.
    ///
    /// # Errors
    ///
    /// [`ShardError`], if only one flag is given or the two do not fit.
    pub fn shard(&self) -> Result<Shard, ShardError> {
        Shard::parse(self.shard_name.as_deref(), self.total_shards)
    }

    /// The local folder that emails and state go to, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.private_file_prefix {
            Some(PrivatePrefix::Folder(folder)) => Some(folder),
            _ => self.local_files_prefix.as_deref(),
        }
    }

    /// Where emails and state go.
    ///
    /// # Errors
    ///
    /// [`FlagError`], if no destination is given, or a token comes with a local folder.
    pub fn destination(&self, environment: &Environment) -> Result<Destination, FlagError> {
        if let Some(folder) = self.folder() {
            if let Some(token) = &environment.api_token {
                let flag = match self.local_files_prefix {
                    Some(_) => "--local-files-prefix",
                    None => "--private-file-prefix",
                };
                return Err(FlagError(format!(
                    "`{flag}` and the environment variable `{}` are both given; allowed: the flag \
                     to write files, or the variable with `--reinfer-api-endpoint`",
                    token.variable
                )));
            }
            return Ok(Destination::LocalFiles(folder.to_owned()));
        }
        if let Some(endpoint) = &self.reinfer_api_endpoint {
            return Ok(Destination::Platform(endpoint.clone()));
        }
        if let Some(PrivatePrefix::Container(container)) = &self.private_file_prefix {
            return Ok(Destination::ObjectStore(container.clone()));
        }
        Err(FlagError(
            "no destination is given; allowed: one of `--local-files-prefix PATH`, \
             `--reinfer-api-endpoint URL`, `--private-file-prefix az://ACCOUNT/CONTAINER` or \
             `s3://BUCKET`"
                .into(),
        ))
    }

    /// Where the configuration is. A local one, named by `REINFER_EWS_CONFIG`, always wins.
    ///
    /// # Errors
    ///
    /// [`FlagError`], if neither the environment nor the flags name one.
    pub fn config_place(&self, environment: &Environment) -> Result<ConfigPlace, FlagError> {
        if let Some(path) = &environment.config {
            return Ok(ConfigPlace::File(path.clone()));
        }
        if matches!(self.private_file_prefix, Some(PrivatePrefix::Container(_))) {
            return Err(FlagError(
                "no configuration is given; with `--private-file-prefix` the environment \
                 variable `REINFER_EWS_CONFIG` must name the file"
                    .into(),
            ));
        }
        let (Some(owner), Some(key)) = (&self.remote_config_owner, &self.remote_config_key) else {
            return Err(FlagError(
                "no configuration is given; allowed: the path of a file in the environment \
                 variable `REINFER_EWS_CONFIG`, or `--remote-config-owner OWNER` with \
                 `--remote-config-key KEY`"
                    .into(),
            ));
        };
        Ok(match self.folder() {
            Some(folder) => {
                ConfigPlace::File(folder.join("config").join(owner).join(format!("{key}.json")))
            }
            None => ConfigPlace::Remote { owner: owner.clone(), key: key.clone() },
        })
    }

    /// Sentences for the log about what is allowed but risky.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(endpoint) = &self.reinfer_api_endpoint
            && !value::is_safe_transport(endpoint)
        {
            warnings.push(format!(
                "`{endpoint}` is not encrypted: token and mail can be read on the way."
            ));
        }
        warnings
    }
}
