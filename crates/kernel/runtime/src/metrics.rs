//! Metrics: what a scrape is answered, and what is counted between two of them.
//!
//! A scrape asks each part of the process for its present values, so nothing is registered anywhere. Whoever
//! counts holds a [`Counter`], a [`Gauge`] or a [`Histogram`]; what is known anyway, such as the length of a
//! queue, is read when it is asked for.
//!
//! The format is Prometheus' text format 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! | file | what it owns |
//! |---|---|
//! | `process.rs` | what the operating system knows of the process |

mod process;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The media type of the answer to a scrape.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is: its name, its kind, and a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

/// A number that only grows, from 0 at the start of the process.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How much there is of something now: it is held as long as there is.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// One more in a gauge, until this is dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a Gauge);

/// How often something was how large.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    /// The upper bounds, ascending, in steps.
    bounds: [u64; N],
    /// How many steps one unit of the metric has.
    steps: u32,
    /// How many there were in each range; the last one has no bound.
    ranges: [AtomicU64; N],
    beyond: AtomicU64,
    /// In steps.
    sum: AtomicU64,
}

/// A value of a sample: whole numbers stay exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any other number, and infinity.
    Real(f64),
}

/// What one scrape is answered.
#[derive(Debug, Default)]
pub struct Scrape {
    /// In the order in which they came, each with its samples.
    families: Vec<(Metric, String)>,
    places: HashMap<&'static str, usize>,
}

/// A name and a value.
pub type Label<'a> = (&'static str, &'a str);

// === impl Metric ===

impl Metric {
    /// A number that never falls while the process lives. Its name ends in `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "counter", help }
    }

    /// A number that rises and falls.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "gauge", help }
    }

    /// How often something was how large.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: "histogram", help }
    }
}

// === impl Counter ===

impl Counter {
    /// 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Gauge ===

impl Gauge {
    /// One more, until what this returns is dropped.
    #[must_use]
    pub fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Held ===

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Histogram ===

impl<const N: usize> Histogram<N> {
    /// Of whole numbers, with these upper bounds, which ascend.
    #[must_use]
    pub fn new(bounds: [u64; N]) -> Self {
        let ranges = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, steps: 1, ranges, beyond: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Of times, with upper bounds in milliseconds.
    #[must_use]
    pub fn of_times(bounds_ms: [u64; N]) -> Self {
        Self { steps: 1_000_000, ..Self::new(bounds_ms.map(|ms| ms * 1_000)) }
    }

    /// Notes a number.
    pub fn note(&self, steps: u64) {
        let range = self.bounds.partition_point(|bound| *bound < steps);
        let range = self.ranges.get(range).unwrap_or(&self.beyond);
        range.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(steps, Ordering::Relaxed);
    }

    /// Notes a time.
    pub fn note_time(&self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    fn in_units(&self, steps: u64) -> Value {
        match self.steps {
            1 => Value::Whole(steps),
            of_unit => Value::Real(steps as f64 / f64::from(of_unit)),
        }
    }
}

// === impl Value ===

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

/// In seconds.
impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Real(value.as_secs_f64())
    }
}

/// In seconds since 1970-01-01 UTC.
impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Real(value.as_millisecond() as f64 / 1_000.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) if value.is_infinite() => f.write_str("+Inf"),
            Self::Real(value) => value.fmt(f),
        }
    }
}

// === impl Scrape ===

