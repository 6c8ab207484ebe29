//! What an answer of S3 means: the one place that knows its codes.
//!
//! Spec: "Error responses" and "Conditional writes", Amazon S3 API Reference and User Guide.

use net::{HeaderMap, StatusCode};

use crate::{
    failure::{Failure, Reason},
    service::{Answers, Refused, Verdict, code_in_xml, is_code, shown},
};

const RIGHTS: &str = "The identity needs `s3:GetObject`, `s3:PutObject` and \
                      `s3:AbortMultipartUpload` on the objects, `s3:ListBucket` on the bucket, and \
                      for the contents of the platform `s3:DeleteObject`.";
const BUCKET: &str = "Create the bucket, or correct its name; nothing here creates one.";
const REGION: &str = "The bucket is in another region: set `AWS_REGION`.";
const CONDITIONS: &str = "The service does not know conditional writes (`If-None-Match`), without \
                          which two processes could overwrite each other. Use one that does.";
const LOCK: &str = "An object lock or a retention rule protects the object.";

/// Judges the answers about one bucket.
#[derive(Debug)]
pub(super) struct Judge(pub(super) Answers);

impl Judge {
    pub(super) fn verdict(&self, refused: &Refused<'_>) -> Verdict {
        let Refused { status, headers, body, .. } = *refused;
        let code = code_in_xml(body).filter(|code| is_code(code)).unwrap_or_default();
        match (status, code) {
            // The answer to a HEAD has no code.
            (StatusCode::NOT_FOUND, "" | "NoSuchKey" | "NoSuchUpload") => Verdict::Known(status),
            (StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED, _) => {
                Verdict::Known(status)
            }
            (_, "NoSuchBucket") => self.0.denied(status, code, Some(BUCKET)),
            // They may be replaced by now.
            (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")
            | (StatusCode::UNAUTHORIZED, _) => Verdict::Unauthorized(self.refused(status, code)),
            (
                _,
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "RequestTimeTooSkewed"
                | "InvalidToken"
                | "InvalidSecurity"
                | "AuthorizationQueryParametersError",
            ) => Verdict::Failed(self.refused(status, code)),
            (
                _,
                "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraint",
            )
            | (StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT, _) => {
                self.elsewhere(status, code, headers)
            }
            (StatusCode::FORBIDDEN, "ObjectLocked" | "AccessDeniedByObjectLock") => {
                self.0.denied(status, code, Some(LOCK))
            }
            (StatusCode::FORBIDDEN, _) => self.0.denied(status, code, Some(RIGHTS)),
            (StatusCode::NOT_IMPLEMENTED, _) => self.0.denied(status, code, Some(CONDITIONS)),
            // Somebody writes the same object at this moment, or removes it.
            (StatusCode::CONFLICT, "ConditionalRequestConflict" | "OperationAborted")
            | (StatusCode::REQUEST_TIMEOUT, _)
            | (StatusCode::BAD_REQUEST, "RequestTimeout" | "IncompleteBody") => {
                self.0.unavailable(status, code)
            }
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _)
            | (_, "SlowDown") => self.0.throttled(),
            (status, _) if status.is_server_error() => self.0.unavailable(status, code),
            _ => self.0.denied(status, code, None),
        }
    }

    /// Repeats nothing of the answer: it can hold the text that was to be signed.
    fn refused(&self, status: StatusCode, code: &str) -> Failure {
        let what = match code {
            "RequestTimeTooSkewed" => "check the clock of this machine",
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                "the session token has ended: set new keys"
            }
            _ => {
                "check `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, and \
                  that they are meant for this service"
            }
        };
        let cause = Reason::new(format!("{}: {what}", shown(status, code)));
        Failure::Unauthorized { host: self.0.host.clone(), cause }
    }

    fn elsewhere(&self, status: StatusCode, code: &str, headers: &HeaderMap) -> Verdict {
        let region = headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        let looks_good =
            |region: &&str| region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let hint = region.filter(looks_good).map(|region| format!("{REGION} It is `{region}`."));
        self.0.denied(status, code, Some(hint.as_deref().unwrap_or(REGION)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, code: &str) -> String {
        let judge = Judge(Answers { host: "s3.example.net".into(), place: "s3://mail".into() });
        let status = StatusCode::from_u16(status).unwrap();
        let body = format!("<Error><Code>{code}</Code></Error>");
        let headers = HeaderMap::from_iter([(
            net::HeaderName::from_static("x-amz-bucket-region"),
            net::HeaderValue::from_static("eu-west-1"),
        )]);
        let body = body.as_bytes();
        match judge.verdict(&Refused { status, headers: &headers, body, creates: false }) {
            Verdict::Known(status) => format!("known {}", status.as_u16()),
            Verdict::Unauthorized(_) => "renew".into(),
            Verdict::Later(failure) => format!("later: {failure}"),
            Verdict::Failed(failure) => {
                format!("failed: {failure} {}", failure.hint().unwrap_or_default())
            }
        }
    }

    #[test]
    fn every_code_has_its_consequence() {
        for (status, code, expected) in [
            (404, "NoSuchKey", "known 404"),
            (404, "", "known 404"),
            (412, "PreconditionFailed", "known 412"),
            (404, "NoSuchBucket", "failed: `s3://mail` does not take what is sent (HTTP 404 NoSu"),
            (403, "SignatureDoesNotMatch", "failed: `s3.example.net` refused the credentials"),
            (400, "ExpiredToken", "renew"),
            (409, "ConditionalRequestConflict", "later: `s3.example.net` cannot answer now (HTT"),
            (503, "SlowDown", "later: `s3.example.net` asked for a pause"),
            (500, "InternalError", "later: `s3.example.net` cannot answer now (HTTP 500 Intern"),
            (403, "AccessDenied", "failed: `s3://mail` does not take what is sent (HTTP 403 Acces"),
            (501, "NotImplemented", "failed: `s3://mail` does not take what is sent (HTTP 501"),
        ] {
            let found = verdict(status, code);
            assert!(found.starts_with(expected), "{status} {code}: {found}");
        }
        let elsewhere = verdict(301, "PermanentRedirect");
        assert!(elsewhere.ends_with("set `AWS_REGION`. It is `eu-west-1`."), "{elsewhere}");
    }
}
