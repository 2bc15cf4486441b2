//! `tally status`: what the server is, which database it has, and how far its work has come.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tally_proto::tally::server::v1::fact::Value as Of;
use tally_proto::tally::server::v1::server_service_client::ServerServiceClient;
use tally_proto::tally::server::v1::{Domain, Fact, GetStatusRequest, GetStatusResponse};
use tally_runtime::text::bytes;
use tally_serve::facts::{self, in_words, label};
use tokio::time::timeout;
use tonic::{Code, Status};
use unicode_width::UnicodeWidthStr as _;

use crate::client::{ServerArgs, describe};
use crate::output::{self, age, visible};

/// How long connecting and the answer may take: a server whose database is silent needs some seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Show how the server is: its database, queue, folds, roll-ups, producers and drops
///
/// The exit code is 0 if the server is ready, and 1 if it is not ready or does not
/// answer. `tally health` asks for that alone.
///
/// Examples:
///   tally status
///   tally status --server http://tally.internal:7777
///   tally status --format json | jq .domains.requests.facts.days_behind.value
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines, for people
    Text,
    /// One object, for programs
    Json,
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let server = &args.server;
    let asking = async {
        let mut client = ServerServiceClient::new(server.connect().await?);
        let answer = client.get_status(GetStatusRequest {}).await;
        answer.map_err(|status| refused(&status, &server.server))
    };
    let answer = timeout(ANSWER_TIMEOUT, asking).await;
    let seconds = ANSWER_TIMEOUT.as_secs();
    let silent = || anyhow!("the server did not answer within {seconds} s");
    let status = answer.map_err(|_elapsed| silent())??.into_inner();
    let mut out = output::stdout();
    let printed = match args.format {
        Format::Text => write_text(&mut out, &server.server, &status),
        Format::Json => {
            let json = serde_json::to_string_pretty(&to_json(&server.server, &status));
            writeln!(out, "{}", json.context("cannot write JSON")?)
        }
    };
    output::written(printed.and_then(|()| out.flush()))?;
    Ok(if status.trouble.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn refused(status: &Status, server: &str) -> anyhow::Error {
    if status.code() == Code::Unimplemented {
        return anyhow!("the server at {} is older than this command: update it", visible(server));
    }
    anyhow!("cannot ask for the server's status: {}", describe(status))
}

/// Two columns: what it is, and how it is.
fn write_text(out: &mut impl Write, server: &str, status: &GetStatusResponse) -> io::Result<()> {
    let now = time(status.now.as_ref()).unwrap_or_default();
    let health = match &*status.trouble {
        "" => "ready".to_owned(),
        trouble => format!("NOT READY: {}", visible(trouble)),
    };
    let mut lines = vec![
        ("server".to_owned(), visible(server).into_owned()),
        ("health".to_owned(), health),
        ("version".to_owned(), visible(&status.version).into_owned()),
    ];
    if let Some(started) = time(status.started_at.as_ref()) {
        let up = age(now.as_second() - started.as_second());
        lines.push(("up for".to_owned(), format!("{up}, as process {}", status.process)));
    }
    if let Some(database) = &status.database {
        let size = database.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
        let free = database.free_bytes.map(|free| format!(", disk has {} free", bytes(free)));
        let free = free.unwrap_or_default();
        let schema = |schema: &_| {
            let tally_proto::tally::server::v1::Schema { set, version } = schema;
            format!("{} {version}", visible(set))
        };
        let schemas: Vec<_> = database.schemas.iter().map(schema).collect();
        lines.extend([
            ("database".to_owned(), format!("{}{size}{free}", visible(&database.kind))),
            (String::new(), visible(&database.address).into_owned()),
            ("schema".to_owned(), schemas.join(", ")),
        ]);
    }
    for fact in &status.facts {
        lines.extend(lines_of(fact, now));
    }
    write_lines(out, "", &lines)?;
    for domain in &status.domains {
        writeln!(out, "\n{}", visible(&domain.name))?;
        let mut lines = Vec::new();
        for fact in &domain.facts {
            lines.extend(lines_of(fact, now));
        }
        if !domain.missing.is_empty() {
            lines.push(("the rest".to_owned(), visible(&domain.missing).into_owned()));
        }
        write_lines(out, "  ", &lines)?;
    }
    Ok(())
}

/// A fact, and what a person should know about it.
fn lines_of(fact: &Fact, now: Timestamp) -> impl Iterator<Item = (String, String)> {
    let line = (visible(&label(&fact.name)).into_owned(), shown(fact, now));
    let note = (!fact.note.is_empty()).then(|| (String::new(), visible(&fact.note).into_owned()));
    [line].into_iter().chain(note)
}

/// Aligned, on a terminal within its width.
fn write_lines(out: &mut impl Write, indent: &str, lines: &[(String, String)]) -> io::Result<()> {
    let width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let columns = output::terminal_columns().unwrap_or(usize::MAX);
    let room = columns.saturating_sub(indent.len() + width + 2);
    for (label, text) in lines {
        for (at, text) in wrapped(text, room).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            let line = format!("{indent}{label:<width$}  {text}");
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

/// Cut between words, into lines of so many columns. A word that is longer is a line of its own.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() && line.width() + 1 + word.width() > room {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

/// As the pages have it.
fn shown(fact: &Fact, now: Timestamp) -> String {
    let value = match &fact.value {
        None => None,
        Some(Of::Count(count)) => Some(facts::Value::Count(*count)),
        Some(Of::Bytes(size)) => Some(facts::Value::Bytes(*size)),
        Some(Of::Text(text)) => Some(facts::Value::Text(text.clone().into())),
        Some(Of::Time(at)) => match time(Some(at)) {
            Some(at) => Some(facts::Value::Time(at)),
            None => return "at an unknown time".to_owned(),
        },
    };
    visible(&in_words(&fact.name, value.as_ref(), fact.max, now)).into_owned()
}

fn time(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    Timestamp::new(time?.seconds, time?.nanos).ok()
}

/// The same names as on the wire. What is unknown is null.
fn to_json(server: &str, status: &GetStatusResponse) -> Value {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let at = |at: Option<prost_types::Timestamp>| time(at.as_ref()).map(|at| format!("{at:.0}"));
    let fact = |fact: &Fact| {
        let value = match &fact.value {
            None => Value::Null,
            Some(Of::Count(number) | Of::Bytes(number)) => json!(number),
            Some(Of::Text(text)) => json!(text),
            Some(Of::Time(time)) => json!(at(Some(*time))),
        };
        let value = json!({"value": value, "max": fact.max, "note": some(&fact.note)});
        (fact.name.clone(), value)
    };
    let domain = |domain: &Domain| {
        let facts: Map<_, _> = domain.facts.iter().map(fact).collect();
        (domain.name.clone(), json!({"facts": facts, "missing": some(&domain.missing)}))
    };
    let database = status.database.as_ref().map(|database| {
        let schemas = database.schemas.iter().map(|one| (one.set.clone(), json!(one.version)));
        json!({
            "kind": database.kind,
            "address": database.address,
            "schemas": schemas.collect::<Map<_, _>>(),
            "bytes": database.bytes,
            "free_bytes": database.free_bytes,
        })
    });
    json!({
        "server": server,
        "ready": status.trouble.is_empty(),
        "trouble": some(&status.trouble),
        "version": status.version,
        "process": status.process,
        "started_at": at(status.started_at),
        "now": at(status.now),
        "database": database,
        "facts": status.facts.iter().map(fact).collect::<Map<_, _>>(),
        "domains": status.domains.iter().map(domain).collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_words() {
        assert_eq!(
            wrapped("set --a, or run `b c` daily", 12),
            ["set --a, or", "run `b c`", "daily"]
        );
        assert_eq!(wrapped("two much-too-long one", 3), ["two", "much-too-long", "one"]);
        assert_eq!(wrapped("", 0), [""]);
    }
}
