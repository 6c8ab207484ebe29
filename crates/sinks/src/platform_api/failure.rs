//! What an answer of the platform means, and what becomes of it at the seam.
//!
//! The one place that knows a status code of the platform.

use std::{sync::Arc, time::Duration};

use net::NetError;
use record::{Secret, SinkError};
use serde::Deserialize;

/// Longest part of a message of the platform that is repeated.
const MAX_DETAIL: usize = 200;

/// A request was not granted. Clones go to all whose state waited for the same request.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// No complete answer came: it may have been carried out or not.
    Lost(NetError),
    /// A pause is asked for.
    Throttled(Option<Duration>),
    /// It cannot at the moment, whatever it is sent.
    Overloaded(u16),
    /// It stumbled, perhaps over what it was sent.
    Broken(u16),
    /// A success without the words of a success, or a refusal without the words of one: a proxy,
    /// a gateway whose servers are away, a login page.
    NotThePlatform(u16),
    Unauthorized,
    /// The operator has to act.
    Denied {
        status: u16,
        detail: String,
    },
    /// No such bucket, state or configuration.
    Missing {
        detail: String,
    },
    /// The content is not acceptable.
    Rejected {
        status: u16,
        detail: String,
    },
    /// `own` tells whether the platform says so, or something before it.
    TooLarge {
        own: bool,
        detail: String,
    },
    /// It does not take compressed bodies.
    Unsupported {
        detail: String,
    },
    /// Somebody else has changed what was to be replaced.
    Changed,
}

/// What the platform says beside the status.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Words {
    status: String,
    message: String,
}

impl Failure {
    /// Reads an answer: nothing if it grants the request.
    pub(super) fn of_answer(
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
        token: &Secret,
    ) -> Result<(), Self> {
        let words: Option<Words> = serde_json::from_slice(body).ok();
        let said = words.as_ref().map(|words| words.message.as_str()).unwrap_or_default();
        let detail = || clean(status, said, token);
        let says = |word: &str| words.as_ref().is_some_and(|words| words.status == word);
        let own = says("error");
        Err(match status {
            200..=299 if says("ok") => return Ok(()),
            200..=299 => Self::NotThePlatform(status),
            401 => Self::Unauthorized,
            // Others are believed about what has no meaning but theirs: a size, a pause.
            400 | 402..=407 | 409..=411 | 414 | 416..=428 | 430..=499 if !own => {
                Self::NotThePlatform(status)
            }
            404 => Self::Missing { detail: detail() },
            408 => Self::Overloaded(status),
            409 => Self::Broken(status),
            412 => Self::Changed,
            413 => Self::TooLarge { own, detail: detail() },
            415 => Self::Unsupported { detail: detail() },
            400 | 422 => Self::Rejected { status, detail: detail() },
            429 => Self::Throttled(retry_after),
            503 if retry_after.is_some() => Self::Throttled(retry_after),
            503 => Self::Overloaded(status),
            500.. => Self::Broken(status),
            _ => Self::Denied { status, detail: detail() },
        })
    }

    /// The body could not be read on this machine.
    pub(super) fn local(host: &str, cause: std::io::Error) -> Self {
        Self::Lost(NetError::Unreachable { host: host.to_owned(), cause: Arc::new(cause) })
    }

    /// Whether the same request may be granted later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Lost(err) => !is_lasting(err),
            Self::Throttled(_)
            | Self::Overloaded(_)
            | Self::Broken(_)
            | Self::NotThePlatform(_) => true,
            _ => false,
        }
    }

    /// Whether the platform itself says that it stumbled. A gateway that finds nobody, a time-out
    /// and a cut connection say nothing about an email.
    pub(super) fn blames_the_email(&self) -> bool {
        matches!(self, Self::Broken(500 | 409))
    }

    /// Whether a smaller request may be granted.
    pub(super) fn may_be_the_content(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Lost(err) => !is_lasting(err),
            _ => false,
        }
    }

    /// The same for a remote configuration, which needs other permissions.
    pub(super) fn into_config_error(self, host: &str, place: &str) -> SinkError {
        match self {
            Self::Missing { detail } => SinkError::Denied {
                place: place.to_owned(),
                detail,
                hint: Some(
                    "Upload the configuration, or check `--remote-config-owner` and \
                     `--remote-config-key`."
                        .to_owned(),
                ),
            },
            other => other.into_sink_error(host, place, "the permission `appliance-config-read`"),
        }
    }

    pub(super) fn into_sink_error(self, host: &str, place: &str, need: &str) -> SinkError {
        let host = host.to_owned();
        let denied = |detail: String, hint: String| SinkError::Denied {
            place: place.to_owned(),
            detail,
            hint: Some(hint),
        };
        match self {
            Self::Lost(err) if is_lasting(&err) => {
                let hint = err.hint().map(str::to_owned);
                let detail = record::Chain(&err).to_string();
                SinkError::Denied { place: host, detail, hint }
            }
            Self::Lost(err) => SinkError::Unreachable { host, cause: Box::new(err) },
            Self::Throttled(retry_after) => SinkError::Throttled { host, retry_after },
            Self::Overloaded(code) | Self::Broken(code) => {
                SinkError::Unavailable { host, code: code.to_string() }
            }
            Self::NotThePlatform(status) => SinkError::Unavailable {
                host,
                code: format!("{status}, not the answer of the platform"),
            },
            Self::Unauthorized => SinkError::Unauthorized { host, cause: None },
            Self::Missing { detail } => denied(
                detail,
                format!("Create the bucket, or give the token's user {need} in its project."),
            ),
            Self::Denied { status: 403, detail } => {
                denied(detail, format!("Give the token's user {need} in the bucket's project."))
            }
            Self::Denied { status: 300..=399, detail } => denied(
                detail,
                "Check the API endpoint: it must be `https` and end in `/api/`; redirects are \
                 not followed."
                    .to_owned(),
            ),
            Self::Denied { detail, .. }
            | Self::Rejected { detail, .. }
            | Self::TooLarge { detail, .. }
            | Self::Unsupported { detail } => {
                denied(detail, "Check the API endpoint and the bucket.".to_owned())
            }
            Self::Changed => SinkError::Unavailable { host, code: "412".to_owned() },
        }
    }
}

/// Waiting does not help: the configuration is wrong, or the answer is too large.
fn is_lasting(err: &NetError) -> bool {
    matches!(err, NetError::Tls { .. } | NetError::Blocked { .. } | NetError::TooLarge { .. })
}

/// Status and message in one line, without what must not be shown.
fn clean(status: u16, said: &str, token: &Secret) -> String {
    let said = said.replace(token.reveal(), "***");
    let said: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect();
    if said.trim().is_empty() { status.to_string() } else { format!("{status}: {}", said.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_says_is_short_and_without_the_token() {
        let token = Secret::from("canary");
        let said = format!(r#"{{"status":"error","message":"bad canary\n{}"}}"#, "x".repeat(500));
        let failure = Failure::of_answer(403, None, said.as_bytes(), &token).unwrap_err();
        let error = failure.into_sink_error("h", "bucket a/b", "the permission `p`");
        let text = format!("{error} {error:?}");
        assert!(text.contains("bad *** x") && !text.contains("canary"), "{text}");
        assert!(text.len() < 700, "{text}");
    }

    #[test]
    fn a_redirect_points_to_the_endpoint() {
        let failure = Failure::of_answer(302, None, b"", &Secret::from("t")).unwrap_err();
        let error = failure.into_sink_error("h", "bucket a/b", "");
        assert!(error.hint().unwrap().starts_with("Check the API endpoint"), "{:?}", error.hint());
    }
}
