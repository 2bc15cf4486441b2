//! Tally as its users run it: the real program, real processes, real databases.

mod answers;
mod bad_database;
mod bad_import;
mod client;
mod command_line;
mod concurrent;
mod crash;
mod database_urls;
mod doors;
mod drain;
mod examples;
mod failing_database;
mod first_run;
mod foreign;
mod handover;
mod import;
mod import_count;
mod line_reader;
mod load;
mod memory;
mod producers;
mod record;
mod restart;
mod support;
mod totals;
