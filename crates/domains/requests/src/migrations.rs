//! The tables, for each kind of database.

use tally_store::copy::{Copying, Reading};
use tally_store::{Dialect, Migrations};

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
    copying: Copying {
        left_out: &[
            "tally_request_trays",
            "tally_requests_0",
            "tally_requests_1",
            "tally_requests_2",
            "tally_requests_3",
            "tally_requests_imported",
        ],
        // Whatever tray they are in: the first one of a new database is open.
        readings: &[Reading {
            table: "tally_requests",
            into: |dialect| match dialect {
                Dialect::Cockroach => "tally_requests",
                _ => "tally_requests_0",
            },
            sql: |_| include_str!("copying/rows.sql"),
        }],
        totals: Some(|dialect| match dialect {
            Dialect::Sqlite => include_str!("copying/sqlite/totals.sql"),
            Dialect::Postgres | Dialect::Cockroach => include_str!("copying/postgres/totals.sql"),
        }),
    },
};
