//! The command line of `tally import`.

use std::path::PathBuf;

use clap::Args;

use super::fingerprint::of_text;
use super::parse::fields::{Condition, JsonFields, Named};
use super::parse::format::{FormatArg, LogFormat};
use super::parse::time::Zone;
use super::parse::{Parser, Reading};
use super::paths::{Paths, Rewrite};
use crate::client::ServerArgs;
use crate::numbers;

/// Count the requests of access logs
///
/// Reads the logs of nginx, Apache, Caddy, Traefik, Envoy, HAProxy, IIS, AWS and others, plain or
/// compressed with gzip, and sends them to a running server. Query strings are cut off; times are
/// converted to UTC.
///
/// Examples:
///   tally import access.log access.log.1.gz
///   zstdcat access.log.zst | tally import -
///   tally import --dry-run --collapse-ids access.log
///   tally import --format '$time_iso8601 $request_method $request_uri' access.log
///   tally import --path-field route --time-field at --where level=info app.log
///
/// Text lines have a time in brackets and, behind it, a request in quotes. Of JSON lines the usual
/// fields of servers are known; what the client asked for (request, request_uri) comes before what
/// the server made of it (uri, path, url). Files with a #Fields: line are read as it says.
///
/// A time is RFC 3339 or as in the Common Log Format, or a number from 2001-09-09 on: with up to
/// 11 digits before the point it is seconds since 1970, with 12 to 14 milliseconds, with 15 to 17
/// microseconds, with 18 to 20 nanoseconds.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArgs {
    /// Files to read, `-` for stdin [default: stdin, unless it is a terminal]
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) reading: ReadingArgs,

    #[command(flatten)]
    pub(super) paths: PathArgs,

    /// Leave out the lines of the first file before this one, to go on after an interruption
    #[arg(long, value_name = "LINE", default_value_t = 1,
          value_parser = numbers::within(1, u64::MAX))]
    pub(super) from_line: u64,

    /// Count a file again that was counted already, or is the same as an earlier one of this command
    #[arg(long)]
    pub(super) again: bool,

    /// Only print the endpoints that would be counted, and how often; no server is needed
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Append malformed lines to this file
    #[arg(long, value_name = "FILE")]
    pub(super) malformed: Option<PathBuf>,

    /// Exit with 1 when a line was malformed; the others are counted all the same
    #[arg(long)]
    pub(super) strict: bool,

    /// How long a server that takes nothing is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = numbers::within(1, 86_400_u64))]
    pub(super) patience: u64,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// How lines are read.
#[derive(Debug, Args)]
pub(super) struct ReadingArgs {
    /// How lines are written: auto, clf (text; also common, combined), json, or nginx's log_format or Apache's LogFormat
    /// as it stands in the configuration
    #[arg(long, default_value = "auto")]
    pub(super) format: FormatArg,

    /// The zone of times that do not say it: UTC, +02:00, Europe/Berlin
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub(super) tz: Option<ZoneArg>,

    /// Only JSON entries with this value, or with != without it, are requests; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(super) conditions: Vec<Condition>,

    /// The JSON field of the method; a dot goes into a nested object
    #[arg(long, value_name = "NAME")]
    pub(super) method_field: Option<String>,

    /// The JSON field of the path or URL
    #[arg(long, value_name = "NAME")]
    pub(super) path_field: Option<String>,

    /// The JSON field of the time
    #[arg(long, value_name = "NAME")]
    pub(super) time_field: Option<String>,
}

/// What paths are counted under.
#[derive(Debug, Args)]
pub(super) struct PathArgs {
    /// Count /a?b and /a?c as different paths
    #[arg(long)]
    pub(super) keep_query: bool,

    /// Count only paths that begin with this; repeatable
    #[arg(long, value_name = "PREFIX", value_parser = parse_prefix)]
    pub(super) path_prefix: Vec<String>,

