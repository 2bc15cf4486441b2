//! The error of an operation on a database: which step failed, did it happen, is it worth repeating.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use crate::Kind;

/// Whether a write that failed may have been stored all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly was not stored.
    Determinate,
    /// It is unknown. Only a write that carries an id may be repeated after this.
    Indeterminate,
}

/// An operation on a database failed.
#[derive(Debug)]
pub struct Error {
    step: String,
    outcome: Outcome,
    transient: bool,
    kind: Kind,
    /// What clients are told instead of this and everything behind it.
    for_clients: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a database says about a statement that it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Said {
    /// In one line.
    pub words: String,
    /// The SQLSTATE: five characters. SQLite has numbers of its own, so for a violated constraint
    /// this is Postgres's SQLSTATE.
    pub sqlstate: String,
    /// The constraint that was violated, if the database names it.
    pub constraint: Option<String>,
    /// The table, if the database names it.
    pub table: Option<String>,
}

/// An error and everything behind it, in one line: `outer: inner: innermost`. A cause that the level
/// above it already prints is not repeated.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    chain_by(error, |_| None)
}

/// The same for clients, who need not know where the database is and who its users are.
pub fn chain_for_clients(error: &(dyn StdError + 'static)) -> String {
    chain_by(error, |error| error.downcast_ref::<Error>()?.for_clients.map(str::to_owned))
}

/// Logs an error that a call fails with, if the log must say more than the client hears. Returns what
/// the client hears: only the log names the database's address and users.
pub fn tell(error: &(dyn StdError + 'static), kind: Kind) -> String {
    let (message, for_clients) = (chain(error), chain_for_clients(error));
    if kind == Kind::Internal {
        tracing::error!(error = message, "a call failed");
    } else if message != for_clients {
        tracing::warn!(error = message, "a call failed");
    }
    for_clients
}

/// The same, where other words may stand for an error and everything behind it.
fn chain_by(
    error: &(dyn StdError + 'static),
    instead: impl Fn(&(dyn StdError + 'static)) -> Option<String>,
) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let last = instead(error);
        next = if last.is_some() { None } else { error.source() };
        let text = last.unwrap_or_else(|| error.to_string());
        if line.is_empty() {
            line = text;
        } else if !line.ends_with(&text) {
            let _ = write!(line, ": {text}");
        }
    }
    line
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
            for_clients: None,
            source: None,
        }
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

    /// With this outcome.
    #[must_use]
    pub fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The same failure, which may pass by itself after all.
    #[must_use]
    pub fn that_passes(self) -> Self {
        Self { transient: true, kind: Kind::Unavailable, ..self }
    }

    /// With what clients are told instead, because the error names the database's address or users.
    #[must_use]
    pub fn for_clients(self, text: &'static str) -> Self {
        Self { for_clients: Some(text), ..self }
    }

    /// The same error under the name of a larger step.
    #[must_use]
    pub fn within(self, step: impl Into<String>) -> Self {
        let Self { outcome, transient, kind, .. } = self;
        Self { outcome, transient, ..Self::permanent(step, kind).because(self) }
    }

    /// Did it happen?
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the same operation may succeed later.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// What it means to the caller.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the database said, if it refused a statement.
    pub fn said(&self) -> Option<&Said> {
        self.find()
    }

    /// The SQLSTATE, if the database refused a statement; see [`Said::sqlstate`].
    pub fn sqlstate(&self) -> Option<&str> {
        self.said().map(|said| said.sqlstate.as_str())
    }

    /// The constraint that was violated, if the database names it.
    pub fn constraint(&self) -> Option<&str> {
        self.said()?.constraint.as_deref()
    }

    /// The first error of a type among this one and those behind it.
    pub fn find<E: StdError + 'static>(&self) -> Option<&E> {
        let outermost: &(dyn StdError + 'static) = self;
        std::iter::successors(Some(outermost), |&error| error.source())
            .find_map(|error| error.downcast_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open the door")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_is_one_line() {
        let error = Outer(std::io::Error::other("the key is lost"));
        assert_eq!(chain(&error), "open the door: the key is lost");
    }

    #[test]
    fn other_words_stand_for_all_that_is_behind() {
        let error = Outer(std::io::Error::other(Outer(std::io::Error::other("the key is lost"))));
        let instead = |error: &(dyn StdError + 'static)| {
            error.downcast_ref::<std::io::Error>().map(|_| "it is shut".to_owned())
        };
        assert_eq!(chain_by(&error, instead), "open the door: it is shut");
    }

    #[test]
    fn clients_are_told_no_addresses() {
        let inner = Error::permanent("connect to postgres://me@db/x", Kind::Unavailable)
            .because("password authentication failed for user \"me\"")
            .for_clients("connect to the database");
        let outer = inner.within("read totals");
        assert_eq!(chain_for_clients(&outer), "read totals: connect to the database");
        assert!(chain(&outer).contains("for user"));
    }

    #[test]
    fn a_step_keeps_what_is_behind_it() {
        let said = Said {
            words: "no".into(),
            sqlstate: "23514".into(),
            constraint: Some("balance".into()),
            table: None,
        };
        let inner = Error::transient("lose the connection", Outcome::Indeterminate).because(said);
        let outer = inner.within("store a batch");
        assert_eq!(outer.outcome(), Outcome::Indeterminate);
        assert!(outer.is_transient());
        assert_eq!(chain(&outer), "store a batch: lose the connection: no");
        assert_eq!((outer.sqlstate(), outer.constraint()), (Some("23514"), Some("balance")));
    }
}
