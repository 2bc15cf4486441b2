//! Where times are, and the marks below which they are read.

use jiff::{SignedDuration, Timestamp};
use tally_runtime::text::lasted;

/// How far marks may be apart, in seconds: below them come the powers of ten, above them days.
const STEPS: [i64; 12] = [1, 2, 5, 10, 20, 60, 120, 300, 600, 1_800, 3_600, 7_200];
const DAY_STEPS: [i64; 3] = [14_400, 43_200, 86_400];

/// Times from left to right.
pub(crate) struct Scale {
    /// From where marks are counted.
    pub(crate) origin: Timestamp,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

// === impl Scale ===

impl Scale {
    /// Where a time is, in percent; what is beyond an edge is at it.
    pub(crate) fn x(&self, time: Timestamp) -> f64 {
        let part = time.duration_since(self.from).as_secs_f64();
        100.0 * (part / self.seconds()).clamp(0.0, 1.0)
    }

    /// Whether a time is within.
    pub(super) fn has(&self, time: Timestamp) -> bool {
        (self.from..=self.until).contains(&time)
    }

    /// Whether some of a length of time is.
    pub(super) fn overlaps(&self, from: Timestamp, until: Timestamp) -> bool {
        from <= self.until && until >= self.from
    }

    fn seconds(&self) -> f64 {
        self.until.duration_since(self.from).as_secs_f64().max(1e-9)
    }
}

/// Marks at round times since the origin, at least this part of the width apart, in percent: where each is, and its
/// text.
pub(crate) fn ticks(scale: &Scale, least: f64) -> Vec<(f64, String)> {
    let step = step(scale.seconds() * least / 100.0);
    let before = scale.from.duration_since(scale.origin).as_nanos().max(0);
    let first = before.div_euclid(step.as_nanos()) + i128::from(before % step.as_nanos() != 0);
    let mut ticks = Vec::new();
    for at in first.. {
        let since = SignedDuration::from_nanos_i128(step.as_nanos().saturating_mul(at));
        let part = (since.as_nanos() - before) as f64 / 1e9 / scale.seconds();
        if part > 1.0001 {
            break;
        }
        ticks.push((100.0 * part, words(since)));
    }
    ticks
}

/// The least round step of at least so many seconds.
fn step(least: f64) -> SignedDuration {
    let whole = STEPS.iter().chain(&DAY_STEPS).map(|seconds| SignedDuration::from_secs(*seconds));
    let small = (0..9).flat_map(|power| {
        [1, 2, 5].map(|factor| SignedDuration::from_nanos(factor * 10_i64.pow(power)))
    });
    let mut days = SignedDuration::from_hours(48);
    if let Some(step) = small.chain(whole).find(|step| step.as_secs_f64() >= least) {
        return step;
    }
    while days.as_secs_f64() < least {
        days = days.saturating_mul(2);
    }
    days
}

/// A length of time without what is 0 of it.
fn words(since: SignedDuration) -> String {
    let micros = since.as_micros();
    match since.as_nanos() {
        0 => "0".to_owned(),
        1..1_000 => format!("{} ns", since.as_nanos()),
        1_000..1_000_000 => format!("{micros} µs"),
        _ => {
            let text = lasted(since);
            let text = text.strip_suffix(" 0 s").or(text.strip_suffix(" 0 min")).unwrap_or(&text);
            let text = text.strip_suffix(" 0 h").unwrap_or(text);
            text.replace(".0 s", " s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_at_round_times_and_apart() {
        for (nanos, expected) in [
            (0, "1 ns"),
            (1, "1 ns"),
            (100_000, "20 µs"),
            (20_000_000_000, "5 s"),
            (65_000_000_000, "10 s"),
            (3_600_000_000_000, "10 min"),
            (86_400_000_000_000, "4 h"),
            (400 * 86_400_000_000_000, "64 d"),
            (i64::MAX, "16384 d"),
        ] {
            let from = Timestamp::UNIX_EPOCH;
            let until = Timestamp::from_nanosecond(nanos.into()).expect("a time");
            let ticks = ticks(&Scale { origin: from, from, until }, 12.5);
            assert_eq!(ticks.first().map(|(_, text)| &**text), Some("0"));
            assert!(ticks.len() < 10, "{nanos}: {ticks:?}");
            if let Some((x, text)) = ticks.get(1) {
                assert_eq!(text, expected, "{nanos}");
                assert!(x - ticks[0].0 >= 12.5, "{nanos}: {ticks:?}");
            }
        }
    }
    /// A part of the time has the same marks as the whole.
    #[test]
    fn marks_are_counted_from_the_origin() {
        let at = |millis| Timestamp::from_millisecond(millis).expect("a time");
        let scale = Scale { origin: at(0), from: at(12_500), until: at(17_500) };
        let ticks = ticks(&scale, 12.5);
        let first = ticks.first().map(|(x, text)| (x.round() as i64, &**text));
        assert_eq!((first, ticks.len()), (Some((10, "13 s")), 5), "{ticks:?}");
    }
}
