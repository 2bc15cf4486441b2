//! The tables, for each kind of database.

use tally_store::Migrations;

mod postgres {
    refinery::embed_migrations!("../../../migrations/postgres/producers");
}

mod cockroach {
    refinery::embed_migrations!("../../../migrations/cockroach/producers");
}

mod sqlite {
    refinery::embed_migrations!("../../../migrations/sqlite/producers");
}

/// The tables of producers, which every domain with numbered batches needs.
pub const MIGRATIONS: Migrations = Migrations {
    set: "producers",
    postgres: postgres::migrations::runner,
    cockroach: cockroach::migrations::runner,
    sqlite: sqlite::migrations::runner,
};
