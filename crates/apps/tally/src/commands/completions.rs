//! `tally completions` and `tally man`: what shells and `man` know of the command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::{self, plural, say};

/// Print a script that lets a shell complete commands, flags and their values
///
/// Where to put it:
///   mkdir -p ~/.local/share/bash-completion/completions
///   tally completions bash > ~/.local/share/bash-completion/completions/tally
///   tally completions zsh  > "${fpath[1]}/_tally"
///   tally completions fish > ~/.config/fish/completions/tally.fish
///   tally completions powershell >> $PROFILE
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write a manual page for each command into a folder
///
/// The folder is made if it is missing. `man` looks into ~/.local/share/man only if
/// ~/.local/bin is on the PATH. Examples:
///   tally man ~/.local/share/man/man1 && man tally-totals
///   sudo "$(command -v tally)" man /usr/local/share/man/man1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ManArgs {
    /// The folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints the script for this command line.
pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tally", &mut script);
    let mut out = output::stdout();
    output::written(out.write_all(&script).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of this command line.
pub(crate) fn write_pages(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let failed = || format!("cannot write manual pages into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    // Each knows by now that its page is called `tally-serve` and so on.
    let (mut left, mut written) = (vec![command], 0);
    while let Some(mut command) = left.pop() {
        left.extend(command.get_subcommands().cloned());
        // The flags are listed below, with their values.
        let usage = command.render_usage().to_string();
        let command = command.override_usage(usage.trim_start_matches("Usage: ").to_owned());
        let source = concat!("tally ", env!("CARGO_PKG_VERSION"));
        let page = clap_mangen::Man::new(command).source(source).manual("Tally");
        let mut text = Vec::new();
        page.render(&mut text).with_context(failed)?;
        let text = unfilled(&String::from_utf8_lossy(&text));
        std::fs::write(folder.join(page.get_filename()), text).with_context(failed)?;
        written += 1;
    }
    let pages = plural(written, "page");
    say(format_args!("wrote {pages} into {}", output::visible(&folder.display().to_string())));
    Ok(ExitCode::SUCCESS)
}

/// A page whose indented lines, which are examples and tables, stay as they are: they are not filled.
fn unfilled(page: &str) -> String {
    let (mut text, mut is_unfilled) = (String::with_capacity(page.len()), false);
    for line in page.lines() {
        let is_indented = line.starts_with("  ");
        if is_indented != is_unfilled {
            text += if is_indented { ".nf\n" } else { ".fi\n" };
            is_unfilled = is_indented;
        }
        text += line;
        text += "\n";
    }
    text
}
