//! Wires the sink out of flags, environment and settings.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use net::{Egress, Limits, PlainHttp, Tls, TlsSettings, Transport, egress::Level};
use record::{
    BucketId, Chain, Clock, Meter, Route, Sink, SinkAdvice, SinkError, Unmetered,
    clock::SystemClock,
};
use sinks::{
    local_files::LocalFiles,
    object_store::{self, Location, Objects},
    platform_api::{self, Api, ApiSettings, Appliance, PlatformApi, Retry, Version},
};
use tokio::time::timeout;
use url::Url;

use crate::{
    config::Settings,
    configuration::{Configuration, Connect, ReadEnvironment, RemoteConfig},
    doctor::{LocalProbe, PlatformProbe, SinkProbe},
    environment::Environment,
    exit::{Ending, Exit},
    flags::{self, Flags},
    monitor::{CountedBy, Monitor},
    shard::Shard,
};

/// Emails that are read from a container at once.
const READS: usize = 16;

/// Time for telling the platform who writes: nothing depends on it.
const TIME_TO_ANNOUNCE: Duration = Duration::from_secs(120);

/// Where emails go.
pub enum Destination {
    Folder { files: LocalFiles, prefix: PathBuf },
    Platform(Url),
    Container(Location),
}

/// How much is sent at once.
#[derive(Clone, Copy, Debug)]
pub struct Uploads {
    /// Emails of one batch.
    pub batch: usize,
    /// Batches, or to an object store emails, that are under way at the same time.
    pub at_once: usize,
    /// Checkpoints and quarantine are kept there too; not for a replay, which concerns no
    /// position.
    pub with_state: bool,
}

/// A destination, ready for one life of the service.
pub struct Connected {
    pub sink: Arc<dyn Sink>,
    /// Who tells the metrics of its requests.
    pub counted_by: CountedBy,
    platform: Option<Arc<PlatformApi>>,
    objects: Option<Objects>,
}

impl Connected {
    /// Sees that an object store keeps the promises that two writers need, before any mail is read.
    /// One that does not answer now is asked again before the first write.
    ///
    /// # Errors
    ///
    /// It does not keep them, or refuses us.
    pub async fn prove(&self) -> Result<(), Ending> {
        let Some(objects) = &self.objects else { return Ok(()) };
        let Err(err) = objects.prove().await else { return Ok(()) };
        match err.advice() {
            SinkAdvice::Retry { .. } => {
                tracing::warn!(
                    "Nothing is written to `{}` until it is seen to refuse what it must: {}",
                    objects.place(),
                    Chain(&err)
                );
                Ok(())
            }
            _ => Err(Ending::from(&err)),
        }
    }

    /// Tells a platform that keeps the configuration who writes to its buckets, beside the work.
    pub fn announce(&self, routes: &[Route]) {
        let Some(platform) = self.platform.clone() else { return };
        let buckets: BTreeSet<BucketId> = routes.iter().map(|route| route.bucket.clone()).collect();
        tokio::spawn(timeout(TIME_TO_ANNOUNCE, async move {
            for bucket in buckets {
                platform.announce(&bucket).await;
            }
        }));
    }
}

impl Destination {
    /// Opens what the flags name. A folder is shared with other processes, mailbox by mailbox;
    /// nobody else is contacted.
    ///
    /// # Errors
    ///
    /// No destination, an unusable one, or a folder that cannot be written.
    pub fn open(flags: &Flags, environment: &Environment) -> Result<Self, Ending> {
        Ok(match flags.destination(environment).map_err(|err| Ending::config(&err))? {
            flags::Destination::LocalFiles(prefix) => {
                let shard = flags.shard().map_err(|err| Ending::config(&err))?;
                let files = LocalFiles::open_shard(&prefix, shard.ordinal(), shard.total());
                let files = files.map_err(|err| Ending::from(&err))?;
                if let Some(process) = files.same_shard() {
                    tracing::warn!(
                        "Another process (id {process}) serves `{}` as this shard already. This one \
                         waits for its mailboxes, and takes them over when it ends",
                        prefix.display()
                    );
                }
                Self::Folder { files, prefix }
            }
            flags::Destination::Platform(endpoint) => Self::Platform(endpoint),
            flags::Destination::ObjectStore(place) => Self::Container(place),
        })
    }

    /// The same to look at it, without taking a folder from the process that writes it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`], and a folder that is not there.
    pub fn look(flags: &Flags, environment: &Environment) -> Result<Self, Ending> {
        match flags.destination(environment) {
            Ok(flags::Destination::LocalFiles(prefix)) => {
                let files =
                    LocalFiles::open_read_only(&prefix).map_err(|err| Ending::from(&err))?;
                Ok(Self::Folder { files, prefix })
            }
            _ => Self::open(flags, environment),
        }
    }

