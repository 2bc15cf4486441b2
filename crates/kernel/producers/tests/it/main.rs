//! Producers in real databases: Postgres and SQLite.

mod domains;
mod forgetting;
mod migrations;
mod namespaces;
mod place;
mod plans;
mod taking_over;
