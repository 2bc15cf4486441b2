//! Apache: `%` directives, and the line of the configuration around them.

use super::{Escape, Kind, Piece};

pub(super) fn pieces(text: &str) -> Result<(Vec<Piece>, Escape), String> {
    let format = unquoted(text)?;
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = format.as_str();
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('%') {
            plain.push('%');
            rest = after;
            continue;
        }
        let (argument, letters, after) =
            directive(after).ok_or_else(|| format!("no directive of Apache's at %{after:.20}"))?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain).into_bytes()));
        }
        let name = rest[at..rest.len() - after.len()].to_owned();
        pieces.push(Piece::Field { kind: kind(argument, letters)?, name });
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into_bytes()));
    }
    Ok((pieces, Escape::Bytes))
}

/// Splits `!200,304{Referer}i` into the argument in braces, the letter, and the rest.
fn directive(text: &str) -> Option<(&str, &str, &str)> {
    let is_condition = |character: char| matches!(character, '!' | '<' | '>' | ',' | '0'..='9');
    let rest = text.trim_start_matches(is_condition);
    let (argument, rest) = match rest.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => ("", rest),
    };
    // `%^ti` and `%^to` have three characters.
    let length = if rest.starts_with('^') { 3 } else { 1 };
    let letters = rest.get(..length)?;
    letters
        .ends_with(|letter: char| letter.is_ascii_alphabetic())
        .then(|| (argument, letters, &rest[length..]))
}

fn kind(argument: &str, letters: &str) -> Result<Kind, String> {
    Ok(match letters {
        "r" => Kind::Request,
        "m" => Kind::Method,
        "U" => Kind::Target,
        "q" => Kind::Query,
        "s" => Kind::Status,
        "t" => time(argument)?,
        "a" | "A" | "B" | "b" | "D" | "f" | "H" | "h" | "I" | "k" | "L" | "l" | "O" | "P" | "p"
        | "S" | "T" | "V" | "v" | "X" => Kind::Word,
        _ => Kind::Any,
    })
}

fn time(argument: &str) -> Result<Kind, String> {
    let format = argument.strip_prefix("begin:").or_else(|| argument.strip_prefix("end:"));
    Ok(match format.unwrap_or(argument) {
        "" | "sec" | "msec" | "usec" => Kind::Time,
        "msec_frac" | "usec_frac" => Kind::TimeAs("%f".to_owned()),
        format if format.contains('%') => Kind::TimeAs(format.to_owned()),
        other => return Err(format!("%{{{other}}}t is not a time format")),
    })
}

/// The format string of a `LogFormat` line, or the text itself, without the escapes.
fn unquoted(text: &str) -> Result<String, String> {
    let quoted = text.strip_prefix("LogFormat").map(str::trim_start);
    let quoted = quoted.or_else(|| {
        text.starts_with('"')
            .then_some(text)
            .filter(|text| text.ends_with('"') && text.contains("\\\""))
    });
    let (inside, mut characters) = match quoted {
        Some(quoted) => (true, quoted.strip_prefix('"').ok_or("LogFormat has no quotes")?.chars()),
        None => (false, text.chars()),
    };
    let mut format = String::new();
    loop {
        match (characters.next(), inside) {
            (None, false) | (Some('"'), true) => return Ok(format),
            (None, true) => return Err("a quote is not closed".to_owned()),
            (Some('\\'), _) => match characters.next() {
                Some('t') => format.push('\t'),
                Some('n') => format.push('\n'),
                Some(other) => format.push(other),
                None => format.push('\\'),
            },
            (Some(other), _) => format.push(other),
        }
    }
}
