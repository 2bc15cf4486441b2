//! What libpq reads besides the URL: `PG…` variables, the password file, and `root.crt`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tally_runtime::file;

use super::InvalidUrl;
use super::parameters::{Parameters, default_port};
use crate::Dialect;

/// The parameters that a variable can say, as in libpq's documentation.
const VARIABLES: [(&str, &str); 19] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("client_encoding", "PGCLIENTENCODING"),
];

/// What libpq finds on a machine besides a URL. A default one is empty.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

// === impl Environment ===

impl Environment {
    /// What this process has.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect() }
    }

    /// Adds what the URL leaves out, and notes for people.
    pub(super) fn complete(
        &self,
        parameters: &mut Parameters,
        dialect: Dialect,
        notes: &mut Vec<String>,
    ) -> Result<(), InvalidUrl> {
        for (name, variable) in VARIABLES {
            parameters.add_variable(name, self.get(variable).unwrap_or_default(), variable);
        }
        if parameters.get("sslrootcert").is_none()
            && let Some(path) = self.at_home(".postgresql/root.crt").filter(|path| path.is_file())
        {
            parameters.add_variable("sslrootcert", &path.to_string_lossy(), "~/.postgresql");
        }
        if parameters.get("password").is_none() {
            let path = parameters.get("passfile").map(PathBuf::from);
            let path = path.or_else(|| self.at_home(".pgpass"));
            let password = match path {
                Some(path) => self.password(&path, parameters, dialect, notes)?,
                None => None,
            };
            parameters.add_variable("password", &password.unwrap_or_default(), "the password file");
        }
        Ok(())
    }

    /// The password file's password for the hosts, which must be the same for all.
    fn password(
        &self,
        path: &Path,
        parameters: &Parameters,
        dialect: Dialect,
        notes: &mut Vec<String>,
    ) -> Result<Option<String>, InvalidUrl> {
        let shown = path.display();
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(error) => {
                // The usual one need not be there.
                if parameters.get("passfile").is_some() {
                    notes.push(format!("the password file {shown} cannot be read: {error}"));
                }
                return Ok(None);
            }
        };
        if !kind.is_file() {
            notes.push(format!("the password file {shown} is ignored: it is not a regular file"));
            return Ok(None);
        }
        if is_open_to_others(&kind) {
            notes.push(format!(
                "the password file {shown} is ignored, because others may read it: chmod 600 {shown}"
            ));
            return Ok(None);
        }
        let Ok(text) = file::read_once(path) else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let default_port = default_port(dialect).to_string();
        let list = |name: &str| parameters.get(name).filter(|list| !list.is_empty());
        let hosts = list("host").or_else(|| list("hostaddr")).unwrap_or("localhost");
        let user = parameters.get("user").or_else(|| self.get("USER")).unwrap_or_default();
        let database = parameters.get("dbname").unwrap_or(user);
        let ports = list("port").unwrap_or(&default_port).split(',').cycle();
        let passwords = hosts.split(',').zip(ports).map(|(host, port)| {
            let port = if port.is_empty() { &default_port } else { port };
            text.lines().find_map(|line| password_of(line, [host, port, database, user]))
        });
        let mut passwords: Vec<_> = passwords.collect();
        passwords.dedup();
        if passwords.len() > 1 {
            return Err(InvalidUrl::Passwords(path.display().to_string()));
        }
        Ok(passwords.pop().flatten())
    }

    fn get(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn at_home(&self, name: &str) -> Option<PathBuf> {
        self.get("HOME").map(|home| Path::new(home).join(name))
    }
}

#[cfg(unix)]
fn is_open_to_others(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

/// The password of a line `host:port:database:user:password`, if the line is for what is wanted. `*`
/// matches everything, and a backslash escapes a colon or a backslash.
fn password_of(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut characters = line.chars();
    for wanted in wanted {
        let (mut field, mut is_escaped) = (String::new(), false);
        loop {
            match characters.next()? {
                ':' => break,
                '\\' => {
                    field.push(characters.next()?);
                    is_escaped = true;
                }
                character => field.push(character),
            }
        }
        if field != wanted && (field != "*" || is_escaped) {
            return None;
        }
    }
    let mut password = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => password.extend(characters.next()),
            ':' => break,
            character => password.push(character),
        }
    }
    Some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<const N: usize> From<[(&str, &str); N]> for Environment {
        fn from(variables: [(&str, &str); N]) -> Self {
            Self { variables: variables.map(|(name, value)| (name.into(), value.into())).into() }
        }
    }

    #[test]
    fn a_line_of_the_password_file_is_for_what_it_says() {
        let wanted = ["db", "5432", "counts", "me"];
        for (line, password) in [
            ("db:5432:counts:me:s3cret", Some("s3cret")),
            ("*:*:*:*:any", Some("any")),
            ("db:5433:counts:me:s3cret", None),
            ("db:5432:counts:me", None),
            ("# db:5432:counts:me:s3cret", None),
            (r"db:5432:counts:me:a\:b\\c", Some(r"a:b\c")),
            (r"\*:5432:counts:me:x", None),
            ("db:5432:counts:me:", Some("")),
        ] {
            assert_eq!(password_of(line, wanted).as_deref(), password, "{line}");
        }
        assert_eq!(password_of(r"a\:b:1:d:u:p", ["a:b", "1", "d", "u"]).as_deref(), Some("p"));
    }
}
