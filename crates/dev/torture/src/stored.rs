//! Reading what is stored, from the servers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::{CountDailyTotalsRequest, MethodCount};
use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1::book_service_client::BookServiceClient;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{FoldRequest, ListProducersRequest};
use tokio::time::timeout;
use tonic::Code;

use crate::changes::{Change, Request};
use crate::door::{Door, Link};
use crate::journal::{Key, QUARTERS_PER_DAY, Series};
use crate::tables::Tables;
use crate::views::{Question, day_of};

/// Timeout of an answer while things are failing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest accepted answer.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Requests by key.
pub(crate) type Totals = BTreeMap<Key, u64>;

/// How many requests have a path that starts with `prefix`.
pub(crate) fn sum_under(totals: &Totals, prefix: &str) -> u64 {
    totals
        .iter()
        .filter(|(key, _)| key.series.path.starts_with(prefix))
        .map(|(_, count)| count)
        .sum()
}

/// What the servers and the database have at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// Live totals from each server, in each view, before the final roll-up.
    pub(crate) live: Vec<(Question, Answer)>,
    /// What the database has then.
    pub(crate) before: Tables,
    /// Rolled-up totals of each namespace from each server, after the final roll-up.
    pub(crate) rolled_up: Vec<(i64, Totals)>,
    /// What the database has then.
    pub(crate) tables: Tables,
    /// By client, how many requests of its producers a server has accepted.
    pub(crate) accepted_of_client: BTreeMap<String, u64>,
    /// What is wrong with the keys and the certificates that servers have.
    pub(crate) access: Vec<String>,
    /// How each server ended after the final SIGTERM.
    pub(crate) exits: Vec<Result<(), String>>,
    /// Panic messages of servers and clients.
    pub(crate) panics: Vec<String>,
}

/// A server's answer over all days.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) totals: Totals,
    pub(crate) dropped: u64,
    /// The names of the producers whose setbacks it reports.
    pub(crate) setbacks: BTreeSet<String>,
}

/// Asks for totals, with drops and setbacks.
pub(crate) async fn query(door: &Door, question: Question) -> anyhow::Result<Answer> {
    let work = async {
        let client = RequestServiceClient::new(connect(door).await?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut answers = client.query_totals(question.request()).await?.into_inner();
        let (mut all, mut groups) = (Answer::default(), Vec::new());
        while let Some(answer) = answers.message().await? {
            all.dropped += u64::try_from(answer.dropped)?;
            all.setbacks.extend(answer.setbacks.into_iter().map(|setback| setback.name));
            groups.extend(answer.groups);
            for period in answer.periods {
                let quarter = question.quarter(&period)?;
                for (at, count) in period.number.iter().zip(period.count) {
                    let group = groups.get(*at as usize).context("an unknown group")?;
                    let key = Key { quarter, series: question.series(group)? };
                    add_once(&mut all.totals, key, count)?;
                }
            }
        }
        Ok(all)
    };
    timeout(ANSWER_TIMEOUT, work).await.context("QueryTotals")?
}

/// Adds a total of an answer.
fn add_once(totals: &mut Totals, key: Key, count: i64) -> anyhow::Result<()> {
    let twice = totals.insert(key, u64::try_from(count)?).is_some();
    anyhow::ensure!(!twice, "a group occurs twice in a period of an answer");
    Ok(())
}

/// Folds the rows.
pub(crate) async fn fold(door: &Door) -> anyhow::Result<()> {
    let work = async {
        RequestServiceClient::new(connect(door).await?).fold(FoldRequest {}).await?;
        Ok(())
    };
    timeout(ANSWER_TIMEOUT, work).await.context("Fold")?
}

/// Merges or forgets series. Returns whether it did: a merge of series that there are not is refused.
pub(crate) async fn change(door: &Door, change: Change) -> anyhow::Result<bool> {
    let work = async {
        let mut client = BookServiceClient::new(connect(door).await?);
        let changed = match change.request() {
            Request::Merge(request) => client.merge(request).await,
            Request::Forget(request) => client.forget(request).await,
        };
        match changed {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(status.into()),
        }
    };
    timeout(ANSWER_TIMEOUT, work).await.context("Merge or Forget")?
}

/// Asks how many requests were accepted, by client name.
pub(crate) async fn accepted(door: &Door) -> anyhow::Result<BTreeMap<String, u64>> {
    let work = async {
        let mut client = RequestServiceClient::new(connect(door).await?);
        let request = ListProducersRequest { with_workers: false };
        let mut answers = client.list_producers(request).await?.into_inner();
        let mut accepted = BTreeMap::new();
        while let Some(answer) = answers.message().await? {
            for producer in answer.producers {
                *accepted.entry(producer.name).or_default() += u64::try_from(producer.accepted)?;
            }
        }
        Ok(accepted)
    };
    timeout(ANSWER_TIMEOUT, work).await.context("ListProducers")?
}

/// Rolls up a day, a month or a year, and returns the totals from the answer, which are those of `default`.
pub(crate) async fn roll_up(door: &Door, date: Date) -> anyhow::Result<Totals> {
    let work = async {
        let client = CountServiceClient::new(connect(door).await?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = CountDailyTotalsRequest { date: Some(date) };
        let answer = client.count_daily_totals(request).await?.into_inner();
        let mut totals = Totals::new();
        for MethodCount { method, path, count, date } in answer.method_counts {
            let day = day_of(date.as_ref().context("a total without a day")?)?;
            let series = Series { method, path, ..Series::default() };
            add_once(&mut totals, Key { quarter: day * QUARTERS_PER_DAY, series }, count)?;
        }
        Ok(totals)
    };
    timeout(ANSWER_TIMEOUT, work).await.context("CountDailyTotals")?
}

async fn connect(door: &Door) -> anyhow::Result<Link> {
    let endpoint = door.endpoint()?.connect_timeout(ANSWER_TIMEOUT);
    Ok(door.link(endpoint.connect().await?))
}
