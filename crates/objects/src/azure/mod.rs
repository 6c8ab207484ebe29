//! Azure Blob Storage: the address, who signs in, and what its answers mean.

mod account;
mod answer;
mod certificate;
mod credential;
mod environment;
mod identity;
mod location;
mod protocol;

use std::{num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use net::{BadEndpoint, Client, Endpoint, Method, PlainHttp, StatusCode, Transport};
use object_store::{
    RetryConfig,
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    path::Path,
};
use record::Meter;
use url::Url;

use self::{
    account::Account,
    answer::Judge,
    credential::{BadCredential, Credentials},
    protocol::BlobService,
};
pub use self::{
    account::BadAccount,
    environment::AzureEnvironment,
    location::{AzureLocation, BadLocation},
};
use crate::{
    BadPrefix, Container, LargeCreate, Prefix,
    service::{Answers, Connector, Service},
};

/// Connections beside those of the uploads: for a listing, and for a blob that is read.
const MORE_CONNECTIONS: usize = 4;

/// All that is needed to open a container.
pub struct AzureOptions {
    pub location: AzureLocation,
    pub environment: AzureEnvironment,
    /// Plain `http` is used on loopback only, whatever it says.
    pub transport: Transport,
    /// Blobs that are on their way at once.
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

/// Prepares to use a container. Nothing is sent yet.
///
/// # Errors
///
/// [`AzureError`].
pub fn open(options: AzureOptions) -> Result<Container, AzureError> {
    let AzureOptions { location, environment, transport, max_concurrent_uploads, meter } = options;
    let at_once = max_concurrent_uploads.max(1);
    let transport = Transport { plain_http: PlainHttp::LoopbackOnly, ..transport };
    let account = Account::new(&location, &environment)?;
    let prefix = Prefix::new(&location.prefix)?;
    let endpoint = Endpoint::new(account.endpoint.as_str(), transport.clone())?;
    let credentials = Credentials::new(account.fixed, &environment, &transport)?;
    let connections = NonZeroUsize::MIN.saturating_add(at_once + MORE_CONNECTIONS);
    let place = format!("az://{}/{}", location.account, location.container);
    let judge = Judge {
        answers: Answers { host: endpoint.name().to_owned(), place: place.clone() },
        sas_ends_at: credentials.ends_at(),
        clock: Arc::clone(&transport.clock),
    };
    let protocol = BlobService { account: location.account.clone(), credentials, judge };
    let protocol = Arc::new(protocol);
    let client = Client::new(endpoint, connections);
    let service = HttpClient::new(Service::new(client, Arc::clone(&protocol), meter));
    let azure = MicrosoftAzureBuilder::new()
        .with_account(&location.account)
        .with_container_name(&location.container)
        .with_endpoint(account.endpoint.as_str().trim_end_matches('/').to_owned())
        // The service does both.
        .with_skip_signature(true)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector(service.clone()))
        .build()?;
    let mut base = account.endpoint;
    if let Ok(mut segments) = base.path_segments_mut() {
        segments.pop_if_empty().push(&location.container);
    }
    let container =
        Container::new(Arc::new(azure), place, prefix, at_once, LargeCreate::Conditional);
    Ok(container.with_account(Blobs { protocol, service, base }))
}

/// When the shared access signature in `environment` ends, if that is what signs in.
pub fn sas_ends_at(
    location: &AzureLocation,
    environment: &AzureEnvironment,
) -> Option<DateTime<Utc>> {
    Account::new(location, environment).ok()?.fixed?.ends_at
}

/// The library removes blobs in batches, each of which it would have to sign itself.
struct Blobs {
    protocol: Arc<BlobService>,
    service: HttpClient,
    /// The URL of the container.
    base: Url,
}

#[async_trait]
impl crate::container::Account for Blobs {
    fn credential(&self) -> Option<&'static str> {
        self.protocol.credentials.name()
    }

    /// Spec: "Delete Blob", Azure Storage reference.
    async fn remove(&self, path: &Path) -> object_store::Result<()> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            object_store::Error::Generic { store: "Azure", source }
        };
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.parts());
        }
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = url.as_str().parse().map_err(|err| failed(Box::new(err)))?;
        let answer = self.service.execute(request).await.map_err(|err| failed(Box::new(err)))?;
        match answer.status() {
            // Gone already, or removed by an attempt whose answer was lost.
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(failed(format!("HTTP {}", status.as_u16()).into())),
        }
    }
}
