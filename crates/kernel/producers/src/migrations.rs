//! The tables, for each kind of database.

use tally_store::Migrations;

mod postgres {
    refinery::embed_migrations!("../../../migrations/postgres/kernel");
}

mod cockroach {
    refinery::embed_migrations!("../../../migrations/cockroach/kernel");
}

mod sqlite {
    refinery::embed_migrations!("../../../migrations/sqlite/kernel");
}

/// The tables that all domains share.
pub const MIGRATIONS: Migrations = Migrations {
    set: "kernel",
    postgres: postgres::migrations::runner,
    cockroach: cockroach::migrations::runner,
    sqlite: sqlite::migrations::runner,
};
