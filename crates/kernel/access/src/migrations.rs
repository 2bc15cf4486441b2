//! The tables, for each kind of database.

use tally_store::Migrations;
use tally_store::copy::Copying;

mod postgres {
    refinery::embed_migrations!("../../../migrations/postgres/access");
}

mod cockroach {
    refinery::embed_migrations!("../../../migrations/cockroach/access");
}

mod sqlite {
    refinery::embed_migrations!("../../../migrations/sqlite/access");
}

/// Keys, and browsers that are logged in with them.
pub const MIGRATIONS: Migrations = Migrations {
    set: "access",
    postgres: postgres::migrations::runner,
    cockroach: cockroach::migrations::runner,
    sqlite: sqlite::migrations::runner,
    copying: Copying::PLAIN,
};
