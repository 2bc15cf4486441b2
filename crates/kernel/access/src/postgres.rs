//! Keys in Postgres and CockroachDB.

use jiff::Timestamp;
use tally_runtime::Namespace;
use tally_store::Error;
use tally_store::postgres::{Connection, Database, Isolation};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::key::{Key, Session};
use crate::{Digest, Scope};

const ADD: &str = "add a key";
pub(crate) const REVOKE: &str = include_str!("postgres/revoke.sql");
pub(crate) const USED: &str = include_str!("postgres/used.sql");
pub(crate) const END_SESSION: &str = include_str!("postgres/end_session.sql");
pub(crate) const NAMESPACE: &str = include_str!("postgres/namespace.sql");
pub(crate) const ADD_NAMESPACE: &str = include_str!("postgres/add_namespace.sql");

pub(crate) async fn keys(database: &Database) -> Result<Vec<Key>, Error> {
    let rows = database.rows("read the keys", include_str!("postgres/keys.sql"), &[]).await?;
    let key = |row: &Row| {
        Some(Key {
            digest: digest(row, 0)?,
            name: row.get(1),
            namespace: Namespace(row.get(2)),
            namespace_name: row.get(3),
            scope: Scope::of(row.get(4))?,
            created: row.get(5),
            expires: row.get(6),
            revoked: row.get(7),
            last_used: row.get(8),
        })
    };
    Ok(rows.iter().filter_map(key).collect())
}

pub(crate) async fn sessions(database: &Database, now: Timestamp) -> Result<Vec<Session>, Error> {
    let (step, sql) = ("read the sessions", include_str!("postgres/sessions.sql"));
    let rows = database.rows(step, sql, &[&now]).await?;
    let session = |row: &Row| {
        Some(Session { digest: digest(row, 0)?, key: digest(row, 1)?, expires: row.get(2) })
    };
    Ok(rows.iter().filter_map(session).collect())
}

pub(crate) async fn add(database: &Database, key: &Key) -> Result<bool, Error> {
    policy(ADD)
        .run(async || {
            let transaction = database.begin(Isolation::Default).await?;
            let sql = include_str!("postgres/lock_names.sql");
            transaction.rows("wait for others who add a key", sql, &[]).await?;
            let is_added = insert(&transaction, key, false).await?;
            transaction.commit().await?;
            Ok(is_added)
        })
        .await
}

pub(crate) async fn replace(
    database: &Database,
    old: &[Digest],
    until: Timestamp,
    new: &Key,
) -> Result<(), Error> {
    let old: Vec<_> = old.iter().map(|digest| &digest.0[..]).collect();
    let (step, sql) = ("let keys expire", include_str!("postgres/shorten.sql"));
    policy(ADD)
        .run(async || {
            let transaction = database.begin(Isolation::Default).await?;
            transaction.write(step, sql, &[&old, &until]).await?;
            insert(&transaction, new, true).await?;
            transaction.commit().await
        })
        .await
}

async fn insert(connection: &Connection, key: &Key, is_replacing: bool) -> Result<bool, Error> {
    let Key { digest, name, namespace, scope, created, expires, .. } = key;
    let (digest, scope) = (&digest.0[..], scope.name());
    let values: [&(dyn ToSql + Sync); 7] =
        [&digest, name, &namespace.0, &scope, created, expires, &is_replacing];
    Ok(connection.write(ADD, include_str!("postgres/add_key.sql"), &values).await? > 0)
}

pub(crate) async fn add_session(
    database: &Database,
    session: &Session,
    max: i64,
) -> Result<(), Error> {
    let (digest, key, expires) = (&session.digest.0[..], &session.key.0[..], session.expires);
    let sql = include_str!("postgres/add_session.sql");
    commit(database, "begin a session", sql, &[&digest, &key, &expires]).await?;
    let sql = include_str!("postgres/bound_sessions.sql");
    commit(database, "bound a key's sessions", sql, &[&key, &max]).await.map(drop)
}

/// The rows of a statement that commits by itself, and does no harm if it is repeated.
pub(crate) async fn commit(
    database: &Database,
    step: &'static str,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    policy(step).run(async || database.commit_rows(step, sql, values).await).await
}

/// Few attempts: they are for two who change the same at once, and somebody waits.
const fn policy(step: &'static str) -> Policy {
    Policy { attempts_max: 4, ..Policy::short(step) }
}

fn digest(row: &Row, column: usize) -> Option<Digest> {
    row.get::<_, &[u8]>(column).try_into().ok().map(Digest)
}
