//! How `tally totals` and `tally producers` report missing acknowledged batches.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tally_proto::tally::producers::v1::Setback;

use crate::output::{plural, thousands, visible};

/// All of them in one line.
pub(super) fn summary(setbacks: &[Setback]) -> Option<String> {
    let noticed = setbacks.iter().filter_map(|one| day(one.noticed_at)).max();
    let since = setbacks.iter().filter_map(|one| day(one.since)).min();
    let sum = |of: fn(&Setback) -> i64| setbacks.iter().map(|one| i128::from(of(one))).sum();
    let (batches, producers): (i128, i128) = (sum(|one| one.batches), sum(|one| one.producers));
    let missing = missing(batches, producers, since);
    (!setbacks.is_empty()).then(|| {
        format!(
            "incomplete: the database went back to an earlier state{}; {missing}: \
             `tally producers` shows whose",
            on(noticed)
        )
    })
}

/// One of them.
pub(super) fn line(setback: &Setback) -> String {
    let Setback { short_id, name, batches, producers, .. } = setback;
    let missing = missing((*batches).into(), (*producers).into(), day(setback.since));
    let whose = match producers {
        1 => format!(" ({}, {})", visible(short_id), visible(name)),
        _ => String::new(),
    };
    format!("the database went back{}; {missing}{whose}", on(day(setback.noticed_at)))
}

fn missing(batches: i128, producers: i128, since: Option<Date>) -> String {
    let (noun, are) = if batches == 1 { ("batch", "is") } else { ("batches", "are") };
    let since = since.map(|since| format!(" since {since}")).unwrap_or_default();
    format!(
        "at least {} acknowledged {noun} of {}{since} {are} missing, unless another database has them",
        thousands(batches),
        plural(producers, "producer"),
    )
}

fn on(day: Option<Date>) -> String {
    day.map(|day| format!(" on {day}")).unwrap_or_default()
}

fn day(at: Option<prost_types::Timestamp>) -> Option<Date> {
    let at = Timestamp::from_second(at?.seconds).ok()?;
    Some(at.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setback(batches: i64, producers: i64, since: i64, noticed: i64) -> Setback {
        let at = |day| Some(prost_types::Timestamp { seconds: day * 86_400, nanos: 0 });
        Setback {
            short_id: "0d0e0f10".to_owned(),
            name: "shop\x1b".to_owned(),
            since: at(since),
            noticed_at: at(noticed),
            batches,
            producers,
        }
    }

    #[test]
    fn what_is_missing_is_said_in_one_line() {
        assert_eq!(summary(&[]), None);
        let all = [setback(10, 1, 20_000, 20_001), setback(2, 1, 19_999, 20_000)];
        assert_eq!(
            summary(&all).as_deref(),
            Some(
                "incomplete: the database went back to an earlier state on 2024-10-05; at least \
                 12 acknowledged batches of 2 producers since 2024-10-03 are missing, unless \
                 another database has them: `tally producers` shows whose"
            )
        );
        assert_eq!(
            line(&setback(1, 1, 20_000, 20_001)),
            "the database went back on 2024-10-05; at least 1 acknowledged batch of 1 producer \
             since 2024-10-04 is missing, unless another database has them (0d0e0f10, shop\\u{1b})"
        );
    }
}
