//! How long to wait before something is tried again.

use std::time::Duration;

/// A pause that doubles with each attempt (the first is 1), with jitter: between half of it and the
/// whole. `random` is any number; see [`random::number`](crate::random::number).
pub fn pause(min: Duration, max: Duration, attempt: u32, random: u64) -> Duration {
    let whole = min.saturating_mul(1 << (attempt - 1).min(16)).min(max);
    let random = u32::try_from(random % 1000).expect("less than a thousand");
    whole / 2 + whole * random / 2000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_bounds() {
        let (min, max) = (Duration::from_millis(10), Duration::from_secs(1));
        for (attempt, random) in (1..40).zip((0..).step_by(77)) {
            let pause = pause(min, max, attempt, random);
            assert!(pause >= min / 2 && pause <= max, "{attempt}: {pause:?}");
        }
        assert!(pause(min, max, 30, 0) >= max / 2);
        assert!(pause(min, max, 2, 999) > pause(min, max, 2, 0));
    }
}
