//! The command line of `tally import`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::parse::fields::{JsonFields, Named};
use super::parse::format::LogFormat;
use super::parse::time::Zone;
use super::parse::{Parser, Reading};
use super::paths::Paths;
use crate::client::ServerArgs;
use crate::commands::requests::texts;
use crate::numbers;

/// Count the requests of access logs
#[derive(Debug, Args)]
#[command(long_about = "Count the requests of access logs\n\n\
    Reads the logs of nginx, Apache, Caddy, Traefik, Envoy, HAProxy, IIS, AWS and others, plain or \
    gzipped, and sends them to a running server. Query strings are dropped; times become UTC.\n\n\
    Examples:\n  \
      tally import access.log access.log.1.gz\n  \
      zstdcat access.log.zst | tally import -\n  \
      tally import --dry-run --collapse-ids access.log\n  \
      tally import --format '$time_iso8601 $request_method $request_uri' app.log\n  \
      tally import --path-field route --time-field at --where level=info app.log\n\n\
    Text lines have a time in brackets, then a request in quotes. In JSON lines, servers' usual \
    fields are known; what the client asked for (request, request_uri) takes precedence over what \
    the server made of it (uri, path, url). Files with a #Fields: line are read accordingly.\n\n\
    A time is RFC 3339, Common Log Format, or a number since 1970, from 2001-09-09 on: up to 11 \
    digits before the point are seconds, 12 to 14 milliseconds, 15 to 17 microseconds, 18 to 20 \
    nanoseconds.\n\n\
    Each line of a file counts once, however often the file is imported: the server keeps how far its text \
    is counted, under any name, plain or gzipped. An import that was killed goes on when it is run again.")]
pub(crate) struct ImportArgs {
    /// Files to read, `-` for stdin [default: stdin, unless it is a terminal]
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,

    /// How lines are written: auto, clf (text; also common, combined), json, or nginx's log_format or
    /// Apache's LogFormat as written in the configuration
    #[arg(long, default_value = "auto")]
    format: Written<LogFormat>,

    /// The zone of times that name none, without which they are malformed: UTC, +02:00 or
    /// Europe/Berlin
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    tz: Option<Written<Zone>>,

    #[command(flatten)]
    named: Named,

    /// The service that wrote these logs
    #[arg(long, value_name = "NAME", value_parser = texts::service)]
    pub(super) service: Option<String>,

    /// Count /a?b and /a?c as different paths
    #[arg(long)]
    keep_query: bool,

    #[command(flatten)]
    pub(super) paths: Paths,

    /// Leave out the lines of the first input before this one, to resume what came from a pipe
    #[arg(long, value_name = "LINE", default_value_t = 1,
          value_parser = numbers::within(1, u64::MAX))]
    pub(super) from_line: u64,

    /// Count all lines of the files once more; by default, only those that were not counted before
    #[arg(long)]
    pub(super) again: bool,

    /// Only print what would be counted if nothing of it was counted before; no server is needed
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Append malformed lines to this file
    #[arg(long, value_name = "FILE")]
    pub(super) malformed: Option<PathBuf>,

    /// Exit with 1 if a line was malformed; the others are still counted
    #[arg(long)]
    pub(super) strict: bool,

    /// Say nothing unless the import fails; with --strict, also of malformed lines
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) quiet: bool,

    /// How many seconds to wait for a server that accepts nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = numbers::within(1, 86_400_u64))]
    pub(super) patience: u64,

    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// A value and its text, which the command to go on with repeats.
#[derive(Debug, Clone)]
struct Written<T> {
    text: String,
    value: T,
}

/// The most conditions.
const CONDITIONS_MAX: usize = 16;

// === impl ImportArgs ===

impl ImportArgs {
    pub(super) fn parser(&self) -> Result<Parser, String> {
        let has_conditions = !self.named.conditions.is_empty();
        if self.named.conditions.len() > CONDITIONS_MAX {
            return Err(format!("--where may be given at most {CONDITIONS_MAX} times"));
        }
        if matches!(self.format.value, LogFormat::Template(_)) && has_conditions {
            return Err("--where is for fields of JSON, and lines as --format says have none; \
                        leave one of the two out"
                .to_owned());
        }
        let zone = self.tz.as_ref().map(|tz| tz.value.clone());
        Ok(Parser {
            format: self.format.value.clone(),
            fields: JsonFields::new(self.named.clone()),
            reading: Reading { keep_query: self.keep_query, zone },
        })
    }

    /// The flags that decide what is counted, with their values.
    pub(super) fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let Named { conditions, method, path, time, status } = &self.named;
        let mut flags = Vec::new();
        let mut with = |flag, value: Option<String>| {
            flags.extend(value.map(|value| (flag, Some(value))));
        };
        with("--format", Some(self.format.text.clone()).filter(|text| text != "auto"));
        with("--tz", self.tz.as_ref().map(|tz| tz.text.clone()));
        conditions.iter().for_each(|one| with("--where", Some(one.to_string())));
        with("--method-field", method.clone());
        with("--path-field", path.clone());
        with("--time-field", time.clone());
        with("--status-field", status.clone());
        with("--service", self.service.clone());
        let Paths { prefixes, rewrites, collapse_ids } = &self.paths;
        prefixes.iter().for_each(|one| with("--path-prefix", Some(one.clone())));
        rewrites.iter().for_each(|one| with("--rewrite", Some(one.given.clone())));
        with("--malformed", self.malformed.as_ref().map(|path| path.to_string_lossy().into()));
        let switches = [
            ("--keep-query", self.keep_query),
            ("--collapse-ids", *collapse_ids),
            ("--again", self.again),
            ("--strict", self.strict),
        ];
        flags.extend(switches.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| (*flag, None)));
        flags
    }
}

// === impl Written ===

impl<T: FromStr> FromStr for Written<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        Ok(Self { text: text.to_owned(), value: text.parse()? })
    }
}
