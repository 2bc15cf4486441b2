//! The tables, for each kind of database.

use tally_store::Migrations;

use crate::NAME;

mod postgres {
    refinery::embed_migrations!("../../../migrations/postgres/requests");
}

mod cockroach {
    refinery::embed_migrations!("../../../migrations/cockroach/requests");
}

mod sqlite {
    refinery::embed_migrations!("../../../migrations/sqlite/requests");
}

/// The tables of counted requests.
pub const MIGRATIONS: Migrations = Migrations {
    set: NAME,
    postgres: postgres::migrations::runner,
    cockroach: cockroach::migrations::runner,
    sqlite: sqlite::migrations::runner,
};
