//! Classifying what the drivers report: did it happen, and is it worth repeating?

use tally_runtime::{Error, Kind, Outcome, Said};
use tokio_postgres::error::{DbError, SqlState};

/// Said when different sessions answer the statements of one connection.
pub(crate) const POOLED: &str = "this looks like PgBouncer in transaction mode, in which sessions do \
    not last: put it into session mode, or connect to Postgres itself";

/// Another server uses the database, which takes one at a time.
#[derive(Debug, thiserror::Error)]
#[error("")]
struct Locked;

/// Adds the step that failed to a driver's error.
pub trait Step<T> {
    /// Names the step, in the imperative: `count the rows`. The error counts as
    /// [`Outcome::Determinate`], because a statement that fails before COMMIT is never stored.
    fn step(self, step: &'static str) -> Result<T, Error>;
}

pub(crate) fn locked(step: impl Into<String>) -> Error {
    Error::permanent(step, Kind::FailedPrecondition).because(Locked)
}

/// Whether another server uses the database, which takes one at a time: it can be opened once that
/// one has stopped.
pub fn is_locked(error: &Error) -> bool {
    error.find::<Locked>().is_some()
}

/// A Postgres error in a statement before COMMIT, or while connecting.
pub(crate) fn statement(step: impl Into<String>, error: tokio_postgres::Error) -> Error {
    if is_pooled(&error) {
        let pooled = Error::permanent(POOLED, Kind::FailedPrecondition).because(error);
        return Error::permanent(step, Kind::FailedPrecondition).because(pooled);
    }
    let failed = failed(step, postgres_is_transient(&error), Outcome::Determinate);
    match error.as_db_error() {
        Some(said) => failed.because(Said {
            words: words_of(said),
            sqlstate: said.code().code().to_owned(),
            constraint: said.constraint().map(str::to_owned),
            table: said.table().map(str::to_owned),
        }),
        None => failed.because(error),
    }
}

/// A Postgres error in COMMIT, or in a statement that commits by itself.
pub(crate) fn commit(step: impl Into<String>, error: tokio_postgres::Error) -> Error {
    let is_certain = match error.as_db_error() {
        // CockroachDB says it too when the limit comes in the middle of a commit; Postgres never.
        Some(error) if *error.code() == SqlState::QUERY_CANCELED => {
            error.routine() == Some(POSTGRES_INTERRUPTS)
        }
        Some(error) => certainly_rolled_back(error.code()),
        None => false,
    };
    let outcome = if is_certain { Outcome::Determinate } else { Outcome::Indeterminate };
    statement(step, error).with_outcome(outcome)
}

/// A SQLite error.
pub(crate) fn sqlite(step: impl Into<String>, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{
        CannotOpen, ConstraintViolation, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory,
        ReadOnly, SystemIoFailure,
    };
    let code = error.sqlite_error_code();
    let (outcome, transient) = match code {
        // An I/O error in COMMIT may leave a complete commit in the write-ahead log.
        Some(SystemIoFailure) => (Outcome::Indeterminate, true),
        Some(DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | ReadOnly | CannotOpen) => {
            (Outcome::Determinate, true)
        }
        _ => (Outcome::Determinate, false),
    };
    let failed = failed(step, transient, outcome);
    match error {
        _ if code == Some(DiskFull) => {
            failed.because("the file has reached size_bytes_max, or the disk is full")
        }
        rusqlite::Error::SqliteFailure(number, Some(words))
            if code == Some(ConstraintViolation) =>
        {
            failed.because(violated(number.extended_code, words))
        }
        // The error behind it says the same again, with a number.
        rusqlite::Error::SqliteFailure(_, Some(text)) => failed.because(text),
        error => failed.because(error),
    }
}

fn failed(step: impl Into<String>, transient: bool, outcome: Outcome) -> Error {
    if transient {
        Error::transient(step, outcome)
    } else {
        Error::permanent(step, Kind::Internal).with_outcome(outcome)
    }
}

/// A violated constraint of SQLite, which names a CHECK at the end of its words, but for the others
/// only the columns.
fn violated(extended_code: i32, words: String) -> Said {
    use rusqlite::ffi;
    let state = match extended_code {
        ffi::SQLITE_CONSTRAINT_CHECK => SqlState::CHECK_VIOLATION,
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => SqlState::FOREIGN_KEY_VIOLATION,
        ffi::SQLITE_CONSTRAINT_NOTNULL => SqlState::NOT_NULL_VIOLATION,
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID
        | ffi::SQLITE_CONSTRAINT_UNIQUE => SqlState::UNIQUE_VIOLATION,
        _ => SqlState::INTEGRITY_CONSTRAINT_VIOLATION,
    };
    let name = words.split_once(": ").map(|(_, name)| name.to_owned());
    let constraint = name.filter(|_| state == SqlState::CHECK_VIOLATION);
    Said { words, sqlstate: state.code().to_owned(), constraint, table: None }
}

impl<T> Step<T> for Result<T, tokio_postgres::Error> {
    fn step(self, step: &'static str) -> Result<T, Error> {
        self.map_err(|error| statement(step, error))
    }
}

impl<T> Step<T> for Result<T, rusqlite::Error> {
    fn step(self, step: &'static str) -> Result<T, Error> {
        self.map_err(|error| sqlite(step, error))
    }
}

/// What a database says, in one line, without the driver's prefix.
pub(crate) fn words_of(said: &DbError) -> String {
    let more = [said.detail(), said.hint()].into_iter().flatten();
    let words = std::iter::once(said.message()).chain(more);
    words.collect::<Vec<_>>().join("; ").replace('\n', " ")
}

/// The part of Postgres that ends a statement at a limit or on request. It does not end a COMMIT that
/// has begun: that goes on, or its session ends with 57P01.
const POSTGRES_INTERRUPTS: &str = "ProcessInterrupts";

/// SQLSTATEs that the server sends only when the transaction is rolled back. All others are
/// Indeterminate: 40003, the 57P class (the server went away), a lost connection.
fn certainly_rolled_back(state: &SqlState) -> bool {
    const CLASSES: [&str; 9] = ["21", "22", "23", "25", "42", "44", "53", "54", "55"];
    const STATES: [SqlState; 3] = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::RAISE_EXCEPTION,
    ];
    STATES.contains(state) || CLASSES.iter().any(|class| state.code().starts_with(class))
}