    /// The same to change the state of mailboxes that nobody serves.
    ///
    /// # Errors
    ///
    /// Those of [`Self::look`], and a folder that cannot be written.
    pub fn change(flags: &Flags, environment: &Environment) -> Result<Self, Ending> {
        match flags.destination(environment) {
            Ok(flags::Destination::LocalFiles(prefix)) => {
                let files =
                    LocalFiles::open_for_command(&prefix).map_err(|err| Ending::from(&err))?;
                Ok(Self::Folder { files, prefix })
            }
            _ => Self::open(flags, environment),
        }
    }

    /// How people know it.
    pub fn name(&self) -> String {
        match self {
            Self::Folder { prefix, .. } => prefix.display().to_string(),
            Self::Platform(endpoint) => endpoint.to_string(),
            Self::Container(place) => place.to_string(),
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<(&LocalFiles, &Path)> {
        match self {
            Self::Folder { files, prefix } => Some((files, prefix)),
            Self::Platform(_) | Self::Container(_) => None,
        }
    }

    /// Where bodies of large emails wait.
    pub fn spool(&self, flags: &Flags) -> PathBuf {
        match self {
            // On the same disk as the emails, which has the room.
            Self::Folder { prefix, .. } if flags.spool_dir.is_none() => {
                prefix.join("state").join(".spool")
            }
            _ => spool_dir(flags),
        }
    }

    /// Makes the sink for one life of the service, with the secrets as they are now.
    ///
    /// # Errors
    ///
    /// What only shows when it is used: a missing token, a key that cannot be read.
    pub fn connect(
        &self,
        flags: &Flags,
        environment: &Environment,
        uploads: Uploads,
        meter: Arc<dyn Meter>,
    ) -> Result<Connected, Ending> {
        Ok(match self {
            Self::Folder { files, .. } => {
                let counted_by = CountedBy::Monitor;
                Connected {
                    sink: Arc::new(files.clone()),
                    counted_by,
                    platform: None,
                    objects: None,
                }
            }
            Self::Platform(endpoint) => {
                let api = api(flags, environment, endpoint, uploads.at_once, meter)?;
                let platform = Arc::new(platform(flags, uploads, api)?);
                let sink = Arc::clone(&platform) as Arc<dyn Sink>;
                let counted_by = CountedBy::Sink;
                Connected { sink, counted_by, platform: Some(platform), objects: None }
            }
            Self::Container(place) => {
                let objects = objects(flags, environment, place, uploads.at_once, meter)?;
                let (sink, counted_by) = (Arc::new(objects.clone()), CountedBy::Sink);
                Connected { sink, counted_by, platform: None, objects: Some(objects) }
            }
        })
    }

    /// Tells the monitor when the credentials of the destination end, if that is known.
    pub fn watch_expiry(&self, environment: &Environment, monitor: &Monitor) {
        if let Self::Container(place) = self
            && let Some(end) = environment.object_store.ends_at(place)
        {
            monitor.token_expires("sas", end);
        }
    }
}

fn spool_dir(flags: &Flags) -> PathBuf {
    flags.spool_dir.clone().unwrap_or_else(std::env::temp_dir)
}

fn platform(flags: &Flags, uploads: Uploads, api: Api) -> Result<PlatformApi, Ending> {
    let shard = flags.shard().map_err(|err| Ending::config(&err))?;
    let settings = platform_api::Settings {
        batch_size: uploads.batch,
        max_concurrent_uploads: uploads.at_once,
        spool_dir: spool_dir(flags),
        appliance: appliance(flags, shard),
    };
    let platform = PlatformApi::new(api, settings);
    Ok(if uploads.with_state { platform } else { platform.uploads_only() })
}

fn appliance(flags: &Flags, shard: Shard) -> Option<Appliance> {
    Some(Appliance {
        config_owner: flags.remote_config_owner.clone()?,
        config_key: flags.remote_config_key.clone()?,
        shard_index: shard.ordinal(),
        num_shards: shard.total(),
    })
}

fn transport(flags: &Flags) -> Result<Transport, Ending> {
    transport_with(flags.destination_ca_file.clone())
}

/// The way to the platform or the object store: certificates are verified in any case, also with
/// the authorities in `ca_file`.
///
/// # Errors
///
/// The file cannot be read, or has no certificates.
pub fn transport_with(ca_file: Option<PathBuf>) -> Result<Transport, Ending> {
    let settings = TlsSettings { verify: true, ca_file, ciphers: None };
    let tls = Tls::new(&settings).map_err(|err| Ending::config(&err))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(Transport {
        tls,
        egress: Arc::new(Egress::new(Level::Metadata)),
        // The flags have refused `http:` already where it is not allowed.
        plain_http: PlainHttp::Everywhere,
        limits: Limits::default(),
        clock,
    })
}

/// What `doctor` tries of the destination. Nothing is opened for writing.
///
/// # Errors
///
/// No destination, or an unusable one.
pub fn probe(
    flags: &Flags,
    environment: &Environment,
    settings: &Settings,
) -> Result<Box<dyn SinkProbe>, Ending> {
    let named = flags.destination(environment).map_err(|err| Ending::config(&err))?;
    Ok(match named {
        flags::Destination::LocalFiles(prefix) => Box::new(LocalProbe::new(&prefix)),
        flags::Destination::Platform(endpoint) => {
            let uploads = Uploads { batch: 1, at_once: 1, with_state: true };
            let api = api(flags, environment, &endpoint, uploads.at_once, Arc::new(Unmetered))?;
            let platform = platform(flags, uploads, api)?;
            let buckets = settings.mailboxes.values().map(|mailbox| mailbox.bucket.clone());
            Box::new(PlatformProbe { platform, buckets: buckets.collect() })
        }
        flags::Destination::ObjectStore(place) => Box::new(container(flags, environment, &place)?),
    })
}

/// The folder of a command that works on folders only.
///
/// # Errors
///
/// Another destination is named, or none.
pub fn local_prefix(flags: &Flags, environment: &Environment) -> Result<PathBuf, Ending> {
    match flags.destination(environment).map_err(|err| Ending::config(&err))? {
        flags::Destination::LocalFiles(prefix) => Ok(prefix),
        flags::Destination::Platform(_) | flags::Destination::ObjectStore(_) => Err(Ending::new(
            Exit::Config,
            "this command compares with a folder only\n\
             Hint: Give --local-files-prefix PATH.",
        )),
    }
}

/// A client of the platform.
///
/// # Errors
///
/// The token is missing, or the endpoint is not usable.
pub fn api(
    flags: &Flags,
    environment: &Environment,
    endpoint: &Url,
    max_concurrent_uploads: usize,
    meter: Arc<dyn Meter>,
) -> Result<Api, Ending> {
    let Some(token) = &environment.api_token else {
        return Err(Ending::new(
            Exit::Config,
            "`--reinfer-api-endpoint` is given without a token\n\
             Hint: Set REINFER_API_TOKEN, or REINFER_API_TOKEN_FILE to the path of a file.",
        ));
    };
    let settings = ApiSettings {
        endpoint: endpoint.to_string(),
        token: token.value.clone(),
        max_concurrent_uploads,
        transport: transport(flags)?,
        meter,
        retry: Retry::default(),
    };
    Api::new(settings).map_err(|err| Ending::config(&err))
}

/// The container at `place`, for a command.
///
/// # Errors
///
/// The address or the credentials are not usable.
pub fn container(
    flags: &Flags,
    environment: &Environment,
    place: &Location,
) -> Result<Objects, Ending> {
    objects(flags, environment, place, READS, Arc::new(Unmetered))
}

fn objects(
    flags: &Flags,
    environment: &Environment,
    place: &Location,
    max_concurrent_uploads: usize,
    meter: Arc<dyn Meter>,
) -> Result<Objects, Ending> {
    let options = object_store::Options {
        location: place.clone(),
        environment: environment.object_store.clone(),
        transport: transport(flags)?,
        max_concurrent_uploads,
        meter,
    };
    Objects::open(options).map_err(|err| Ending::config(&err))
}

/// The configuration that flags and environment name, on this machine or on the platform.
///
/// # Errors
///
/// None is named, a variable is unusable, or there is no token for the platform.
pub fn configuration(
    flags: &Flags,
    read_environment: ReadEnvironment,
) -> Result<Configuration, Ending> {
    let all = flags.clone();
    let connect = move |environment: &Environment| {
        let names = (&all.reinfer_api_endpoint, &all.remote_config_owner, &all.remote_config_key);
        let (Some(endpoint), Some(owner), Some(key)) = names else {
            let text = "a remote configuration needs `--reinfer-api-endpoint`, \
                        `--remote-config-owner` and `--remote-config-key`";
            return Err(Ending::new(Exit::Config, text));
        };
        let api = api(&all, environment, endpoint, 1, Arc::new(Unmetered))?;
        let config = platform_api::RemoteConfig::new(api, owner, key);
        Ok(Box::new(OfPlatform { config, known: None }) as Box<dyn RemoteConfig>)
    };
    let connect: Box<Connect> = Box::new(connect);
    Configuration::find(flags, read_environment, connect)
}

/// A configuration that the platform keeps, and its version that was fetched last.
struct OfPlatform {
    config: platform_api::RemoteConfig,
    known: Option<Version>,
}

#[async_trait]
impl RemoteConfig for OfPlatform {
    async fn fetch(&mut self) -> Result<Option<Vec<u8>>, SinkError> {
        let fetched = self.config.fetch(self.known.as_ref()).await?;
        Ok(fetched.map(|(bytes, version)| {
            self.known = Some(version);
            bytes
        }))
    }
}
