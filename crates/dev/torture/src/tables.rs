//! Reading what is stored directly from the database, and whether its books are balanced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;
use tally_proto::methods::number_of_text;
use tally_proto::wire::UNKNOWN_PATH;
use tokio_postgres::types::Type;

use crate::journal::{Key, QUARTERS_PER_DAY, Series};
use crate::oracle::Verdict;
use crate::sessions;
use crate::stored::Totals;

/// Limit for a locked file.
const BUSY_LIMIT: Duration = Duration::from_secs(60);

/// Requests by quarter or day, and id.
pub(crate) type Counts = BTreeMap<(i32, i64), u64>;

/// What the database has, in one snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    names: BTreeMap<i64, Series>,
    /// The series that have moved, and where.
    moves: BTreeMap<i64, i64>,
    /// By day, how far it has come.
    calendar: BTreeMap<i32, Stage>,
    days: Vec<Packed>,
    months: Vec<Packed>,
    /// Rows that are not folded, by quarter.
    rows: Counts,
    /// What the view for other programs has, by day.
    view: Totals,
    /// By namespace and day, requests accepted from producers and drops reported by them.
    pub(crate) accepted: BTreeMap<(i64, i32), u64>,
    pub(crate) dropped: BTreeMap<(i64, i32), u64>,
}

#[derive(Clone, Copy, Debug)]
struct Stage {
    is_rolled_up: bool,
    is_pruned: bool,
}

/// A row of the days or the months.
#[derive(Clone, Debug)]
struct Packed {
    /// The day, or the first day of the month.
    first: i32,
    id: i64,
    total: u64,
    /// Counts by slot: the quarter of the day, or the day of the month, from 0.
    slots: BTreeMap<i32, u64>,
}

/// A value in a row of an answer.
#[derive(Clone, Debug)]
enum Cell {
    Number(i64),
    Text(String),
}

/// Statements that differ between the databases.
struct Sql {
    calendar: &'static str,
    days: &'static str,
    months: &'static str,
    rows: &'static str,
    view: &'static str,
    producer_days: &'static str,
}

/// Reads Postgres.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<Tables> {
    let sql = Sql {
        calendar: include_str!("sql/postgres_calendar.sql"),
        days: include_str!("sql/postgres_days.sql"),
        months: include_str!("sql/postgres_months.sql"),
        rows: include_str!("sql/postgres_rows.sql"),
        view: include_str!("sql/postgres_view.sql"),
        producer_days: include_str!("sql/postgres_producer_days.sql"),
    };
    let client = sessions::connect(url).await?;
    client.batch_execute(include_str!("sql/postgres_begin.sql")).await?;
    let mut answers = Vec::new();
    for sql in sql.all() {
        let mut answer = Vec::new();
        for row in client.query(sql, &[]).await? {
            let cell = |at: usize| match *row.columns()[at].type_() {
                Type::INT8 => Cell::Number(row.get(at)),
                _ => Cell::Text(row.get(at)),
            };
            answer.push((0..row.len()).map(cell).collect());
        }
        answers.push(answer);
    }
    Tables::of(&answers)
}

