//! `az://…` or `s3://…`: a container of any provider, and the way to open it.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use net::Transport;
use record::{Meter, Secret};
use url::Url;

use crate::{
    Container,
    azure::{self, AzureEnvironment, AzureError, AzureLocation, AzureOptions, BadLocation},
    s3::{self, AwsEnvironment, BadBucket, S3Error, S3Location, S3Options},
};

/// A container of one of the providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Azure(AzureLocation),
    S3(S3Location),
}

/// The text names no container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    #[error(
        "not of the form `az://ACCOUNT/CONTAINER` or `s3://BUCKET`, either with `/PREFIX`, \
         without user, password, `?` or `#`"
    )]
    Form,
    #[error(transparent)]
    Azure(BadLocation),
    #[error(transparent)]
    S3(BadBucket),
    /// Spec: "Request preconditions", Cloud Storage documentation.
    #[error(
        "Google Cloud Storage is not supported, under its own address or as `s3://`: for writes it \
         knows other conditions than `If-Match` and `If-None-Match`, without which two processes \
         could overwrite each other"
    )]
    Google,
}

impl Location {
    /// Reads a text that may be a URL.
    ///
    /// # Errors
    ///
    /// [`BadPlace`].
    pub fn of(text: &str) -> Result<Self, BadPlace> {
        let url = Url::parse(text).map_err(|_| BadPlace::Form)?;
        match url.scheme() {
            "az" => AzureLocation::parse(&url).map(Self::Azure).map_err(|bad| match bad {
                BadLocation::Form => BadPlace::Form,
                bad => BadPlace::Azure(bad),
            }),
            "s3" => S3Location::parse(&url).map(Self::S3).map_err(|bad| match bad {
                BadBucket::Form => BadPlace::Form,
                bad => BadPlace::S3(bad),
            }),
            "gs" | "gcs" => Err(BadPlace::Google),
            _ => Err(BadPlace::Form),
        }
    }
}

/// The URL, for messages.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self {
            Self::Azure(AzureLocation { account, container, prefix }) => {
                write!(f, "az://{account}/{container}")?;
                prefix
            }
            Self::S3(S3Location { bucket, prefix }) => {
                write!(f, "s3://{bucket}")?;
                prefix
            }
        };
        if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

/// What the environment says about object stores. Nobody else reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub azure: AzureEnvironment,
    pub aws: AwsEnvironment,
}

impl Environment {
    /// Takes what it needs from `variable`. One that is set to nothing counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self { azure: AzureEnvironment::read(&variable), aws: AwsEnvironment::read(&variable) }
    }

    /// Whether `variable` is one of those that are read.
    pub fn reads(variable: &str) -> bool {
        AzureEnvironment::VARIABLES.contains(&variable)
            || AwsEnvironment::VARIABLES.contains(&variable)
    }

    /// Everything that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.azure.secrets().chain(self.aws.secrets())
    }

    /// When what signs in to `location` ends, if that can be told.
    pub fn ends_at(&self, location: &Location) -> Option<DateTime<Utc>> {
        match location {
            Location::Azure(location) => azure::sas_ends_at(location, &self.azure),
            Location::S3(_) => None,
        }
    }
}

/// All that is needed to open a container.
pub struct Options {
    pub location: Location,
    pub environment: Environment,
    /// Plain `http` is used on loopback only, whatever it says.
    pub transport: Transport,
    /// Blobs that are on their way at once.
    pub max_concurrent_uploads: usize,
    pub meter: Arc<dyn Meter>,
}

/// The container cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Azure(#[from] AzureError),
    #[error(transparent)]
    S3(#[from] S3Error),
}

/// Prepares to use a container. Nothing is sent yet.
///
/// # Errors
///
/// [`OpenError`].
pub fn open(options: Options) -> Result<Container, OpenError> {
    let Options { location, environment, transport, max_concurrent_uploads, meter } = options;
    Ok(match location {
        Location::Azure(location) => {
            let environment = environment.azure;
            let options =
                AzureOptions { location, environment, transport, max_concurrent_uploads, meter };
            azure::open(options)?
        }
        Location::S3(location) => {
            let environment = environment.aws;
            let options =
                S3Options { location, environment, transport, max_concurrent_uploads, meter };
            s3::open(options)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_as_it_is_written() {
        for place in ["az://account/mail", "az://account/mail/a/b", "s3://mail", "s3://mail/a/b"] {
            assert_eq!(Location::of(place).unwrap().to_string(), place);
        }
    }

    #[test]
    fn what_names_no_container_is_told_why() {
        for (place, why) in [
            ("/mail", BadPlace::Form),
            ("file:///mail", BadPlace::Form),
            ("az://account", BadPlace::Form),
            ("az://account/Mail", BadPlace::Azure(BadLocation::Container)),
            ("s3://Mail", BadPlace::S3(BadBucket::Bucket)),
            ("s3://key:secret@mail", BadPlace::Form),
            ("gs://mail", BadPlace::Google),
        ] {
            assert_eq!(Location::of(place), Err(why), "{place}");
        }
    }

    #[test]
    fn each_variable_reaches_its_provider() {
        let names = ["AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY"];
        assert!(names.iter().all(|name| Environment::reads(name)));
        let read = |name: &str| names.contains(&name).then(|| format!("value of {name}"));
        let environment = Environment::read(read);
        let mut secrets: Vec<_> = environment.secrets().map(Secret::reveal).collect();
        secrets.sort_unstable();
        assert_eq!(secrets, names.map(|name| format!("value of {name}")));
    }
}
