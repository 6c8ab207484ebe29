//! Amazon S3 and what speaks like it: the address, who signs in, and what its answers mean.

mod answer;
mod credential;
mod environment;
mod location;
mod protocol;
mod sts;

use std::{num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use net::{BadEndpoint, Client, Endpoint, PlainHttp, Transport};
use object_store::{
    ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    client::HttpClient,
    path::Path,
};
use record::Meter;
use url::Url;

use self::{answer::Judge, credential::Credentials, protocol::S3};
pub use self::{
    credential::BadKeys,
    environment::AwsEnvironment,
    location::{BadBucket, S3Location},
};
use crate::{
    BadPrefix, Container, LargeCreate, Prefix,
    container::Account,
    crypto::OpenSsl,
    service::{Answers, Connector, Service},
};

/// Connections beside those of the uploads: for a listing, and for an object that is read.
const MORE_CONNECTIONS: usize = 4;
/// The region of whoever does not say, and of services that have none.
const REGION: &str = "us-east-1";
/// The least that a part may have: "Amazon S3 multipart upload limits".
const PART: usize = 5 << 20;

/// All that is needed to open a bucket.
pub struct S3Options {
    pub location: S3Location,
    pub environment: AwsEnvironment,
    /// Plain `http` is used on loopback only, whatever it says.
    pub transport: Transport,
    /// Objects that are on their way at once.
    pub max_concurrent_uploads: usize,
    pub meter: Arc<dyn Meter>,
}

/// The bucket cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("the address of the bucket is not usable")]
    Location(#[from] BadPrefix),
    #[error("`AWS_REGION` is not a region such as `eu-central-1`")]
    Region,
    #[error("the address of the service is not usable")]
    Endpoint(#[from] BadEndpoint),
    #[error("the credentials for the bucket cannot be used")]
    Credential(#[from] BadKeys),
    #[error("the object store cannot be set up")]
    Library(#[from] object_store::Error),
}

/// Prepares to use a bucket. Nothing is sent yet.
///
/// # Errors
///
/// [`S3Error`].
pub fn open(options: S3Options) -> Result<Container, S3Error> {
    let S3Options { location, environment, transport, max_concurrent_uploads, meter } = options;
    let at_once = max_concurrent_uploads.max(1);
    let transport = Transport { plain_http: PlainHttp::LoopbackOnly, ..transport };
    let prefix = Prefix::new(&location.prefix)?;
    let region = environment.region.clone().unwrap_or_else(|| REGION.to_owned());
    if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(S3Error::Region);
    }
    let address = address(&location.bucket, &region, environment.endpoint.as_deref());
    let endpoint = Endpoint::new(&address, transport.clone())?;
    let credentials = Credentials::new(&environment, &region, &transport)?;
    let connections = NonZeroUsize::MIN.saturating_add(at_once + MORE_CONNECTIONS);
    let place = format!("s3://{}", location.bucket);
    let judge = Judge(Answers { host: endpoint.name().to_owned(), place: place.clone() });
    let protocol = Arc::new(S3 { region: region.clone(), credentials, judge });
    let client = Client::new(endpoint, connections);
    let service = HttpClient::new(Service::new(client, Arc::clone(&protocol), meter));
    let s3 = AmazonS3Builder::new()
        .with_bucket_name(&location.bucket)
        .with_region(region)
        .with_endpoint(address)
        // The address names the bucket already.
        .with_virtual_hosted_style_request(true)
        .with_allow_http(true)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Not every service knows how to delete many at once.
        .with_disable_bulk_delete(true)
        .with_crypto_provider(Arc::new(OpenSsl))
        // The service does both.
        .with_skip_signature(true)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(Connector(service))
        .build()?;
    let objects = Arc::new(s3.clone());
    let container = Container::new(objects, place, prefix, at_once, LargeCreate::Conditional);
    let container = container.with_conditions_to_be_seen();
    Ok(container.with_block(PART).with_account(Bucket { protocol, s3 }))
}

/// The URL of the bucket, without a slash at the end. Amazon finds it by its name before that of
/// the host, unless a certificate could not cover that; other services have it in the path.
fn address(bucket: &str, region: &str, endpoint: Option<&str>) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    match endpoint {
        Some(endpoint) => {
            // As the library for URLs writes it: what is signed names the host in the same way.
            let endpoint = Url::parse(endpoint).map_or(endpoint.to_owned(), String::from);
            format!("{}/{bucket}", endpoint.trim_end_matches('/'))
        }
        None if bucket.contains('.') => format!("https://s3.{region}.{suffix}/{bucket}"),
        None => format!("https://{bucket}.s3.{region}.{suffix}"),
    }
}

struct Bucket {
    protocol: Arc<S3>,
    s3: AmazonS3,
}

#[async_trait]
impl Account for Bucket {
    fn credential(&self) -> Option<&'static str> {
        self.protocol.credentials.name()
    }

    async fn remove(&self, path: &Path) -> object_store::Result<()> {
        self.s3.delete(path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_follows_from_bucket_region_and_endpoint() {
        for (bucket, region, endpoint, expected) in [
            ("mail", "eu-west-1", None, "https://mail.s3.eu-west-1.amazonaws.com"),
            ("a.mail", "us-east-1", None, "https://s3.us-east-1.amazonaws.com/a.mail"),
            ("mail", "cn-north-1", None, "https://mail.s3.cn-north-1.amazonaws.com.cn"),
            ("mail", "x", Some("https://MinIO.example:443/"), "https://minio.example/mail"),
            ("mail", "x", Some("http://127.0.0.1:9000/at"), "http://127.0.0.1:9000/at/mail"),
        ] {
            assert_eq!(address(bucket, region, endpoint), expected);
        }
    }
}
