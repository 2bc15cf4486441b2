//! When a connection to CockroachDB is replaced.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use deadpool_postgres::Metrics;

/// How old a connection to CockroachDB becomes, and how much older at random: so the connections of all
/// servers spread over the nodes again after one was away, and do not do so at the same moment. A
/// Postgres has one server, and each new connection makes us doubt what we know of it.
const COCKROACH_AGE_MAX: Duration = Duration::from_secs(20 * 60);
const COCKROACH_AGE_JITTER: Duration = Duration::from_secs(2 * 60);

/// Whether a connection is to be replaced: each has an age of its own for that.
pub(super) fn is_old(metrics: &Metrics, jitter: &RandomState) -> bool {
    let jitter = jitter.hash_one(metrics.created) % COCKROACH_AGE_JITTER.as_secs();
    metrics.age() > COCKROACH_AGE_MAX + Duration::from_secs(jitter)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn connections_of_one_moment_are_not_replaced_at_one_moment() {
        let (now, jitter) = (Instant::now(), RandomState::new());
        let old = |age: Duration| {
            (0..1_000)
                .filter_map(|later| now.checked_sub(age)?.checked_sub(Duration::from_micros(later)))
                .filter(|created| {
                    let metrics = Metrics { created: *created, ..Metrics::default() };
                    is_old(&metrics, &jitter) && is_old(&metrics, &jitter)
                })
                .count()
        };
        assert_eq!(old(COCKROACH_AGE_MAX - Duration::from_secs(1)), 0);
        assert!((1..1_000).contains(&old(COCKROACH_AGE_MAX + COCKROACH_AGE_JITTER / 2)));
        assert_eq!(old(COCKROACH_AGE_MAX + COCKROACH_AGE_JITTER + Duration::from_secs(1)), 1_000);
    }
}
