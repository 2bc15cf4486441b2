//! What is copied: tables, how each is read, and which columns both databases have.

use std::collections::BTreeSet;

use tally_runtime::Kind;
use tokio_postgres::types::Type;

use super::End;
use super::value::Value;
use crate::{Error, Migrations};

/// What the name of a set's history begins with.
const HISTORY: &str = "tally_migrations_";

/// A column. SQLite's have no type: each of its values has one.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) ty: Option<Type>,
}

/// A table to copy.
#[derive(Debug)]
pub(super) struct Table {
    /// What people know it by.
    pub(super) name: String,
    /// Where its rows go.
    pub(super) into: String,
    /// Those that both databases have, as the target has them.
    pub(super) columns: Vec<Column>,
    /// Reads the rows of the source.
    pub(super) source: String,
    /// Reads the same rows of the target.
    pub(super) target: String,
}

/// What is copied, and what cannot be.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tables: Vec<Table>,
    /// Tables with rows for which the target has no place.
    pub(super) left_out: Vec<String>,
}

// === impl Plan ===

impl Plan {
    pub(super) async fn of(source: &End, target: &End, sets: &[Migrations]) -> Result<Self, Error> {
        let (there, here) = (source.tables().await?, target.tables().await?);
        let mut unknown = there.iter().filter_map(|table| table.strip_prefix(HISTORY));
        let is_known = |name: &&str| sets.iter().any(|set| set.set == *name);
        if let Some(unknown) = unknown.find(|name| !is_known(name)) {
            return Err(refused(format!(
                "read the tables: this program does not know those of {unknown}: use the one that made them"
            )));
        }
        let ours = || sets.iter().map(|set| set.copying);
        let readings = || ours().flat_map(|copying| copying.readings);
        let others: BTreeSet<_> =
            ours().flat_map(|copying| copying.left_out.iter().copied()).collect();
        let is_plain = |table: &&String| {
            !table.starts_with(HISTORY)
                && !others.contains(table.as_str())
                && !readings().any(|reading| reading.table == table.as_str())
        };
        let mut plan = Self::default();
        for name in there.iter().filter(is_plain) {
            let query = include_str!("whole.sql").replace(":table", name);
            if here.contains(name) {
                plan.tables.push(Table::of(source, target, name, name, [&query, &query]).await?);
            } else if source.has_row(&query, "TRUE").await? {
                plan.left_out.push(name.clone());
            }
        }
        for reading in readings() {
            let queries = [source, target].map(|end| (reading.sql)(end.dialect()));
            let into = (reading.into)(target.dialect());
            plan.tables.push(Table::of(source, target, reading.table, into, queries).await?);
        }
        plan.tables.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(plan)
    }

    /// Where rows go, for a statement about all of these tables.
    pub(super) fn into(&self) -> String {
        self.tables.iter().map(|table| table.into.as_str()).collect::<Vec<_>>().join(", ")
    }
}

// === impl Table ===

impl Table {
    async fn of(
        source: &End,
        target: &End,
        name: &str,
        into: &str,
        queries: [&str; 2],
    ) -> Result<Self, Error> {
        let (theirs, ours) = (source.columns(queries[0]).await?, target.columns(queries[1]).await?);
        let has =
            |columns: &[Column], wanted: &Column| columns.iter().any(|one| one.name == wanted.name);
        for lost in theirs.iter().filter(|column| !has(&ours, column)) {
            let condition = format!("{} IS NOT NULL", quoted(&lost.name));
            if source.has_row(queries[0], &condition).await? {
                return Err(refused(format!(
                    "copy {name}: it has values in {}, which the other database has no place for. A server is \
                     in the middle of something: once it has finished, try again",
                    lost.name
                )));
            }
        }
        let columns: Vec<_> = ours.into_iter().filter(|column| has(&theirs, column)).collect();
        let types = theirs.iter().chain(&columns);
        let strange = |column: &&Column| column.ty.as_ref().is_some_and(|ty| !Value::has(ty));
        if let Some(strange) = types.filter(|column| has(&columns, column)).find(strange) {
            let ty = strange.ty.as_ref().map_or("", Type::name);
            return Err(refused(format!(
                "copy {name}: the type of {}, {ty}, cannot be copied",
                strange.name
            )));
        }
        let names = names(&columns);
        let [from, to] = queries.map(|query| {
            include_str!("read.sql").replace(":columns", &names).replace(":query", query)
        });
        let (name, into) = (name.to_owned(), into.to_owned());
        Ok(Self { name, into, columns, source: from, target: to })
    }

    /// A statement that writes rows, whose values are these.
    pub(super) fn writing(&self, template: &str, values: &[String]) -> String {
        template
            .replace(":table", &self.into)
            .replace(":columns", &names(&self.columns))
            .replace(":values", &values.join(", "))
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn refused(step: String) -> Error {
    Error::permanent(step, Kind::FailedPrecondition)
}
