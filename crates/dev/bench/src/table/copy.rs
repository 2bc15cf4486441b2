//! The database's own limit: `psql \copy` of the same rows into the same table.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_requests::Row;
use tally_requests::bench::pieces;
use tally_runtime::{Clock as _, SystemClock};
use tally_testkit::Process;

use super::figures::{Figures, Metric};
use super::programs::{checked, find};
use super::{Measured, Run};
use crate::arguments::Backend;
use crate::mix::Series;

/// How many series the rows are of, as of most other rows of the table.
pub(crate) const SERIES: usize = 100;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Writes rows of the current time, as the server does.
pub(crate) fn write_rows(path: &Path, rows: u64) -> anyhow::Result<()> {
    let ids: Vec<i64> = (0..SERIES).map(|n| Series::nth(n).stored().id(0)).collect();
    let start = SystemClock.now().as_microsecond();
    let series = ids.iter().copied().cycle().take(usize::try_from(rows)?);
    let rows = series.zip(start..).map(|(series, micros)| Row { series, micros, requests: 1 });
    let mut file = BufWriter::new(File::create(path)?);
    for piece in pieces(rows, false) {
        file.write_all(&piece)?;
    }
    Ok(file.flush()?)
}

/// Each connection copies all of the rows.
pub(super) async fn measure(run: &Run<'_>, connections: u32) -> anyhow::Result<Measured> {
    let place = run.place(Backend::Postgres)?;
    // Nothing but `psql` uses the tables: no server folds the rows meanwhile.
    place.open().await?;
    let rows = run.sizes.rows * u64::from(connections);
    let mut command = Command::new(find("psql", "postgresql-client")?);
    let copy = format!(
        "\\copy tally_requests_0 (series_id, requested_at) FROM '{}' (FORMAT binary)",
        run.copied.display()
    );
    command.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &place.url, "-c", &copy]);
    let host = run.host(Backend::Postgres)?;
    let cpu = host.cpu();
    let start = Instant::now();
    let copying: Vec<Process> = (0..connections).map(|_| Process::spawn(&command)).collect();
    for process in copying {
        checked(process.wait(LIMIT)).context("psql")?;
    }
    let took = start.elapsed();
    let mut figures = Figures::default();
    figures.set(Metric::Rate, rows as f64 / took.as_secs_f64());
    let spent = cpu.zip(host.cpu()).map(|(before, after)| after.saturating_sub(before));
    figures
        .set_some(Metric::DatabaseCpu, spent.map(|spent| spent.as_secs_f64() * 1e6 / rows as f64));
    let client = place.postgres().await.context("Postgres")?;
    let counted = client.query_one("SELECT count(*) FROM tally_requests", &[]).await?;
    let mut measured = Measured::of(figures);
    measured.expect("rows", counted.get::<_, i64>(0).unsigned_abs(), rows);
    Ok(measured)
}
