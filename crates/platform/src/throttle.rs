//! Pauses that grow with each failed attempt.
//!
//! Attempts are charged before they are tried, so that many at once are not cheaper than one after
//! another.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use openssl::sha::sha256;

/// Whom an attempt is charged to: a hash, so that long names take no more room than short ones.
pub(crate) type Key = [u8; 32];

pub(crate) fn key(parts: &[&str]) -> Key {
    // JSON keeps the parts apart whatever is in them.
    sha256(serde_json::Value::from(parts.to_vec()).to_string().as_bytes())
}

/// How patience ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Attempts without a pause.
    pub(crate) free: u32,
    /// The first pause; each next one is twice as long.
    pub(crate) first: Duration,
    pub(crate) most: Duration,
    /// Time after which everything is forgiven.
    pub(crate) forget: Duration,
    /// Most that are remembered.
    pub(crate) capacity: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
    until: Instant,
}

pub(crate) struct Throttle {
    rule: Rule,
    entries: Mutex<HashMap<Key, Entry>>,
}

impl Throttle {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait before the next attempt.
    pub(crate) fn wait(&self, key: &Key, now: Instant) -> Option<Duration> {
        let entry = *self.entries().get(key)?;
        let wait = entry.until.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Charges an attempt; true if the next one has to wait.
    pub(crate) fn charge(&self, key: Key, now: Instant) -> bool {
        let mut entries = self.entries();
        if entries.len() >= self.rule.capacity && !entries.contains_key(&key) {
            self.make_room(&mut entries, now);
        }
        let entry = entries.entry(key).or_insert(Entry { failures: 0, last: now, until: now });
        if now.saturating_duration_since(entry.last) > self.rule.forget {
            entry.failures = 0;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        let Some(over) = entry.failures.checked_sub(self.rule.free + 1) else { return false };
        let pause = self.rule.first.saturating_mul(1 << over.min(30)).min(self.rule.most);
        entry.until = now + pause;
        true
    }

    /// Takes back the charge of one attempt.
    pub(crate) fn refund(&self, key: &Key) {
        if let Some(entry) = self.entries().get_mut(key) {
            entry.failures = entry.failures.saturating_sub(1);
            entry.until = entry.last;
        }
    }

    pub(crate) fn forgive(&self, key: &Key) {
        self.entries().remove(key);
    }

    /// Forgets what is over; if that is too little, the half that failed least. Whoever fills the
    /// memory with names that they make up pays one attempt for each.
    fn make_room(&self, entries: &mut HashMap<Key, Entry>, now: Instant) {
        let forget = self.rule.forget;
        entries.retain(|_, entry| now.saturating_duration_since(entry.last) <= forget);
        if entries.len() < self.rule.capacity {
            return;
        }
        let mut all: Vec<(u32, Instant, Key)> =
            entries.iter().map(|(key, entry)| (entry.failures, entry.last, *key)).collect();
        all.sort_unstable();
        for (_, _, key) in all.iter().take(self.rule.capacity.div_ceil(2)) {
            entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        free: 2,
        first: Duration::from_secs(1),
        most: Duration::from_secs(10),
        forget: Duration::from_secs(100),
        capacity: 8,
    };

    #[test]
    fn pauses_grow_to_a_limit_and_are_forgotten() {
        let throttle = Throttle::new(RULE);
        let (own, mut now) = (key(&["a"]), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            throttle.charge(own, now);
            let pause = throttle.wait(&own, now).unwrap_or_default();
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(throttle.wait(&own, now), None);
        }
        assert_eq!(pauses, [0, 0, 1, 2, 4, 8, 10, 10]);
        now += Duration::from_secs(101);
        assert!(!throttle.charge(own, now));
        throttle.charge(own, now);
        assert!(throttle.charge(own, now));
        throttle.refund(&own);
        assert_eq!(throttle.wait(&own, now), None);
        assert!(throttle.charge(own, now));
        throttle.forgive(&own);
        assert!(!throttle.charge(own, now));
    }

    #[test]
    fn memory_is_bounded_and_keeps_those_who_failed_most() {
        let throttle = Throttle::new(RULE);
        let now = Instant::now();
        let own = key(&["own"]);
        for _ in 0..5 {
            throttle.charge(own, now);
        }
        for number in 0..1000 {
            throttle.charge(key(&["made up", &number.to_string()]), now);
        }
        assert!(throttle.entries().len() <= RULE.capacity);
        assert!(throttle.wait(&own, now).is_some());
    }

    #[test]
    fn parts_of_a_key_are_kept_apart() {
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a\",\"b"]), key(&["a", "b"]));
    }
}
