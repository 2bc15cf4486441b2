//! One file for each command.

pub(crate) mod add;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod roll_up;
pub(crate) mod totals;
