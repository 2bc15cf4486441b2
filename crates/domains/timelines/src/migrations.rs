//! The tables, for each kind of database.

use tally_store::Migrations;
use tally_store::copy::Copying;

use crate::domain::NAME;

mod postgres {
    refinery::embed_migrations!("../../../migrations/postgres/timelines");
}

mod cockroach {
    refinery::embed_migrations!("../../../migrations/cockroach/timelines");
}

mod sqlite {
    refinery::embed_migrations!("../../../migrations/sqlite/timelines");
}

/// The tables of timelines.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    set: NAME,
    postgres: postgres::migrations::runner,
    cockroach: cockroach::migrations::runner,
    sqlite: sqlite::migrations::runner,
    copying: Copying::PLAIN,
};
