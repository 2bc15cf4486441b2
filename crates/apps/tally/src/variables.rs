//! Variables of the environment that look like settings, and are none.

use std::collections::BTreeSet;

use clap::{Arg, Command};

/// What the names of settings begin with.
const PREFIX: &str = "TALLY_";

/// Stops a process at a point where a test wants it.
const FAULT: &str = "TALLY_FAULT";

/// How far off a name may be that is meant.
const DISTANCE_MAX: usize = 3;

/// The command, with variables that are empty as good as not set: files for containers have them.
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

/// # Errors
/// When a variable is no setting: each is named, with the setting that may be meant.
pub(crate) fn check(command: &Command) -> Result<(), String> {
    let arguments = command.get_subcommands().flat_map(Command::get_arguments);
    let known: BTreeSet<_> = arguments
        .filter_map(Arg::get_env)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let variables = std::env::vars_os();
    let lines: Vec<_> = variables
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, value)| is_ours(name, &value.to_string_lossy()) && !known.contains(name))
        .map(|(name, _)| unknown(&name, &known))
        .collect();
    match lines.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("{} variables are unknown:\n  {}", many.len(), many.join("\n  "))),
    }
}

fn unknown(name: &str, known: &BTreeSet<String>) -> String {
    let off = |known: &str| if known.starts_with(name) { 1 } else { distance(name, known) };
    let nearest = known.iter().map(|known| (off(known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= DISTANCE_MAX => {
            format!("the variable {name} is unknown: did you mean {nearest}?")
        }
        _ => format!(
            "the variable {name} is unknown: `tally help serve` and `tally help totals` list those \
             that there are"
        ),
    }
}

/// Whether this is meant for us. Kubernetes and Docker set variables for a service that is called
/// `tally`, or `tally-…`: its address and its ports.
fn is_ours(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let is_link = rest.ends_with("SERVICE_HOST")
        || rest.ends_with("SERVICE_PORT")
        || rest.contains("SERVICE_PORT_")
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|kind| rest.contains(kind))
        || (rest.ends_with("PORT") && value.contains("://"));
    name != FAULT && !is_link
}

/// How many letters must be put in, taken out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<_> = (0..=b.len()).collect();
    for (at, letter) in (1..).zip(a.bytes()) {
        let mut diagonal = row[0];
        row[0] = at;
        for (column, other) in (1..).zip(b.bytes()) {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column];
            row[column] = replaced.min(diagonal + 1).min(row[column - 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("TALLY_LOG", "TALLY_LOGS", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn what_others_set_for_a_service_is_not_meant() {
        for (name, value) in [
            ("TALLY_SERVICE_HOST", "10.0.0.1"),
            ("TALLY_SERVICE_PORT", "7777"),
            ("TALLY_SERVICE_PORT_GRPC", "7777"),
            ("TALLY_PORT", "tcp://10.0.0.1:7777"),
            ("TALLY_PORT_7777_TCP", "tcp://10.0.0.1:7777"),
            ("TALLY_PORT_7777_TCP_ADDR", "10.0.0.1"),
            ("TALLY_POSTGRES_SERVICE_HOST", "10.0.0.2"),
            ("TALLY_FAULT", "x"),
            ("HOME", "/"),
        ] {
            assert!(!is_ours(name, value), "{name}");
        }
        for (name, value) in [("TALLY_PORT", "7777"), ("TALLY_WORKER", "2"), ("TALLY_", "")] {
            assert!(is_ours(name, value), "{name}");
        }
    }
}
