//! Whether an email that failed is to blame, or the platform.

use std::{
    collections::{HashMap, HashSet},
    sync::{MutexGuard, PoisonError, atomic::Ordering},
};

use record::{Route, SinkError, Uid};

use super::{Doubt, Item, Outcome, Uploads, nothing_passes, refusals};
use crate::platform_api::failure::Failure;

/// Times that an email must fail alone, others having passed each time since the last, before it
/// is to blame and not the platform.
const PROOFS: u32 = 3;
/// Emails that are remembered because the platform stumbled over them.
const MAX_SUSPECTS: usize = 1_000;
/// Emails refused in a row, while none is accepted, that blame the platform.
const MAX_IN_A_ROW: usize = 10;
/// A size that something before the platform must let pass: what refuses less is out of order.
const BELIEVABLE_LIMIT: u64 = 1 << 20;

/// Guarded: what speaks against emails, and what against the platform.
#[derive(Default)]
pub(super) struct Blame {
    /// Emails that failed alone and have not been accepted since.
    suspects: HashMap<Uid, Suspect>,
    /// Emails that were refused since the last one that was accepted.
    in_a_row: HashSet<Uid>,
}

#[derive(Clone, Copy)]
struct Suspect {
    /// Failures, with others accepted between one and the next.
    failures: u32,
    /// How many had been accepted at the last of them.
    accepted: u64,
}

impl Uploads {
    fn blame(&self) -> MutexGuard<'_, Blame> {
        self.blame.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_accepted(&self, batch: &[Item]) {
        self.accepted.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut blame = self.blame();
        blame.in_a_row.clear();
        if !blame.suspects.is_empty() {
            for uid in batch.iter().flat_map(|item| &item.uids) {
                blame.suspects.remove(uid);
            }
        }
    }

    /// Notes what became of an email that was sent alone and not accepted.
    pub(super) fn alone(
        &self,
        item: Item,
        failure: Failure,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        match &failure {
            Failure::TooLarge { own, .. } if !own && item.prepared.size < BELIEVABLE_LIMIT => {
                return Err(Failure::NotThePlatform(413));
            }
            Failure::TooLarge { detail, .. } => {
                outcome.refused.extend(refusals(&item.uids, "TooLarge", detail));
            }
            Failure::Rejected { status, detail } => {
                let mut blame = self.blame();
                blame.suspects.retain(|uid, _| !item.uids.contains(uid));
                if blame.in_a_row.len() < MAX_IN_A_ROW {
                    blame.in_a_row.extend(item.uids.first());
                }
                outcome.refused.extend(refusals(&item.uids, &status.to_string(), detail));
            }
            _ => {
                let accepted = self.accepted.load(Ordering::Relaxed);
                outcome.doubtful.push(Doubt { item, failure, accepted });
            }
        }
        Ok(())
    }

    /// Notes that an email failed alone; tells whether it has done so often enough.
    fn is_proven(&self, doubt: &Doubt) -> bool {
        let Some(uid) = doubt.item.uids.first() else { return false };
        if !doubt.failure.blames_the_email() {
            return false;
        }
        let accepted = self.accepted.load(Ordering::Relaxed);
        let mut blame = self.blame();
        let before = blame.suspects.get(uid).copied();
        let failures = match before {
            None => 1,
            Some(before) if doubt.accepted > before.accepted => before.failures + 1,
            Some(_) => return false,
        };
        if failures >= PROOFS {
            blame.suspects.remove(uid);
            return true;
        }
        if before.is_none() && blame.suspects.len() >= MAX_SUSPECTS {
            let any = blame.suspects.keys().next().copied();
            any.map(|any| blame.suspects.remove(&any));
        }
        blame.suspects.insert(*uid, Suspect { failures, accepted });
        false
    }

    /// Decides about emails that failed alone. If others of this call were accepted, one of these
    /// is sent again before each further try: an upload can be repeated, and it tells an email
    /// that the platform stumbles over from a platform that is down.
    pub(super) async fn judge(&self, route: &Route, all: &mut Outcome) -> Result<(), Failure> {
        let mut tries = self.api.tries();
        for _ in 0..PROOFS {
            let mut open = Vec::new();
            for doubt in std::mem::take(&mut all.doubtful) {
                if self.is_proven(&doubt) {
                    let code = match doubt.failure {
                        Failure::Broken(status) => status.to_string(),
                        _ => String::new(),
                    };
                    let detail = "the platform fails over this email while it takes others";
                    all.refused.extend(refusals(&doubt.item.uids, &code, detail));
                } else {
                    open.push(doubt);
                }
            }
            let others = |doubt: &&Doubt| !doubt.failure.blames_the_email();
            let Some(last) = open.iter().find(others).or(open.last()) else { return Ok(()) };
            let Some(witness) = all.witness.clone().filter(|_| last.failure.blames_the_email())
            else {
                return Err(last.failure.clone());
            };
            tries.wait(last.failure.clone()).await?;
            self.testify(route, witness).await?;
            for Doubt { item, .. } in open {
                match self.send_now(&route.bucket, std::slice::from_ref(&item)).await {
                    Ok(()) => self.note_accepted(&[item]),
                    Err(failure) => self.alone(item, failure, all)?,
                }
            }
        }
        match all.doubtful.pop() {
            Some(doubt) => Err(doubt.failure),
            None => Ok(()),
        }
    }

    async fn testify(&self, route: &Route, witness: Item) -> Result<(), Failure> {
        self.send_now(&route.bucket, std::slice::from_ref(&witness)).await?;
        self.note_accepted(&[witness]);
        Ok(())
    }

    /// A platform that refuses one email after the other is to blame, not the emails.
    pub(super) async fn doubt_refusals(
        &self,
        route: &Route,
        all: &Outcome,
    ) -> Result<(), SinkError> {
        if all.refused.is_empty() || self.blame().in_a_row.len() < MAX_IN_A_ROW {
            return Ok(());
        }
        let Some(witness) = all.witness.clone() else {
            return Err(nothing_passes(route, &all.refused));
        };
        match self.testify(route, witness).await {
            Err(failure) if failure.is_passing() => Err(self.error(route, failure)),
            Err(_) => Err(nothing_passes(route, &all.refused)),
            Ok(()) => Ok(()),
        }
    }
}
