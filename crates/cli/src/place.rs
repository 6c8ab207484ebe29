//! The destination that an operator's command works on.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

use appliance::{
    destination,
    exit::{Ending, Exit},
    flags::{self, Flags, Request},
};
use clap::{ArgGroup, Args};
use record::{BucketId, MailboxId, Quarantined, Route, Sink, SinkError, Unmetered};
use sinks::{
    local_files::LocalFiles,
    object_store::Objects,
    platform_api::{BucketState, PlatformApi, Settings},
    state_admin::{StateAdmin, set_aside},
};

use crate::{
    commands::{bucket, load},
    environment,
    serve::runtime,
};

pub(crate) fn text(value: &Option<String>) -> Option<&OsStr> {
    value.as_ref().map(OsStr::new)
}

pub(crate) fn path(value: &Option<PathBuf>) -> Option<&OsStr> {
    value.as_ref().map(|path| path.as_os_str())
}

/// The flags of the appliance with those of `given` that have a value, checked as the appliance
/// checks them.
pub(crate) fn flags_of<const N: usize>(
    given: [(&str, Option<&OsStr>); N],
    allow_http_endpoint: bool,
) -> Result<Flags, Ending> {
    let mut arguments: Vec<OsString> = Vec::new();
    for (name, value) in given {
        arguments.extend(value.into_iter().flat_map(|value| [name.into(), value.to_owned()]));
    }
    if allow_http_endpoint {
        arguments.push("--allow-http-endpoint".into());
    }
    match flags::parse(arguments).map_err(|err| Ending::config(&err))? {
        Request::Run(flags) => Ok(*flags),
        Request::Show(text) => Err(Ending::new(Exit::Config, text)),
    }
}

/// Where the appliance writes to, with the same flags and environment variables.
#[derive(Args)]
#[command(group = ArgGroup::new("destination").required(true))]
pub(crate) struct Place {
    /// Folder that the appliance writes to.
    #[arg(long, value_name = "PATH", group = "destination")]
    pub(crate) local_files_prefix: Option<PathBuf>,
    /// Address of the platform's API that the appliance writes to, such as
    /// `https://mydomain.example.com/api/`.
    #[arg(long, value_name = "URL", group = "destination")]
    reinfer_api_endpoint: Option<String>,
    /// Container of Azure, or bucket of S3, that the appliance writes to.
    #[arg(long, value_name = "az://ACCOUNT/CONTAINER|s3://BUCKET", group = "destination")]
    private_file_prefix: Option<String>,
    /// Only this bucket, `owner/name`. Can be given several times. A platform does not list its
    /// buckets: without this, those of the configuration are looked at.
    #[arg(long, value_name = "OWNER/NAME", value_parser = bucket)]
    pub(crate) bucket: Vec<BucketId>,
    /// Project that owns the remote configuration. Goes with `--remote-config-key`.
    #[arg(long, value_name = "OWNER", requires = "remote_config_key")]
    remote_config_owner: Option<String>,
    /// Name of the remote configuration. Goes with `--remote-config-owner`.
    #[arg(long, value_name = "KEY", requires = "remote_config_owner")]
    remote_config_key: Option<String>,
    /// File with certificates of authorities (PEM) that are trusted for the platform and for
    /// object stores, besides those of the system.
    #[arg(long, value_name = "PATH")]
    destination_ca_file: Option<PathBuf>,
    /// Accepts a `--reinfer-api-endpoint` with `http:` on another machine.
    #[arg(long)]
    allow_http_endpoint: bool,
}

/// A destination, open.
pub(crate) enum Opened {
    Folder { files: LocalFiles, prefix: PathBuf },
    Platform { api: Box<PlatformApi>, buckets: BTreeSet<BucketId>, endpoint: String },
    Container(Objects),
}

impl Place {
    /// Whether it is a folder, however that is written.
    pub(crate) fn is_folder(&self) -> bool {
        let is_file = |url: &String| url.starts_with("file:");
        self.local_files_prefix.is_some() || self.private_file_prefix.as_ref().is_some_and(is_file)
    }

    /// Opens it to look at it.
    pub(crate) fn look(&self) -> Result<Opened, Ending> {
        self.open_with(LocalFiles::open_read_only)
    }

    /// Opens it to change the state of mailboxes.
    pub(crate) fn open(&self) -> Result<Opened, Ending> {
        self.open_with(LocalFiles::open_for_command)
    }

