//! Finds the installed Postgres, and says what to install if there is none.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What to install if Postgres is missing.
pub const INSTALL_HINT: &str = "\
no Postgres server found. The tests need initdb and postgres, 14 or newer:
  Debian, Ubuntu:  sudo apt-get install postgresql
  Fedora:          sudo dnf install postgresql-server
  macOS:           brew install postgresql@18
or set PG_BIN to the folder that contains them,
or set TEST_DATABASE_URL to the URL of a superuser on a running server.";

/// Finds the folder with `initdb` and `postgres`.
///
/// Searches `PATH`, then Debian's /usr/lib/postgresql, Fedora's /usr/pgsql-* and Homebrew's
/// `postgresql@*`, newest version first. If `PG_BIN` is set, only that folder counts.
pub fn bin_dir() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
        return complete(Path::new(&folder));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).find_map(|folder| complete(&folder));
    on_path.or_else(|| {
        installed("/usr/lib/postgresql", "", "bin")
            .or_else(|| installed("/usr", "pgsql-", "bin"))
            .or_else(|| installed("/opt/homebrew/opt", "postgresql@", "bin"))
            .or_else(|| installed("/usr/local/opt", "postgresql@", "bin"))
    })
}

/// The folder with symbolic links resolved, if it has both programs.
fn complete(folder: &Path) -> Option<PathBuf> {
    let initdb = fs::canonicalize(folder.join("initdb")).ok()?;
    let postgres = fs::canonicalize(folder.join("postgres")).ok()?;
    let folder = initdb.parent()?;
    (postgres.parent() == Some(folder)).then(|| folder.to_path_buf())
}

/// The newest complete `<parent>/<prefix><version>/<bin>`.
fn installed(parent: &str, prefix: &str, bin: &str) -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = name.to_str()?.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((major, entry.path().join(bin)))
        })
        .collect();
    versions.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    versions.iter().find_map(|(_, folder)| complete(folder))
}
