//! Keys in real databases, as two servers know them.

mod keys;
mod place;
