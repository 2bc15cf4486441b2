//! Leases: of all servers of a database, one at a time does the work that one does for all.
//!
//! Nothing depends on a lease being exclusive. A holder that was stopped for a while goes on, for a
//! moment, beside its successor, so whatever is done under a lease must be right by itself. The lease
//! only keeps servers from doing the same work at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tally_runtime::{Error, Outcome, random};
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Database, postgres};

/// For how long a holder has the lease after it took or renewed it: until then, the work of a
/// killed server waits.
const TERM: Duration = Duration::from_secs(20);

/// The age at which a holder renews it. A database that is away for less than the rest changes
/// nothing.
const RENEW_AFTER: Duration = Duration::from_secs(10);

/// How long one call asks the database.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A lease that this server has, or would like to have.
#[derive(Debug)]
pub struct Lease {
    database: Database,
    name: &'static str,
    holder: Uuid,
    /// When it was last taken or renewed, by this process's own clock: before the database was asked.
    /// None if another holder has it.
    taken_at: Mutex<Option<Instant>>,
}

// === impl Lease ===

impl Lease {
    /// The lease of this name, for a new holder. The database has the tables of the kernel.
    #[must_use]
    pub fn new(database: Database, name: &'static str) -> Self {
        let holder = Uuid::from_u64_pair(random::number(), random::number());
        Self { database, name, holder, taken_at: Mutex::default() }
    }

    /// Takes the lease, renews it, or finds that another holder has it; says whether this one does.
    /// Call it every second or so: it asks the database only if the lease is not fresh. A SQLite file
    /// has one server, which always holds it.
    pub async fn hold(&self) -> Result<bool, Error> {
        let Database::Postgres(database) = &self.database else { return Ok(true) };
        if self.has_it_for(RENEW_AFTER) {
            return Ok(true);
        }
        let (now, term) = (Instant::now(), TERM.as_secs_f64());
        let sql = include_str!("lease/hold.sql");
        let rows = match ask(database, "hold a lease", sql, &[&self.name, &self.holder, &term])
            .await
        {
            Ok(rows) => rows,
            // Another server asked at the same time. The next call knows what became of it.
            Err(error) if error.sqlstate() == Some(SqlState::T_R_SERIALIZATION_FAILURE.code()) => {
                return Ok(self.has_it_for(TERM));
            }
            Err(error) => return Err(error),
        };
        *self.taken_at() = (!rows.is_empty()).then_some(now);
        Ok(!rows.is_empty())
    }

    /// Gives the lease up, if this server has it, so that another one need not wait for its end.
    pub async fn release(&self) -> Result<(), Error> {
        let Database::Postgres(database) = &self.database else { return Ok(()) };
        if self.taken_at().take().is_none() {
            return Ok(());
        }
        let sql = include_str!("lease/release.sql");
        ask(database, "release a lease", sql, &[&self.name, &self.holder]).await.map(drop)
    }

    /// Whether this server took or renewed the lease less than this long ago.
    fn has_it_for(&self, age_max: Duration) -> bool {
        self.taken_at().is_some_and(|taken_at| taken_at.elapsed() < age_max)
    }

    fn taken_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.taken_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of a statement. It may be repeated, whatever became of it.
async fn ask(
    database: &postgres::Database,
    step: &'static str,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    timeout(WAIT_MAX, database.commit_rows(step, sql, values)).await.unwrap_or_else(|_| {
        Err(Error::transient(step, Outcome::Indeterminate)
            .because(format!("no answer within {} s", WAIT_MAX.as_secs())))
    })
}
