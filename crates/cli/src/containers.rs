//! The object store of `--object-store`, with the credentials that the environment has.

use std::{path::PathBuf, sync::Arc};

use appliance::{destination::transport_with, exit::Ending};
use objects::{Container, Environment, Location, Options};
use record::{Chain, Unmetered};

use crate::storage::wrong;

/// Calls that are under way at once.
const AT_ONCE: usize = 16;

/// Prepares to use the container at `url`. Nothing is sent yet.
pub(crate) fn container(url: &str, ca_file: Option<PathBuf>) -> Result<Container, Ending> {
    // Whoever writes a secret into a URL shall not find it in a log.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let shown = if shown.contains('@') { "…" } else { shown };
    let location = Location::of(url).map_err(|why| {
        wrong(format!(
            "`--object-store {shown}` is not supported: {why}\nHint: Give \
             `az://ACCOUNT/CONTAINER` or `s3://BUCKET`, which may end in `/PREFIX`, or \
             `file:///FOLDER`."
        ))
    })?;
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let environment = Environment::read(|name| std::env::var(name).ok());
    let transport = transport_with(ca_file)?;
    let (max_concurrent_uploads, meter) = (AT_ONCE, Arc::new(Unmetered));
    let options = Options { location, environment, transport, max_concurrent_uploads, meter };
    objects::open(options).map_err(|err| wrong(format!("`{shown}`: {}", Chain(&err))))
}
