//! The storage error: which step failed, did it happen, is it worth trying again.

use std::error::Error as StdError;
use std::fmt;

use tally_runtime::{Kind, chain_by};
use tokio_postgres::error::{DbError, SqlState};

/// What to say when statements of one connection are answered by different sessions.
pub(crate) const POOLED: &str = "this looks like PgBouncer in transaction mode, in which sessions do \
    not last: put it into session mode, or connect to Postgres itself";

/// Whether a write that failed may have been stored all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly was not stored.
    Determinate,
    /// It is unknown. Only a write that carries an id may be repeated after this.
    Indeterminate,
}

/// A storage operation failed.
#[derive(Debug)]
pub struct Error {
    step: String,
    outcome: Outcome,
    transient: bool,
    kind: Kind,
    stored_instead: Option<i64>,
    is_locked: bool,
    /// What clients are told instead of this and everything behind it.
    for_clients: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// An error and everything behind it in one line, for clients, who need not know where the database
/// is and who its users are.
#[must_use]
pub fn chain_for_clients(error: &(dyn StdError + 'static)) -> String {
    chain_by(error, |error| error.downcast_ref::<Error>()?.for_clients.map(str::to_owned))
}

/// Adds the step that failed to a driver's error.
pub trait Step<T> {
    /// Names the step, in the imperative: `count the rows`.
    ///
    /// # Errors
    /// The driver's error, classified. It counts as [`Outcome::Determinate`], since a
    /// statement that fails before COMMIT is never stored.
    fn step(self, step: &'static str) -> Result<T, Error>;
}

// === impl Error ===

impl Error {
    /// A failure that trying again will not mend.
    pub fn permanent(step: impl Into<String>, kind: Kind) -> Self {
        Self {
            step: step.into(),
            outcome: Outcome::Determinate,
            transient: false,
            kind,
            stored_instead: None,
            is_locked: false,
            for_clients: None,
            source: None,
        }
    }

    /// A batch whose number is not the one after its producer's last stored batch, which is this
    /// one: certainly not stored.
    pub fn out_of_sequence(step: impl Into<String>, stored: i64) -> Self {
        Self { stored_instead: Some(stored), ..Self::permanent(step, Kind::FailedPrecondition) }
    }

    /// The producer's last stored batch, if the error is from [`Error::out_of_sequence`].
    #[must_use]
    pub fn stored_instead(&self) -> Option<i64> {
        self.stored_instead
    }

    /// Another server uses the database, which takes one at a time.
    pub(crate) fn locked(step: impl Into<String>) -> Self {
        Self { is_locked: true, ..Self::permanent(step, Kind::FailedPrecondition) }
    }

    /// Whether another server uses the database, which takes one at a time. When that one has
    /// stopped, it can be opened.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// A failure that may pass by itself.
    pub fn transient(step: impl Into<String>, outcome: Outcome) -> Self {
        Self { outcome, transient: true, ..Self::permanent(step, Kind::Unavailable) }
    }

    /// With the error behind it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With what clients are told instead: it names the database's address, its users or databases.
    pub(crate) fn for_clients(self, text: &'static str) -> Self {
        Self { for_clients: Some(text), ..self }
    }

    /// The same error under the name of a larger step.
    #[must_use]
    pub fn within(self, step: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            outcome: self.outcome,
            transient: self.transient,
            kind: self.kind,
            stored_instead: self.stored_instead,
            is_locked: self.is_locked,
            for_clients: None,
            source: Some(Box::new(self)),
        }
    }

    /// Did it happen?
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the same operation may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// What it means to the one who asked.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A Postgres error in a statement before COMMIT, or while connecting.
    pub(crate) fn statement(step: impl Into<String>, error: tokio_postgres::Error) -> Self {
        if is_pooled(&error) {
            let pooled = Self::permanent(POOLED, Kind::FailedPrecondition).because(error);
            return Self::permanent(step, Kind::FailedPrecondition).because(pooled);
        }
        let transient = postgres_is_transient(&error);
        let kind = if transient { Kind::Unavailable } else { Kind::Internal };
        let outcome = Outcome::Determinate;
        let failed = Self { outcome, transient, ..Self::permanent(step, kind) };
        match error.as_db_error() {
            Some(said) => failed.because(words_of(said)),
            None => failed.because(error),
        }
    }

    /// A Postgres error in COMMIT, or in a statement that commits by itself.
    pub(crate) fn commit(step: impl Into<String>, error: tokio_postgres::Error) -> Self {
        let is_certain = match error.as_db_error() {
            // CockroachDB says it too when the limit comes in the middle of a commit; Postgres never.
            Some(error) if *error.code() == SqlState::QUERY_CANCELED => {
                error.routine() == Some(POSTGRES_INTERRUPTS)
            }
            Some(error) => certainly_rolled_back(error.code()),
            None => false,
        };
        let outcome = if is_certain { Outcome::Determinate } else { Outcome::Indeterminate };
        Self { outcome, ..Self::statement(step, error) }
    }

    /// A SQLite error.
    pub(crate) fn sqlite(step: impl Into<String>, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, ReadOnly,
            SystemIoFailure,
        };
        let (outcome, transient) = match error.sqlite_error_code() {
            // An I/O error in COMMIT may leave a complete commit in the write-ahead log.
            Some(SystemIoFailure) => (Outcome::Indeterminate, true),
            Some(
                DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | ReadOnly | CannotOpen,
            ) => (Outcome::Determinate, true),
            _ => (Outcome::Determinate, false),
        };
        let kind = if transient { Kind::Unavailable } else { Kind::Internal };
        let failed = Self { outcome, transient, ..Self::permanent(step, kind) };
        match error {
            _ if error.sqlite_error_code() == Some(DiskFull) => {
                failed.because("the file has reached size_bytes_max, or the disk is full")
            }
            // The error behind it says the same again, with a number.
            rusqlite::Error::SqliteFailure(_, Some(text)) => failed.because(text),
            error => failed.because(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl<T> Step<T> for Result<T, tokio_postgres::Error> {
    fn step(self, step: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::statement(step, error))
    }
}

impl<T> Step<T> for Result<T, rusqlite::Error> {
    fn step(self, step: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::sqlite(step, error))
    }
}

/// What a database has to say, in one line, without what the driver puts before it.
pub(crate) fn words_of(said: &DbError) -> String {
    let more = [said.detail(), said.hint()].into_iter().flatten();
    let words = std::iter::once(said.message()).chain(more);
    words.collect::<Vec<_>>().join("; ").replace('\n', " ")
}

/// The part of Postgres that ends a statement because of a limit or a request to cancel it. A COMMIT
/// that has begun is not ended there: it goes on, or its session goes away with 57P01.
const POSTGRES_INTERRUPTS: &str = "ProcessInterrupts";

/// SQLSTATEs that the server sends only when the transaction is rolled back. What is not
/// here is Indeterminate: 40003, the 57P class (the server went away), a lost connection.
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

/// Worth trying again: the connection is gone, the server restarts or is full, or another
/// transaction was in the way.
fn postgres_is_transient(error: &tokio_postgres::Error) -> bool {
    const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
    let Some(state) = error.code() else {
        // Without a SQLSTATE it is the connection that failed, except for mistakes of ours
        // in using the driver, which end at the retry's limit.
        return true;
    };
    *state == SqlState::LOCK_NOT_AVAILABLE
        // A row on its way to the default partition while the partition of its day was made.
        || *state == SqlState::CHECK_VIOLATION
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
    fn clients_are_told_no_addresses() {
        let inner = Error::permanent("connect to postgres://me@db/x", Kind::Unavailable)
            .because("password authentication failed for user \"me\"")
            .for_clients("connect to the database");
        let outer = inner.within("read totals");
        assert_eq!(chain_for_clients(&outer), "read totals: connect to the database");
        assert!(tally_runtime::chain(&outer).contains("for user"));
    }

    #[test]
    fn a_step_keeps_what_is_behind_it() {
        let inner = Error::transient("lose the connection", Outcome::Indeterminate);
        let outer = inner.within("store a batch");
        assert_eq!(outer.outcome(), Outcome::Indeterminate);
        assert!(outer.is_transient());
        assert_eq!(tally_runtime::chain(&outer), "store a batch: lose the connection");
    }
}
