//! Keys in words.

use std::borrow::Cow;
use std::io::Write as _;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::json;
use tally_access::{Key, Secret};

use crate::output::table::Align;
use crate::output::{self, Cell, OutputFormat};

/// How a key is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyFormat {
    /// The key alone
    Text,
    /// An object with the key and what is known of it
    Json,
}

/// Writes all keys, without the keys themselves.
pub(super) fn list(
    keys: &[Key],
    format: Option<OutputFormat>,
    now: Timestamp,
) -> anyhow::Result<()> {
    let format = OutputFormat::or_usual(format);
    let columns = [
        ("name", Align::Left),
        ("state", Align::Left),
        ("scope", Align::Left),
        ("namespace", Align::Left),
        ("fingerprint", Align::Left),
        ("created", Align::Left),
        ("expires", Align::Left),
        ("revoked", Align::Left),
        ("last_used", Align::Left),
    ];
    let text = |text: &str| Cell::Text(Cow::Owned(text.to_owned()));
    let time = |time: Option<Timestamp>| {
        time.map_or(Cell::Unknown, |time| text(&time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
    };
    let rows = keys.iter().map(|key| {
        let state = match key.revoked {
            Some(_) => "revoked",
            None if key.is_expired(now) => "expired",
            None => "valid",
        };
        [
            text(&key.name),
            text(state),
            text(key.scope.name()),
            text(&key.namespace_name),
            text(&key.digest.fingerprint()),
            time(Some(key.created)),
            time(key.expires),
            time(key.revoked),
            time(key.last_used),
        ]
    });
    let mut out = output::stdout();
    let printed = output::print(&mut out, format, columns, rows).and_then(|()| out.flush());
    output::written(printed).map(drop)
}

/// Writes a new key: the only time that it is shown.
pub(super) fn print(key: &Key, secret: &Secret, format: KeyFormat) -> anyhow::Result<()> {
    let text = match format {
        KeyFormat::Text => secret.reveal().to_owned(),
        KeyFormat::Json => json!({
            "name": key.name,
            "key": secret.reveal(),
            "scope": key.scope.name(),
            "namespace": key.namespace_name,
            "fingerprint": key.digest.fingerprint(),
            "created": key.created.to_string(),
            "expires": key.expires.map(|at| at.to_string()),
        })
        .to_string(),
    };
    let mut out = output::stdout();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    output::written(printed).map(drop)
}

/// What is known of a key, in words.
pub(super) fn words(key: &Key) -> String {
    let until = key.expires.map(|at| format!(", until {} UTC", at.strftime("%Y-%m-%d %H:%M")));
    let until = until.unwrap_or_default();
    format!("scope {}, namespace {}{until}", key.scope, key.namespace_name)
}
