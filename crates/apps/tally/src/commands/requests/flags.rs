//! What a server says about a field of a request, said about the flag that it came from.

use std::borrow::Cow;

use tonic::Status;

use crate::client::describe;

/// The fields that have a flag of the same name, with `-` for `_`.
const FLAGS: [&str; 17] = [
    "requests",
    "reason",
    "author",
    "id",
    "path",
    "path_prefix",
    "path_regex",
    "service",
    "customer",
    "into_path",
    "into_service",
    "into_customer",
    "with_corrections",
    "below",
    "above",
    "at_least",
    "webhook",
];
/// The fields that have a flag of another name.
const RENAMED: [(&str, &str); 10] = [
    ("services", "service"),
    ("methods", "method"),
    ("paths", "path"),
    ("statuses", "status"),
    ("status_classes", "status"),
    ("customers", "customer"),
    ("share_below_millionths", "below"),
    ("share_above_millionths", "above"),
    ("window_minutes", "in"),
    ("repeat_minutes", "repeat"),
];
/// The fields that no flag stands for alone.
const OTHERS: [&str; 4] = ["selection", "into", "series", "day"];

/// Why a call failed, in the words of the command line.
pub(super) fn describe_in_flags(status: &Status) -> String {
    in_flags(&describe(status))
}

fn in_flags(message: &str) -> String {
    let message = message.replace("`everything`", "--everything");
    // Several mistakes come in one message.
    let parts: Vec<_> = message.split("; ").map(part_in_flags).collect();
    parts.join("; ")
}

fn part_in_flags(message: &str) -> Cow<'_, str> {
    let Some((field, rest)) = message.split_once(": ") else { return message.into() };
    let flag = RENAMED.iter().find(|(name, _)| *name == field).map(|(_, flag)| (*flag).to_owned());
    let flag = flag.or_else(|| FLAGS.contains(&field).then(|| field.replace('_', "-")));
    match (flag, field) {
        (Some(flag), _) => {
            let is_said_of_it = ["is ", "has ", "contains "].iter().any(|is| rest.starts_with(is));
            let colon = if is_said_of_it { "" } else { ":" };
            format!("--{flag}{colon} {rest}").into()
        }
        (_, "into") if rest.starts_with("is ") => {
            format!("what the --into-... flags name {rest}").into()
        }
        _ if OTHERS.contains(&field) => rest.into(),
        _ => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_said_as_its_flag() {
        for (said, shown) in [
            ("requests: is 0, which corrects nothing", "--requests is 0, which corrects nothing"),
            ("path_regex: cannot use this regex", "--path-regex: cannot use this regex"),
            ("into: is what is selected", "what the --into-... flags name is what is selected"),
            ("into: what it names was merged", "what it names was merged"),
            ("selection: say so with `everything` if so", "say so with --everything if so"),
            ("day: 2999-01-01 is in the future", "2999-01-01 is in the future"),
            ("cannot connect: requests: no", "cannot connect: requests: no"),
            ("no field", "no field"),
            ("statuses: 1000 is not between 0 and 999", "--status: 1000 is not between 0 and 999"),
            (
                "name: is empty; share_above_millionths: is 500% (5000000 millionths); at_least: is 1",
                "name: is empty; --above is 500% (5000000 millionths); --at-least is 1",
            ),
            ("window_minutes: is 20 minutes", "--in is 20 minutes"),
        ] {
            assert_eq!(in_flags(said), shown);
        }
    }
}
