//! Debts on every database, through their service.

mod backend;
mod debts;
mod doors;
mod odd;
mod pages;
mod plans;
