//! Tokens that this machine's surroundings hand out: a managed identity, the Azure CLI.

use std::{num::NonZeroUsize, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use chrono::Utc;
use net::{
    BadEndpoint, Call, Client, Egress, Endpoint, HeaderValue, Limits, Method, PlainHttp,
    StatusCode, Transport,
};
use record::{Chain, Secret};
use serde::Deserialize;
use tokio::{process::Command, time::timeout};
use url::{Host, Url, form_urlencoded};

use super::AzureEnvironment;

/// What tokens are for. It is the same in all clouds: "Authorize access to blobs using Microsoft
/// Entra ID".
const RESOURCE: &str = "https://storage.azure.com";
/// The metadata service of a virtual machine: "How to use managed identities for Azure resources
/// on an Azure VM to acquire an access token".
const METADATA: &str = "http://169.254.169.254";
/// A machine without a metadata service often does not refuse the connection.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(20);
/// The CLI is slow; the libraries of Azure give it as long.
const CLI: Duration = Duration::from_secs(13);
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// Life of a token that does not tell.
const UNTOLD_LIFE: Duration = Duration::from_secs(300);

/// Why there is no token.
pub(super) enum NoToken {
    /// This way does not exist here: another may.
    NotHere(String),
    /// It exists, and refuses.
    Refused(String),
    /// It exists, and cannot answer now.
    Later(String),
}

pub(super) type Token = (Secret, Duration);

/// A service that hands out tokens to whoever runs on this machine.
#[derive(Debug)]
pub(super) struct ManagedIdentity {
    client: Client,
    target: String,
    header: (&'static str, Secret),
    /// It may turn out not to exist.
    guessed: bool,
}

impl ManagedIdentity {
    pub(super) fn new(
        environment: &AzureEnvironment,
        transport: &Transport,
    ) -> Result<Self, BadEndpoint> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("resource", RESOURCE);
        if let Some(client) = &environment.client_id {
            query.append_pair("client_id", client);
        }
        let (url, header, guessed) = match &environment.identity_endpoint {
            Some(endpoint) => {
                query.append_pair("api-version", "2019-08-01");
                let secret = environment.identity_header.clone();
                let secret = secret.unwrap_or_else(|| Secret::from(String::new()));
                (endpoint.clone(), ("x-identity-header", secret), false)
            }
            None => {
                query.append_pair("api-version", "2018-02-01");
                let host = environment.metadata_host.as_deref().unwrap_or(METADATA);
                let url = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
                (url, ("metadata", Secret::from("true")), true)
            }
        };
        let parsed = Url::parse(&url)?;
        let endpoint = Endpoint::new(&url, local(transport, &parsed))?;
        let client = Client::new(endpoint, NonZeroUsize::MIN);
        let target = format!("{}?{}", parsed.path(), query.finish());
        Ok(Self { client, target, header, guessed })
    }

    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        let mut call = Call::new(Method::GET, self.target.clone());
        let (name, value) = &self.header;
        if let Ok(mut value) = HeaderValue::from_str(value.reveal()) {
            value.set_sensitive(true);
            call.headers.insert(*name, value);
        }
        let absent = |why: String| match self.guessed {
            true => NoToken::NotHere(why),
            false => NoToken::Later(why),
        };
        let mut reply =
            self.client.send(call).await.map_err(|err| absent(Chain(&err).to_string()))?;
        let status = reply.status;
        let body = reply.body.collect(MAX_ANSWER).await;
        let body = body.map_err(|err| NoToken::Later(Chain(&err).to_string()))?;
        if status == StatusCode::OK {
            return issued(&body).map_err(NoToken::Refused);
        }
        let why = format!("HTTP {}{}", status.as_u16(), told(&body));
        Err(match status {
            StatusCode::BAD_REQUEST if self.guessed => {
                NoToken::NotHere(format!("no identity is assigned to this machine ({why})"))
            }
            // Other clouds have a service at the same address, which knows nothing of this.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
                if self.guessed =>
            {
                NoToken::NotHere(format!("the metadata service is not that of Azure ({why})"))
            }
            StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::REQUEST_TIMEOUT => NoToken::Later(why),
            status if status.is_server_error() => NoToken::Later(why),
            _ => NoToken::Refused(why),
        })
    }
}

