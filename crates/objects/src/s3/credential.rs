//! Who signs in: keys of the environment, or those of a role that a web identity assumes.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use net::{BadEndpoint, Transport};
use object_store::aws::AwsCredential;
use tokio::{sync::Mutex, time::Instant};

use super::{AwsEnvironment, sts::WebIdentity};
use crate::{Failure, Reason};

/// Keys are renewed this long before they end.
const MARGIN: Duration = Duration::from_secs(300);
/// For this long, a failure stands for those that wait behind it.
const PAUSE: Duration = Duration::from_secs(5);

/// The credentials in the environment are missing, incomplete or unreadable.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    #[error("`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` have to be set together")]
    Half,
    #[error("{0} holds a blank or another character that no key has")]
    Form(&'static str),
    #[error("`AWS_ROLE_ARN` has to be set with `AWS_WEB_IDENTITY_TOKEN_FILE`")]
    NoRole,
    #[error(
        "nothing signs in: set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or `AWS_ROLE_ARN` \
         and `AWS_WEB_IDENTITY_TOKEN_FILE`"
    )]
    Nothing,
    #[error("the address of the token service is not usable")]
    Service(#[from] BadEndpoint),
}

enum Way {
    Fixed(Arc<AwsCredential>),
    WebIdentity(WebIdentity),
}

/// Signs requests, or says why that is not possible.
pub(super) struct Credentials {
    way: Way,
    told: OnceLock<&'static str>,
    /// Locked while keys are asked for, so that there is one request however many wait.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<AwsCredential>, Instant)>,
    failure: Option<(Failure, Instant)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.way.name()).finish_non_exhaustive()
    }
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Fixed(keys) if keys.token.is_some() => "the session keys in the environment",
            Self::Fixed(_) => "the access key in the environment",
            Self::WebIdentity(_) => "the web identity",
        }
    }
}

/// What becomes part of a header must not break it.
fn checked(value: &str, name: &'static str) -> Result<String, BadKeys> {
    let good = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(value.to_owned()) } else { Err(BadKeys::Form(name)) }
}

impl Credentials {
    pub(super) fn new(
        environment: &AwsEnvironment,
        region: &str,
        transport: &Transport,
    ) -> Result<Self, BadKeys> {
        let way = match (&environment.access_key_id, &environment.secret_access_key) {
            (Some(id), Some(secret)) => {
                let token = environment.session_token.as_ref();
                let token = token.map(|token| checked(token.reveal(), "`AWS_SESSION_TOKEN`"));
                Way::Fixed(Arc::new(AwsCredential {
                    key_id: checked(id, "`AWS_ACCESS_KEY_ID`")?,
                    secret_key: secret.reveal().to_owned(),
                    token: token.transpose()?,
                }))
            }
            (None, None) => Way::WebIdentity(WebIdentity::new(environment, region, transport)?),
            _ => return Err(BadKeys::Half),
        };
        Ok(Self { way, told: OnceLock::new(), state: Mutex::default() })
    }

    /// What signs in, once that is known.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.told.get().copied()
    }

    fn tell(&self, host: &str) {
        let name = self.way.name();
        if self.told.set(name).is_ok() {
            tracing::info!(storage.host = %host, credential = name,
                "Signs in to `{host}` with {name}");
        }
    }

    /// What signs the next request to `host`.
    pub(super) async fn get(&self, host: &str) -> Result<Arc<AwsCredential>, Failure> {
        let identity = match &self.way {
            Way::Fixed(keys) => {
                self.tell(host);
                return Ok(Arc::clone(keys));
            }
            Way::WebIdentity(identity) => identity,
        };
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some((keys, _)) = state.keys.as_ref().filter(|(_, renew_at)| now < *renew_at) {
            return Ok(Arc::clone(keys));
        }
        if let Some((failure, _)) = state.failure.as_ref().filter(|(_, until)| now < *until) {
            return Err(failure.clone());
        }
        match identity.assume().await {
            Ok((keys, life)) => {
                self.tell(host);
                let keys = Arc::new(keys);
                let renew_at = Instant::now() + (life - MARGIN.min(life / 2));
                state.keys = Some((Arc::clone(&keys), renew_at));
                Ok(keys)
            }
            Err(failure) => {
                state.failure = Some((failure.clone(), Instant::now() + PAUSE));
                Err(failure)
            }
        }
    }

    /// Forgets keys that were refused. `false`: there are no others.
    pub(super) async fn renew(&self, refused: &AwsCredential) -> bool {
        if matches!(self.way, Way::Fixed(_)) {
            return false;
        }
        let mut state = self.state.lock().await;
        state.keys.take_if(|(keys, _)| keys.token == refused.token);
        true
    }
}

pub(super) fn unauthorized(host: &str, why: String) -> Failure {
    Failure::Unauthorized { host: host.to_owned(), cause: Reason::new(why) }
}
