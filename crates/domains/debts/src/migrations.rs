//! The tables, for each kind of database.

use tally_store::Migrations;
use tally_store::copy::Copying;

use crate::domain::NAME;

mod postgres {
    refinery::embed_migrations!("../../../migrations/postgres/debts");
}

mod cockroach {
    refinery::embed_migrations!("../../../migrations/cockroach/debts");
}

mod sqlite {
    refinery::embed_migrations!("../../../migrations/sqlite/debts");
}

/// The tables of debts.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    set: NAME,
    postgres: postgres::migrations::runner,
    cockroach: cockroach::migrations::runner,
    sqlite: sqlite::migrations::runner,
    copying: Copying::PLAIN,
};
