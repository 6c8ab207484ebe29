//! Emails of buckets become comments of sources, in the background: claimed from a durable queue,
//! converted on all processors, written in one transaction that also claims others. While some are
//! converted, those before them are written, so that neither waits for the other.
//!
//! An email whose conversion panics or does not end is set aside at once; one that ends the process
//! is known by its claim, which is written before the conversion begins. No wait for the disk is
//! needed: what the power takes is converted once more.

mod batch;
mod converter;
mod status;
mod write;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use comment::FORMAT_VERSION;
use record::Chain;
use store::{Claim, Claimant, StoreError, Wanted};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::server::Shared;
use batch::convert_all;
pub use converter::{Convert, Raw};
pub(crate) use converter::{Converter, TIME};
pub(crate) use status::{queue, retry, status};
use write::write;

/// Emails that are converted in one go, and bytes of them. With fewer, comments fall
/// behind uploads; with more, uploads wait for comments.
const BATCH: usize = 320;
const BATCH_BYTES: u64 = 32 * 1024 * 1024;
/// Strikes after which an email is set aside. The first may be that of others in its batch, and
/// one more may be the kill of somebody who meant the process.
pub(crate) const STRIKES: i64 = 3;
/// How long a claim lasts; a process that was killed elsewhere leaves its emails for so long. It
/// is longer than the last conversion of a batch can take, and that of the batch before it.
const LEASE: TimeDelta = TimeDelta::seconds(120);
/// Batches after which one of the emails is tried that were there when a process ended, although
/// others wait.
const ROUNDS: u64 = 32;
/// How often the queue is looked at without being told: other processes fill it as well.
const POLL: Duration = Duration::from_secs(1);
/// How long an email waits whose content could not be read.
const LATER: TimeDelta = TimeDelta::seconds(60);
/// Pauses after a failure of the database.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// An email and what became of it.
struct Done {
    claim: Claim,
    outcome: Outcome,
}

enum Outcome {
    Made(Made),
    /// It cannot be converted, whatever is tried.
    Bad(String),
    /// It could not be read now.
    Later,
    /// Its turn did not come.
    NotYet,
}

struct Made {
    comment: comment::Comment,
    /// Attachments whose bytes are in the email.
    files: usize,
    generation: i64,
}

/// Converts until `over`.
pub(crate) async fn work(shared: Arc<Shared>, over: CancellationToken) {
    let Some(by) = begin(&shared, &over).await else { return };
    let (mut claims, mut done) = (Vec::<Claim>::new(), Vec::new());
    for round in 1_u64.. {
        // Now and then nothing is claimed ahead, so that the next is converted alone. Not at first:
        // it may be what ended the process before this one.
        let is_pause = round % ROUNDS == 0;
        let is_turn = round > ROUNDS && round % ROUNDS == 1;
        let ahead = if over.is_cancelled() || claims.iter().any(|claim| claim.is_suspect) {
            None
        } else if claims.is_empty() {
            Some(if is_turn { Wanted::SuspectsFirst } else { Wanted::Any })
        } else if is_pause {
            None
        } else {
            Some(Wanted::NoSuspects)
        };
        let was_idle = claims.is_empty() && done.is_empty();
        let (converted, next) = tokio::join!(
            convert_all(&shared, std::mem::take(&mut claims)),
            write_and_claim(&shared, &over, &by, &done, ahead),
        );
        let Some(next) = next else { return };
        (claims, done) = (next, converted);
        if over.is_cancelled() {
            let not_yet = |claim| Done { claim, outcome: Outcome::NotYet };
            done.extend(std::mem::take(&mut claims).into_iter().map(not_yet));
            write_and_claim(&shared, &over, &by, &done, None).await;
            return;
        }
        if was_idle && claims.is_empty() {
            let woken = timeout(POLL, shared.converter.woken.notified());
            tokio::select! {
                () = over.cancelled() => return,
                _ = woken => {}
            }
        }
    }
}

/// Makes ready; `None` if it is over before that.
async fn begin(shared: &Shared, over: &CancellationToken) -> Option<Claimant> {
    let format = i64::from(FORMAT_VERSION);
    let mut pause = PAUSE;
    loop {
        let ready = async {
            let mut session = shared.store.write().await?;
            if session.adopt_format(format).await? {
                info!("Emails are converted anew, since this version does it better");
            }
            session.release_claims_of_the_dead().await?;
            let name = session.new_name()?;
            session.commit().await?;
            Ok::<_, StoreError>(name)
        };
        match ready.await {
            Ok(name) => {
                return Some(Claimant {
                    name,
                    format,
                    lease: LEASE,
                    emails: BATCH,
                    bytes: BATCH_BYTES,
                    strikes: STRIKES,
                });
            }
            Err(failure) => {
                error!("Could not begin to convert emails: {}", Chain(&failure));
                wait(over, &mut pause).await?;
            }
        }
    }
}

/// Waits longer each time; `None` when it is over.
async fn wait(over: &CancellationToken, pause: &mut Duration) -> Option<()> {
    let waited = timeout(*pause, over.cancelled()).await;
    *pause = (*pause * 2).min(MAX_PAUSE);
    waited.is_err().then_some(())
}

/// Stores what was made and claims what is next, in one transaction: one wait for the disk. `None`
/// if that failed, and it is over.
async fn write_and_claim(
    shared: &Shared,
    over: &CancellationToken,
    by: &Claimant,
    done: &[Done],
    ahead: Option<Wanted>,
) -> Option<Vec<Claim>> {
    if done.is_empty() && ahead.is_none() {
        return Some(Vec::new());
    }
    let mut pause = PAUSE;
    loop {
        let written = async {
            // A server that has nothing to do leaves the disk alone.
            if done.is_empty() && !shared.store.read().await?.may_claim_conversions(by).await? {
                return Ok(Vec::new());
            }
            let mut session = shared.store.write().await?;
            let changed = write(&mut session, by, done).await?;
            let claims = match ahead {
                None => Vec::new(),
                Some(wanted) => session.claim_conversions(by, wanted).await?,
            };
            session.commit_without_waiting().await?;
            shared.metrics.commented(changed);
            Ok::<_, StoreError>(claims)
        };
        match written.await {
            Ok(claims) => return Some(claims),
            Err(failure) => {
                error!("Could not store comments: {}", Chain(&failure));
                wait(over, &mut pause).await?;
                if failure.is_about_a_value()
                    && let Err(failure) = write_one_by_one(shared, by, done).await
                {
                    error!("Could not store comments one by one: {}", Chain(&failure));
                }
            }
        }
    }
}

/// Stores what was made in transactions of its own, and sets aside what the database will not take:
/// nothing else waits for it.
async fn write_one_by_one(shared: &Shared, by: &Claimant, done: &[Done]) -> Result<(), StoreError> {
    for own in done {
        match write_alone(shared, by, own).await {
            Err(failure) if failure.is_about_a_value() => {
                let outcome = Outcome::Bad("the database cannot hold its comment".to_owned());
                write_alone(shared, by, &Done { claim: own.claim.clone(), outcome }).await?;
            }
            written => written?,
        }
    }
    Ok(())
}

async fn write_alone(shared: &Shared, by: &Claimant, own: &Done) -> Result<(), StoreError> {
    let mut session = shared.store.write().await?;
    let changed = write(&mut session, by, std::slice::from_ref(own)).await?;
    session.commit().await?;
    shared.metrics.commented(changed);
    Ok(())
}
