//! The commands that count requests and show their totals.

pub(crate) mod add;
pub(crate) mod fold;
pub(crate) mod import;
pub(crate) mod import_count;
mod methods;
pub(crate) mod producers;
pub(crate) mod roll_up;
mod setbacks;
mod texts;
pub(crate) mod totals;
