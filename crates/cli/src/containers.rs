//! The object store of `--object-store`, with the credentials that the environment has.

use std::{path::PathBuf, sync::Arc};

use appliance::{destination::transport_with, exit::Ending};
use objects::{
    Container,
    azure::{self, AzureEnvironment, AzureLocation, AzureOptions},
    s3::{self, AwsEnvironment, S3Location, S3Options},
};
use record::{Chain, Unmetered};

use crate::storage::wrong;

/// Calls that are under way at once.
const AT_ONCE: usize = 16;

/// Prepares to use the container at `url`. Nothing is sent yet.
pub(crate) fn container(url: &str, ca_file: Option<PathBuf>) -> Result<Container, Ending> {
    // Whoever writes a secret into a URL shall not find it in a log.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let shown = if shown.contains('@') { "…" } else { shown };
    let bad = |why: &dyn std::fmt::Display| {
        wrong(format!(
            "`--object-store {shown}` is not supported: {why}\nHint: Give \
             `az://ACCOUNT/CONTAINER` or `s3://BUCKET`, which may end in `/PREFIX`, or \
             `file:///FOLDER`."
        ))
    };
    let unusable =
        |err: &(dyn std::error::Error + 'static)| wrong(format!("`{shown}`: {}", Chain(err)));
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let variable = |name: &str| std::env::var(name).ok();
    let transport = transport_with(ca_file)?;
    let (max_concurrent_uploads, meter) = (AT_ONCE, Arc::new(Unmetered));
    if url.starts_with("s3://") {
        let location = S3Location::of(url).map_err(|err| bad(&err))?;
        let environment = AwsEnvironment::read(variable);
        let options = S3Options { location, environment, transport, max_concurrent_uploads, meter };
        return s3::open(options).map_err(|err| unusable(&err));
    }
    let location = AzureLocation::of(url).map_err(|err| bad(&err))?;
    let environment = AzureEnvironment::read(variable);
    let options = AzureOptions { location, environment, transport, max_concurrent_uploads, meter };
    azure::open(options).map_err(|err| unusable(&err))
}