impl Scrape {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample. One family may come from several parts of the process, with other labels each.
    pub fn put(&mut self, metric: Metric, labels: &[Label<'_>], value: impl Into<Value>) {
        sample(self.family(metric), metric.name, "", labels, value.into());
    }

    /// Adds the samples of a histogram.
    pub fn put_histogram<const N: usize>(
        &mut self,
        metric: Metric,
        labels: &[Label<'_>],
        histogram: &Histogram<N>,
    ) {
        let samples = self.family(metric);
        let mut count = 0;
        for (bound, range) in histogram.bounds.iter().zip(&histogram.ranges) {
            count += range.load(Ordering::Relaxed);
            let bound = histogram.in_units(*bound).to_string();
            let labels = [labels, &[("le", &*bound)]].concat();
            sample(samples, metric.name, "_bucket", &labels, count.into());
        }
        count += histogram.beyond.load(Ordering::Relaxed);
        let beyond = [labels, &[("le", "+Inf")]].concat();
        sample(samples, metric.name, "_bucket", &beyond, count.into());
        let sum = histogram.in_units(histogram.sum.load(Ordering::Relaxed));
        sample(samples, metric.name, "_sum", labels, sum);
        sample(samples, metric.name, "_count", labels, count.into());
    }

    /// The answer.
    #[must_use]
    pub fn finish(self) -> String {
        let mut text = String::new();
        for (Metric { name, kind, help }, samples) in self.families {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            // A String takes all that is written to it.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        text
    }

    /// The samples of a family: those of one stand together.
    fn family(&mut self, metric: Metric) -> &mut String {
        let families = &mut self.families;
        let place = *self.places.entry(metric.name).or_insert_with(|| {
            families.push((metric, String::new()));
            families.len() - 1
        });
        &mut families[place].1
    }
}

fn sample(into: &mut String, name: &str, suffix: &str, labels: &[Label<'_>], value: Value) {
    into.push_str(name);
    into.push_str(suffix);
    let mut before = '{';
    for (label, text) in labels {
        into.push(before);
        into.push_str(label);
        into.push_str("=\"");
        for c in text.chars() {
            match c {
                '\\' => into.push_str("\\\\"),
                '"' => into.push_str("\\\""),
                '\n' => into.push_str("\\n"),
                c => into.push(c),
            }
        }
        into.push('"');
        before = ',';
    }
    if !labels.is_empty() {
        into.push('}');
    }
    let _ = writeln!(into, " {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Metric = Metric::counter("rows_total", "Rows.");
    const ROOM: Metric = Metric::gauge("room", "Room with a \\ and\na line break.");
    const TIMES: Metric = Metric::histogram("times_seconds", "Times.");

    #[test]
    fn the_samples_of_a_family_stand_together_and_texts_are_escaped() {
        let mut scrape = Scrape::new();
        scrape.put(ROWS, &[("of", "a")], u64::MAX);
        scrape.put(ROOM, &[], Duration::from_millis(1_500));
        scrape.put(ROWS, &[("of", "b \"c\" \\ \n"), ("and", "")], 2_u64);
        let expected = "# HELP rows_total Rows.\n\
                        # TYPE rows_total counter\n\
                        rows_total{of=\"a\"} 18446744073709551615\n\
                        rows_total{of=\"b \\\"c\\\" \\\\ \\n\",and=\"\"} 2\n\
                        # HELP room Room with a \\\\ and\\na line break.\n\
                        # TYPE room gauge\n\
                        room 1.5\n";
        assert_eq!(scrape.finish(), expected);
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::of_times([5, 50]);
        for micros in [0, 5_000, 5_001, 50_001, 70_000] {
            histogram.note_time(Duration::from_micros(micros));
        }
        let mut scrape = Scrape::new();
        scrape.put_histogram(TIMES, &[("of", "a")], &histogram);
        let expected = "# HELP times_seconds Times.\n\
                        # TYPE times_seconds histogram\n\
                        times_seconds_bucket{of=\"a\",le=\"0.005\"} 2\n\
                        times_seconds_bucket{of=\"a\",le=\"0.05\"} 3\n\
                        times_seconds_bucket{of=\"a\",le=\"+Inf\"} 5\n\
                        times_seconds_sum{of=\"a\"} 0.130002\n\
                        times_seconds_count{of=\"a\"} 5\n";
        assert_eq!(scrape.finish(), expected);
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let gauge = Gauge::default();
        let (first, second) = (gauge.hold(), gauge.hold());
        assert_eq!(gauge.get(), 2);
        drop((first, second));
        assert_eq!(gauge.get(), 0);
    }
}