/// Whether a prepared statement is not there, or another one is in its place.
fn is_pooled(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| {
        *state == SqlState::INVALID_SQL_STATEMENT_NAME || *state == SqlState::DUPLICATE_PSTATEMENT
    })
}

/// Whether the connection is gone, the server restarts or is full, or another transaction was in
/// the way.
pub(crate) fn postgres_is_transient(error: &tokio_postgres::Error) -> bool {
    // 58C: a node of CockroachDB does not reach another one, or a range.
    const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58C"];
    let Some(state) = error.code() else {
        // Without a SQLSTATE the connection failed, or we misused the driver, which ends at the
        // retry's limit.
        return true;
    };
    *state == SqlState::LOCK_NOT_AVAILABLE
        || *state == SqlState::READ_ONLY_SQL_TRANSACTION
        || CLASSES.iter().any(|class| state.code().starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_states_are_certainly_rolled_back() {
        for code in ["40001", "40P01", "23505", "53100", "25006"] {
            assert!(certainly_rolled_back(&SqlState::from_code(code)), "{code}");
        }
        for code in ["40003", "57014", "57P01", "57P02", "08006", "XX000", "58030"] {
            assert!(!certainly_rolled_back(&SqlState::from_code(code)), "{code}");
        }
    }

    #[test]
    fn a_violated_check_of_sqlite_has_its_name() {
        let number = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_CHECK);
        let words = Some("CHECK constraint failed: enough".to_owned());
        let error = sqlite("pay", rusqlite::Error::SqliteFailure(number, words));
        assert_eq!((error.sqlstate(), error.constraint()), (Some("23514"), Some("enough")));
        assert_eq!((error.kind(), error.is_transient()), (Kind::Internal, false));
        assert_eq!(tally_runtime::chain(&error), "pay: CHECK constraint failed: enough");
    }
}
