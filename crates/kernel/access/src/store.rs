//! Keys and sessions in their database.

use jiff::Timestamp;
use tally_runtime::{Kind, Namespace};
use tally_store::{Database, Error};
use tokio_postgres::types::ToSql;

use crate::key::{Key, Session};
use crate::{Digest, postgres, sqlite};

/// How many sessions a key has at most; a further one takes the place of the oldest.
const SESSIONS_MAX: i64 = 100;
/// How often a number for a new namespace is drawn, when others draw at the same time.
const DRAWS_MAX: usize = 10;

/// Keys and sessions in their database. Clones share it.
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Database);

// === impl Store ===

/// Each fails when the database does.
#[allow(missing_docs, clippy::missing_errors_doc, reason = "said above, and by their names")]
impl Store {
    /// Keys in a database whose migrations are applied.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// All keys, by name.
    pub async fn keys(&self) -> Result<Vec<Key>, Error> {
        match &self.0 {
            Database::Postgres(database) => postgres::keys(database).await,
            Database::Sqlite(database) => database.read(|one| sqlite::keys(one)).await,
        }
    }

    pub(crate) async fn sessions(&self, now: Timestamp) -> Result<Vec<Session>, Error> {
        match &self.0 {
            Database::Postgres(database) => postgres::sessions(database, now).await,
            Database::Sqlite(database) => {
                database.read(move |one| sqlite::sessions(one, now)).await
            }
        }
    }

    /// Adds a key. False if a valid one has its name already.
    pub async fn add(&self, key: &Key) -> Result<bool, Error> {
        match &self.0 {
            Database::Postgres(database) => postgres::add(database, key).await,
            Database::Sqlite(database) => {
                let key = key.clone();
                database.write(move |one| sqlite::add(one, &key, false)).await
            }
        }
    }

    /// Adds a key in place of these, which then expire, unless they do so earlier: all of it, or nothing.
    pub async fn replace(&self, old: &[Digest], until: Timestamp, new: &Key) -> Result<(), Error> {
        match &self.0 {
            Database::Postgres(database) => postgres::replace(database, old, until, new).await,
            Database::Sqlite(database) => {
                let (old, new) = (old.to_vec(), new.clone());
                database.write(move |one| sqlite::replace(one, &old, until, &new)).await
            }
        }
    }

    /// Revokes a key. False if it was.
    pub async fn revoke(&self, key: Digest, now: Timestamp) -> Result<bool, Error> {
        self.set("revoke a key", (postgres::REVOKE, sqlite::REVOKE), key, now).await
    }

    /// Once only: it is noted again soon.
    pub(crate) async fn used(&self, key: Digest, at: Timestamp) -> Result<(), Error> {
        let step = "note when a key was used";
        match &self.0 {
            Database::Postgres(database) => {
                let values: [&(dyn ToSql + Sync); 2] = [&&key.0[..], &at];
                database.commit_rows(step, postgres::USED, &values).await.map(drop)
            }
            Database::Sqlite(database) => database
                .write(move |one| sqlite::set(one, step, sqlite::USED, key, at))
                .await
                .map(drop),
        }
    }

    /// The namespace of this name.
    pub async fn namespace(&self, name: &str) -> Result<Option<Namespace>, Error> {
        let step = "find a namespace";
        match &self.0 {
            Database::Postgres(database) => {
                let rows = database.rows(step, postgres::NAMESPACE, &[&name]).await?;
                Ok(rows.first().map(|row| Namespace(row.get(0))))
            }
            Database::Sqlite(database) => {
                let name = name.to_owned();
                database.read(move |one| sqlite::number(one, step, sqlite::NAMESPACE, &name)).await
            }
        }
    }

    /// The namespace of this name, which is made if there is none.
    pub async fn some_namespace(&self, name: &str) -> Result<Namespace, Error> {
        for _ in 0..DRAWS_MAX {
            if let Some(found) = self.namespace(name).await? {
                return Ok(found);
            }
            match &self.0 {
                Database::Postgres(database) => {
                    let (step, sql) = ("make a namespace", postgres::ADD_NAMESPACE);
                    postgres::commit(database, step, sql, &[&name]).await?;
                }
                Database::Sqlite(database) => {
                    let name = name.to_owned();
                    database.write(move |one| sqlite::add_namespace(one, &name)).await?;
                }
            }
        }
        Err(Error::permanent("make a namespace", Kind::Unavailable)
            .because("others make namespaces all the time"))
    }

    pub(crate) async fn add_session(&self, session: &Session) -> Result<(), Error> {
        match &self.0 {
            Database::Postgres(database) => {
                postgres::add_session(database, session, SESSIONS_MAX).await
            }
            Database::Sqlite(database) => {
                let session = session.clone();
                database.write(move |one| sqlite::add_session(one, &session, SESSIONS_MAX)).await
            }
        }
    }

    /// Ends a session, and deletes those that are over.
    pub(crate) async fn end_session(&self, session: Digest, now: Timestamp) -> Result<(), Error> {
        let sql = (postgres::END_SESSION, sqlite::END_SESSION);
        self.set("end a session", sql, session, now).await.map(drop)
    }

    async fn set(
        &self,
        step: &'static str,
        (of_postgres, of_sqlite): (&'static str, &'static str),
        digest: Digest,
        at: Timestamp,
    ) -> Result<bool, Error> {
        match &self.0 {
            Database::Postgres(database) => {
                let digest = &digest.0[..];
                Ok(!postgres::commit(database, step, of_postgres, &[&digest, &at])
                    .await?
                    .is_empty())
            }
            Database::Sqlite(database) => {
                database.write(move |one| sqlite::set(one, step, of_sqlite, digest, at)).await
            }
        }
    }
}
