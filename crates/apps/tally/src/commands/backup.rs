//! `tally backup`: a copy of a SQLite database, while its server goes on.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use tally_runtime::config::Problems;
use tally_runtime::text::bytes;
use tally_store::{DatabaseUrl, sqlite};

use crate::app;
use crate::output::{plural, say, wrong_usage};
use crate::settings::{DatabaseArgs, OF_COMMANDS};

/// Copy a SQLite database into a file, while its server goes on
///
/// The copy is one snapshot: each request that was acknowledged before is in it. It is checked before it gets its
/// name, and a file that is there already is kept. Postgres and CockroachDB have backups of their own.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Where to write it: a file that is not there yet
    file: PathBuf,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(args: BackupArgs, mut problems: Problems) -> anyhow::Result<ExitCode> {
    let settings = args.database.check(OF_COMMANDS, &mut problems);
    if let Err(invalid) = problems.check() {
        return Ok(wrong_usage(invalid));
    }
    let settings = settings.expect("without problems there are settings");
    let file = args.file.display();
    let url = match &settings.url {
        DatabaseUrl::Sqlite(url) => url,
        DatabaseUrl::Postgres(url) => bail!(
            "{url} is not a SQLite file. Postgres makes a backup of one snapshot with: pg_dump --format custom \
             --file '{file}' '{url}'; CockroachDB with: BACKUP"
        ),
    };
    let done = sqlite::back_up(url, &args.file).await.map_err(app::plain)?;
    say(format_args!(
        "backed up {url} to {file}: {}, {} in {}, checked",
        bytes(done.bytes),
        plural(done.rows, "row"),
        plural(done.tables, "table")
    ));
    Ok(ExitCode::SUCCESS)
}
