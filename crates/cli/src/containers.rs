//! The object store of `--object-store`, with the credentials that the environment has.

use std::{path::PathBuf, sync::Arc};

use appliance::{destination::transport_with, exit::Ending};
use objects::{
    Container,
    azure::{self, AzureEnvironment, AzureLocation, AzureOptions},
};
use record::{Chain, Unmetered};

use crate::storage::wrong;

/// Calls that are under way at once.
const AT_ONCE: usize = 16;

/// Prepares to use the container at `url`. Nothing is sent yet.
pub(crate) fn container(url: &str, ca_file: Option<PathBuf>) -> Result<Container, Ending> {
    let not = |why: &dyn std::fmt::Display| {
        wrong(format!(
            "`--object-store {url}` is not supported: {why}\n\
             Hint: Give `az://ACCOUNT/CONTAINER`, which may end in `/PREFIX`, or `file:///FOLDER`."
        ))
    };
    let location = AzureLocation::of(url).map_err(|err| not(&err))?;
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let environment = AzureEnvironment::read(|name| std::env::var(name).ok());
    let options = AzureOptions {
        location,
        environment,
        transport: transport_with(ca_file)?,
        max_concurrent_uploads: AT_ONCE,
        meter: Arc::new(Unmetered),
    };
    azure::open(options).map_err(|err| wrong(format!("`--object-store {url}`: {}", Chain(&err))))
}
