//! Reading what is stored, from the servers and directly from the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use jiff::civil::Date as CivilDate;
use rusqlite::OpenFlags;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::{CountDailyTotalsRequest, MethodCount};
use tally_proto::google::r#type::Date;
use tally_proto::methods::number_of_text;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::{
    Granularity, Group, ListProducersRequest, QueryTotalsRequest,
};
use tally_proto::wire::UNKNOWN_PATH;
use tokio::time::timeout;
use tonic::transport::{self, Channel};

use crate::journal::Key;
use crate::sessions;

/// Timeout of an answer while things are failing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest accepted answer.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Requests by key.
pub(crate) type Totals = BTreeMap<Key, u64>;

/// How many requests have a path that starts with `prefix`.
pub(crate) fn sum_under(totals: &Totals, prefix: &str) -> u64 {
    totals.iter().filter(|(key, _)| key.path.starts_with(prefix)).map(|(_, count)| count).sum()
}

/// What the servers and the database have at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// Live totals from each server, before the final roll-up.
    pub(crate) live: Vec<Answer>,
    /// Rolled-up totals from each server, after it.
    pub(crate) rolled_up: Vec<Totals>,
    /// What the database has after it.
    pub(crate) tables: Tables,
    /// By client, how many requests of its producers a server has accepted.
    pub(crate) accepted_of_client: BTreeMap<String, u64>,
    /// How each server ended after the final SIGTERM.
    pub(crate) exits: Vec<Result<(), String>>,
    /// Panic messages of servers and clients.
    pub(crate) panics: Vec<String>,
}

/// What the database has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) totals: Totals,
    /// The totals without a name, by day and id.
    pub(crate) unnamed: BTreeMap<(i32, i64), u64>,
    /// Rows that are not rolled up.
    pub(crate) rows_left: u64,
    /// By day, requests accepted from producers and drops reported by them.
    pub(crate) accepted: BTreeMap<i32, u64>,
    pub(crate) dropped: BTreeMap<i32, u64>,
}

/// A server's answer over all days.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) totals: Totals,
    pub(crate) dropped: u64,
    /// The names of the producers whose setbacks it reports.
    pub(crate) setbacks: BTreeSet<String>,
}

