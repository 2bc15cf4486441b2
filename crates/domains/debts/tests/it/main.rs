//! Debts on every database, through their service.

mod backend;
mod debts;
mod plans;
