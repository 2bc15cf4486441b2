//! Environment variables that look like settings but are not.

use std::collections::BTreeSet;

use clap::{Arg, Command};
use tally_runtime::distance;

const PREFIX: &str = "TALLY_";

/// Tests stop a process at a chosen point with it.
const FAULT: &str = "TALLY_FAULT";

/// The client reads it. Services and Tally can share an env file.
const CLIENTS: &str = "TALLY_SERVICE";

/// Names that settings had before, without the prefix, and the names that they have now.
const FORMER: [(&str, &str); 2] = [
    ("ENDPOINTS_MAX", "TALLY_REQUESTS_SERIES_MAX"),
    ("REQUESTS_ENDPOINTS_MAX", "TALLY_REQUESTS_SERIES_MAX"),
];

/// How many letters a misspelled name may be off.
const DISTANCE_MAX: usize = 3;

/// Treats empty variables as unset, because env files for containers have them.
pub(crate) fn without_empty(command: Command) -> Command {
    let is_empty = |argument: &Arg| {
        argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty())
    };
    command.mut_subcommands(|command| {
        command.mut_args(|argument| {
            if is_empty(&argument) { argument.env(None::<&'static str>) } else { argument }
        })
    })
}

/// Variables that no command reads.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    /// A line for each that resembles a setting, which it names.
    pub(crate) misspelt: Vec<String>,
    /// A line that lists the others.
    pub(crate) others: Option<String>,
}

/// Finds the unknown variables.
pub(crate) fn unknown(command: &Command) -> Unknown {
    let known: BTreeSet<_> = arguments(command)
        .into_iter()
        .filter_map(Arg::get_env)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let unknown: BTreeSet<_> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, value)| is_ours(name, &value.to_string_lossy()) && !known.contains(name))
        .map(|(name, _)| name)
        .collect();
    let (mut misspelt, mut others) = (Vec::new(), Vec::new());
    for name in &unknown {
        match nearest(name, &known) {
            Some(near) => {
                misspelt.push(format!("the variable {name} is unknown: did you mean {near}?"));
            }
            None => others.push(name.as_str()),
        }
    }
    let listed = || {
        format!(
            "unknown variables, ignored: {}; `tally help serve` and `tally help totals` list the known ones",
            others.join(", ")
        )
    };
    Unknown { misspelt, others: (!others.is_empty()).then(listed) }
}

/// The arguments of a command and of all below it.
pub(crate) fn arguments(command: &Command) -> Vec<&Arg> {
    let below = command.get_subcommands().flat_map(arguments);
    command.get_arguments().chain(below).collect()
}

/// The setting that a name resembles, even if it lacks its domain or has one too many: a few letters
/// are off, words are missing at the end, or in another order.
fn nearest<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let is_former = |former: &str| name.strip_prefix(PREFIX) == Some(former);
    if let Some((_, now)) = FORMER.iter().find(|(former, _)| is_former(former)) {
        return known.get(*now).map(String::as_str);
    }
    let own = name.strip_prefix(PREFIX).and_then(|name| name.split_once('_'));
    if let Some((domain, rest)) = own
        && let Some(shared) = known.get(&format!("{PREFIX}{rest}"))
        && known.iter().any(|known| known.starts_with(&format!("{PREFIX}{domain}_")))
    {
        return Some(shared);
    }
    let words = |name: &str| {
        let mut words: Vec<_> = name.split('_').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let off = |spelling: &str| {
        let is_cut = spelling.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
        if is_cut || words(spelling) == words(name) { 1 } else { distance(name, spelling) }
    };
    // A short name with that many letters off is another name.
    let is_near = |off: usize, spelling: &str| {
        off <= DISTANCE_MAX && 2 * off <= spelling.len() - PREFIX.len()
    };
    let spellings = |known: &'a String| {
        let own = known.strip_prefix(PREFIX)?;
        let short = own.split_once('_').map(|(_domain, rest)| format!("{PREFIX}{rest}"));
        Some(short.into_iter().chain([known.clone()]).map(move |spelling| (spelling, known)))
    };
    let all = known.iter().filter_map(spellings).flatten();
    let all = all.map(|(spelling, known)| (off(&spelling), spelling, known));
    let near = all.filter(|(off, spelling, _)| is_near(*off, spelling));
    near.min_by_key(|(off, ..)| *off).map(|(.., known)| known.as_str())
}

