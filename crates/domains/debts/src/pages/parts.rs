//! What the pages have in common: standings, schedules, lengths of time.

use std::time::Duration;

use maud::{Markup, html};
use tally_serve::pages::moment;

use crate::schedule::Schedule;
use crate::state::Standing;

/// Where a debt stands, in a word.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::New => "New",
        Standing::Up => "Up",
        Standing::Late => "Late",
        Standing::Down => "Down",
        Standing::Paused => "Paused",
    }
}

/// The same, to be seen at a glance: by its word, and by its colour too.
pub(super) fn badge(standing: Standing) -> Markup {
    let class = match standing {
        Standing::Up => "up",
        Standing::Late => "late",
        Standing::Down => "down",
        Standing::New | Standing::Paused => "idle",
    };
    html! { span.badge.(class) { (word(standing)) } }
}

/// When it is due, in words.
pub(super) fn schedule(schedule: &Schedule) -> Markup {
    html! {
        @match schedule {
            Schedule::Interval(_) => { "every " (schedule) },
            Schedule::Cron(cron) => { code { (cron.text()) } " " (cron.zone()) },
            Schedule::Deadline(at) => { "once, by " (moment(*at, None)) },
            Schedule::None => "no schedule",
        }
    }
}

/// How long something took.
pub(super) fn lasted(took: Duration) -> String {
    let seconds = took.as_secs();
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {smaller}"),
    };
    match seconds {
        0 if took.is_zero() => "0 s".to_owned(),
        0..10 => format!("{:.2} s", took.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => two(seconds / 60, "min", seconds % 60, "s"),
        7_200..172_800 => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_two_units() {
        let lasted = |millis| lasted(Duration::from_millis(millis));
        let all = [0, 1_234, 119_999, 120_000, 185_000, 7_260_000, 183_600_000].map(lasted);
        assert_eq!(all, ["0 s", "1.23 s", "119 s", "2 min", "3 min 5 s", "2 h 1 min", "2 d 3 h"]);
    }
}
