//! The tables, for each kind of database.

use tally_store::copy::{Copying, Reading};
use tally_store::{Dialect, Migrations};

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
    copying: Copying {
        // Who has a lease now is of no use elsewhere.
        left_out: &["tally_leases", "tally_producer_batches"],
        readings: &[
            // The first one is there already.
            Reading {
                table: "tally_namespaces",
                into: |_| "tally_namespaces",
                sql: |_| include_str!("copying/namespaces.sql"),
            },
            // Together with the batches, which each kind of database has in a form of its own.
            Reading {
                table: "tally_producer_days",
                into: |_| "tally_producer_days",
                sql: |dialect| match dialect {
                    Dialect::Sqlite => include_str!("copying/sqlite/days.sql"),
                    _ => include_str!("copying/postgres/days.sql"),
                },
            },
        ],
        totals: None,
    },
};
