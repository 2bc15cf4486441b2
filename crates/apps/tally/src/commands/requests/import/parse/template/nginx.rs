//! nginx: variables, and the directive around them.

use super::{Escape, Kind, Piece};

/// Variables whose values have no spaces.
const WORDS: &str = "remote_addr realip_remote_addr remote_port server_addr server_port host \
    server_name scheme server_protocol bytes_sent body_bytes_sent request_length \
    request_time request_id connection connection_requests pipe pid gzip_ratio ssl_protocol \
    ssl_cipher upstream_cache_status hostname";

pub(super) fn pieces(text: &str) -> Result<(Vec<Piece>, Escape), String> {
    let (format, escape) = directive(text)?;
    let escape = match escape.as_deref() {
        None if format.trim_start().starts_with('{') && !text.starts_with("log_format") => {
            Escape::Json
        }
        None | Some("default") => Escape::Bytes,
        Some("json") => Escape::Json,
        Some("none") => Escape::None,
        Some(other) => return Err(format!("escape={other} is not known to nginx")),
    };
    let mut pieces = Vec::new();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let (name, after) =
            variable(after).ok_or_else(|| format!("no variable at ${after:.20}"))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.as_bytes().to_vec()));
        }
        pieces.push(Piece::Field { name: format!("${name}"), kind: kind(name) });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.as_bytes().to_vec()));
    }
    Ok((pieces, escape))
}

fn variable(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('{') {
        return inner.split_once('}');
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let end = text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn kind(name: &str) -> Kind {
    match name {
        "request" => Kind::Request,
        "request_method" => Kind::Method,
        "request_uri" | "uri" | "document_uri" => Kind::Target,
        "args" | "query_string" => Kind::Query,
        "is_args" => Kind::QuestionMark,
        "status" => Kind::Status,
        "time_local" | "time_iso8601" | "msec" => Kind::Time,
        _ if WORDS.split_whitespace().any(|word| word == name) => Kind::Word,
        _ => Kind::Any,
    }
}

/// The format string of a directive, and its `escape=`.
fn directive(text: &str) -> Result<(String, Option<String>), String> {
    let rest = match text.strip_prefix("log_format") {
        Some(rest) => {
            let rest = rest.trim_start();
            let end = rest.find(char::is_whitespace).ok_or("log_format has no format")?;
            rest[end..].trim_start()
        }
        None if text.starts_with('\'') => text,
        None => return Ok((text.to_owned(), None)),
    };
    let (escape, mut rest) = match rest.strip_prefix("escape=") {
        Some(value) => {
            let end = value.find(char::is_whitespace).ok_or("log_format has no format")?;
            (Some(value[..end].to_owned()), value[end..].trim_start())
        }
        None => (None, rest),
    };
    let mut format = String::new();
    while let Some(quote) = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"')) {
        let mut characters = rest[1..].char_indices();
        let end = loop {
            match characters.next().ok_or("a quote is not closed")? {
                (at, end) if end == quote => break at,
                (_, '\\') => match characters.next().ok_or("a quote is not closed")?.1 {
                    't' => format.push('\t'),
                    'n' => format.push('\n'),
                    'r' => format.push('\r'),
                    escaped @ ('\'' | '"' | '\\') => format.push(escaped),
                    other => format.extend(['\\', other]),
                },
                (_, plain) => format.push(plain),
            }
        };
        rest = rest[1 + end + 1..].trim_start();
    }
    if rest.is_empty() || rest == ";" {
        return Ok((format, escape));
    }
    Err(format!("this is not part of a log_format: {rest:.40}"))
}
