//! Counters with labels whose values come from servers, and so have to be bounded.

use std::{collections::BTreeMap, time::Duration};

use record::Peer;

use super::text::Histogram;

/// Most label values of one counter; what comes later counts as `other`.
const MOST_VALUES: usize = 200;

/// Most characters of a label value.
const LONGEST_VALUE: usize = 64;

/// Bounds for the duration of a request, in seconds.
const DURATIONS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

const OTHER: &str = "other";

/// A counter with one label.
#[derive(Debug, Default)]
pub(crate) struct Counter(BTreeMap<String, u64>);

impl Counter {
    pub(crate) fn add(&mut self, value: &str, count: u64) {
        let value = bounded(value, self.0.len(), |value| self.0.contains_key(value));
        *self.0.entry(value).or_default() += count;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(value, count)| (value.as_str(), *count))
    }
}

/// The requests to one end of the way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    counts: BTreeMap<(&'static str, String), u64>,
    durations: BTreeMap<&'static str, Histogram>,
}

impl Requests {
    pub(crate) fn ended(&mut self, operation: &'static str, code: &str, took: Duration) {
        let known = |code: &str| self.counts.contains_key(&(operation, code.to_owned()));
        let code = bounded(code, self.counts.len(), known);
        *self.counts.entry((operation, code)).or_default() += 1;
        let durations = self.durations.entry(operation);
        durations.or_insert_with(|| Histogram::new(DURATIONS)).observe(took.as_secs_f64());
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        self.counts.iter().map(|((operation, code), count)| (*operation, code.as_str(), *count))
    }

    pub(crate) fn durations(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        self.durations.iter().map(|(operation, histogram)| (*operation, histogram))
    }
}

/// The requests to both ends.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    pub(crate) source: Requests,
    pub(crate) sink: Requests,
}

impl Peers {
    pub(crate) fn of(&mut self, peer: Peer) -> &mut Requests {
        match peer {
            Peer::Source => &mut self.source,
            Peer::Sink => &mut self.sink,
        }
    }
}

/// `value`, or `other` if that would be one value too many.
fn bounded(value: &str, values: usize, known: impl Fn(&str) -> bool) -> String {
    let value: String = value.chars().filter(|c| !c.is_control()).take(LONGEST_VALUE).collect();
    if values < MOST_VALUES || known(&value) { value } else { OTHER.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_invents_codes_does_not_fill_the_memory() {
        let mut requests = Requests::default();
        let mut reasons = Counter::default();
        for number in 0..10_000 {
            let code = format!("Error{number}{}", "x".repeat(1000));
            requests.ended("GetItem", &code, Duration::from_millis(3));
            reasons.add(&code, 2);
        }
        assert_eq!(requests.counts().count(), MOST_VALUES + 1);
        assert!(requests.counts().all(|(_, code, _)| code.len() <= LONGEST_VALUE));
        assert_eq!(requests.counts().map(|(_, _, count)| count).sum::<u64>(), 10_000);
        assert_eq!(reasons.iter().map(|(_, count)| count).sum::<u64>(), 20_000);
        // A value that is known keeps its own number.
        reasons.add(&format!("Error0{}", "x".repeat(1000)), 1);
        assert_eq!(reasons.iter().next().map(|(_, count)| count), Some(3));
    }
}
