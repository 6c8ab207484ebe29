//! The configuration that the platform keeps for an appliance.

use net::{
    HeaderValue, Method,
    header::{ETAG, IF_NONE_MATCH},
};
use record::SinkError;

use super::{
    api::{Answer, Api, Ask, segment},
    failure::Failure,
};
use crate::local_files::hex_sha256;

/// Largest configuration that is read, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// Tells two states of a configuration apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of the content.
    hash: String,
    etag: Option<HeaderValue>,
}

/// Where the configuration of an appliance is.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    api: Api,
    owner: String,
    key: String,
}

impl RemoteConfig {
    pub fn new(api: Api, owner: impl Into<String>, key: impl Into<String>) -> Self {
        Self { api, owner: owner.into(), key: key.into() }
    }

    /// Reads the configuration; `None` if it is still the `known` one.
    ///
    /// # Errors
    ///
    /// [`SinkError`]; one that is not there is [`SinkError::Denied`].
    pub async fn fetch(
        &self,
        known: Option<&Version>,
    ) -> Result<Option<(Vec<u8>, Version)>, SinkError> {
        let fetched = self.api.persist(|| self.fetch_once(known)).await;
        let answer = fetched.map_err(|failure| {
            let place = format!("the remote configuration `{}/{}`", self.owner, self.key);
            failure.into_config_error(self.api.host(), &place)
        })?;
        let Some(answer) = answer else { return Ok(None) };
        let version =
            Version { hash: hex_sha256(&answer.body), etag: answer.headers.get(ETAG).cloned() };
        if known.is_some_and(|known| known.hash == version.hash) {
            return Ok(None);
        }
        Ok(Some((answer.body.to_vec(), version)))
    }

    /// The documented path first; where that is not known, the one that the platform's own
    /// description has.
    async fn fetch_once(&self, known: Option<&Version>) -> Result<Option<Answer>, Failure> {
        let mut last = Failure::Missing { detail: "404".to_owned() };
        for root in ["/api/v1", "/api/_private"] {
            let (owner, key) = (segment(&self.owner), segment(&self.key));
            let path = format!("{root}/appliance-configs/{owner}/{key}");
            let mut ask = Ask::new("GetConfig", Method::GET, path);
            ask.max_answer = MAX_CONFIG;
            if let Some(etag) = known.and_then(|known| known.etag.clone()) {
                ask.headers.insert(IF_NONE_MATCH, etag);
            }
            let answer = self.api.ask_once(&ask).await?;
            match answer.status {
                200 => return Ok(Some(answer)),
                304 => return Ok(None),
                404 | 405 => last = self.api.refusal(&answer),
                _ => return Err(self.api.refusal(&answer)),
            }
        }
        Err(last)
    }
}
