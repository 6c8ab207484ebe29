//! Requests of the Blob service: how they are called, signed and judged.

use std::{fmt, sync::Arc};

use hyper::http::request::Parts;
use net::Method;
use object_store::{
    azure::{AzureAuthorizer, AzureCredential},
    client::HttpRequest,
};

use super::{
    answer::{Judge, error_code},
    credential::Credentials,
};
use crate::{
    Failure,
    crypto::OpenSsl,
    service::{Protocol, Refused, Verdict},
    upload::CreateOnly,
};

pub(super) struct BlobService {
    pub(super) account: String,
    pub(super) credentials: Credentials,
    pub(super) judge: Judge,
}

impl fmt::Debug for BlobService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobService").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Protocol for BlobService {
    type Credential = AzureCredential;

    async fn credential(&self, host: &str) -> Result<Arc<AzureCredential>, Failure> {
        self.credentials.get(host).await
    }

    async fn renew(&self, refused: &AzureCredential) -> bool {
        self.credentials.renew(refused).await
    }

    /// Spec: "Operations on the Blob service", Azure Storage reference.
    fn operation(&self, parts: &Parts) -> &'static str {
        let query = parts.uri.query().unwrap_or_default();
        let part = |wanted: &str| query.split('&').any(|part| part == wanted);
        match parts.method {
            Method::GET if part("comp=list") => "ListBlobs",
            Method::GET => "GetBlob",
            Method::HEAD => "GetBlobProperties",
            Method::PUT if part("comp=block") => "PutBlock",
            Method::PUT if part("comp=blocklist") => "PutBlockList",
            Method::PUT => "PutBlob",
            Method::DELETE => "DeleteBlob",
            _ => "Other",
        }
    }

    fn creates(&self, parts: &Parts) -> bool {
        parts.extensions.get::<CreateOnly>().is_some()
    }

    fn sign(
        &self,
        request: &mut HttpRequest,
        _: &[u8],
        credential: &AzureCredential,
    ) -> object_store::Result<()> {
        AzureAuthorizer::new(credential, &self.account).with_crypto(&OpenSsl).try_authorize(request)
    }

    fn may_hide_failure(&self, _: &'static str) -> bool {
        false
    }

    fn verdict(&self, refused: &Refused<'_>) -> Verdict {
        let code = error_code(refused.headers, refused.body);
        self.judge.verdict(refused.status, code, refused.body, refused.creates)
    }
}
