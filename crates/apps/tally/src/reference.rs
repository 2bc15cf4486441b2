//! docs/reference/cli.md: every command with its flags, as `tally help` has them.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command};

/// Set by `cargo xtask codegen`: write the page instead of comparing it.
const WRITE: &str = "WRITE_REFERENCE";

const PAGE: &str = "docs/reference/cli.md";

const OPENING: &str = "\
# Command line reference

<!-- Written by `cargo xtask codegen` from the command line. -->

`tally help COMMAND` prints the same, and so does `man tally-COMMAND` ([where to put its
pages](../terminal.md#completions-and-manual)). A flag overrides its variable. [Settings](../settings.md) says
more of those of `tally serve`.
";

#[test]
fn the_page_is_what_the_command_line_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = root.join(PAGE);
    let page = page(super::command(&[
        tally_requests::DOMAIN,
        tally_debts::DOMAIN,
        tally_timelines::DOMAIN,
    ]));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "{PAGE} is stale: run `cargo xtask codegen` and commit it");
}

fn page(command: Command) -> String {
    let mut command = command.disable_help_subcommand(true).disable_help_flag(true);
    command.build();
    let mut all = Vec::new();
    commands(&command, &mut all);
    // The others need it.
    all.sort_by_key(|one| name(one) != "tally serve");
    let mut page = OPENING.to_owned();
    page += "\n| command | what it does |\n|---|---|\n";
    for one in &all {
        let name = name(one);
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        let anchor = name.replace(' ', "-");
        writeln!(page, "| [`{name}`](#{anchor}) | {} |", cell(&about)).expect("a string");
    }
    all.into_iter().for_each(|one| write(&mut page, one));
    page
}

/// The commands that do something, in the order of `tally help`.
fn commands<'a>(command: &'a Command, all: &mut Vec<&'a Command>) {
    for one in command.get_subcommands() {
        if !one.has_subcommands() || !one.is_subcommand_required_set() {
            all.push(one);
        }
        commands(one, all);
    }
}

fn name(command: &Command) -> &str {
    command.get_bin_name().expect("it is built")
}

fn write(page: &mut String, command: &Command) {
    *page += &format!("\n## `{}`\n", name(command));
    let about = command.get_long_about().or(command.get_about());
    text(page, &about.map(ToString::to_string).unwrap_or_default());
    let usage = command.clone().render_usage().to_string();
    let usage: Vec<_> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
    *page += &format!("\n```text\n{}\n```\n", usage.join("\n"));
    let arguments: Vec<_> = command.get_arguments().filter(|one| !one.is_hide_set()).collect();
    if arguments.is_empty() {
        return;
    }
    *page += "\n| argument | variable | default | meaning |\n|---|---|---|---|\n";
    for one in arguments {
        let variable = one.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
        let defaults: Vec<_> =
            one.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
        let is_said = one.get_action().takes_values() && !defaults.is_empty();
        let default = if is_said { format!("`{}`", defaults.join(" ")) } else { String::new() };
        *page += &format!(
            "| `{}` | {} | {default} | {} |\n",
            argument(one).replace('|', "\\|"),
            variable.unwrap_or_default(),
            meaning(one)
        );
    }
}

/// An argument as it is written.
fn argument(one: &Arg) -> String {
    let shown = one.to_string();
    match (one.get_short(), one.get_long()) {
        (Some(short), Some(_)) => format!("-{short}, {shown}"),
        _ => shown,
    }
}

fn meaning(one: &Arg) -> String {
    let help = one.get_long_help().or(one.get_help()).map(ToString::to_string);
    let mut meaning = cell(&help.unwrap_or_default());
    let values: Vec<_> = one
        .get_possible_values()
        .into_iter()
        .filter(|_| one.get_action().takes_values())
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {}", value.get_name(), cell(&help.to_string())),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !values.is_empty() {
        meaning += &format!(" ({})", values.join("; "));
    }
    meaning
}

/// Paragraphs, with what is indented as it is.
fn text(page: &mut String, text: &str) {
    let mut is_code = false;
    page.push('\n');
    for line in text.lines() {
        let is_indented = line.starts_with("  ");
        if is_indented != is_code {
            *page += if is_indented { "\n```sh\n" } else { "```\n\n" };
            is_code = is_indented;
        }
        *page += if is_indented { line.trim().to_owned() } else { marked(line) }.as_str();
        page.push('\n');
    }
    *page += if is_code { "```\n" } else { "" };
}

/// As one cell of a table.
fn cell(text: &str) -> String {
    marked(&text.split_whitespace().collect::<Vec<_>>().join(" ")).replace('|', "\\|")
}

/// What Markdown would read as its own, as it is.
fn marked(text: &str) -> String {
    let code = text.split('`').enumerate().map(|(at, part)| {
        if at % 2 == 1 { part.to_owned() } else { part.replace('<', "\\<").replace('*', "\\*") }
    });
    code.collect::<Vec<_>>().join("`")
}
