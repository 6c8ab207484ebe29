//! What can be made to go wrong, and for which requests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::log::Op;
use crate::generate::Dice;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A status with an error body; nothing is stored. `retry_after` is sent as it is: seconds or
    /// an HTTP date.
    Http {
        status: u16,
        retry_after: Option<String>,
    },
    /// A status with a page, as from a gateway before the platform; nothing is stored.
    Page {
        status: u16,
    },
    /// Everything is stored, and an error is answered all the same.
    HttpAfterCommit {
        status: u16,
    },
    /// The first emails of an upload are stored, then an error is answered.
    CommitSome {
        emails: usize,
        status: u16,
    },
    /// The connection breaks without a reply, and nothing is stored.
    DropBeforeCommit,
    /// Everything is stored; the connection breaks without a reply.
    DropAfterCommit,
    /// Everything is stored; the connection breaks after so many bytes of the reply's body.
    CutResponse {
        after_bytes: u64,
    },
    /// The server reads no further after so many bytes of the body, and never answers.
    StallRequest {
        after_bytes: u64,
    },
    SlowRequest {
        bytes_per_second: u64,
    },
    /// Everything is stored; the reply's body stops after so many bytes, the connection stays.
    StallResponse {
        after_bytes: u64,
    },
    /// Everything is stored; the reply trickles.
    SlowResponse {
        bytes_per_second: u64,
    },
    /// 200 with JSON that ends in its middle; nothing is stored.
    BadJson,
    /// 200 with a page, as from a proxy that wants a login; nothing is stored.
    Html200,
    /// 200 with `"status":"error"`; nothing is stored.
    StatusMismatch,
}

impl Fault {
    pub fn http(status: u16) -> Self {
        Self::Http { status, retry_after: None }
    }

    /// A status with `Retry-After` in seconds.
    pub fn busy(status: u16, seconds: u64) -> Self {
        Self::Http { status, retry_after: Some(seconds.to_string()) }
    }

    /// Whether the fault strikes while the body is read, before its content is known.
    fn strikes_early(&self) -> bool {
        match self {
            Self::StallRequest { .. } | Self::SlowRequest { .. } => true,
            Self::Http { .. }
            | Self::Page { .. }
            | Self::HttpAfterCommit { .. }
            | Self::CommitSome { .. }
            | Self::DropBeforeCommit
            | Self::DropAfterCommit
            | Self::CutResponse { .. }
            | Self::StallResponse { .. }
            | Self::SlowResponse { .. }
            | Self::BadJson
            | Self::Html200
            | Self::StatusMismatch => false,
        }
    }
}

/// When a fault strikes. What is `None` matches everything. Requests that are refused anyway, for
/// their token or their body, match nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    pub op: Option<Op>,
    /// The bucket, as the request names it: `owner/name`.
    pub bucket: Option<String>,
    /// Id of an email that is in the request: a poison email. Not for faults of the request body.
    pub email: Option<String>,
    /// Bodies of more bytes, after decompression. Not for faults of the request body.
    pub body_over: Option<u64>,
    /// Matches that pass before the first strike.
    pub skip: usize,
    /// Strikes before the rule is spent.
    pub times: usize,
    /// Share of the matches that count, 0 to 1, by the dice of the server.
    pub chance: f64,
    pub fault: Fault,
}

impl FaultRule {
    /// Strikes once, at the next occasion.
    pub fn new(fault: Fault) -> Self {
        Self {
            op: None,
            bucket: None,
            email: None,
            body_over: None,
            skip: 0,
            times: 1,
            chance: 1.0,
            fault,
        }
    }

    #[must_use]
    pub fn op(mut self, op: Op) -> Self {
        self.op = Some(op);
        self
    }

    #[must_use]
    pub fn bucket(mut self, full_name: &str) -> Self {
        self.bucket = Some(full_name.to_owned());
        self
    }

