//! A browser on its way to the provider and back.
//!
//! A cookie holds one random number; state, nonce and the secret of PKCE are hashes of it. So the
//! answer is of use only in the browser that set out, and nothing is kept here for those who never
//! come back.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use openssl::{memcmp, rand::rand_bytes, sha::sha256};

/// Seconds in which somebody has to come back.
pub(super) const LIFETIME: i64 = 600;

pub(super) struct Trip {
    random: [u8; 32],
    began: DateTime<Utc>,
    pub(super) return_to: String,
}

impl Trip {
    /// `None` if there are no random numbers.
    pub(super) fn begin(now: DateTime<Utc>, return_to: &str) -> Option<Self> {
        let mut random = [0; 32];
        rand_bytes(&mut random).ok()?;
        Some(Self { random, began: now, return_to: return_to.to_owned() })
    }

    fn derive(&self, what: &str) -> String {
        let mut bytes = what.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(&self.random);
        BASE64_URL_SAFE_NO_PAD.encode(sha256(&bytes))
    }

    /// The state of a sign-in.
    pub(super) fn state(&self) -> String {
        self.derive("state")
    }

    /// The state of a sign-out: a cookie of the one is of no use for the other.
    pub(super) fn sign_out_state(&self) -> String {
        self.derive("sign-out")
    }

    pub(super) fn nonce(&self) -> String {
        self.derive("nonce")
    }

    pub(super) fn verifier(&self) -> String {
        self.derive("verifier")
    }

    /// Whether somebody comes back with `state`, and in time.
    pub(super) fn ends_with(&self, state: &str, given: Option<&str>, now: DateTime<Utc>) -> bool {
        let given = given.unwrap_or_default();
        let same = state.len() == given.len() && memcmp::eq(state.as_bytes(), given.as_bytes());
        let age = (now - self.began).num_seconds();
        same && (-LIFETIME..=LIFETIME).contains(&age)
    }

    /// The value of the cookie.
    pub(super) fn write(&self) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (random, path) = (encode(&self.random), encode(self.return_to.as_bytes()));
        format!("{random}.{}.{path}", self.began.timestamp())
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let random = decode(parts.next()?)?.try_into().ok()?;
        let began = DateTime::from_timestamp(parts.next()?.parse().ok()?, 0)?;
        let return_to = String::from_utf8(decode(parts.next()?)?).ok()?;
        Some(Self { random, began, return_to })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn trip() -> Trip {
        let began = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        Trip { random: [7; 32], began, return_to: "/a.b".to_owned() }
    }

    #[test]
    fn a_trip_is_read_as_it_was_written_and_tells_nothing_of_itself() {
        let trip = trip();
        let read = Trip::read(&trip.write()).unwrap();
        assert_eq!((read.random, read.began, &*read.return_to), ([7; 32], trip.began, "/a.b"));
        let all =
            [trip.state(), trip.sign_out_state(), trip.nonce(), trip.verifier(), trip.write()];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), 5);
        // Spec: RFC 7636 §4.1.
        assert_eq!(trip.verifier().len(), 43);
        for text in ["", "a.b.c", "..", &trip.write()[1..]] {
            assert!(Trip::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_trip_ends_in_time_and_with_its_own_state() {
        let trip = trip();
        let state = trip.sign_out_state();
        let after = |seconds: i64| trip.began + TimeDelta::seconds(seconds);
        assert!(trip.ends_with(&state, Some(&state), after(LIFETIME)));
        assert!(!trip.ends_with(&state, Some(&state), after(LIFETIME + 1)));
        assert!(!trip.ends_with(&state, Some(&trip.state()), after(0)));
        assert!(!trip.ends_with(&state, None, after(0)));
    }
}