    /// Replace what matches in each path, as in '^/users/[^/]+=/users/{name}'; repeatable
    #[arg(long, value_name = "REGEX=TEMPLATE")]
    pub(super) rewrite: Vec<Rewrite>,

    /// Count numbers, UUIDs and hashes in paths as {id}
    #[arg(long)]
    pub(super) collapse_ids: bool,
}

/// What was given for `--tz`.
#[derive(Debug, Clone)]
pub(super) struct ZoneArg {
    given: String,
    zone: Zone,
}

/// How many conditions there may be.
const CONDITIONS_MAX: usize = 16;

/// What cannot begin a path of a log would leave everything out.
fn parse_prefix(given: &str) -> Result<String, String> {
    if !given.is_empty() && !given.starts_with(['/', '*']) {
        return Err(format!("a path begins with /: write /{given}"));
    }
    Ok(given.to_owned())
}

// === impl ImportArgs ===

impl ImportArgs {
    pub(super) fn parser(&self) -> Result<Parser, String> {
        let ReadingArgs { format, tz, conditions, method_field, path_field, time_field } =
            &self.reading;
        if conditions.len() > CONDITIONS_MAX {
            return Err(format!("--where may be given {CONDITIONS_MAX} times"));
        }
        if matches!(format.format, LogFormat::Template(_)) && !conditions.is_empty() {
            return Err("--where is for fields of JSON, and lines as --format says have none; \
                        leave one of the two out"
                .to_owned());
        }
        let named = Named {
            method: method_field.clone(),
            path: path_field.clone(),
            time: time_field.clone(),
            conditions: conditions.clone(),
        };
        let zone = tz.as_ref().map(|tz| tz.zone.clone());
        let reading = Reading { keep_query: self.paths.keep_query, zone };
        Ok(Parser { format: format.format.clone(), fields: JsonFields::new(named), reading })
    }

    /// What tells apart how files are read. Servers remember it.
    pub(super) fn how(&self) -> Vec<u8> {
        let mut text = String::new();
        for (flag, value) in self.flags() {
            if !["--malformed", "--again", "--strict"].contains(&flag) {
                text.extend([flag, " ", &value.unwrap_or_default(), "\0"]);
            }
        }
        of_text(&text)
    }

    pub(super) fn paths(&self) -> Paths {
        Paths {
            prefixes: self.paths.path_prefix.clone(),
            rewrites: self.paths.rewrite.clone(),
            collapse_ids: self.paths.collapse_ids,
        }
    }

    /// The flags that decide what is counted, for a command that goes on: each with its value.
    pub(super) fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let ReadingArgs { format, tz, conditions, method_field, path_field, time_field } =
            &self.reading;
        let mut flags = Vec::new();
        let mut with = |flag, value: Option<String>| {
            flags.extend(value.map(|value| (flag, Some(value))));
        };
        with("--format", Some(format.given.clone()).filter(|given| given != "auto"));
        with("--tz", tz.as_ref().map(|tz| tz.given.clone()));
        conditions.iter().for_each(|condition| with("--where", Some(condition.to_string())));
        with("--method-field", method_field.clone());
        with("--path-field", path_field.clone());
        with("--time-field", time_field.clone());
        self.paths
            .path_prefix
            .iter()
            .for_each(|prefix| with("--path-prefix", Some(prefix.clone())));
        self.paths
            .rewrite
            .iter()
            .for_each(|rewrite| with("--rewrite", Some(rewrite.given.clone())));
        with(
            "--malformed",
            self.malformed.as_ref().map(|path| path.to_string_lossy().into_owned()),
        );
        for (flag, is_set) in [
            ("--keep-query", self.paths.keep_query),
            ("--collapse-ids", self.paths.collapse_ids),
            ("--again", self.again),
            ("--strict", self.strict),
        ] {
            if is_set {
                flags.push((flag, None));
            }
        }
        flags
    }
}

// === impl ZoneArg ===

impl std::str::FromStr for ZoneArg {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Ok(Self { given: given.to_owned(), zone: given.parse()? })
    }
}