    #[must_use]
    pub fn email(mut self, id: &str) -> Self {
        self.email = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn body_over(mut self, bytes: u64) -> Self {
        self.body_over = Some(bytes);
        self
    }

    #[must_use]
    pub fn skip(mut self, matches: usize) -> Self {
        self.skip = matches;
        self
    }

    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// Strikes at this share of the matches, for as long as the server runs.
    #[must_use]
    pub fn chance(mut self, share: f64) -> Self {
        self.chance = share;
        self.always()
    }

    fn matches(&self, occasion: Occasion<'_>) -> bool {
        self.op.is_none_or(|op| op == occasion.op)
            && self.bucket.as_deref().is_none_or(|own| occasion.bucket == Some(own))
            && self.email.as_deref().is_none_or(|own| occasion.emails.contains(&own))
            && self.body_over.is_none_or(|own| occasion.body > own)
    }
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

/// What a request is, for the comparison with the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) op: Op,
    pub(crate) bucket: Option<&'a str>,
    pub(crate) emails: &'a [&'a str],
    /// Bytes of the body.
    pub(crate) body: u64,
}

/// The rules in force, and the dice that decide about chances.
#[derive(Debug)]
pub(crate) struct Faults(Mutex<(Vec<FaultRule>, Dice)>);

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new((Vec::new(), Dice::new(seed))))
    }

    pub(crate) fn add(&self, rule: FaultRule) {
        self.lock().0.push(rule);
    }

    pub(crate) fn clear(&self) {
        self.lock().0.clear();
    }

    /// Strikes that are still to come from rules that end.
    pub(crate) fn outstanding(&self) -> usize {
        self.lock().0.iter().filter(|rule| rule.times < usize::MAX).map(|rule| rule.times).sum()
    }

    /// The fault that strikes while the body is read.
    pub(crate) fn strike_early(&self, occasion: Occasion<'_>) -> Option<Fault> {
        self.strike(true, occasion)
    }

    /// The fault that strikes once the body is known.
    pub(crate) fn strike_late(&self, occasion: Occasion<'_>) -> Option<Fault> {
        self.strike(false, occasion)
    }

    fn strike(&self, early: bool, occasion: Occasion<'_>) -> Option<Fault> {
        let mut guard = self.lock();
        let (rules, dice) = &mut *guard;
        let mut struck = None;
        for rule in rules.iter_mut() {
            if rule.fault.strikes_early() != early || !rule.matches(occasion) {
                continue;
            }
            // Dice are thrown only for rules with a chance, so that others do not change the row.
            #[expect(clippy::cast_precision_loss, reason = "a chance needs no 64 digits")]
            if rule.chance < 1.0 && dice.next() as f64 / u64::MAX as f64 >= rule.chance {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else {
                rule.times -= usize::from(rule.times < usize::MAX);
                struck = Some(rule.fault.clone());
                break;
            }
        }
        rules.retain(|rule| rule.times > 0);
        struck
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<FaultRule>, Dice)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload<'a>(emails: &'a [&'a str], body: u64) -> Occasion<'a> {
        Occasion { op: Op::PutEmails, bucket: Some("a/b"), emails, body }
    }

    #[test]
    fn a_rule_skips_strikes_and_is_spent() {
        let faults = Faults::new(1);
        faults.add(FaultRule::new(Fault::http(503)).op(Op::PutEmails).skip(1).times(2));
        let strikes: Vec<_> =
            (0..5).map(|_| faults.strike_late(upload(&[], 0)).is_some()).collect();
        assert_eq!(strikes, [false, true, true, false, false]);
        assert_eq!(faults.outstanding(), 0);
    }

    #[test]
    fn a_rule_matches_what_it_names() {
        let faults = Faults::new(1);
        faults.add(FaultRule::new(Fault::http(422)).email("<1@x>").bucket("a/b").always());
        faults.add(FaultRule::new(Fault::http(413)).body_over(100).always());
        assert_eq!(faults.strike_late(upload(&["<2@x>"], 100)), None);
        assert_eq!(faults.strike_late(upload(&["<2@x>", "<1@x>"], 1)), Some(Fault::http(422)));
        assert_eq!(faults.strike_late(upload(&[], 101)), Some(Fault::http(413)));
        assert_eq!(faults.strike_early(upload(&["<1@x>"], 101)), None);
    }

    #[test]
    fn a_chance_follows_from_the_seed() {
        let strikes = |seed| {
            let faults = Faults::new(seed);
            faults.add(FaultRule::new(Fault::DropAfterCommit).chance(0.3));
            (0..1000).map(|_| faults.strike_late(upload(&[], 0)).is_some()).collect::<Vec<_>>()
        };
        let count = strikes(7).iter().filter(|struck| **struck).count();
        assert!((200..400).contains(&count), "{count}");
        assert_eq!(strikes(7), strikes(7));
        assert_ne!(strikes(7), strikes(8));
    }
}
