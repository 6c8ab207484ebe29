//! Containers on servers of somebody else's making: Azure's emulator, and one that speaks like S3.

use std::sync::Arc;

use record::{Secret, Unmetered};
use sinks::object_store::{
    Environment, Location, Objects, Options,
    azure::{AzureEnvironment, AzureLocation},
    s3::{AwsEnvironment, S3Location},
};
use testkit::{
    azurite::{ACCOUNT, KEY, azurite},
    proxy::Proxy,
    seaweedfs::{KEY_ID, SECRET, seaweedfs},
};

use crate::{azurite::transport, object_store::wait};

pub(crate) const PREFIX: &str = "a/prefix";

/// A container that no other test uses.
#[derive(Clone, Debug)]
pub(crate) enum Outside {
    Azurite(String),
    SeaweedFs(String),
}

impl Outside {
    pub(crate) fn on_azurite() -> Self {
        Self::Azurite(wait(async { azurite().new_container() }))
    }

    pub(crate) fn on_seaweedfs() -> Self {
        Self::SeaweedFs(wait(async { seaweedfs().new_bucket() }))
    }

    /// One on the same server that nobody has made.
    pub(crate) fn missing(&self) -> Self {
        match self {
            Self::Azurite(_) => Self::Azurite("not-there".into()),
            Self::SeaweedFs(_) => Self::SeaweedFs("not-there".into()),
        }
    }

    /// The address of the server: `127.0.0.1:PORT`.
    pub(crate) fn server(&self) -> String {
        let url = match self {
            Self::Azurite(_) => &azurite().url,
            Self::SeaweedFs(_) => &seaweedfs().url,
        };
        url.split('/').nth(2).unwrap().to_owned()
    }

    pub(crate) fn open(&self) -> Objects {
        self.open_at(PREFIX, &self.server())
    }

    pub(crate) fn open_over(&self, proxy: &Proxy) -> Objects {
        self.open_at(PREFIX, &proxy.address)
    }

    pub(crate) fn open_at(&self, prefix: &str, address: &str) -> Objects {
        let prefix = prefix.into();
        let (location, environment) = match self {
            Self::Azurite(container) => {
                let (account, container) = (ACCOUNT.into(), container.clone());
                let azure = AzureEnvironment {
                    endpoint: Some(format!("http://{address}/{ACCOUNT}")),
                    account_key: Some(Secret::from(KEY)),
                    ..AzureEnvironment::default()
                };
                let location = Location::Azure(AzureLocation { account, container, prefix });
                (location, Environment { azure, ..Environment::default() })
            }
            Self::SeaweedFs(bucket) => {
                let aws = AwsEnvironment {
                    access_key_id: Some(KEY_ID.into()),
                    secret_access_key: Some(Secret::from(SECRET)),
                    endpoint: Some(format!("http://{address}")),
                    ..AwsEnvironment::default()
                };
                let location = Location::S3(S3Location { bucket: bucket.clone(), prefix });
                (location, Environment { aws, ..Environment::default() })
            }
        };
        Objects::open(Options {
            location,
            environment,
            transport: transport(),
            max_concurrent_uploads: 8,
            meter: Arc::new(Unmetered),
        })
        .unwrap()
    }

    /// Puts `bytes` under a name below the prefix, whatever is there.
    pub(crate) fn set(&self, name: &str, bytes: &[u8]) {
        let name = format!("{PREFIX}/{name}");
        match self {
            Self::Azurite(container) => azurite().overwrite(container, &name, bytes),
            Self::SeaweedFs(bucket) => seaweedfs().overwrite(bucket, &name, bytes),
        }
    }

    /// How many blobs there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Azurite(container) => azurite().tags(container).len(),
            Self::SeaweedFs(bucket) => seaweedfs().tags(bucket).len(),
        }
    }
}

/// Each case on each of them.
macro_rules! in_containers {
    ($($case:ident),+ $(,)?) => {
        mod azure_blobs {
            $(#[tokio::test]
            async fn $case() { super::$case($crate::outside::Outside::on_azurite()).await; })+
        }
        mod s3_objects {
            $(#[tokio::test]
            async fn $case() { super::$case($crate::outside::Outside::on_seaweedfs()).await; })+
        }
    };
}

pub(crate) use in_containers;
