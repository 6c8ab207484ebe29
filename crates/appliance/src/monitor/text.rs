//! Writes metrics in the text format that Prometheus reads.
//!
//! Spec: "Text-based format", Exposition formats, Prometheus documentation. Our own and not the
//! crate `prometheus-client`: that one names a counter `x` and its sample `x_total`, for which
//! `promtool check metrics` finds no help text.

use std::fmt::Write;

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Label names with their values, in the order in which they are written.
pub(crate) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Numbers sorted into buckets.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    /// Upper bounds, ascending.
    bounds: &'static [f64],
    /// Observations up to each bound and above the one before; the last element counts the rest.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        let at = self.bounds.iter().position(|bound| value <= *bound);
        if let Some(count) = self.counts.get_mut(at.unwrap_or(self.bounds.len())) {
            *count += 1;
        }
        self.sum += value;
    }
}

/// The text under construction.
#[derive(Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples follow.
    pub(crate) fn family(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
    ) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Family { exposition: self, name }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.0, "{line}");
        debug_assert!(written.is_ok(), "a string takes everything");
    }
}

/// A family that takes its samples.
pub(crate) struct Family<'a> {
    exposition: &'a mut Exposition,
    name: &'static str,
}

impl Family<'_> {
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: f64) {
        self.write("", labels, None, value);
    }

    pub(crate) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut sum = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            sum += count;
            self.write("_bucket", labels, Some(&bound.to_string()), whole(sum));
        }
        let all = whole(histogram.counts.iter().sum());
        self.write("_bucket", labels, Some("+Inf"), all);
        self.write("_sum", labels, None, histogram.sum);
        self.write("_count", labels, None, all);
    }

    fn write(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: f64) {
        let bound = bound.map(|bound| ("le", bound));
        let mut written = String::new();
        for (name, value) in labels.iter().copied().chain(bound) {
            let comma = if written.is_empty() { "" } else { "," };
            written.push_str(comma);
            written.push_str(name);
            written.push_str("=\"");
            escape(value, &mut written);
            written.push('"');
        }
        let name = self.name;
        if written.is_empty() {
            self.exposition.line(format_args!("{name}{suffix} {value}"));
        } else {
            self.exposition.line(format_args!("{name}{suffix}{{{written}}} {value}"));
        }
    }
}

/// A count as the format knows numbers.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the format has no exact numbers")]
pub(crate) fn whole(count: u64) -> f64 {
    count as f64
}

fn escape(value: &str, into: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.family("up", Kind::Gauge, "One.").sample(&[], 1.0);
        let mut requests = text.family("requests_total", Kind::Counter, "Many.");
        requests.sample(&[("op", "a\"b\\c\nd"), ("code", "200")], 1_790_000_000.0);
        let mut histogram = Histogram::new(&[0.5, 2.0]);
        [0.1, 0.5, 1.0, 3.0].into_iter().for_each(|value| histogram.observe(value));
        text.family("age_seconds", Kind::Histogram, "Ages.").histogram(&[("of", "x")], &histogram);
        expect![[r#"
            # HELP up One.
            # TYPE up gauge
            up 1
            # HELP requests_total Many.
            # TYPE requests_total counter
            requests_total{op="a\"b\\c\nd",code="200"} 1790000000
            # HELP age_seconds Ages.
            # TYPE age_seconds histogram
            age_seconds_bucket{of="x",le="0.5"} 2
            age_seconds_bucket{of="x",le="2"} 3
            age_seconds_bucket{of="x",le="+Inf"} 4
            age_seconds_sum{of="x"} 4.6
            age_seconds_count{of="x"} 4
        "#]]
        .assert_eq(&text.finish());
    }
}
