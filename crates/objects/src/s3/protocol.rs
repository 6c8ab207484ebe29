//! Requests of S3: how they are called, signed and judged.

use std::{fmt, sync::Arc};

use hyper::http::request::Parts;
use net::Method;
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::HttpRequest,
};
use openssl::sha::sha256;

use super::{answer::Judge, credential::Credentials};
use crate::{
    Failure,
    crypto::OpenSsl,
    service::{Protocol, Refused, Verdict},
};

const COMPLETE: &str = "CompleteMultipartUpload";

pub(super) struct S3 {
    pub(super) region: String,
    pub(super) credentials: Credentials,
    pub(super) judge: Judge,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("judge", &self.judge).finish_non_exhaustive()
    }
}

impl Protocol for S3 {
    type Credential = AwsCredential;

    async fn credential(&self, host: &str) -> Result<Arc<AwsCredential>, Failure> {
        self.credentials.get(host).await
    }

    async fn renew(&self, refused: &AwsCredential) -> bool {
        self.credentials.renew(refused).await
    }

    /// Spec: "Amazon S3 Actions", Amazon S3 API Reference.
    fn operation(&self, parts: &Parts) -> &'static str {
        let query = parts.uri.query().unwrap_or_default();
        let part = |wanted: &str| query.split('&').any(|part| part.starts_with(wanted));
        match parts.method {
            Method::GET if part("list-type=") => "ListObjectsV2",
            Method::GET => "GetObject",
            Method::HEAD => "HeadObject",
            Method::PUT if part("partNumber=") => "UploadPart",
            Method::PUT => "PutObject",
            Method::POST if part("uploadId=") => COMPLETE,
            Method::POST if part("uploads") => "CreateMultipartUpload",
            Method::DELETE if part("uploadId=") => "AbortMultipartUpload",
            Method::DELETE => "DeleteObject",
            _ => "Other",
        }
    }

    /// The library has no condition for what it makes of parts, and we never replace anything by that.
    fn creates(&self, parts: &Parts) -> bool {
        self.operation(parts) == COMPLETE
    }

    fn sign(
        &self,
        request: &mut HttpRequest,
        payload: &[u8],
        credential: &AwsCredential,
    ) -> object_store::Result<()> {
        AwsAuthorizer::new(credential, "s3", &self.region)
            .with_crypto(&OpenSsl)
            .try_authorize(request, Some(&sha256(payload)))
    }

    fn may_hide_failure(&self, operation: &'static str) -> bool {
        operation == COMPLETE
    }

    fn verdict(&self, refused: &Refused<'_>) -> Verdict {
        self.judge.verdict(refused)
    }
}
