//! The requests for the sync state of a bucket: one text, read and replaced whole.

use net::{
    HeaderName, HeaderValue, Method, NetError,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH},
};
use record::BucketId;
use serde::Deserialize;
use serde_json::json;

use super::{
    api::{Api, Ask, segment},
    document::{self, Found},
    failure::Failure,
    state_error::StateError,
};

/// Largest text that is written, in bytes: it is in memory some three times while it is changed.
const MAX_WRITTEN: usize = 16 << 20;
/// Largest answer that is read, in bytes: a text in JSON is a little longer, and another program
/// may write more than we do.
const MAX_READ: usize = 32 << 20;

/// The header under which a text may be replaced.
pub(super) type Condition = (HeaderName, HeaderValue);

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
    pub(super) condition: Option<Condition>,
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
        ask.max_answer = MAX_READ;
        // What compresses on the way makes the tag a weak one, which permits no write.
        // Spec: RFC 9110 §8.8.1, §13.1.1.
        ask.gzip = false;
        let answer = match self.api.grant(&ask).await {
            Err(Failure::Lost(NetError::TooLarge { .. })) => {
                return Err(StateError::TooLarge(MAX_READ));
            }
            Err(Failure::Missing { .. }) => {
                let nobody = (IF_NONE_MATCH, HeaderValue::from_static("*"));
                return Ok(Stored { found: Found::Nothing, condition: Some(nobody) });
            }
            answer => answer?,
        };
        let condition = answer.headers.get(ETAG).map(|tag| (IF_MATCH, strong(tag)));
        let reply: Reply =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::NotThePlatform(200))?;
        drop(answer);
        let found = document::read(&reply.bucket_sync_state.sync_state)?;
        Ok(Stored { found, condition })
    }

    /// Replaces the text. [`Failure::Changed`] if somebody else has done so meanwhile.
    pub(super) async fn write(
        &self,
        text: String,
        condition: Option<Condition>,
    ) -> Result<(), StateError> {
        if text.len() > MAX_WRITTEN {
            return Err(StateError::TooLarge(MAX_WRITTEN));
        }
        let state = json!({"bucket_sync_state": {
            "sync_state": text, "last_synced_at": self.api.now(),
        }});
        let ask = Ask::new("PutSyncState", Method::PUT, self.path());
        let mut ask = ask.json(state.to_string().into_bytes());
        drop(state);
        ask.headers.extend(condition);
        Ok(self.api.grant(&ask).await.map(drop)?)
    }
}

/// A weak tag as the strong one that it was made of: no weak one permits a write.
fn strong(tag: &HeaderValue) -> HeaderValue {
    let strong = tag.as_bytes().strip_prefix(b"W/").map(HeaderValue::from_bytes);
    strong.and_then(Result::ok).unwrap_or_else(|| tag.clone())
}
