//! What requests are checked against as they come.

use std::sync::Arc;

use prost_types::Timestamp;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::wire::{
    self, CUSTOMER_BYTES_MAX, METHOD_BYTES_MAX, SERVICE_BYTES_MAX, STATUS_MAX,
};
use tally_runtime::{Clock, faults};

use crate::ahead::Ahead;
use crate::batch::RecordLimits;
use crate::error::InvalidTime;
use crate::metrics::Measured;
use crate::model::{Namespace, Series, SeriesRef};
use crate::resolution::Resolution;
use crate::rows::RowsBuilder;
use crate::series::KnownSeries;
use crate::submission::{Entry, InvalidEntry};

/// The series, and what requests are checked against.
pub(crate) struct Intake {
    pub(crate) series: Arc<KnownSeries>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) path_bytes_max: usize,
    pub(crate) ahead: Ahead,
    pub(crate) record: RecordLimits,
    pub(crate) resolution: Resolution,
    pub(crate) measured: Arc<Measured>,
}

/// What requests are checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whose requests they are.
    pub(crate) namespace: Namespace,
    pub(crate) path_bytes_max: usize,
    /// Now, in microseconds since 1970-01-01 UTC.
    pub(crate) now_micros: i64,
}

// === impl Intake ===

impl Intake {
    /// The rules for requests of a namespace, at this moment.
    pub(crate) fn rules(&self, namespace: Namespace) -> Rules {
        let now_micros = self.clock.now().as_microsecond();
        let is_ignored = faults::is_on("namespace.ignore");
        let namespace = if is_ignored { Namespace::DEFAULT } else { namespace };
        Rules { namespace, path_bytes_max: self.path_bytes_max, now_micros }
    }

    /// For rows under the present belief.
    pub(crate) fn builder(&self) -> RowsBuilder {
        RowsBuilder::new(self.series.belief(), self.resolution)
    }

    /// What is wrong with an entry. A time that is ahead is noted.
    pub(crate) fn check(&self, rules: Rules, entry: &Entry<'_>) -> Vec<InvalidEntry> {
        let invalid = entry.check(rules);
        for one in &invalid {
            if let InvalidEntry::TimeAhead(ahead_seconds) = one {
                self.ahead.refused(rules.now_micros, *ahead_seconds);
            }
        }
        invalid
    }

    /// The time of a request, if it may be counted. One that is ahead is noted.
    #[inline]
    pub(crate) fn time(&self, rules: Rules, time: Option<Timestamp>) -> Result<i64, InvalidTime> {
        rules.time(time).inspect_err(|reason| {
            self.measured.refused_time(*reason);
            if let InvalidTime::Ahead { ahead_seconds } = reason {
                self.ahead.refused(rules.now_micros, *ahead_seconds);
            }
        })
    }
}

// === impl Rules ===

impl Rules {
    /// The path that a request is counted under.
    pub(crate) fn path(self, path: &str) -> &str {
        wire::path(path, self.path_bytes_max)
    }

    /// The series that a request is counted under; `None` if its status cannot be.
    pub(crate) fn series(self, series: &proto::Series) -> Option<Series> {
        let status = u16::try_from(series.status).ok().filter(|status| *status <= STATUS_MAX)?;
        let proto::Series { service, method, path, customer, .. } = series;
        let namespace = self.namespace;
        let series = SeriesRef { namespace, service, method, path, status, customer };
        Some(self.counted(series).to_owned())
    }

    /// The series that requests of this one are counted under, whose texts can be stored.
    pub(crate) fn counted(self, series: SeriesRef<'_>) -> SeriesRef<'_> {
        SeriesRef {
            service: wire::text(series.service, SERVICE_BYTES_MAX),
            method: wire::text(series.method, METHOD_BYTES_MAX),
            path: self.path(series.path),
            customer: wire::text(series.customer, CUSTOMER_BYTES_MAX),
            ..series
        }
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
mod tests;
