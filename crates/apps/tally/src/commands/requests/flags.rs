//! What a server says about a field of a request, said about the flag that it came from.

use tonic::Status;

use crate::client::describe;

/// The fields that have a flag of the same name, with `-` for `_`.
const FLAGS: [&str; 13] = [
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
];
/// The fields that no flag stands for alone.
const OTHERS: [&str; 4] = ["selection", "into", "series", "day"];

/// Why a call failed, in the words of the command line.
pub(super) fn describe_in_flags(status: &Status) -> String {
    in_flags(&describe(status))
}

fn in_flags(message: &str) -> String {
    let message = message.replace("`everything`", "--everything");
    match message.split_once(": ") {
        Some((field, rest)) if FLAGS.contains(&field) => {
            let is_said_of_it = rest.starts_with("is ") || rest.starts_with("has ");
            let colon = if is_said_of_it { "" } else { ":" };
            format!("--{}{colon} {rest}", field.replace('_', "-"))
        }
        Some(("into", rest)) if rest.starts_with("is ") => {
            format!("what the --into-... flags name {rest}")
        }
        Some((field, rest)) if OTHERS.contains(&field) => rest.to_owned(),
        _ => message,
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
        ] {
            assert_eq!(in_flags(said), shown);
        }
    }
}
