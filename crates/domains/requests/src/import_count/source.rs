//! Reading the Go server's tables in one snapshot.

use std::error::Error as StdError;

use futures_util::StreamExt as _;
use tally_proto::{methods, wire};
use tally_runtime::Kind;
use tally_store::Error;
use tally_store::postgres::{Database, Isolation, Transaction};
use tokio::sync::mpsc;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::{Count, Part, Request};
use crate::model::Series;
use crate::store::postgres::micros::EPOCH_MICROS;

/// Lines per part.
const PART_LINES: usize = 10_000;

/// Microseconds since 1970-01-01 UTC, for any time in Postgres.
struct Micros(i64);

/// Reads the tables, until they or the receiver end.
pub(super) async fn read(
    database: &Database,
    parts: &mpsc::Sender<Result<Part, Error>>,
    path_bytes_max: usize,
    with_requests: bool,
) -> Result<(), Error> {
    let transaction = database.begin(Isolation::Snapshot).await?;
    let step = "read the Go server's tables";
    transaction.script(step, include_str!("wait_for_store.sql")).await?;
    let rows = transaction.rows(step, include_str!("source.sql"), &[]).await?;
    let source = rows.first().ok_or_else(|| {
        Error::permanent(step, Kind::FailedPrecondition)
            .because("this database has no schema count: say --from with the URL that it used")
    })?;
    let _ = parts.send(Ok(Part::Source(source.get(0), source.get(1)))).await;
    let method = |row: &Row| {
        let path = wire::path(row.get(2), path_bytes_max);
        (row.get(0), Series::of_endpoint(number(row.get(1)), path))
    };
    send(&transaction, include_str!("methods.sql"), method, Part::Methods, parts).await?;
    let count = |row: &Row| {
        let (day, method, requests, total) = (row.get(0), row.get(1), row.get(2), row.get(3));
        Count { day, method, requests, total }
    };
    send(&transaction, include_str!("counts.sql"), count, Part::Counts, parts).await?;
    if with_requests {
        let request = |row: &Row| {
            let Micros(micros) = row.get(2);
            Request { day: row.get(0), method: row.get(1), micros }
        };
        send(&transaction, include_str!("requests.sql"), request, Part::Requests, parts).await?;
    }
    let _ = parts.send(Ok(Part::End)).await;
    transaction.abandon().await?;
    Ok(())
}

/// Streams an answer, in parts.
async fn send<T>(
    transaction: &Transaction,
    sql: &str,
    read: impl Fn(&Row) -> T,
    part: impl Fn(Vec<T>) -> Part,
    parts: &mpsc::Sender<Result<Part, Error>>,
) -> Result<(), Error> {
    let step = "read the Go server's tables";
    let mut rows = transaction.stream(step, sql, &[]).await?.ready_chunks(PART_LINES);
    let mut lines = Vec::with_capacity(PART_LINES);
    while let Some(chunk) = rows.next().await {
        for row in chunk {
            lines.push(read(&row?));
        }
        if lines.len() >= PART_LINES {
            let full = std::mem::replace(&mut lines, Vec::with_capacity(PART_LINES));
            if parts.send(Ok(part(full))).await.is_err() {
                return Ok(());
            }
        }
    }
    if !lines.is_empty() {
        let _ = parts.send(Ok(part(lines))).await;
    }
    Ok(())
}

/// The Go server stores a method's name, or the digits of a number without a name.
fn number(method: &str) -> i32 {
    method.parse().unwrap_or_else(|_| methods::number_of_token(method.as_bytes()))
}

// === impl Micros ===

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(micros.saturating_add(EPOCH_MICROS)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn methods_are_read_as_the_go_server_writes_them() {
        for (text, expected) in [
            ("METHOD_UNSPECIFIED", 0),
            ("GET", 3),
            ("GRPC", 100),
            ("42", 42),
            ("-5", -5),
            ("99999999999", 0),
            ("", 0),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