/// Reads a SQLite file.
pub(crate) fn sqlite(path: &Path) -> anyhow::Result<Tables> {
    let sql = Sql {
        calendar: include_str!("sql/sqlite_calendar.sql"),
        days: include_str!("sql/sqlite_days.sql"),
        months: include_str!("sql/sqlite_months.sql"),
        rows: include_str!("sql/sqlite_rows.sql"),
        view: include_str!("sql/sqlite_view.sql"),
        producer_days: include_str!("sql/sqlite_producer_days.sql"),
    };
    let mut connection =
        rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    let transaction = connection.transaction()?;
    let mut answers = Vec::new();
    for sql in sql.all() {
        let mut statement = transaction.prepare(sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cell = |at: usize| match row.get_ref(at)? {
                rusqlite::types::ValueRef::Integer(number) => Ok(Cell::Number(number)),
                text => Ok(Cell::Text(text.as_str()?.to_owned())),
            };
            (0..columns).map(cell).collect::<rusqlite::Result<Vec<Cell>>>()
        })?;
        answers.push(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Tables::of(&answers)
}

// === impl Cell ===

impl Cell {
    fn number<T: TryFrom<i64>>(&self) -> anyhow::Result<T> {
        match self {
            Cell::Number(number) => {
                T::try_from(*number).map_err(|_| anyhow::anyhow!("{number} is out of range"))
            }
            Cell::Text(text) => anyhow::bail!("{text:?} is not a number"),
        }
    }

    fn text(&self) -> anyhow::Result<&str> {
        match self {
            Cell::Number(number) => anyhow::bail!("{number} is not a text"),
            Cell::Text(text) => Ok(text),
        }
    }
}

// === impl Sql ===

impl Sql {
    /// In the order in which [`Tables::of`] takes the answers.
    fn all(&self) -> [&'static str; 8] {
        let (names, moves) = (include_str!("sql/names.sql"), include_str!("sql/moves.sql"));
        let Sql { calendar, days, months, rows, view, producer_days } = self;
        [names, moves, calendar, days, months, rows, view, producer_days]
    }
}

// === impl Packed ===

impl Packed {
    fn of(row: &[Cell]) -> anyhow::Result<Packed> {
        let text = row[3].text()?;
        let numbers = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let numbers = numbers.ok_or_else(|| anyhow::anyhow!("{text:?} is not an array"))?;
        let numbers = numbers.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let first = i32::try_from(numbers[0])?;
        let counts = numbers[1..].iter().copied();
        let slots = (first..).zip(counts).filter(|(_, count)| *count > 0).collect();
        Ok(Packed { first: row[0].number()?, id: row[1].number()?, total: row[2].number()?, slots })
    }
}

// === impl Tables ===

impl Tables {
    fn of(answers: &[Vec<Vec<Cell>>]) -> anyhow::Result<Tables> {
        let [names, moves, calendar, days, months, rows, view, producer_days] = answers else {
            anyhow::bail!("{} answers", answers.len());
        };
        let packed = |rows: &[Vec<Cell>]| -> anyhow::Result<Vec<Packed>> {
            rows.iter().map(|row| Packed::of(row)).collect()
        };
        let mut tables =
            Tables { days: packed(days)?, months: packed(months)?, ..Tables::default() };
        for row in names {
            tables.names.insert(row[0].number()?, series(&row[1..])?);
        }
        for row in moves {
            tables.moves.insert(row[0].number()?, row[1].number()?);
        }
        for row in calendar {
            let [rolled_up, pruned] = [row[1].number::<i64>()?, row[2].number()?];
            let stage = Stage { is_rolled_up: rolled_up != 0, is_pruned: pruned != 0 };
            tables.calendar.insert(row[0].number()?, stage);
        }
        for row in rows {
            tables.rows.insert((row[0].number()?, row[1].number()?), row[2].number()?);
        }
        for row in view {
            let quarter = row[0].number::<i32>()? * QUARTERS_PER_DAY;
            let key = Key { quarter, series: series(&row[1..])? };
            tables.view.insert(key, row[7].number()?);
        }
        for row in producer_days {
            let key = (row[0].number()?, row[1].number()?);
            tables.accepted.insert(key, row[2].number()?);
            if let dropped @ 1.. = row[3].number()? {
                tables.dropped.insert(key, dropped);
            }
        }
        Ok(tables)
    }

    /// How many requests are in rows.
    pub(crate) fn in_rows(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Whether there are rows of series that these are.
    pub(crate) fn has_rows_of(&self, is: impl Fn(&Series) -> bool) -> bool {
        self.rows.keys().any(|(_, id)| self.names.get(id).is_some_and(&is))
    }

    /// Whether there are rows of series that have moved.
    pub(crate) fn has_moved_rows(&self) -> bool {
        self.rows.keys().any(|(_, id)| self.moves.contains_key(id))
    }

    /// How many requests days and months have of series that have moved.
    pub(crate) fn left_behind(&self) -> u64 {
        let folded = self.days.iter().chain(&self.months);
        folded.filter(|row| self.moves.contains_key(&row.id)).map(|row| row.total).sum()
    }

    /// The series that this one counts under.
    fn moved(&self, id: i64) -> i64 {
        self.moves.get(&id).copied().unwrap_or(id)
    }

    fn is(&self, day: i32, stage: impl Fn(&Stage) -> bool) -> bool {
        self.calendar.get(&day).is_some_and(stage)
    }

    /// By quarter, for days whose quarters are kept.
    pub(crate) fn by_quarter(&self) -> Counts {
        let mut counts = Counts::new();
        let keeps_quarters =
            |quarter: i32| self.keeps_quarters(quarter.div_euclid(QUARTERS_PER_DAY));
        for ((quarter, id), count) in self.rows.iter().filter(|(key, _)| keeps_quarters(key.0)) {
            *counts.entry((*quarter, self.moved(*id))).or_default() += count;
        }
        for row in self.days.iter().filter(|row| self.keeps_quarters(row.first)) {
            for (slot, count) in &row.slots {
                let quarter = row.first * QUARTERS_PER_DAY + slot;
                *counts.entry((quarter, self.moved(row.id))).or_default() += count;
            }
        }
        counts
    }

    /// Whether the quarters of a day are known.
    pub(crate) fn keeps_quarters(&self, day: i32) -> bool {
        !self.is(day, |stage| stage.is_pruned)
    }

    /// By day: rows, and the months if it is rolled up, or else the days.
    pub(crate) fn by_day(&self) -> Counts {
        let mut counts = Counts::new();
        for ((quarter, id), count) in &self.rows {
            let day = quarter.div_euclid(QUARTERS_PER_DAY);
            *counts.entry((day, self.moved(*id))).or_default() += count;
        }
        let is_rolled_up = |day| self.is(day, |stage| stage.is_rolled_up);
        for row in self.days.iter().filter(|row| !is_rolled_up(row.first)) {
            *counts.entry((row.first, self.moved(row.id))).or_default() += row.total;
        }
        for (key, count) in self.by_day_of_months().iter().filter(|(key, _)| is_rolled_up(key.0)) {
            *counts.entry(*key).or_default() += count;
        }
        counts
    }

    fn by_day_of_months(&self) -> Counts {
        let mut counts = Counts::new();
        for row in &self.months {
            for (slot, count) in &row.slots {
                *counts.entry((row.first + slot, self.moved(row.id))).or_default() += count;
            }
        }
        counts
    }

    /// With names; as in answers, requests without one share one key. `length` is how many quarters a
    /// period has, `lost` names that were deleted.
    pub(crate) fn named(
        &self,
        counts: &Counts,
        length: i32,
        lost: &BTreeMap<i64, Series>,
    ) -> Totals {
        let mut totals = Totals::new();
        for ((period, id), count) in counts {
            let series = self.names.get(id).or_else(|| lost.get(id)).cloned();
            let unknown = || Series { path: UNKNOWN_PATH.to_owned(), ..Series::default() };
            let key = Key { quarter: period * length, series: series.unwrap_or_else(unknown) };
            *totals.entry(key).or_default() += count;
        }
        totals
    }

    /// The totals by day as answers have them.
    pub(crate) fn totals(&self) -> Totals {
        self.named(&self.by_day(), QUARTERS_PER_DAY, &BTreeMap::new())
    }

    /// What has no name, by day and id.
    pub(crate) fn unnamed(&self) -> Counts {
        let mut counts = self.by_day();
        counts.retain(|(_, id), _| !self.names.contains_key(id));
        counts
    }

    /// Checks that the books are balanced, which holds at any moment.
    pub(crate) fn check(&self, verdict: &mut Verdict) {
        let mut stored: BTreeMap<(i64, i32), u64> = BTreeMap::new();
        for ((day, id), count) in self.by_day() {
            // Names that are deleted are of `default`.
            let namespace = self.names.get(&id).map_or(0, |series| series.namespace);
            *stored.entry((namespace, day)).or_default() += count;
        }
        let accepted: BTreeMap<_, _> =
            self.accepted.iter().filter(|(_, count)| **count > 0).map(|(d, c)| (*d, *c)).collect();
        let of_producers = ("accepted", &accepted);
        verdict.equal("books: accepted = rows + folded", of_producers, ("stored", &stored));
        for row in self.days.iter().chain(&self.months) {
            let sum: u64 = row.slots.values().sum();
            let holds = sum == row.total || self.is(row.first, |stage| stage.is_pruned);
            verdict.check("books: total = its slots", holds, || format!("{row:?}: {sum}"));
        }
        for (day, stage) in &self.calendar {
            let holds = stage.is_rolled_up || !stage.is_pruned;
            verdict.check("books: pruned after the roll-up", holds, || format!("day {day}"));
        }
        let (mut of_days, mut of_months) = (Counts::new(), self.by_day_of_months());
        let unknown: BTreeSet<i32> = (of_months.keys().map(|(day, _)| *day))
            .chain(self.days.iter().map(|row| row.first))
            .filter(|day| !self.calendar.contains_key(day))
            .collect();
        verdict.check("books: days are in the calendar", unknown.is_empty(), || {
            format!("{unknown:?}")
        });
        for row in &self.days {
            if self.is(row.first, |stage| stage.is_rolled_up && !stage.is_pruned) {
                *of_days.entry((row.first, self.moved(row.id))).or_default() += row.total;
            }
        }
        of_months.retain(|(day, _), _| self.keeps_quarters(*day));
        verdict.equal("books: rolled-up day = its month", ("day", &of_days), ("month", &of_months));
        let totals = self.totals();
        verdict.equal("books: view = tables", ("view", &self.view), ("tables", &totals));
    }
}

fn series(row: &[Cell]) -> anyhow::Result<Series> {
    Ok(Series {
        namespace: row[0].number()?,
        service: row[1].text()?.to_owned(),
        method: number_of_text(row[2].text()?),
        path: row[3].text()?.to_owned(),
        status: row[4].number()?,
        customer: row[5].text()?.to_owned(),
    })
}

#[cfg(test)]
mod tests;
