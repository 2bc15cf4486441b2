//! Writing made-up totals into the tables.

use std::fmt::Write as _;
use std::path::Path;
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use rusqlite::types::Value;
use tally_requests::packed;
use tally_runtime::Day;

use super::books::{Books, quarters, total};
use crate::place::Place;

/// The tables and their columns.
const SERIES: &str =
    "tally_request_series (id, namespace_id, service, method, path, status, customer)";
const DAYS: &str = "tally_request_days (day, series_id, total, quarters)";
const MONTHS: &str = "tally_request_months (month, series_id, total, days)";
const CALENDAR: &str = "tally_request_calendar (day, rolled_up_at, pruned_at)";

/// How much text is sent at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A value in a row.
enum Field {
    Int(i64),
    Text(String),
    Day(Day),
    /// The beginning of a day, or none.
    Since(Option<Day>),
}

/// A table, and its rows, which are made as they are written.
type Rows<'a> = (&'static str, Box<dyn Iterator<Item = Vec<Field>> + 'a>);

/// What became of one table.
pub(super) struct Filled {
    pub(super) table: &'static str,
    pub(super) rows: u64,
    /// With its indexes.
    pub(super) bytes: u64,
}

/// Writes all tables; nothing else uses the database.
pub(super) async fn fill(place: &Place, books: &Books) -> anyhow::Result<Vec<Filled>> {
    let tables = [series(books), days(books), months(books), calendar(books)];
    let Some(client) = place.postgres().await else {
        return insert(&place.file().expect("a file, if it is not Postgres"), tables);
    };
    let mut filled = Vec::new();
    for (table, rows) in tables {
        let rows = copy(&client, table, rows).await?;
        let table = name(table);
        let bytes: i64 = client
            .query_one("SELECT pg_total_relation_size($1::TEXT::REGCLASS)", &[&table])
            .await?
            .get(0);
        filled.push(Filled { table, rows, bytes: bytes.unsigned_abs() });
    }
    client.batch_execute("VACUUM (ANALYZE)").await?;
    Ok(filled)
}

/// The name of a table that stands before its columns.
fn name(table: &'static str) -> &'static str {
    table.split(' ').next().expect("a name")
}

fn series(books: &Books) -> Rows<'_> {
    let rows = books.series.iter().map(|(id, one)| {
        let status = Field::Int(i64::from(one.status));
        let text = |text: &str| Field::Text(text.to_owned());
        let (service, method, path) = (text(&one.service), text(one.method), text(&one.path));
        vec![Field::Int(*id), Field::Int(0), service, method, path, status, text(&one.customer)]
    });
    (SERIES, Box::new(rows))
}

fn days(books: &Books) -> Rows<'_> {
    let days = (books.first_quarters.0..=books.today.0).map(Day);
    let rows = days.flat_map(|day| {
        books.series.iter().enumerate().map(move |(n, (id, _))| {
            let quarters = Field::Text(packed::QUARTERS.pack(&quarters(n, day)));
            vec![Field::Day(day), Field::Int(*id), Field::Int(total(n, day)), quarters]
        })
    });
    (DAYS, Box::new(rows))
}

/// The months, as far as their days are rolled up.
fn months(books: &Books) -> Rows<'_> {
    let firsts = books.days().filter(|day| *day == books.first || day.date().day() == 1);
    let rows = firsts.filter(|first| *first < books.today).flat_map(|first| {
        let (month, last) = (first.date().first_of_month(), first.date().last_of_month());
        let last = Day::from(last).min(books.today.plus(-1));
        books.series.iter().enumerate().map(move |(n, (id, _))| {
            let mut counts = [0; 31];
            for day in (first.0..=last.0).map(Day) {
                counts[day.date().day().unsigned_abs() as usize - 1] = total(n, day);
            }
            let sum = Field::Int(counts.iter().sum());
            vec![
                Field::Day(month.into()),
                Field::Int(*id),
                sum,
                Field::Text(packed::DAYS.pack(&counts)),
            ]
        })
    });
    (MONTHS, Box::new(rows))
}

fn calendar(books: &Books) -> Rows<'_> {
    let rows = books.days().map(|day| {
        let rolled_up = (day < books.today).then(|| day.plus(1));
        let pruned = (day < books.first_quarters).then_some(books.today);
        vec![Field::Day(day), Field::Since(rolled_up), Field::Since(pruned)]
    });
    (CALENDAR, Box::new(rows))
}

async fn copy(
    client: &tokio_postgres::Client,
    table: &str,
    rows: impl Iterator<Item = Vec<Field>>,
) -> anyhow::Result<u64> {
    let mut sink = pin!(client.copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN")).await?);
    let mut text = String::new();
    for row in rows {
        for (n, field) in row.into_iter().enumerate() {
            text.push_str(if n == 0 { "" } else { "\t" });
            match field {
                Field::Int(number) => write!(text, "{number}")?,
                // Nothing that is made up has a tab or a backslash.
                Field::Text(value) => text.push_str(&value),
                Field::Day(day) => write!(text, "{day}")?,
                Field::Since(Some(day)) => write!(text, "{day} 00:00:00+00")?,
                Field::Since(None) => text.push_str("\\N"),
            }
        }
        text.push('\n');
        if text.len() > CHUNK_BYTES {
            sink.send(std::mem::take(&mut text).into()).await?;
        }
    }
    sink.send(text.into()).await?;
    Ok(sink.finish().await?)
}

fn insert(file: &Path, tables: [Rows<'_>; 4]) -> anyhow::Result<Vec<Filled>> {
    let mut connection = rusqlite::Connection::open(file)?;
    let transaction = connection.transaction()?;
    let pragma =
        |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = || anyhow::Ok((pragma("page_count")? * pragma("page_size")?).unsigned_abs());
    let mut filled = Vec::new();
    for (table, rows) in tables {
        let (before, mut written) = (bytes()?, 0);
        let columns = table.matches(',').count() + 1;
        let places = vec!["?"; columns].join(", ");
        let mut statement =
            transaction.prepare(&format!("INSERT INTO {table} VALUES ({places})"))?;
        for row in rows {
            let value = |field| match field {
                Field::Int(number) => Value::Integer(number),
                Field::Text(text) => Value::Text(text),
                Field::Day(day) => Value::Integer(i64::from(day.0)),
                Field::Since(day) => {
                    day.map_or(Value::Null, |day: Day| Value::Integer(day.start_micros()))
                }
            };
            statement.execute(rusqlite::params_from_iter(row.into_iter().map(value)))?;
            written += 1;
        }
        filled.push(Filled { table: name(table), rows: written, bytes: bytes()? - before });
    }
    transaction.commit()?;
    Ok(filled)
}
