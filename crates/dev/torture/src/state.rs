//! What a run that ended early leaves behind: enough to see what it was waiting for, even if its folder
//! is lost.

use std::fmt::Write as _;
use std::fs;

use crate::sessions;
use crate::watch::Watch;
use crate::world::World;

/// How many lines of each log are shown.
const LINES: usize = 12;

/// Kills everything, and appends what the database has and the ends of all logs.
pub(crate) fn write(world: &World, out: &mut String) -> std::fmt::Result {
    world.kill();
    let tables = Watch::new(world).ok().and_then(|watch| watch.look());
    match tables {
        Some(tables) => writeln!(out, "{} requests are not folded", tables.in_rows())?,
        None => writeln!(out, "the database is away")?,
    }
    for line in leases_and_trays(world).unwrap_or_else(|error| vec![format!("{error:#}")]) {
        writeln!(out, "{line}")?;
    }
    for name in world.names() {
        let log = fs::read(world.file(&format!("{name}.log"))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            writeln!(out, "  {name}: {line}")?;
        }
    }
    Ok(())
}

/// None on SQLite, where one server has every lease.
fn leases_and_trays(world: &World) -> anyhow::Result<Vec<String>> {
    let Some(url) = world.primary() else { return Ok(Vec::new()) };
    let work = async {
        let client = sessions::connect(&url).await?;
        let rows = client.query(include_str!("sql/postgres_state.sql"), &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    };
    world.runtime.block_on(work)
}
