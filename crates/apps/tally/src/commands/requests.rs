//! The commands that count requests and show their totals.

pub(crate) mod add;
pub(crate) mod correct;
pub(crate) mod fold;
pub(crate) mod forget;
pub(crate) mod import;
pub(crate) mod import_count;
pub(crate) mod merge;
mod methods;
pub(crate) mod producers;
pub(crate) mod roll_up;
mod selection;
mod setbacks;
mod texts;
pub(crate) mod totals;

/// Who is named as the author: the one that is given, or the user of this machine.
fn author(given: Option<String>) -> String {
    let user = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    given.or_else(user).unwrap_or_default()
}
