//! Debts on every database, through their service.

mod backend;
mod debts;
mod odd;
mod pages;
