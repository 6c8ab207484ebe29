//! What a token endpoint answers.

use std::time::Duration;

use hyper::StatusCode;
use record::Secret;
use serde::Deserialize;

use crate::{NetError, error::Reason};

/// Spec: RFC 6749 §5.1.
#[derive(Deserialize)]
struct Issued {
    access_token: Secret,
    expires_in: Seconds,
    token_type: Option<String>,
}

/// Older endpoints write the number as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

/// Spec: RFC 6749 §5.2; `error_codes` is Microsoft's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Failed {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
}

/// Longest life believed. Longer ones would overflow the clock of some systems.
const MAX_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

/// The token and its life. Errors repeat nothing of the reply.
pub(super) fn token(body: &[u8]) -> Result<(Secret, Duration), Reason> {
    let issued: Issued = serde_json::from_slice(body)
        .map_err(|_| Reason("it is not a JSON object with `access_token` and `expires_in`"))?;
    if issued.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("Bearer")) {
        return Err(Reason("the token is of another type than `Bearer`"));
    }
    let token = issued.access_token.reveal();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Reason("the token is empty or has characters that no token has"));
    }
    let seconds = match issued.expires_in {
        Seconds::Number(seconds) => Some(seconds),
        Seconds::Text(text) => text.trim().parse().ok(),
    };
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let life = life.ok_or(Reason("`expires_in` is not a number of seconds"))?;
    Ok((issued.access_token, life.min(MAX_LIFE)))
}

/// Whether it is worth trying again, and what to do if not.
pub(super) fn failure(
    host: &str,
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
) -> NetError {
    let failed: Failed = serde_json::from_slice(body).unwrap_or_default();
    let aadsts = failed.error_codes.first().copied().or_else(|| number(&failed.error_description));
    let code = match (error_name(&failed.error), aadsts) {
        (Some(name), Some(number)) => format!("{name}, AADSTS{number}"),
        (Some(name), None) => name.to_owned(),
        (None, _) => format!("HTTP {}", status.as_u16()),
    };
    let host = host.to_owned();
    let later = status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
        || matches!(
            failed.error.as_str(),
            "temporarily_unavailable" | "server_error" | "slow_down"
        );
    if later {
        NetError::TokenUnavailable { host, code, retry_after }
    } else {
        let hint = aadsts.and_then(aadsts_hint).or_else(|| error_hint(&failed.error));
        let hint = hint.or(match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Some("There is no token endpoint at this address; check the authority URL.")
            }
            _ => None,
        });
        NetError::TokenRefused { host, code, hint }
    }
}

/// The error's name if it looks like one: the text comes from outside and goes into messages.
fn error_name(name: &str) -> Option<&str> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(good)).then_some(name)
}

/// The number in `AADSTS7000215: …`.
fn number(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once("AADSTS")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Spec: "Microsoft Entra authentication and authorization error codes".
fn aadsts_hint(code: u64) -> Option<&'static str> {
    Some(match code {
        7_000_215 => {
            "The client secret is wrong; use the secret's value, not its id, from the app \
             registration."
        }
        7_000_222 => "The client secret has expired; add a new one to the app registration.",
        700_027 => {
            "The authority does not know the certificate; compare the thumbprint with the app \
             registration, and see that it belongs to the private key."
        }
        700_024 => "The assertion is not valid at this time; check the clock of this machine.",
        700_016 => "The authority does not know the client id; check it, and the tenant.",
        90_002 | 900_023 => "The authority does not know the tenant; check the authority URL.",
        1_002_012 | 70_011 | 500_011 => {
            "The scope is not known in this tenant; it ends in `/.default`, and each national \
             cloud has its own."
        }
        53_003 => "Conditional Access forbids the sign-in; ask the administrator of the tenant.",
        7_000_112 => "The app is disabled in this tenant; ask its administrator.",
        _ => return None,
    })
}

fn error_hint(error: &str) -> Option<&'static str> {
    Some(match error {
        "invalid_client" => "Check client id, client secret or certificate of the registration.",
        "unauthorized_client" => "Check that the app is registered in this tenant.",
        "invalid_scope" => "Check the scope; for client credentials it ends in `/.default`.",
        "invalid_request" | "invalid_grant" => "Check authority, client id and scope.",
        _ => return None,
    })
}