/// Queries the totals of all days, with drops and setbacks.
pub(crate) async fn query(url: &str, live: bool) -> anyhow::Result<Answer> {
    let work = async {
        let client = RequestServiceClient::new(connect(url).await?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let granularity = Granularity::Day.into();
        let request = QueryTotalsRequest { granularity, live, ..QueryTotalsRequest::default() };
        let mut answers = client.query_totals(request).await?.into_inner();
        let (mut all, mut groups) = (Answer::default(), Vec::new());
        while let Some(answer) = answers.message().await? {
            all.dropped += u64::try_from(answer.dropped)?;
            all.setbacks.extend(answer.setbacks.into_iter().map(|setback| setback.name));
            groups.extend(answer.groups);
            for period in answer.periods {
                for (at, count) in period.number.iter().zip(period.count) {
                    let named = groups.get(*at as usize).context("an unknown group")?;
                    let Group { method, path, .. } = named.clone();
                    let endpoint = (number_of_text(&method), path);
                    add_once(&mut all.totals, period.period.as_ref(), endpoint, count)?;
                }
            }
        }
        Ok(all)
    };
    timeout(ANSWER_TIMEOUT, work).await.context("QueryTotals")?
}

/// Adds a total of an answer.
fn add_once(
    totals: &mut Totals,
    date: Option<&Date>,
    (method, path): (i32, String),
    count: i64,
) -> anyhow::Result<()> {
    let day = day_of(date.context("a total without a day")?)?;
    let twice = totals.insert(Key { day, method, path }, u64::try_from(count)?).is_some();
    anyhow::ensure!(!twice, "an endpoint occurs twice in a day of an answer");
    Ok(())
}

/// Asks how many requests were accepted, by client name.
pub(crate) async fn accepted(url: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let work = async {
        let mut client = RequestServiceClient::new(connect(url).await?);
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

/// Rolls up a day, a month or a year, and returns the totals from the answer.
pub(crate) async fn roll_up(url: &str, date: Date) -> anyhow::Result<Totals> {
    let work = async {
        let client = CountServiceClient::new(connect(url).await?);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = CountDailyTotalsRequest { date: Some(date) };
        let answer = client.count_daily_totals(request).await?.into_inner();
        let mut totals = Totals::new();
        for MethodCount { method, path, count, date } in answer.method_counts {
            add_once(&mut totals, date.as_ref(), (method, path), count)?;
        }
        Ok(totals)
    };
    timeout(ANSWER_TIMEOUT, work).await.context("CountDailyTotals")?
}

async fn connect(url: &str) -> anyhow::Result<Channel> {
    let endpoint = transport::Endpoint::from_shared(url.to_owned())?;
    Ok(endpoint.connect_timeout(ANSWER_TIMEOUT).connect().await?)
}

/// The days from 1970-01-01 to a full date.
fn day_of(date: &Date) -> anyhow::Result<i32> {
    let date = CivilDate::new(date.year.try_into()?, date.month.try_into()?, date.day.try_into()?)?;
    Ok((date - CivilDate::constant(1970, 1, 1)).get_days())
}

/// The date of a day, or its month with `parts` 2, or its year with 1.
pub(crate) fn date_of(day: i32, parts: u64) -> Date {
    let date = CivilDate::constant(1970, 1, 1) + jiff::Span::new().days(day);
    Date {
        year: date.year().into(),
        month: if parts > 1 { date.month().into() } else { 0 },
        day: if parts > 2 { date.day().into() } else { 0 },
    }
}

/// Whether a day lies in a date of [`date_of`].
pub(crate) fn is_in(day: i32, date: Date) -> bool {
    let parts = 1 + u64::from(date.month > 0) + u64::from(date.day > 0);
    date_of(day, parts) == date
}

/// Reads Postgres.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<Tables> {
    let client = sessions::connect(url).await?;
    let mut tables = Tables::default();
    for row in client.query(include_str!("sql/postgres_totals.sql"), &[]).await? {
        let name = row.get::<_, Option<String>>(2).zip(row.get(3));
        tables.add_total(row.get(0), row.get(1), name, row.get(4))?;
    }
    let row = client.query_one(include_str!("sql/rows_left.sql"), &[]).await?;
    tables.rows_left = u64::try_from(row.get::<_, i64>(0))?;
    for row in client.query(include_str!("sql/postgres_producer_days.sql"), &[]).await? {
        tables.add_day(row.get(0), row.get(1), row.get(2))?;
    }
    Ok(tables)
}

/// Reads a SQLite file that no server has open.
pub(crate) fn sqlite(path: &std::path::Path) -> anyhow::Result<Tables> {
    let connection =
        rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut tables = Tables::default();
    let mut statement = connection.prepare(include_str!("sql/sqlite_totals.sql"))?;
    let rows = statement.query_map([], |row| {
        let name = row.get::<_, Option<String>>(2)?.zip(row.get(3)?);
        Ok((row.get(0)?, row.get(1)?, name, row.get(4)?))
    })?;
    for row in rows {
        let (day, id, name, count) = row?;
        tables.add_total(day, id, name, count)?;
    }
    let left: i64 =
        connection.query_row(include_str!("sql/rows_left.sql"), [], |row| row.get(0))?;
    tables.rows_left = left.try_into()?;
    let mut statement = connection.prepare(include_str!("sql/sqlite_producer_days.sql"))?;
    let days = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for day in days {
        let (day, accepted, dropped) = day?;
        tables.add_day(day, accepted, dropped)?;
    }
    Ok(tables)
}

// === impl Tables ===

impl Tables {
    /// As in answers, requests without a name share one key.
    fn add_total(
        &mut self,
        day: i64,
        id: i64,
        name: Option<(String, String)>,
        count: i64,
    ) -> anyhow::Result<()> {
        let (day, count) = (i32::try_from(day)?, u64::try_from(count)?);
        let (method, path) = name.unwrap_or_else(|| {
            self.unnamed.insert((day, id), count);
            (String::new(), UNKNOWN_PATH.to_owned())
        });
        let key = Key { day, method: number_of_text(&method), path };
        *self.totals.entry(key).or_default() += count;
        Ok(())
    }

    fn add_day(&mut self, day: i64, accepted: i64, dropped: i64) -> anyhow::Result<()> {
        let day = i32::try_from(day)?;
        self.accepted.insert(day, accepted.try_into()?);
        if dropped != 0 {
            self.dropped.insert(day, dropped.try_into()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_convert_into_each_other() {
        for day in [-1, 0, 16_572, 20_000] {
            assert_eq!(day_of(&date_of(day, 3)).unwrap(), day);
            for parts in 1..=3 {
                assert!(is_in(day, date_of(day, parts)));
            }
        }
        assert_eq!(date_of(16_572, 2), Date { year: 2015, month: 5, day: 0 });
        assert!(!is_in(16_571, date_of(16_572, 3)));
        assert!(!is_in(0, date_of(16_572, 1)));
    }
}
