//! Azure Blob Storage: the address, who signs in, and the HTTP service under the library.
//!
//! The library `object_store` knows the requests. It has no HTTP client and no cryptography here:
//! our `service` sends its requests through [`net`], and signs each attempt itself, so that a
//! token that ends between two attempts is replaced, and a shared access signature is never part
//! of a URL that the library could put into a message.

mod account;
mod answer;
mod certificate;
mod credential;
mod crypto;
mod environment;
mod identity;
mod location;
mod service;

use std::{num::NonZeroUsize, sync::Arc};

use chrono::{DateTime, Utc};
use net::{BadEndpoint, Client, Endpoint, PlainHttp, Transport};
use object_store::{
    ClientOptions, RetryConfig,
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpConnector},
};
use record::Meter;

use self::{
    account::Account,
    credential::{BadCredential, Credentials},
    service::Service,
};
pub use self::{
    account::BadAccount,
    environment::AzureEnvironment,
    location::{AzureLocation, BadLocation},
};
use super::{
    BadPrefix, Objects, held,
    names::Names,
    store::{LargeCreate, Store},
};

/// Connections beside those of the uploads: for a listing, and for an email that is read.
const MORE_CONNECTIONS: usize = 4;

/// All that is needed to open a container.
pub struct AzureOptions {
    pub location: AzureLocation,
    pub environment: AzureEnvironment,
    /// Plain `http` is used on loopback only, whatever it says.
    pub transport: Transport,
    /// Emails that are uploaded at once, over all mailboxes.
    pub max_concurrent_uploads: usize,
    pub meter: Arc<dyn Meter>,
}

/// The container cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum AzureError {
    #[error("the address of the container is not usable")]
    Location(#[from] BadPrefix),
    #[error("the storage account is not usable as configured")]
    Account(#[from] BadAccount),
    #[error("the address of the blob service is not usable")]
    Endpoint(#[from] BadEndpoint),
    #[error("the credentials for the storage account cannot be used")]
    Credential(#[from] BadCredential),
    #[error("the object store cannot be set up")]
    Library(#[from] object_store::Error),
}

impl Objects {
    /// Prepares to use a container. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`AzureError`].
    pub fn azure(options: AzureOptions) -> Result<Self, AzureError> {
        let AzureOptions { location, environment, transport, max_concurrent_uploads, meter } =
            options;
        let at_once = max_concurrent_uploads.max(1);
        let transport = Transport { plain_http: PlainHttp::LoopbackOnly, ..transport };
        let account = Account::new(&location, &environment)?;
        let names = Names::new(&location.prefix)?;
        let endpoint = Endpoint::new(account.endpoint.as_str(), transport.clone())?;
        let credentials = Credentials::new(account.fixed, &environment, &transport)?;
        let connections = NonZeroUsize::MIN.saturating_add(at_once + MORE_CONNECTIONS);
        let place = format!("az://{}/{}", location.account, location.container);
        let service = Service::new(
            Client::new(endpoint, connections),
            location.account.clone(),
            place.clone(),
            credentials,
            meter,
            Arc::clone(&transport.clock),
        );
        let azure = MicrosoftAzureBuilder::new()
            .with_account(&location.account)
            .with_container_name(&location.container)
            .with_endpoint(account.endpoint.as_str().trim_end_matches('/').to_owned())
            // The service does both.
            .with_skip_signature(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Connector(HttpClient::new(service)))
            .build()?;
        let store = Store::new(Arc::new(azure), place, names, at_once, LargeCreate::Conditional);
        Ok(Self::new(store, at_once, held::BUDGET))
    }
}

/// When the shared access signature in `environment` ends, if that is what signs in.
pub fn sas_ends_at(
    location: &AzureLocation,
    environment: &AzureEnvironment,
) -> Option<DateTime<Utc>> {
    Account::new(location, environment).ok()?.fixed?.ends_at
}

#[derive(Debug)]
struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}
