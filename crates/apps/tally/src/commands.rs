//! One file for each command.

pub(crate) mod add;
pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod import_count;
pub(crate) mod migrate;
pub(crate) mod producers;
pub(crate) mod roll_up;
pub(crate) mod serve;
mod setbacks;
pub(crate) mod totals;