    fn open_with(
        &self,
        folder: impl FnOnce(&Path) -> Result<LocalFiles, SinkError>,
    ) -> Result<Opened, Ending> {
        if let Some(prefix) = &self.local_files_prefix {
            let files = folder(prefix).map_err(|err| Ending::from(&err))?;
            return Ok(Opened::Folder { files, prefix: prefix.clone() });
        }
        let (flags, environment) = (self.flags()?, environment()?);
        match flags.destination(&environment).map_err(|err| Ending::config(&err))? {
            flags::Destination::LocalFiles(prefix) => {
                let files = folder(&prefix).map_err(|err| Ending::from(&err))?;
                Ok(Opened::Folder { files, prefix })
            }
            flags::Destination::Platform(endpoint) => {
                let meter = Arc::new(Unmetered);
                let api = destination::api(&flags, &environment, &endpoint, 1, meter)?;
                let settings = Settings {
                    batch_size: 1,
                    max_concurrent_uploads: 1,
                    spool_dir: std::env::temp_dir(),
                    appliance: None,
                };
                let api = Box::new(PlatformApi::new(api, settings));
                let buckets = self.buckets(&flags)?;
                api.look_at(&buckets);
                Ok(Opened::Platform { api, buckets, endpoint: endpoint.to_string() })
            }
            flags::Destination::ObjectStore(place) => {
                destination::container(&flags, &environment, &place).map(Opened::Container)
            }
        }
    }

    /// The buckets that are named, or those of the configuration.
    fn buckets(&self, flags: &Flags) -> Result<BTreeSet<BucketId>, Ending> {
        if !self.bucket.is_empty() {
            return Ok(self.bucket.iter().cloned().collect());
        }
        let settings = load(flags).map_err(|ending| {
            let text = format!(
                "a platform does not list its buckets, and the configuration does not tell them: \
                 {ending}\nHint: Give --bucket OWNER/NAME."
            );
            Ending::new(ending.exit, text)
        })?;
        Ok(settings.mailboxes.into_values().map(|mailbox| mailbox.bucket).collect())
    }

    /// The flags of the appliance that lead to the same destination.
    fn flags(&self) -> Result<Flags, Ending> {
        let given = [
            ("--reinfer-api-endpoint", text(&self.reinfer_api_endpoint)),
            ("--private-file-prefix", text(&self.private_file_prefix)),
            ("--remote-config-owner", text(&self.remote_config_owner)),
            ("--remote-config-key", text(&self.remote_config_key)),
            ("--destination-ca-file", path(&self.destination_ca_file)),
        ];
        flags_of(given, self.allow_http_endpoint)
    }

    /// The routes with state that the flags want to see.
    pub(crate) async fn routes(
        &self,
        opened: &Opened,
        mailbox: Option<&MailboxId>,
    ) -> Result<Vec<Route>, Ending> {
        let mut routes = opened.state().routes().await.map_err(|err| Ending::from(&err))?;
        routes.retain(|route| {
            mailbox.is_none_or(|only| *only == route.mailbox)
                && (self.bucket.is_empty() || self.bucket.contains(&route.bucket))
        });
        Ok(routes)
    }
}

impl Opened {
    pub(crate) fn state(&self) -> &dyn StateAdmin {
        match self {
            Self::Folder { files, .. } => files,
            Self::Platform { api, .. } => &**api,
            Self::Container(objects) => objects,
        }
    }

    /// How people know it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder { prefix, .. } => prefix.display().to_string(),
            Self::Platform { endpoint, .. } => endpoint.clone(),
            Self::Container(objects) => objects.place(),
        }
    }

    /// The items of a mailbox that are set aside.
    pub(crate) async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, Ending> {
        let sink: &dyn Sink = match self {
            Self::Folder { files, .. } => files,
            Self::Platform { api, .. } => &**api,
            Self::Container(objects) => objects,
        };
        let list = sink.quarantined(route).await;
        list.map(set_aside).map_err(|err| Ending::from(&err))
    }

    /// The buckets whose state belongs to another program.
    pub(crate) async fn foreign(&self) -> Result<Vec<&BucketId>, Ending> {
        let Self::Platform { api, buckets, .. } = self else { return Ok(Vec::new()) };
        let mut foreign = Vec::new();
        for bucket in buckets {
            let state = api.show_state(bucket).await.map_err(|err| Ending::from(&err))?;
            if state == BucketState::Foreign {
                foreign.push(bucket);
            }
        }
        Ok(foreign)
    }

    /// Warns of buckets whose state belongs to another program.
    pub(crate) async fn warn_of_foreign(&self) -> Result<(), Ending> {
        for bucket in self.foreign().await? {
            eprintln!(
                "warning: the sync state of bucket `{bucket}` belongs to another program. To take \
                 it over, run `tributary state reset` with `--bucket {bucket} --yes`."
            );
        }
        Ok(())
    }
}

/// That no mailbox, or not this one, has state.
pub(crate) fn no_state(mailbox: &MailboxId, opened: &Opened) -> Ending {
    Ending::new(Exit::Config, format!("`{mailbox}` has no state in `{}`", opened.name()))
}

/// Runs a command that waits for others.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Ending>>) -> Result<T, Ending> {
    runtime()?.block_on(work)
}
