//! What is usual: how long the events of each name took in earlier timelines.

use std::collections::HashMap;

use jiff::SignedDuration;

use crate::store::Took;

/// How many earlier timelines are compared with.
pub(crate) const LAST_MAX: u32 = 20;

/// How long the events of a name usually take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typical {
    pub(crate) median: SignedDuration,
    pub(crate) shortest: SignedDuration,
    pub(crate) longest: SignedDuration,
    /// In how many timelines it ended well.
    pub(crate) timelines: u32,
    /// In how many it failed, and did not end well in the end. They are left out.
    pub(crate) failed: u32,
}

/// By name. A name that never ended well has nothing that is usual.
pub(crate) fn typical(took: &[Took]) -> HashMap<&str, Typical> {
    let mut by_name: HashMap<&str, (Vec<SignedDuration>, u32)> = HashMap::new();
    for one in took {
        let (well, failed) = by_name.entry(&one.name).or_default();
        match one.took {
            Some(took) => well.push(took),
            None => *failed += u32::from(one.failed > 0),
        }
    }
    let usual = |(name, (well, failed))| Some((name, Typical::of(well, failed)?));
    by_name.into_iter().filter_map(usual).collect()
}

// === impl Typical ===

impl Typical {
    /// Of how long it took where it ended well, and in how many it failed.
    pub(crate) fn of(mut well: Vec<SignedDuration>, failed: u32) -> Option<Self> {
        well.sort_unstable();
        let (shortest, longest) = (*well.first()?, *well.last()?);
        let (low, high) = (well[(well.len() - 1) / 2], well[well.len() / 2]);
        let median = low + (high - low) / 2;
        let timelines = u32::try_from(well.len()).unwrap_or(u32::MAX);
        Some(Self { median, shortest, longest, timelines, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// commontoolsinc/labs PR#4357, buildkite/feedback#409, ahrefs/ocannl#918, grafana/grafana#35531,
    /// google/perfetto#2780: is this run slow? No tool says.
    #[test]
    fn median_and_range_are_of_what_ended_well() {
        let one = |number, name: &str, seconds: Option<i64>, failed| Took {
            timeline_number: number,
            name: name.to_owned(),
            took: seconds.map(SignedDuration::from_secs),
            failed,
        };
        let all = [
            one(1, "a", Some(10), 0),
            one(2, "a", Some(30), 1),
            one(3, "a", None, 2),
            one(4, "a", Some(20), 0),
            one(5, "a", None, 0),
            one(1, "b", Some(1), 0),
            one(2, "b", Some(4), 0),
            one(1, "c", None, 1),
        ];
        let typical = typical(&all);
        let seconds = |name: &str| {
            let one = typical[name];
            let of = |duration: SignedDuration| duration.as_secs_f64();
            (of(one.median), of(one.shortest), of(one.longest), one.timelines, one.failed)
        };
        assert_eq!(seconds("a"), (20.0, 10.0, 30.0, 3, 1));
        assert_eq!(seconds("b"), (2.5, 1.0, 4.0, 2, 0));
        assert!(!typical.contains_key("c"));
    }
}
