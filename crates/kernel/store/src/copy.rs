//! Copying everything from one database into another, whichever kinds they are.
//!
//! Each table that both have is copied, and each column that both have; a set of migrations says what is
//! different with its tables ([`Copying`]). All rows are of one snapshot. Before the copy counts, it is
//! read and compared with what was read of the source. Postgres and SQLite take all of it in one
//! transaction, so what a killed copy leaves is empty. CockroachDB does not take transactions of millions
//! of rows: there, a mark among the leases says that the copy has no end yet, and servers refuse it.
//!
//! | file | what it owns |
//! |---|---|
//! | `postgres.rs` | one end that is in Postgres or CockroachDB |
//! | `sqlite.rs` | one end that is a SQLite file |
//! | `table.rs` | what is copied, and by which statements |
//! | `value.rs` | a value as every kind of database has it, and what rows add up to |

mod postgres;
mod sqlite;
mod table;
mod value;

use tally_runtime::{Kind, faults};
use tokio::sync::mpsc;

use self::table::{Column, Plan, Table, refused};
use self::value::{Line, Sums};
use crate::{Database, Dialect, Error, Migrations};

/// The lease that says that a copy is not complete.
const UNFINISHED: &str = "copy";
/// How many pieces of rows wait between the two databases.
const PIECES_MAX: usize = 4;
/// After how many rows of a table it is said how far it is.
const TOLD_ROWS: u64 = 1_000_000;

/// What is different with the tables of a set when they are copied.
#[derive(Debug, Clone, Copy)]
pub struct Copying {
    /// Tables that are not copied: they say what servers do at the moment, or their rows are read otherwise.
    pub left_out: &'static [&'static str],
    /// Tables whose rows come from a query.
    pub readings: &'static [Reading],
    /// A query whose rows must be the same on both sides at the end, and whose last column adds up to what
    /// people are told.
    pub totals: Option<Query>,
}

/// Rows that come from a query, which the target answers with the same ones afterwards.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// What people know the table by.
    pub table: &'static str,
    /// Which table the rows go into.
    pub into: Query,
    /// The query.
    pub sql: Query,
}

