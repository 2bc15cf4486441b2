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
/// The folder is made if it is missing. Examples:
///   tally man ~/.local/share/man/man1 && man tally-totals
///   sudo tally man /usr/local/share/man/man1
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
    let all: Vec<_> = std::iter::once(&command).chain(command.get_subcommands()).collect();
    let source = concat!("tally ", env!("CARGO_PKG_VERSION"));
    let page = |command: Command| clap_mangen::Man::new(command).source(source).manual("Tally");
    let pages = all.into_iter().cloned().map(page).collect::<Vec<_>>();
    for page in &pages {
        let mut text = Vec::new();
        page.render(&mut text).with_context(failed)?;
        std::fs::write(folder.join(page.get_filename()), text).with_context(failed)?;
    }
    let pages = plural(pages.len() as u64, "page");
    say(format_args!("wrote {pages} into {}", output::visible(&folder.display().to_string())));
    Ok(ExitCode::SUCCESS)
}
