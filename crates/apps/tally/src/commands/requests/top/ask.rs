//! Asking the server: the query, and the sample that its answer is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use jiff::ToSpan as _;
use jiff::civil::Date;
use tally_proto::google::r#type::Date as ProtoDate;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{Granularity, Group, LimitOrder, QueryTotalsRequest};
use tally_runtime::Clock;
use tokio::time::timeout;

use super::super::series::Part;
use super::history::{Name, Sample};
use super::{GroupBy, TopArgs};
use crate::client::{Caller, describe};
use crate::output::OutputFormat;

/// How long an answer may take. A database that is slower than this is away, to somebody who watches.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection to the server.
pub(super) type Client = RequestServiceClient<Caller>;

/// Asks the same server again and again.
pub(super) struct Asker {
    args: TopArgs,
    clock: Arc<dyn Clock>,
    started: Instant,
}

/// What is asked for: the same query has totals that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) by: GroupBy,
    /// The first day, in UTC. There is no last one, so that no request leaves the range when a day ends.
    pub(super) since: Date,
}

// === impl Asker ===

impl Asker {
    pub(super) fn new(args: TopArgs, clock: Arc<dyn Clock>) -> Self {
        Self { args, clock, started: Instant::now() }
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        self.args.server.requests().await
    }

    /// How long it has been asking.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Requests may arrive a day late: yesterday and today.
    pub(super) fn question(&self, by: GroupBy) -> Question {
        let today = self.clock.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        Question { by, since: today.checked_sub(1.day()).unwrap_or(today) }
    }

    /// Asks once.
    pub(super) async fn ask(
        &self,
        client: &mut Client,
        question: Question,
    ) -> anyhow::Result<Sample> {
        let asking = self.read(client, question);
        let seconds = ANSWER_MAX.as_secs();
        let silence = || anyhow!("no answer within {seconds} s");
        timeout(ANSWER_MAX, asking).await.map_err(|_elapsed| silence())?
    }

    async fn read(&self, client: &mut Client, question: Question) -> anyhow::Result<Sample> {
        let failed = |status| anyhow!("cannot read the totals: {}", describe(&status));
        // The server takes its snapshot as soon as it is asked.
        let mut sample = Sample { at: self.elapsed(), ..Sample::default() };
        let answer = client.query_totals(self.request(question)).await;
        let mut answer = answer.map_err(failed)?.into_inner();
        let (mut names, parts) = (Vec::<Name>::new(), question.by.parts());
        while let Some(part) = answer.message().await.map_err(failed)? {
            sample.dropped += i128::from(part.dropped);
            if let Some(omitted) = part.omitted {
                sample.others = omitted.totals;
                sample.total += i128::from(omitted.requests);
            }
            let name = |group: &Group| parts.iter().map(|part| cell(*part, group)).collect();
            names.extend(part.groups.iter().map(name));
            for period in part.periods {
                if period.number.len() != period.count.len() {
                    bail!("the server's answer makes no sense");
                }
                for (number, count) in period.number.into_iter().zip(period.count) {
                    let name = names.get(number as usize);
                    let name = name.context("the server's answer makes no sense")?;
                    sample.total += i128::from(count);
                    *sample.counts.entry(name.clone()).or_default() += count;
                }
            }
        }
        Ok(sample)
    }

    fn request(&self, Question { by, since }: Question) -> QueryTotalsRequest {
        let from = ProtoDate {
            year: since.year().into(),
            month: since.month().into(),
            day: since.day().into(),
        };
        let filters = &self.args.filters;
        QueryTotalsRequest {
            from: Some(from),
            granularity: Granularity::Whole.into(),
            live: true,
            limit: self.args.limit,
            limit_order: LimitOrder::Count.into(),
            group_by: by.parts().iter().map(|part| part.to_proto().into()).collect(),
            path_prefix: filters.path_prefix.clone(),
            paths: filters.path.clone(),
            services: filters.service.clone(),
            methods: filters.method.clone(),
            statuses: filters.statuses(),
            status_classes: filters.status_classes(),
            customers: filters.customer.clone(),
            ..QueryTotalsRequest::default()
        }
    }
}

/// A code of gRPC says that it is one, because it stands among the statuses of HTTP.
fn cell(part: Part, group: &Group) -> String {
    match (part, group.status) {
        (Part::Status, code @ 1..=16) => format!("gRPC {code}"),
        _ => part.cell(group, OutputFormat::Table, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_grpc_are_told_from_statuses_of_http() {
        let shown = [0, 5, 16, 17, 200]
            .map(|status| cell(Part::Status, &Group { status, ..Group::default() }));
        assert_eq!(shown, ["", "gRPC 5", "gRPC 16", "17", "200"]);
    }
}