/// What is said to each kind of database.
pub type Query = fn(Dialect) -> &'static str;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// So many rows of this table are on their way.
    Reading(&'a str, u64),
    /// All of its rows, so many, are written.
    Written(&'a str, u64),
    /// The copy is being compared.
    Comparing,
}

/// What was copied and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Each table, and how many rows it has.
    pub tables: Vec<(String, u64)>,
    /// What the last columns of the sets' totals add up to.
    pub totals: Vec<(&'static str, i128)>,
    /// Tables with rows for which the target has no place.
    pub left_out: Vec<String>,
}

/// What is written, and not compared.
struct Written {
    plan: Plan,
    /// Of each table, as they were read.
    sums: Vec<Sums>,
    totals: Vec<(&'static str, Sums)>,
}

/// One of the two databases.
enum End {
    Postgres(Box<postgres::Session>),
    Sqlite(sqlite::Session),
}

// === impl Copying ===

impl Copying {
    /// Each table as it is.
    pub const PLAIN: Self = Self { left_out: &[], readings: &[], totals: None };
}

/// Copies everything that these sets have. The target has their tables, without rows, and no server.
/// Its error says that nothing was copied, unless the target is CockroachDB, which must be made anew.
pub async fn copy(
    source: &Database,
    target: &Database,
    sets: &[Migrations],
    tell: &dyn Fn(Progress<'_>),
) -> Result<Copied, Error> {
    let source = End::read_from(source).await?;
    // Before a transaction is open in the target, because one that is silent for long is ended.
    let totals = totals(&source, sets).await;
    let written = match totals {
        Ok(totals) => write(&source, target, sets, totals, tell).await,
        Err(error) => Err(error),
    };
    // For the same reason it ends before the copy is compared. A snapshot that does not end by itself
    // ends with its connection.
    let _ = source.abandon().await;
    let (target, written) = written?;
    tell(Progress::Comparing);
    if let Err(error) = compare(&target, sets, &written).await {
        let _ = target.abandon().await;
        return Err(error);
    }
    faults::point("copy.compared").await;
    target.commit().await.map_err(|error| error.within("complete the copy"))?;
    let Written { plan, sums, totals } = written;
    let names = plan.tables.into_iter().map(|table| table.name);
    Ok(Copied {
        tables: names.zip(sums.iter().map(|sums| sums.rows)).collect(),
        totals: totals.iter().map(|(set, sums)| (*set, sums.last)).collect(),
        left_out: plan.left_out,
    })
}

/// Fails if a copy into this database has begun and has no end.
pub async fn check_complete(database: &Database) -> Result<(), Error> {
    match database {
        Database::Postgres(database) if postgres::has_unfinished(database).await? => {
            Err(postgres::unfinished())
        }
        _ => Ok(()),
    }
}

/// Writes everything, but completes nothing.
async fn write(
    source: &End,
    target: &Database,
    sets: &[Migrations],
    totals: Vec<(&'static str, Sums)>,
    tell: &dyn Fn(Progress<'_>),
) -> Result<(End, Written), Error> {
    let target = End::write_to(target).await?;
    match fill(source, &target, sets, tell).await {
        Ok((plan, sums)) => Ok((target, Written { plan, sums, totals })),
        Err(error) => {
            let _ = target.abandon().await;
            Err(error)
        }
    }
}

async fn fill(
    source: &End,
    target: &End,
    sets: &[Migrations],
    tell: &dyn Fn(Progress<'_>),
) -> Result<(Plan, Vec<Sums>), Error> {
    let plan = Plan::of(source, target, sets).await?;
    target.reserve(&plan).await?;
    let mut all = Vec::new();
    for table in &plan.tables {
        let sums = move_rows(source, target, table, tell)
            .await
            .map_err(|error| error.within(format!("copy {}", table.name)))?;
        tell(Progress::Written(&table.name, sums.rows));
        all.push(sums);
    }
    faults::point("copy.written").await;
    Ok((plan, all))
}

/// Reads all that was written, and compares it with what was read.
async fn compare(target: &End, sets: &[Migrations], written: &Written) -> Result<(), Error> {
    target.settle(&written.plan).await?;
    for (table, sums) in written.plan.tables.iter().zip(&written.sums) {
        if target.read(&table.target, None).await? != *sums {
            return Err(differs(&table.name));
        }
    }
    for ((set, there), (_, here)) in written.totals.iter().zip(totals(target, sets).await?) {
        if *there != here {
            return Err(differs(&format!("the totals of {set}")));
        }
    }
    Ok(())
}

/// Reads and writes at once.
async fn move_rows(
    source: &End,
    target: &End,
    table: &Table,
    tell: &dyn Fn(Progress<'_>),
) -> Result<Sums, Error> {
    let (read, mut pieces) = mpsc::channel::<Vec<Line>>(1);
    let (on, written) = mpsc::channel(PIECES_MAX);
    let pass_on = async move {
        let (mut rows, mut told) = (0, 0);
        while let Some(piece) = pieces.recv().await {
            rows += piece.len() as u64;
            if rows / TOLD_ROWS > told {
                told = rows / TOLD_ROWS;
                tell(Progress::Reading(&table.name, rows));
            }
            if on.send(piece).await.is_err() {
                break; // The writer says why.
            }
        }
        Ok(())
    };
    let reading = source.read(&table.source, Some(read));
    let writing = target.write(table, written);
    tokio::try_join!(reading, pass_on, writing).map(|(sums, (), ())| sums)
}

/// What the sets' totals are.
async fn totals(end: &End, sets: &[Migrations]) -> Result<Vec<(&'static str, Sums)>, Error> {
    let mut all = Vec::new();
    for set in sets {
        if let Some(sql) = set.copying.totals {
            let sums = end.read(sql(end.dialect()), None).await;
            all.push((set.set, sums.map_err(|error| error.within("add up the totals"))?));
        }
    }
    Ok(all)
}

fn differs(what: &str) -> Error {
    let step = format!("compare the copy: {what} are not the same there");
    Error::permanent(step, Kind::Internal)
}

// === impl End ===

impl End {
    async fn read_from(database: &Database) -> Result<Self, Error> {
        Ok(match database {
            Database::Postgres(database) => {
                Self::Postgres(Box::new(postgres::Session::read_from(database).await?))
            }
            Database::Sqlite(database) => Self::Sqlite(sqlite::Session::read_from(database).await?),
        })
    }

    async fn write_to(database: &Database) -> Result<Self, Error> {
        Ok(match database {
            Database::Postgres(database) => {
                Self::Postgres(Box::new(postgres::Session::write_to(database).await?))
            }
            Database::Sqlite(database) => Self::Sqlite(sqlite::Session::write_to(database).await?),
        })
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(session) => session.dialect(),
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    async fn tables(&self) -> Result<Vec<String>, Error> {
        match self {
            Self::Postgres(session) => session.tables().await,
            Self::Sqlite(session) => session.tables().await,
        }
    }

    async fn columns(&self, sql: &str) -> Result<Vec<Column>, Error> {
        match self {
            Self::Postgres(session) => session.columns(sql).await,
            Self::Sqlite(session) => session.columns(sql.to_owned()).await,
        }
    }

    /// Whether a query has a row for which this holds.
    async fn has_row(&self, query: &str, condition: &str) -> Result<bool, Error> {
        let sql = include_str!("copy/exists.sql");
        let sql = sql.replace(":query", query).replace(":condition", condition);
        match self {
            Self::Postgres(session) => session.is_true(&sql).await,
            Self::Sqlite(session) => session.is_true(sql).await,
        }
    }

    /// Keeps others away from the target, which must be empty.
    async fn reserve(&self, plan: &Plan) -> Result<(), Error> {
        if let Self::Postgres(session) = self {
            session.reserve(plan).await?;
        }
        for Table { name, target, .. } in &plan.tables {
            if self.has_row(target, "TRUE").await? {
                return Err(refused(format!(
                    "write: it is not empty: {name} has rows; copy into a new database"
                )));
            }
        }
        match self {
            Self::Postgres(session) => session.mark().await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    async fn read(&self, sql: &str, to: Option<mpsc::Sender<Vec<Line>>>) -> Result<Sums, Error> {
        match self {
            Self::Postgres(session) => session.read(sql, to).await,
            Self::Sqlite(session) => session.read(sql.to_owned(), to).await,
        }
    }

    async fn write(&self, table: &Table, from: mpsc::Receiver<Vec<Line>>) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.write(table, from).await,
            Self::Sqlite(session) => session.write(table, from).await,
        }
    }

    async fn settle(&self, plan: &Plan) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.settle(plan).await,
            Self::Sqlite(_) => Ok(()),
        }
    }

    async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.commit().await,
            Self::Sqlite(session) => session.commit().await,
        }
    }

    async fn abandon(self) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.abandon().await,
            Self::Sqlite(session) => session.abandon().await,
        }
    }
}
