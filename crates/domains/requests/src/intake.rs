//! What `Add` and `Record` streams share: the endpoints, and the rules for requests.

use std::sync::Arc;

use prost_types::Timestamp;
use tally_proto::wire;
use tally_runtime::Clock;

use crate::ahead::Ahead;
use crate::batch::RecordLimits;
use crate::endpoints::Endpoints;
use crate::error::InvalidTime;
use crate::rows::RowsBuilder;

/// The endpoints, and what requests are checked against.
pub(crate) struct Intake {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) path_bytes_max: usize,
    pub(crate) ahead: Ahead,
    pub(crate) record: RecordLimits,
}

/// What requests are checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) path_bytes_max: usize,
    /// Now, in microseconds since 1970-01-01 UTC.
    pub(crate) now_micros: i64,
}

// === impl Intake ===

impl Intake {
    /// The rules at this moment.
    pub(crate) fn rules(&self) -> Rules {
        let now_micros = self.clock.now().as_microsecond();
        Rules { path_bytes_max: self.path_bytes_max, now_micros }
    }

    /// For rows under the present belief.
    pub(crate) fn builder(&self) -> RowsBuilder {
        RowsBuilder::new(self.endpoints.belief())
    }
}

// === impl Rules ===

impl Rules {
    /// The path that a request is counted under.
    pub(crate) fn path(self, path: &str) -> &str {
        wire::path(path, self.path_bytes_max)
    }

    /// The time of a request, by default now, in microseconds since 1970-01-01 UTC.
    pub(crate) fn time(self, time: Option<Timestamp>) -> Result<i64, InvalidTime> {
        let Some(time) = time else { return Ok(self.now_micros) };
        let Timestamp { seconds, nanos } = time;
        let micros = wire::micros(time).ok_or(InvalidTime::OutOfRange { seconds, nanos })?;
        match self.ahead_seconds(micros) {
            Some(ahead_seconds) => Err(InvalidTime::Ahead { ahead_seconds }),
            None => Ok(micros),
        }
    }

    /// How far a time is ahead, if too far.
    pub(crate) fn ahead_seconds(self, micros: i64) -> Option<i64> {
        let ahead = micros.saturating_sub(self.now_micros);
        (ahead > wire::AHEAD_MICROS_MAX).then_some(ahead / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { path_bytes_max: 10, now_micros: 0 };

    fn check(seconds: i64, nanos: i32) -> Result<i64, InvalidTime> {
        RULES.time(Some(Timestamp { seconds, nanos }))
    }

    #[test]
    fn times_are_held_against_the_clock() {
        assert_eq!(check(1, 999_999_999), Ok(1_999_999));
        for (seconds, nanos) in
            [(-62_135_596_801, 0), (253_402_300_800, 0), (1, -1), (1, 1_000_000_000)]
        {
            assert_eq!(check(seconds, nanos), Err(InvalidTime::OutOfRange { seconds, nanos }));
        }
        assert!(check(86_400, 0).is_ok());
        assert_eq!(check(86_401, 0), Err(InvalidTime::Ahead { ahead_seconds: 86_401 }));
        assert_eq!(Rules { now_micros: 7, ..RULES }.time(None), Ok(7));
    }
}