/// The way to a service of this machine: plain `http`, and to its address alone a link-local one.
fn local(transport: &Transport, url: &Url) -> Transport {
    let mut egress = Egress::clone(&transport.egress);
    let address = match url.host() {
        Some(Host::Ipv4(ip)) => Some(ip.to_string()),
        Some(Host::Ipv6(ip)) => Some(ip.to_string()),
        Some(Host::Domain(_)) | None => None,
    };
    egress.allow.extend(address.and_then(|address| address.parse().ok()));
    Transport {
        egress: Arc::new(egress),
        plain_http: PlainHttp::Everywhere,
        limits: Limits { connect: CONNECT, answer: ANSWER, ..transport.limits },
        ..transport.clone()
    }
}

#[derive(Deserialize)]
struct Issued {
    #[serde(alias = "accessToken")]
    access_token: Secret,
    #[serde(default)]
    expires_in: Option<Number>,
    /// Seconds since 1970; older services send a date, which is passed over.
    #[serde(default)]
    expires_on: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

impl Number {
    fn get(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

/// Reads a token. The error repeats nothing of the answer.
fn issued(body: &[u8]) -> Result<Token, String> {
    let issued: Issued = serde_json::from_slice(body)
        .map_err(|_| "the answer is not a JSON object with `access_token`".to_owned())?;
    let token = issued.access_token.reveal();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token is empty or has characters that no token has".to_owned());
    }
    #[expect(clippy::disallowed_methods, reason = "the answer names a time of day")]
    let now = Utc::now().timestamp();
    let until = |number: &Number| number.get().map(|at| at.saturating_sub(now));
    let life = issued.expires_in.as_ref().and_then(Number::get);
    let life = life.or_else(|| issued.expires_on.as_ref().and_then(until));
    let life = life.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    Ok((issued.access_token, life.unwrap_or(UNTOLD_LIFE)))
}

/// The `error` of an answer, if it looks like one.
fn told(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failed {
        error: String,
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match serde_json::from_slice::<Failed>(body) {
        Ok(Failed { error }) if error.len() <= 64 && error.bytes().all(good) => {
            format!(", `{error}`")
        }
        _ => String::new(),
    }
}

/// The program `az`, in which a person may have signed in.
#[derive(Debug)]
pub(super) struct AzureCli {
    program: PathBuf,
    tenant: Option<String>,
}

impl AzureCli {
    pub(super) fn new(environment: &AzureEnvironment) -> Self {
        let program = environment.azure_cli.clone().unwrap_or_else(|| "az".into());
        Self { program, tenant: environment.tenant_id.clone() }
    }

    pub(super) async fn token(&self) -> Result<Token, NoToken> {
        let mut command = Command::new(&self.program);
        command.args(["account", "get-access-token", "--output", "json", "--resource", RESOURCE]);
        if let Some(tenant) = &self.tenant {
            command.args(["--tenant", tenant]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = self.program.display();
        let output = match timeout(CLI, command.kill_on_drop(true).output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(err)) => return Err(NoToken::NotHere(format!("cannot start `{shown}`: {err}"))),
            Err(_) => {
                let why = format!("`{shown}` took longer than {} s", CLI.as_secs());
                return Err(NoToken::NotHere(why));
            }
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
            return Err(NoToken::NotHere(format!("`{shown}` failed: {line}")));
        }
        issued(&output.stdout).map_err(|why| NoToken::NotHere(format!("`{shown}`: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use net::{Tls, TlsSettings};
    use record::clock::SystemClock;

    use super::*;

    #[test]
    fn the_metadata_address_is_open_for_this_way_alone() {
        let transport = Transport {
            tls: Tls::new(&TlsSettings::default()).unwrap(),
            egress: Arc::default(),
            plain_http: PlainHttp::LoopbackOnly,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        };
        let [metadata, other] =
            ["169.254.169.254", "169.254.169.253"].map(|ip| ip.parse().unwrap());
        let local = local(&transport, &Url::parse(METADATA).unwrap());
        assert!(local.egress.allows(metadata) && !local.egress.allows(other));
        assert!(!transport.egress.allows(metadata));
    }

    #[test]
    fn life_of_a_token_is_read_in_every_spelling() {
        for (text, life) in [
            (r#"{"access_token":"t","expires_in":"3599"}"#, 3599),
            (r#"{"access_token":"t","expires_in":60,"expires_on":"1"}"#, 60),
            (r#"{"accessToken":"t","expiresOn":"2026-11-22 07:00:00.000000"}"#, 300),
            (r#"{"access_token":"t","expires_on":"11/22/2026 07:00:00 +00:00"}"#, 300),
        ] {
            let (_, found) = issued(text.as_bytes()).unwrap();
            assert_eq!(found, Duration::from_secs(life), "{text}");
        }
        assert!(issued(br#"{"access_token":"a b"}"#).is_err());
        assert!(!issued(br#"{"access_token":["canary"]}"#).unwrap_err().contains("canary"));
    }
}
