//! The requests for the sync state of a bucket: one text, read and replaced whole.

use net::{
    HeaderName, HeaderValue, Method,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH},
};
use record::BucketId;
use serde::Deserialize;
use serde_json::json;

use super::{
    api::{Api, Ask, segment},
    bucket::StateError,
    document::{self, Found},
    failure::Failure,
};

/// Largest text that is read, in bytes.
const MAX_TEXT: usize = 256 << 20;

pub(super) struct SyncState {
    api: Api,
    id: BucketId,
}

#[derive(Deserialize)]
struct Reply {
    bucket_sync_state: Text,
}

#[derive(Deserialize)]
struct Text {
    sync_state: String,
}

/// What the server holds.
pub(super) struct Stored {
    pub(super) found: Found,
    /// Under which it may be replaced, where the server can tell.
    pub(super) condition: Option<(HeaderName, HeaderValue)>,
}

impl SyncState {
    pub(super) fn new(api: Api, id: BucketId) -> Self {
        Self { api, id }
    }

    pub(super) fn host(&self) -> &str {
        self.api.host()
    }

    fn path(&self) -> String {
        let (owner, name) = (segment(self.id.owner()), segment(self.id.name()));
        format!("/api/_private/bucket-sync-state/{owner}/{name}")
    }

    /// Reads the text. That there is none is no failure.
    pub(super) async fn read(&self) -> Result<Stored, StateError> {
        let mut ask = Ask::new("GetSyncState", Method::GET, self.path());
        ask.max_answer = MAX_TEXT;
        let answer = match self.api.grant(&ask).await {
            Err(Failure::Missing { .. }) => {
                let nobody = (IF_NONE_MATCH, HeaderValue::from_static("*"));
                return Ok(Stored { found: Found::Nothing, condition: Some(nobody) });
            }
            answer => answer?,
        };
        let condition = answer.headers.get(ETAG).map(|tag| (IF_MATCH, tag.clone()));
        let reply: Reply =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::NotThePlatform(200))?;
        let found = document::read(&reply.bucket_sync_state.sync_state)?;
        Ok(Stored { found, condition })
    }

    /// Replaces the text. [`Failure::Changed`] if somebody else has done so meanwhile.
    pub(super) async fn write(
        &self,
        text: String,
        condition: Option<(HeaderName, HeaderValue)>,
    ) -> Result<(), Failure> {
        let state = json!({"bucket_sync_state": {
            "sync_state": text, "last_synced_at": self.api.now(),
        }});
        let ask = Ask::new("PutSyncState", Method::PUT, self.path());
        let mut ask = ask.json(state.to_string().into_bytes());
        ask.headers.extend(condition);
        self.api.grant(&ask).await.map(drop)
    }
}
