//! Bytes on disk: of a request's row before it is folded, and of its day when that is rolled up.

use anyhow::Context as _;
use rusqlite::Connection;
use tally_requests::Resolution;
use tally_runtime::{Clock as _, Day, SystemClock};

use super::figures::{Figures, Metric};
use super::ingest::full;
use super::load::{self, Amount, Load};
use super::{Measured, Run};
use crate::arguments::Backend;
use crate::message;
use crate::place::Place;
use crate::server::{self, Server};

/// What tables of Postgres take, by a pattern of their names.
const POSTGRES_BYTES: &str = "\
    SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::BIGINT FROM pg_class \
    WHERE relkind = 'r' AND relname ~ $1";
const TRAYS: &str = "^tally_requests_[0-9]$";
const TOTALS: &str = "^tally_request_(days|months|calendar)$";
const UNFOLDED: &str = "SELECT coalesce(sum(coalesce(requests, 1)), 0)::BIGINT FROM tally_requests";
const SQLITE_UNFOLDED: &str = "SELECT coalesce(sum(coalesce(requests, 1)), 0) FROM tally_requests";

/// A small number of requests, so that the server does not fold them by itself.
pub(super) async fn measure(
    run: &Run<'_>,
    resolution: Resolution,
    backend: Backend,
) -> anyhow::Result<Measured> {
    let place = run.place(backend)?;
    let flags = ["--requests-resolution", &resolution.to_string()];
    let start = || Server::start_with(run.arguments, &place, &flags);
    // It makes the tables. A server that stops leaves nothing in SQLite's write-ahead log.
    start()?.stop()?;
    let (rows_before, totals_before) = (bytes(&place, TRAYS).await?, bytes(&place, TOTALS).await?);
    let server = start()?;
    let requests = run.sizes.disk;
    let load = Load { amount: Amount::Requests(requests), ..full(run) };
    let loaded = load::finish(&load.start(run.arguments, &server)?)?;
    server.stop()?;
    let all = loaded.all_acknowledged as f64;
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / all;
    let mut figures = Figures::default();
    // Otherwise a quarter-hour has just ended, and they are folded already.
    if unfolded(&place).await? == loaded.all_acknowledged {
        figures.set(Metric::RowBytes, each(rows_before, bytes(&place, TRAYS).await?));
    }
    let server = start()?;
    let channel = server.connect().await?;
    server::fold(&channel).await?;
    server::roll_up(&channel, message::date(Day::of(SystemClock.now()))).await?;
    let stored = server::sum(&channel).await?;
    server.stop()?;
    figures.set(Metric::RolledUpBytes, each(totals_before, bytes(&place, TOTALS).await?));
    let mut measured = Measured::of(figures);
    measured.check(&loaded);
    measured.expect_stored(stored, &loaded);
    Ok(measured)
}

/// What the tables of this pattern take. SQLite has no such figure for a table, so it is what the whole
/// file uses.
async fn bytes(place: &Place, tables: &str) -> anyhow::Result<u64> {
    if let Some(client) = place.postgres().await {
        let bytes = client.query_one(POSTGRES_BYTES, &[&tables]).await?;
        return Ok(bytes.get::<_, i64>(0).unsigned_abs());
    }
    let connection = Connection::open(place.file().context("a file")?)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?).unsigned_abs())
}

/// How many requests are rows.
async fn unfolded(place: &Place) -> anyhow::Result<u64> {
    let requests: i64 = match place.postgres().await {
        Some(client) => client.query_one(UNFOLDED, &[]).await?.get(0),
        None => {
            let connection = Connection::open(place.file().context("a file")?)?;
            connection.query_row(SQLITE_UNFOLDED, [], |row| row.get(0))?
        }
    };
    Ok(requests.unsigned_abs())
}
