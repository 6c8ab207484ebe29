//! Who signs in: the order in which ways are tried, and the token that is in use.
//!
//! The order is that of `DefaultAzureCredential` in Azure's libraries, with a key or a shared access
//! signature in front: environment, workload identity, managed identity, Azure CLI. What is
//! configured in the environment is decisive: if it is refused, nothing else is tried, so that no
//! emails go out under an identity that nobody meant.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use net::{
    BadEndpoint, NetError, TokenSource, Transport,
    oauth::{ClientCredentials, Proof},
};
use object_store::azure::AzureCredential;
use record::{Chain, Secret};
use tokio::{sync::Mutex, time::Instant};

use super::{
    AzureEnvironment,
    account::Fixed,
    certificate,
    identity::{AzureCli, ManagedIdentity, NoToken},
};
use crate::failure::{Failure, Reason};

const AUTHORITY: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://storage.azure.com/.default";
/// A token is renewed this long before it ends.
const MARGIN: Duration = Duration::from_secs(300);
/// For this long, a failure stands for those that wait behind it.
const PAUSE: Duration = Duration::from_secs(5);

/// The credentials in the environment are incomplete or unreadable.
#[derive(Debug, thiserror::Error)]
pub enum BadCredential {
    #[error("{0}")]
    Certificate(String),
    #[error("`AZURE_CLIENT_ID` and `AZURE_TENANT_ID` have to be set with `{0}`")]
    Incomplete(&'static str),
    #[error("the address of the authority is not usable")]
    Authority(#[source] BadEndpoint),
    #[error("the address in `IDENTITY_ENDPOINT` is not usable")]
    Identity(#[source] BadEndpoint),
}

/// A way to a token.
#[derive(Debug)]
enum Way {
    Entra(Arc<TokenSource>),
    ManagedIdentity(ManagedIdentity),
    Cli(AzureCli),
}

/// Signs requests to the account, or says why that is not possible.
pub(super) struct Credentials {
    fixed: Option<Fixed>,
    ways: Vec<(&'static str, Way)>,
    /// What signs in, once it is told.
    told: OnceLock<&'static str>,
    /// Locked while a token is asked for, so that there is one request however many wait.
    state: Mutex<State>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.ways.iter().map(|(name, _)| name).collect();
        f.debug_struct("Credentials").field("fixed", &self.fixed).field("ways", &names).finish()
    }
}

#[derive(Default)]
struct State {
    /// Index of the way that works.
    chosen: Option<usize>,
    token: Option<(Secret, Instant)>,
    failure: Option<(Failure, Instant)>,
}

impl Credentials {
    pub(super) fn new(
        fixed: Option<Fixed>,
        environment: &AzureEnvironment,
        transport: &Transport,
    ) -> Result<Self, BadCredential> {
        let mut ways = Vec::new();
        if fixed.is_none() {
            match entra(environment, transport)? {
                Some(way) => ways.push(way),
                None => {
                    let managed = ManagedIdentity::new(environment, transport);
                    let managed = managed.map_err(BadCredential::Identity)?;
                    ways.push(("the managed identity", Way::ManagedIdentity(managed)));
                    ways.push(("the Azure CLI", Way::Cli(AzureCli::new(environment))));
                }
            }
        }
        Ok(Self { fixed, ways, told: OnceLock::new(), state: Mutex::default() })
    }

    /// What signs the next request to `host`.
    pub(super) async fn get(&self, host: &str) -> Result<Arc<AzureCredential>, Failure> {
        if let Some(fixed) = &self.fixed {
            self.tell(host, fixed.name);
            return Ok(Arc::clone(&fixed.credential));
        }
        let mut state = self.state.lock().await;
        let bearer =
            |token: &Secret| Arc::new(AzureCredential::BearerToken(token.reveal().to_owned()));
        let now = Instant::now();
        if let Some((token, _)) = state.token.as_ref().filter(|(_, renew_at)| now < *renew_at) {
            return Ok(bearer(token));
        }
        if let Some((failure, _)) = state.failure.as_ref().filter(|(_, until)| now < *until) {
            return Err(failure.clone());
        }
        match self.ask(&mut state, host).await {
            Ok(token) => Ok(bearer(&token)),
            Err(failure) => {
                state.failure = Some((failure.clone(), Instant::now() + PAUSE));
                Err(failure)
            }
        }
    }

    /// Forgets the token of `refused`, which the account did not take. `false`: there is no other.
    pub(super) async fn renew(&self, refused: &AzureCredential) -> bool {
        let AzureCredential::BearerToken(refused) = refused else { return false };
        let mut state = self.state.lock().await;
        state.token.take_if(|(token, _)| token.reveal() == refused);
        match state.chosen.and_then(|chosen| self.ways.get(chosen)) {
            Some((_, Way::Entra(tokens))) => {
                tokens.renew(&Secret::from(refused.as_str())).await.is_ok()
            }
            _ => true,
        }
    }

    /// When a shared access signature ends, for messages.
    pub(super) fn ends_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.fixed.as_ref()?.ends_at
    }

    /// What signs in, once that is known.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.told.get().copied()
    }

    fn tell(&self, host: &str, name: &'static str) {
        if self.told.set(name).is_ok() {
            tracing::info!(storage.host = %host, credential = name,
                "Signs in to `{host}` with {name}");
        }
    }

    async fn ask(&self, state: &mut State, host: &str) -> Result<Secret, Failure> {
        let mut tried = Vec::new();
        for (at, (name, way)) in self.ways.iter().enumerate() {
            if state.chosen.is_some_and(|chosen| chosen != at) {
                continue;
            }
            let result = match way {
                // It keeps its token itself, and renews it in time.
                Way::Entra(tokens) => {
                    tokens.token().await.map(|token| (token, Duration::ZERO)).map_err(no_token)
                }
                Way::ManagedIdentity(identity) => identity.token().await,
                Way::Cli(cli) => cli.token().await,
            };
            match result {
                Ok((token, life)) => {
                    state.chosen = Some(at);
                    self.tell(host, name);
                    let renew_at = Instant::now() + (life - MARGIN.min(life / 2));
                    state.token = Some((token.clone(), renew_at));
                    return Ok(token);
                }
                // What has worked before is here.
                Err(NoToken::NotHere(why)) if state.chosen.is_none() => {
                    tried.push(format!("{name}: {why}"));
                }
                Err(NoToken::Refused(why)) => return Err(unauthorized(host, name, &why)),
                Err(NoToken::Later(why) | NoToken::NotHere(why)) => {
                    let cause = Reason::new(format!("{name} gives no token now: {why}"));
                    return Err(Failure::Unreachable { host: host.to_owned(), cause });
                }
            }
        }
        let hint = "no key, shared access signature or client secret is in the environment";
        let cause = Reason::new(format!("{hint}, and {}", tried.join("; ")));
        Err(Failure::Unauthorized { host: host.to_owned(), cause })
    }
}

fn unauthorized(host: &str, name: &str, why: &str) -> Failure {
    let cause = Reason::new(format!("{name} is refused: {why}"));
    Failure::Unauthorized { host: host.to_owned(), cause }
}

fn no_token(err: NetError) -> NoToken {
    let hint = err.hint().map_or(String::new(), |hint| format!(". {hint}"));
    let why = format!("{}{hint}", Chain(&err));
    match err {
        NetError::TokenRefused { .. } | NetError::Crypto { .. } => NoToken::Refused(why),
        _ => NoToken::Later(why),
    }
}

/// The app registration that the environment names, if it does.
fn entra(
    environment: &AzureEnvironment,
    transport: &Transport,
) -> Result<Option<(&'static str, Way)>, BadCredential> {
    let (name, variable, proof) = if let Some(secret) = &environment.client_secret {
        let proof = Proof::Secret(secret.clone());
        ("the client secret in the environment", "AZURE_CLIENT_SECRET", proof)
    } else if let Some(path) = &environment.client_certificate_path {
        let password = environment.client_certificate_password.as_ref();
        let key = certificate::read(path, password).map_err(BadCredential::Certificate)?;
        let proof = Proof::Certificate(key);
        ("the client certificate in the environment", "AZURE_CLIENT_CERTIFICATE_PATH", proof)
    } else if let Some(file) = &environment.federated_token_file {
        let proof = Proof::AssertionFile(file.clone());
        ("the workload identity", "AZURE_FEDERATED_TOKEN_FILE", proof)
    } else {
        return Ok(None);
    };
    let (Some(tenant), Some(client_id)) = (&environment.tenant_id, &environment.client_id) else {
        return Err(BadCredential::Incomplete(variable));
    };
    let host = environment.authority_host.as_deref().unwrap_or(AUTHORITY);
    let credentials = ClientCredentials {
        authority: format!("{}/{tenant}", host.trim_end_matches('/')),
        client_id: client_id.clone(),
        proof,
        scope: SCOPE.to_owned(),
    };
    let tokens = TokenSource::new(credentials, transport.clone());
    Ok(Some((name, Way::Entra(tokens.map_err(BadCredential::Authority)?))))
}
