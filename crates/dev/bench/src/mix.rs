//! Which series requests are of, and pseudo-random numbers.

use std::ops::Range;

/// Methods of made-up series.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// Statuses of made-up series.
const STATUSES: [u16; 5] = [200, 204, 302, 404, 503];

/// How many services and customers there are.
const SERVICES: usize = 10;
const CUSTOMERS: usize = 50;

/// What requests are counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) service: String,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) customer: String,
}

/// Series, and how often each has a request.
pub(crate) struct Mix {
    pub(crate) series: Vec<Series>,
    /// Sums of weights up to each series; `None` if all have the same.
    sums: Option<Vec<f64>>,
    seed: u64,
}

// === impl Series ===

impl Series {
    /// The n-th one. Five of them have one endpoint, and differ in their status.
    pub(crate) fn nth(n: usize) -> Self {
        let endpoint = n / STATUSES.len();
        Self {
            service: format!("service-{}", endpoint % SERVICES),
            method: METHODS[endpoint % METHODS.len()],
            path: format!("/api/v1/collections/{}/items", endpoint / METHODS.len()),
            status: STATUSES[n % STATUSES.len()],
            customer: format!("customer-{}", n % CUSTOMERS),
        }
    }

    /// As the server knows it.
    pub(crate) fn stored(&self) -> tally_requests::Series {
        let Self { service, method, path, status, customer } = self;
        tally_requests::Series {
            service: service.as_str().into(),
            method: (*method).into(),
            path: path.as_str().into(),
            status: *status,
            customer: customer.as_str().into(),
            ..tally_requests::Series::default()
        }
    }
}

// === impl Mix ===

impl Mix {
    pub(crate) fn new(series: usize, is_uniform: bool, seed: u64) -> Self {
        let sums = (1..=series).scan(0.0, |sum, n| {
            *sum += 1.0 / n as f64;
            Some(*sum)
        });
        let sums = (!is_uniform).then(|| sums.collect());
        Self { series: (0..series).map(Series::nth).collect(), sums, seed }
    }

    /// The series of a request. The same numbers give the same series.
    pub(crate) fn pick(&self, stream: u64, request: u64) -> u32 {
        let random = mixed(self.seed, stream, request);
        let index = match &self.sums {
            None => (random % self.series.len() as u64) as usize,
            Some(sums) => {
                let last = sums.last().copied().unwrap_or_default();
                let at = (random >> 11) as f64 / (1_u64 << 53) as f64 * last;
                sums.partition_point(|sum| *sum < at).min(sums.len() - 1)
            }
        };
        u32::try_from(index).expect("a few series")
    }
}

/// A number that depends on these three only: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) fn mixed(seed: u64, first: u64, second: u64) -> u64 {
    [first, second].into_iter().fold(seed, |state, number| {
        let mut mixed = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// A number within the range.
pub(crate) fn within(random: u64, range: &Range<i64>) -> i64 {
    range.start + (random % range.end.abs_diff(range.start).max(1)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_thousand_series_has_an_eighth_of_the_requests() {
        let mix = Mix::new(1_000, false, 1);
        let picked: Vec<u32> = (0..100_000).map(|n| mix.pick(0, n)).collect();
        let first = picked.iter().filter(|series| **series == 0).count();
        // 1 / (1 + 1/2 + ... + 1/1000) = 0.1336.
        assert!((13_000..13_700).contains(&first), "{first}");
        assert!(picked.contains(&999));
    }

    #[test]
    fn series_are_all_different() {
        let mix = Mix::new(5_000, true, 1);
        let mut names: Vec<String> = mix.series.iter().map(|one| format!("{one:?}")).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 5_000);
    }
}
