//! The commands that count requests and show their totals.

pub(crate) mod add;
pub(crate) mod bench;
pub(crate) mod correct;
mod flags;
pub(crate) mod fold;
pub(crate) mod forget;
pub(crate) mod import;
pub(crate) mod import_count;
pub(crate) mod merge;
pub(crate) mod producers;
pub(crate) mod roll_up;
pub(crate) mod rules;
mod screen;
mod selection;
mod series;
mod setbacks;
mod texts;
pub(crate) mod top;
pub(crate) mod totals;

use std::process::ExitCode;

use tally_requests::methods;

use crate::output::wrong_usage;

/// Who is named as the author: the one that is given, or the user of this machine. From cron or in a
/// container there may be none, and a record without an author helps no reader: then it is wrong usage.
/// A dry run records nothing.
fn author(given: Option<String>, is_dry: bool) -> Result<String, ExitCode> {
    let is_name = |name: &String| !name.trim().is_empty();
    let user = |name: &&str| std::env::var(name).ok().filter(is_name);
    let author = given.or_else(|| ["USER", "LOGNAME", "USERNAME"].iter().find_map(user));
    let author = author.filter(is_name).or_else(|| is_dry.then(|| "a dry run".to_owned()));
    author.ok_or_else(|| {
        wrong_usage(
            "--author is missing, and neither USER nor LOGNAME names the user: say who you are",
        )
    })
}
