//! One file for each command: those of a domain in its folder, those of the server beside it.

pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod migrate;
pub(crate) mod requests;
pub(crate) mod serve;
