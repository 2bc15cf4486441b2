//! Producers in real databases: Postgres and SQLite.

mod domains;
mod forgetting;
mod migrations;
mod place;
mod plans;
