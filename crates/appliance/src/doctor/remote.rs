//! Can the platform, or the object store, be read and written?

use std::collections::BTreeSet;

use async_trait::async_trait;
use record::{BucketId, Chain, SinkError};
use sinks::{
    object_store::Objects,
    platform_api::{BucketState, PlatformApi},
};

use super::{CheckResult, SinkProbe};

/// Asks the platform about each bucket. Nothing is written: a bucket keeps whatever is put there.
pub struct PlatformProbe {
    pub platform: PlatformApi,
    pub buckets: BTreeSet<BucketId>,
}

#[async_trait]
impl SinkProbe for PlatformProbe {
    async fn probe(&self) -> Vec<CheckResult> {
        let mut checks = Vec::with_capacity(self.buckets.len());
        for bucket in &self.buckets {
            let check = format!("bucket {bucket}");
            checks.push(match self.platform.show_state(bucket).await {
                Ok(BucketState::Nothing) => CheckResult::ok(check, "there, no mailbox has begun"),
                Ok(BucketState::Mailboxes(all)) => CheckResult::ok(
                    check,
                    format!("there, with the state of {} mailboxes", all.len()),
                ),
                Ok(BucketState::Foreign) => CheckResult::warn(
                    check,
                    "another program keeps its sync state there; it is left alone, and mail is \
                     read from the times that it noted",
                    "To take the bucket over, run `tributary state reset` for it.",
                ),
                Err(err) => failed(check, &err),
            });
        }
        checks
    }
}

#[async_trait]
impl SinkProbe for Objects {
    async fn probe(&self) -> Vec<CheckResult> {
        let place = self.place();
        let steps = Self::probe(self).await.into_iter();
        steps
            .map(|step| {
                let check = format!("container {}", step.what);
                match step.result {
                    Ok(()) => CheckResult::ok(check, place.clone()),
                    Err(err) => failed(check, &err),
                }
            })
            .collect()
    }
}

fn failed(check: String, err: &SinkError) -> CheckResult {
    let advice = err.hint().unwrap_or("See the network between this machine and the destination.");
    CheckResult::fail(check, Chain(err).to_string(), advice)
}
