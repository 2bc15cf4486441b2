//! One file per command: a domain's in its folder, the server's beside it.

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod debts;
pub(crate) mod health;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod requests;
mod run;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod timelines;
