//! Log output: to stderr, for people or as JSON.

use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; with colours on a terminal.
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

/// Which messages are written: `error`, `warn`, `info`, `debug`, `trace`, or directives such
/// as `info,tally_store=debug`.
#[derive(Debug, Clone, PartialEq)]
pub struct Level(Targets);

/// Starts writing log lines to stderr. Fails when the process has a log already.
pub fn install(level: &Level, format: Format) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let filtered = tracing_subscriber::registry().with(level.0.clone());
    match format {
        Format::Text => filtered.with(lines.with_target(false)).try_init(),
        Format::Json => filtered.with(lines.json().flatten_event(true)).try_init(),
    }
}

// === impl Format ===

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be `text` or `json`"),
        }
    }
}

// === impl Level ===

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let targets = text.parse().map_err(|error| format!("{error}"))?;
        // A bare word that is no level would be a target, and would silence all others.
        let is_bare = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_bare && text.parse::<LevelFilter>().is_err() {
            return Err("it is not a level: error, warn, info, debug, trace or off".to_owned());
        }
        Ok(Self(targets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for level in ["error", "INFO", "off", "info,tally_store=debug", "tally_store=trace"] {
            assert!(level.parse::<Level>().is_ok(), "{level}");
        }
        for level in ["loud", "tally", "tally=loud"] {
            assert!(level.parse::<Level>().is_err(), "{level}");
        }
    }
}
