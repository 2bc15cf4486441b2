//! The migrations of all domains as one.

use tally_serve::Domain;
use tally_store::{Database, Dialect, Error, Migrations, Schema};

/// The sets that all domains share, which come first.
const SHARED: &[Migrations] = &[tally_producers::MIGRATIONS, tally_access::MIGRATIONS];

/// Sets of migrations, in order.
#[derive(Debug)]
pub(crate) struct Sets(Vec<Migrations>);

/// Where a database stands with each set.
pub(crate) struct Schemas(Vec<(&'static str, Schema)>);

// === impl Sets ===

impl Sets {
    /// The sets themselves.
    pub(crate) fn all(&self) -> &[Migrations] {
        &self.0
    }

    /// The shared sets, and those of these domains.
    pub(crate) fn of<'a>(domains: impl IntoIterator<Item = &'a Domain>) -> Self {
        let of_domains = domains.into_iter().map(|domain| domain.migrations);
        Self(SHARED.iter().copied().chain(of_domains).collect())
    }

    /// The shared sets alone.
    pub(crate) fn shared() -> Self {
        Self(SHARED.to_vec())
    }

    /// Applies what is missing, and returns where the database stood before.
    pub(crate) async fn run(&self, database: &Database) -> Result<Schemas, Error> {
        let mut schemas = Vec::new();
        for set in &self.0 {
            schemas.push((set.set, set.run(database).await?));
        }
        Ok(Schemas(schemas))
    }

    /// Those of the sets that a database has tables of, if these are up to date; otherwise where it stands.
    pub(crate) async fn of_database(
        &self,
        database: &Database,
    ) -> Result<Result<Self, Schemas>, Error> {
        let Schemas(all) = self.check(database).await?;
        let is_old = |schema: &Schema| schema.current > 0 && !schema.pending.is_empty();
        let is_shared = |name: &str| SHARED.iter().any(|set| set.set == name);
        let mut each = all.iter();
        if each.any(|(name, schema)| is_old(schema) || (schema.current == 0 && is_shared(name))) {
            return Ok(Err(Schemas(all)));
        }
        let has =
            |set: &&Migrations| all.iter().any(|(name, one)| *name == set.set && one.current > 0);
        Ok(Ok(Self(self.0.iter().filter(has).copied().collect())))
    }

    /// Returns where the database stands.
    pub(crate) async fn check(&self, database: &Database) -> Result<Schemas, Error> {
        let mut schemas = Vec::new();
        for set in &self.0 {
            schemas.push((set.set, set.check(database).await?));
        }
        Ok(Schemas(schemas))
    }

    /// The names of all migrations, which a new database lacks.
    pub(crate) fn pending_of_none(&self, dialect: Dialect) -> String {
        let names = self.0.iter().flat_map(|set| set.pending_of_none(dialect));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Each set with the newest migration that it has for this kind of database.
    pub(crate) fn latest(&self, dialect: Dialect) -> Vec<(&'static str, i64)> {
        self.0.iter().map(|set| (set.set, set.latest(dialect))).collect()
    }

    /// A number that grows with each migration of any set.
    pub(crate) fn version(&self, dialect: Dialect) -> i64 {
        self.0.iter().map(|set| set.latest(dialect)).sum()
    }
}

// === impl Schemas ===

impl Schemas {
    /// Whether the database had nothing of any set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, schema)| schema.current == 0)
    }

    /// The names of the migrations that the database lacked.
    pub(crate) fn pending(&self) -> Vec<&str> {
        let names = self.0.iter().flat_map(|(_, schema)| &schema.pending);
        names.map(String::as_str).collect()
    }

    /// The newest migration that the database had of each set, as in `requests at version 3`.
    pub(crate) fn current(&self) -> String {
        self.versions(|schema| schema.current)
    }

    /// The same for the newest migration that the program has.
    pub(crate) fn latest(&self) -> String {
        self.versions(|schema| schema.latest)
    }

    fn versions(&self, of: impl Fn(&Schema) -> i64) -> String {
        let version = |(set, schema): &(&str, Schema)| format!("{set} at version {}", of(schema));
        self.0.iter().map(version).collect::<Vec<_>>().join(", ")
    }
}
