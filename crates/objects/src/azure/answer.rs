//! What an answer of the Blob service means: the one place that knows its codes.
//!
//! Spec: "Status and error codes" and "Blob service error codes" of the Azure Storage reference.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use net::{HeaderMap, StatusCode};
use record::Clock;

use crate::{
    failure::{Failure, Reason},
    service::{Answers, Verdict, code_in_xml, is_code, shown},
};

const ROLE: &str = "Give the identity the role `Storage Blob Data Contributor` on the container or \
                    the account; it can take some minutes until a new role works. A shared access \
                    signature needs the rights read, add, create, write and list, and \
                    for the contents of the platform delete.";
const CONTAINER: &str = "Create the container, or correct its address; the account is not told to \
                         create one.";
const LEASE: &str = "Somebody holds a lease on a blob; break it. Nothing in this program takes \
                     leases.";
const FIREWALL: &str = "The account's network rules or the rights of the shared access signature \
                        forbid it: allow this machine's address or a private endpoint, and check \
                        the rights.";
const IMMUTABLE: &str = "An immutability policy or a legal hold protects the blob. It may cover \
                         `data/*.eml`, but state and `.json` files have to be replaced.";

/// Judges the answers of one container.
pub(super) struct Judge {
    pub(super) answers: Answers,
    pub(super) sas_ends_at: Option<DateTime<Utc>>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The code of a failure: a header, and an element of the body.
pub(super) fn error_code<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let header = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
    header.or_else(|| code_in_xml(body)).filter(|code| is_code(code))
}

impl Judge {
    pub(super) fn verdict(
        &self,
        status: StatusCode,
        code: Option<&str>,
        body: &[u8],
        creates: bool,
    ) -> Verdict {
        let code = code.unwrap_or_default();
        match status {
            StatusCode::NOT_MODIFIED => Verdict::Known(status),
            // Anything else is missing than the blob, and must not pass for an empty state.
            StatusCode::NOT_FOUND if code == "BlobNotFound" => Verdict::Known(status),
            StatusCode::NOT_FOUND if code == "ContainerNotFound" => {
                self.answers.denied(status, code, Some(CONTAINER))
            }
            StatusCode::CONFLICT if code == "BlobAlreadyExists" => Verdict::Known(status),
            StatusCode::CONFLICT if code.starts_with("Container") => {
                self.answers.denied(status, code, Some(CONTAINER))
            }
            StatusCode::CONFLICT if code.starts_with("BlobImmutable") => {
                self.answers.denied(status, code, Some(IMMUTABLE))
            }
            // A lease is only on what exists.
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED
                if creates && code.starts_with("Lease") =>
            {
                Verdict::Known(StatusCode::CONFLICT)
            }
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED if code.starts_with("Lease") => {
                self.answers.denied(status, code, Some(LEASE))
            }
            StatusCode::PRECONDITION_FAILED if code.ends_with("ConditionNotMet") => {
                Verdict::Known(status)
            }
            StatusCode::UNAUTHORIZED => Verdict::Unauthorized(self.refused(status, code, body)),
            StatusCode::FORBIDDEN => self.forbidden(status, code, body),
            // The blocks that others have uploaded to the same name can take ours with them.
            StatusCode::BAD_REQUEST if code == "InvalidBlockList" => {
                self.answers.unavailable(status, code)
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                self.answers.throttled()
            }
            StatusCode::REQUEST_TIMEOUT => self.answers.unavailable(status, code),
            status if status.is_server_error() => self.answers.unavailable(status, code),
            _ => self.answers.denied(status, code, None),
        }
    }

    fn forbidden(&self, status: StatusCode, code: &str, body: &[u8]) -> Verdict {
        match code {
            // Not every service says that this is why.
            _ if self.sas_ended() => Verdict::Failed(self.refused(status, code, body)),
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => {
                Verdict::Failed(self.refused(status, code, body))
            }
            "AuthorizationFailure" | "AuthorizationSourceIPMismatch" => {
                self.answers.denied(status, code, Some(FIREWALL))
            }
            "KeyBasedAuthenticationNotPermitted" => {
                let hint = "The account takes no account key: use a client secret, a certificate, \
                            a workload identity or a managed identity.";
                self.answers.denied(status, code, Some(hint))
            }
            "AccountIsDisabled" => self.answers.denied(status, code, None),
            _ => self.answers.denied(status, code, Some(ROLE)),
        }
    }

    fn sas_ended(&self) -> bool {
        self.sas_ends_at.is_some_and(|at| at <= self.clock.now())
    }

    /// Repeats nothing of the answer: it can hold the text that was to be signed.
    fn refused(&self, status: StatusCode, code: &str, body: &[u8]) -> Failure {
        let text = String::from_utf8_lossy(body);
        let untimely = self.sas_ended() || text.contains("not valid in the specified time frame");
        let cause = match (self.sas_ends_at, untimely) {
            (Some(at), true) => format!(
                "the shared access signature is not valid now; it ends at {}: issue a new one, or \
                 check the clock of this machine",
                at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            (None, true) => "the signature is not valid now: issue a new one, or check the clock \
                             of this machine"
                .to_owned(),
            (Some(_), false) => format!("the shared access signature is wrong ({code})"),
            (None, false) => format!(
                "{}: check the key or the identity, the name of the account, and the clock of \
                 this machine",
                shown(status, code)
            ),
        };
        Failure::Unauthorized { host: self.answers.host.clone(), cause: Reason::new(cause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, code: &str, creates: bool) -> String {
        let judge = Judge {
            answers: Answers {
                host: "account.blob.example.net".into(),
                place: "az://account/emails".into(),
            },
            sas_ends_at: None,
            clock: Arc::new(record::clock::SystemClock),
        };
        let status = StatusCode::from_u16(status).unwrap();
        match judge.verdict(status, Some(code), b"", creates) {
            Verdict::Known(status) => format!("known {}", status.as_u16()),
            Verdict::Unauthorized(_) => "renew".into(),
            Verdict::Later(failure) => format!("later: {failure}"),
            Verdict::Failed(failure) => format!("failed: {failure}"),
        }
    }

    #[test]
    fn every_code_has_its_consequence() {
        for (status, code, creates, expected) in [
            (404, "BlobNotFound", false, "known 404"),
            (404, "", false, "failed: `az://account/emails` does not take what is sent (HTTP 404)"),
            (409, "BlobAlreadyExists", true, "known 409"),
            (412, "ConditionNotMet", false, "known 412"),
            (412, "LeaseIdMissing", true, "known 409"),
            (401, "InvalidAuthenticationInfo", false, "renew"),
            (
                403,
                "AuthenticationFailed",
                false,
                "failed: `account.blob.example.net` refused the credentials",
            ),
            (503, "ServerBusy", false, "later: `account.blob.example.net` asked for a pause"),
            (
                500,
                "OperationTimedOut",
                false,
                "later: `account.blob.example.net` cannot answer now (HTTP 500 OperationTimedOut)",
            ),
            (
                409,
                "ContainerBeingDeleted",
                true,
                "failed: `az://account/emails` does not take what is sent (HTTP 409 \
                 ContainerBeingDeleted)",
            ),
        ] {
            assert_eq!(verdict(status, code, creates), expected, "{status} {code}");
        }
    }
}
