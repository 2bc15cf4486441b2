//! Whether what was acknowledged is what is counted.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::ToSpan as _;
use jiff::civil;
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{Granularity, QueryTotalsRequest};
use tally_runtime::Clock;
use tokio::time::timeout;
use tonic::Status;

use crate::client::{Caller, describe};

/// Asks for the totals of the run's series.
pub(super) struct Totals {
    client: RequestServiceClient<Caller>,
    question: QueryTotalsRequest,
    patience: Duration,
}

/// What the totals say about the acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Acknowledged, and not counted.
    pub(super) lost: u64,
    /// Counted, and not acknowledged, even if all that is in doubt is counted.
    pub(super) doubled: u64,
}

// === impl Totals ===

impl Totals {
    pub(super) fn new(
        client: RequestServiceClient<Caller>,
        path_prefix: &str,
        days: u64,
        patience: Duration,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        // A day more, because midnight may come first.
        let days = i64::try_from(days).unwrap_or(i64::MAX);
        let today = clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let from = today.checked_sub(days.days()).context("the clock is far in the past")?;
        let question = QueryTotalsRequest {
            from: Some(date(from)),
            granularity: Granularity::Whole.into(),
            path_prefix: path_prefix.to_owned(),
            live: true,
            sum: true,
            ..QueryTotalsRequest::default()
        };
        Ok(Self { client, question, patience })
    }

    /// How many requests the series have, of the days that the run counts on.
    pub(super) async fn count(&mut self) -> anyhow::Result<i64> {
        let reading = async {
            let answer = self.client.query_totals(self.question.clone()).await;
            let (mut answer, mut count) = (answer?.into_inner(), 0);
            while let Some(part) = answer.message().await? {
                let counts = part.periods.iter().flat_map(|period| &period.count);
                count = counts.fold(count, |sum: i64, count| sum.saturating_add(*count));
            }
            Ok::<_, Status>(count)
        };
        let silent = |_| Status::deadline_exceeded("the server does not answer");
        let count = timeout(self.patience, reading).await.map_err(silent).and_then(|count| count);
        count.map_err(|status| anyhow!("cannot read the totals: {}", describe(&status)))
    }
}

// === impl Verdict ===

impl Verdict {
    /// What `counted` more requests mean.
    pub(super) fn new(counted: i64, acknowledged: u64, in_doubt: u64) -> Self {
        let (counted, acknowledged) = (i128::from(counted), i128::from(acknowledged));
        let above = |number: i128| u64::try_from(number.max(0)).unwrap_or(u64::MAX);
        Self {
            lost: above(acknowledged - counted),
            doubled: above(counted - acknowledged - i128::from(in_doubt)),
        }
    }
}

fn date(date: civil::Date) -> Date {
    let [year, month, day] = [i32::from(date.year()), date.month().into(), date.day().into()];
    Date { year, month, day }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_doubt_may_be_counted_or_not() {
        for (counted, acknowledged, in_doubt, lost, doubled) in [
            (100, 100, 0, 0, 0),
            (99, 100, 0, 1, 0),
            (101, 100, 0, 0, 1),
            (100, 100, 7, 0, 0),
            (107, 100, 7, 0, 0),
            (108, 100, 7, 0, 1),
            (99, 100, 7, 1, 0),
            // Totals only go down when something is deleted.
            (-5, 0, 0, 5, 0),
        ] {
            let verdict = Verdict::new(counted, acknowledged, in_doubt);
            assert_eq!(verdict, Verdict { lost, doubled }, "{counted} {acknowledged} {in_doubt}");
        }
    }
}