/// Whether a person set this for Tally itself. For a service called `tally` or `tally-…`, Kubernetes
/// and Docker set its address, its ports, and a link's name and environment.
fn is_ours(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let is_link = rest.ends_with("SERVICE_HOST")
        || rest.ends_with("SERVICE_PORT")
        || rest.contains("SERVICE_PORT_")
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|kind| rest.contains(kind))
        || (rest.ends_with("PORT") && value.contains("://"))
        || (rest.ends_with("NAME") && value.starts_with('/'))
        || format!("_{rest}").contains("_ENV_");
    name != FAULT && name != CLIENTS && !is_link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_setting_is_near() {
        let known = ["DB_URL", "TALLY_LOG", "TALLY_REQUESTS_WORKERS", "TALLY_A_QUEUE_ROWS_MAX"];
        let known = known.map(str::to_owned).into();
        for (name, near) in [
            ("TALLY_REQUEST_WORKERS", Some("TALLY_REQUESTS_WORKERS")),
            ("TALLY_WORKERS", Some("TALLY_REQUESTS_WORKERS")),
            ("TALLY_LOGS", Some("TALLY_LOG")),
            ("TALLY_A_QUEUE_ROWS", Some("TALLY_A_QUEUE_ROWS_MAX")),
            ("TALLY_MAX_A_QUEUE_ROWS", Some("TALLY_A_QUEUE_ROWS_MAX")),
            ("TALLY_QUEUE_ROWS_MAX", Some("TALLY_A_QUEUE_ROWS_MAX")),
            ("TALLY_MAX_QUEUE_ROWS", Some("TALLY_A_QUEUE_ROWS_MAX")),
            ("TALLY_QUEUE_ROWS", Some("TALLY_A_QUEUE_ROWS_MAX")),
            ("TALLY_WORKER", Some("TALLY_REQUESTS_WORKERS")),
            ("TALLY_REQUESTS_LOG", Some("TALLY_LOG")),
            ("TALLY_OURS_LOG", None),
            ("TALLY_VERSION", None),
            ("TALLY_HOME", None),
            ("TALLY_W", None),
            ("TALLY_", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
    }

    #[test]
    fn a_former_name_is_the_present_one() {
        for (former, now) in FORMER {
            let known = BTreeSet::from([now.to_owned()]);
            assert_eq!(nearest(&format!("{PREFIX}{former}"), &known), Some(now));
        }
    }

    #[test]
    fn what_others_set_or_read_is_not_meant() {
        for (name, value) in [
            ("TALLY_SERVICE_HOST", "10.0.0.1"),
            ("TALLY_SERVICE_PORT", "7777"),
            ("TALLY_SERVICE_PORT_GRPC", "7777"),
            ("TALLY_PORT", "tcp://10.0.0.1:7777"),
            ("TALLY_PORT_7777_TCP", "tcp://10.0.0.1:7777"),
            ("TALLY_PORT_7777_TCP_ADDR", "10.0.0.1"),
            ("TALLY_POSTGRES_SERVICE_HOST", "10.0.0.2"),
            ("TALLY_NAME", "/web/tally"),
            ("TALLY_ENV_PATH", "/bin"),
            ("TALLY_DB_ENV_PATH", "/bin"),
            ("TALLY_FAULT", "x"),
            ("TALLY_SERVICE", "shop"),
            ("HOME", "/"),
        ] {
            assert!(!is_ours(name, value), "{name}");
        }
        for (name, value) in [("TALLY_PORT", "7777"), ("TALLY_WORKER", "2"), ("TALLY_", "")] {
            assert!(is_ours(name, value), "{name}");
        }
    }
}
