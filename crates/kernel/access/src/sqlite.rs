//! Keys in SQLite.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};
use tally_runtime::Namespace;
use tally_store::Error;
use tally_store::error::Step as _;
use tally_store::sqlite::{begin, rows};

use crate::key::{Key, Session};
use crate::{Digest, Scope};

pub(crate) const REVOKE: &str = include_str!("sqlite/revoke.sql");
pub(crate) const USED: &str = include_str!("sqlite/used.sql");
pub(crate) const END_SESSION: &str = include_str!("sqlite/end_session.sql");
pub(crate) const NAMESPACE: &str = include_str!("sqlite/namespace.sql");

pub(crate) fn keys(connection: &Connection) -> Result<Vec<Key>, Error> {
    let key = |row: &Row<'_>| {
        let Some(scope) = Scope::of(&row.get::<_, String>(4)?) else { return Ok(None) };
        Ok(Some(Key {
            digest: Digest(row.get(0)?),
            name: row.get(1)?,
            namespace: Namespace(row.get(2)?),
            namespace_name: row.get(3)?,
            scope,
            created: time(row.get(5)?),
            expires: row.get::<_, Option<_>>(6)?.map(time),
            revoked: row.get::<_, Option<_>>(7)?.map(time),
            last_used: row.get::<_, Option<_>>(8)?.map(time),
        }))
    };
    let found = rows(connection, "read the keys", include_str!("sqlite/keys.sql"), (), key)?;
    Ok(found.into_iter().flatten().collect())
}

pub(crate) fn sessions(connection: &Connection, now: Timestamp) -> Result<Vec<Session>, Error> {
    let session = |row: &Row<'_>| {
        let (digest, key) = (Digest(row.get(0)?), Digest(row.get(1)?));
        Ok(Session { digest, key, expires: time(row.get(2)?) })
    };
    let (step, sql) = ("read the sessions", include_str!("sqlite/sessions.sql"));
    rows(connection, step, sql, [now.as_microsecond()], session)
}

pub(crate) fn add(connection: &Connection, key: &Key, is_replacing: bool) -> Result<bool, Error> {
    let Key { digest, name, namespace, scope, created, expires, .. } = key;
    let expires = expires.map(Timestamp::as_microsecond);
    let created = created.as_microsecond();
    let values = (digest.0, name, namespace.0, scope.name(), created, expires, is_replacing);
    let added = connection.execute(include_str!("sqlite/add_key.sql"), values);
    Ok(added.step("add a key")? > 0)
}

pub(crate) fn replace(
    connection: &mut Connection,
    old: &[Digest],
    until: Timestamp,
    new: &Key,
) -> Result<(), Error> {
    let transaction = begin(connection)?;
    for digest in old {
        let (step, sql) = ("let a key expire", include_str!("sqlite/shorten.sql"));
        set(&transaction, step, sql, *digest, until)?;
    }
    add(&transaction, new, true)?;
    transaction.commit().step("commit")
}

pub(crate) fn set(
    connection: &Connection,
    step: &'static str,
    sql: &str,
    digest: Digest,
    at: Timestamp,
) -> Result<bool, Error> {
    Ok(connection.execute(sql, (digest.0, at.as_microsecond())).step(step)? > 0)
}

pub(crate) fn number(
    connection: &Connection,
    step: &'static str,
    sql: &str,
    name: &str,
) -> Result<Option<Namespace>, Error> {
    let found = connection.query_row(sql, [name], |row| row.get(0).map(Namespace));
    found.optional().step(step)
}

pub(crate) fn add_namespace(connection: &Connection, name: &str) -> Result<(), Error> {
    let added = connection.execute(include_str!("sqlite/add_namespace.sql"), [name]);
    added.step("make a namespace").map(drop)
}

pub(crate) fn add_session(
    connection: &Connection,
    session: &Session,
    max: i64,
) -> Result<(), Error> {
    let values = (session.digest.0, session.key.0, session.expires.as_microsecond());
    let added = connection.execute(include_str!("sqlite/add_session.sql"), values);
    added.step("begin a session")?;
    let bounded =
        connection.execute(include_str!("sqlite/bound_sessions.sql"), (session.key.0, max));
    bounded.step("bound a key's sessions").map(drop)
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
