//! Temporary Postgres clusters and child processes for Tally's tests.
