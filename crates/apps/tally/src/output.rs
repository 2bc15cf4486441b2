//! What commands print: data to stdout, messages to stderr.

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod times;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use tally_runtime::telemetry;
use tally_runtime::text::is_hidden;
pub(crate) use tally_runtime::text::{age, thousands};
use tracing::Level;

use self::table::Align;

const BUFFER_BYTES: usize = 128 * 1024;

/// The width of a terminal that does not report it.
const COLUMNS: usize = 80;

/// What a note begins with, below its row.
const NOTE_INDENT: &str = "    ";

/// Wrong usage, as for clap.
const EXIT_USAGE: u8 = 2;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Aligned columns, for people
    Table,
    /// Comma-separated values (RFC 4180), with a header
    Csv,
    /// An array of objects, one per line
    Json,
    /// Objects, one per line, without an array around them
    Jsonl,
}

/// A value to print.
#[derive(Debug, Clone)]
pub(crate) enum Cell<'a> {
    Text(Cow<'a, str>),
    Number(i128),
    Unknown,
}

// === impl OutputFormat ===

impl OutputFormat {
    /// The format that was asked for, or the usual one: a table on a terminal, CSV elsewhere.
    pub(crate) fn or_usual(given: Option<Self>) -> Self {
        given.unwrap_or(if stdout_is_terminal() { Self::Table } else { Self::Csv })
    }

    /// Whether values are written as JSON has them.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }

    /// A text as a cell. What a program reads is exact: CSV escapes what would steer a terminal only on
    /// a terminal, and JSON has escapes of its own. For the same reason CSV does not alter cells that a
    /// spreadsheet takes for formulas.
    pub(crate) fn text(self, text: &str, is_terminal: bool) -> String {
        match self {
            Self::Table => visible(text).into_owned(),
            Self::Csv if is_terminal => csv::quoted(&visible(text)).into_owned(),
            Self::Csv => csv::quoted(text).into_owned(),
            Self::Json | Self::Jsonl => json::quoted(text),
        }
    }
}

// === impl Cell ===

impl Cell<'_> {
    fn to_text(&self, format: OutputFormat, is_terminal: bool) -> String {
        match (self, format) {
            (Self::Text(text), _) => format.text(text, is_terminal),
            (Self::Number(number), OutputFormat::Table) => thousands(*number),
            (Self::Number(number), _) => number.to_string(),
            (Self::Unknown, OutputFormat::Json | OutputFormat::Jsonl) => "null".to_owned(),
            (Self::Unknown, _) => String::new(),
        }
    }
}

/// Prints rows. A table without rows is empty, and has no column in which every cell is empty.
pub(crate) fn print<'a, const N: usize>(
    out: &mut impl Write,
    format: OutputFormat,
    columns: [(&'a str, Align); N],
    rows: impl Iterator<Item = [Cell<'a>; N]> + Clone,
) -> io::Result<()> {
    let names = columns.map(|(name, _)| name);
    let is_terminal = stdout_is_terminal();
    let mut rows = rows.map(|row| row.map(|cell| cell.to_text(format, is_terminal))).peekable();
    match format {
        OutputFormat::Table if rows.peek().is_none() => {}
        OutputFormat::Table => {
            let mut is_used = [false; N];
            for row in rows.clone() {
                let used = is_used.iter_mut().zip(&row);
                used.for_each(|(is_used, cell)| *is_used |= !cell.is_empty());
            }
            let columns = used(columns, &is_used);
            let rows = rows.map(|row| used(row.map(Cow::Owned), &is_used));
            table::write(out, terminal_columns(), &columns, rows)?;
        }
        OutputFormat::Csv => {
            writeln!(out, "{}", names.join(","))?;
            rows.try_for_each(|row| writeln!(out, "{}", row.join(",")))?;
        }
        OutputFormat::Json | OutputFormat::Jsonl => {
            let mut array = json::Array::of(format);
            for row in rows {
                array.next(out)?;
                let member = |(name, text)| format!("\"{name}\":{text}");
                let members: Vec<_> = names.iter().zip(row).map(member).collect();
                write!(out, "{{{}}}", members.join(","))?;
            }
            array.end(out)?;
        }
    }
    out.flush()
}

/// Prints a table with a line of its own below each row that has a note.
pub(crate) fn print_noted<'a, const N: usize>(
    out: &mut impl Write,
    columns: [(&'a str, Align); N],
    rows: impl Iterator<Item = [Cell<'a>; N]> + Clone,
    notes: impl Iterator<Item = String>,
) -> io::Result<()> {
    let mut table = Vec::new();
    print(&mut table, OutputFormat::Table, columns, rows)?;
    // The header has no note.
    let notes = std::iter::once(String::new()).chain(notes);
    for (line, note) in table.split_inclusive(|byte| *byte == b'\n').zip(notes) {
        out.write_all(line)?;
        if !note.is_empty() {
            writeln!(out, "{NOTE_INDENT}{}", visible(&note))?;
        }
    }
    out.flush()
}

/// The cells of the columns that are used.
fn used<T, const N: usize>(cells: [T; N], is_used: &[bool; N]) -> Vec<T> {
    cells.into_iter().zip(is_used).filter(|(_, is_used)| **is_used).map(|(cell, _)| cell).collect()
}

/// Buffered stdout.
pub(crate) fn stdout() -> BufWriter<Stdout> {
    BufWriter::with_capacity(BUFFER_BYTES, io::stdout())
}

pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether the terminal can only be written to, line by line.
pub(crate) fn terminal_is_dumb() -> bool {
    std::env::var("TERM").is_ok_and(|term| term == "dumb")
}

/// Whether the terminal shows more than ASCII, as the locale says.
pub(crate) fn is_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter();
    let locale = names.filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
    locale.is_some_and(|locale| is_utf8_locale(&locale))
}

fn is_utf8_locale(locale: &str) -> bool {
    let charset = locale.split('.').nth(1).unwrap_or_default().to_ascii_lowercase();
    charset.starts_with("utf-8") || charset.starts_with("utf8")
}

/// Numbers as a small chart: one character each, as high as its part of the largest. Only nothing has no
/// height.
pub(crate) fn sparkline(numbers: &[u64]) -> String {
    const BARS: [char; 9] = [
        ' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
        '\u{2588}',
    ];
    let max = u128::from(numbers.iter().copied().max().unwrap_or(0)).max(1);
    let bar = |number: &u64| BARS[(u128::from(*number) * 8).div_ceil(max) as usize];
    numbers.iter().map(bar).collect()
}

/// The width of the terminal; `None` if stdout is not one, so that nothing must fit.
pub(crate) fn terminal_columns() -> Option<usize> {
    let stdout = io::stdout();
    let size = || terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    stdout.is_terminal().then(|| size().filter(|columns| *columns > 0).unwrap_or(COLUMNS))
}

/// Whether stdout is still read: under `| head`, a closed pipe is not a failure.
pub(crate) fn written(result: io::Result<()>) -> anyhow::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}

/// Prints a line to stderr; a failure does not matter.
pub(crate) fn say(line: impl Display) {
    telemetry::say(Level::INFO, line);
}

/// Prints a warning to stderr.
pub(crate) fn warn(line: impl Display) {
    match telemetry::is_json() {
        true => telemetry::say(Level::WARN, line),
        false => say(format_args!("warning: {line}")),
    }
}

/// Prints an error to stderr.
pub(crate) fn fail(line: impl Display) {
    match telemetry::is_json() {
        true => telemetry::say(Level::ERROR, line),
        false => say(format_args!("error: {line}")),
    }
}

/// Reports wrong usage, and returns the exit code for it.
pub(crate) fn wrong_usage(line: impl Display) -> ExitCode {
    fail(line);
    ExitCode::from(EXIT_USAGE)
}

/// A difference, always with its sign: `+1,234`, `-1`, `+0`.
pub(crate) fn signed(number: impl Into<i128>) -> String {
    let number = number.into();
    format!("{}{}", if number < 0 { "" } else { "+" }, thousands(number))
}

/// A count with its noun: `1 day`, `2 days`.
pub(crate) fn plural(number: impl Into<i128>, noun: &str) -> String {
    let number = number.into();
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// How many drops clients have reported. The server's sums end at 2^63-1.
pub(crate) fn known_drops(dropped: i128) -> String {
    let at_least = if dropped >= i64::MAX.into() { "at least " } else { "" };
    format!("{at_least}{}", plural(dropped, "known drop"))
}

/// Text that is safe to show: characters that steer a terminal, or hide or reorder text, are escaped.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_hidden(character) {
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// A word, quoted for a shell.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@%+=,".contains(&byte);
    let word = visible(word);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_sign_or_their_noun() {
        assert_eq!([-1_000, 0, 5].map(signed), ["-1,000", "+0", "+5"]);
        assert_eq!(plural(1, "day"), "1 day");
        assert_eq!(plural(2_000, "day"), "2,000 days");
        assert_eq!(known_drops(1), "1 known drop");
        let most = i128::from(i64::MAX);
        assert_eq!(known_drops(most - 1), "9,223,372,036,854,775,806 known drops");
        assert_eq!(known_drops(most), "at least 9,223,372,036,854,775,807 known drops");
    }

    #[test]
    fn a_sparkline_is_as_high_as_its_numbers() {
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "  ");
        assert_eq!(sparkline(&[0, 1, 4, 8]), " \u{2581}\u{2584}\u{2588}");
        assert_eq!(sparkline(&[1, u64::MAX]), "\u{2581}\u{2588}");
    }

    #[test]
    fn a_locale_says_what_the_terminal_shows() {
        for (locale, is_utf8) in
            [("de_DE.UTF-8", true), ("C.utf8", true), ("C", false), ("en_US.ISO-8859-1", false)]
        {
            assert_eq!(is_utf8_locale(locale), is_utf8, "{locale}");
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(visible("/a/\u{e4}\u{1f600}"), "/a/\u{e4}\u{1f600}");
        assert_eq!(visible("/\x1b[2J\x07\n"), "/\\u{1b}[2J\\u{7}\\n");
        assert_eq!(visible("\u{9b}\u{202e}\u{7f}"), "\\u{9b}\\u{202e}\\u{7f}");
        assert_eq!(visible("\u{180e}\u{e0041}"), "\\u{180e}\\u{e0041}");
    }

    #[test]
    fn cells_are_exact_for_programs_and_harmless_on_a_terminal() {
        let text = "=1+1\x1b[2J,\u{9b}\u{202e}";
        let escaped = "=1+1\\u{1b}[2J,\\u{9b}\\u{202e}";
        assert_eq!(OutputFormat::Csv.text(text, false), format!("\"{text}\""));
        assert_eq!(OutputFormat::Csv.text(text, true), format!("\"{escaped}\""));
        for is_terminal in [false, true] {
            assert_eq!(OutputFormat::Table.text(text, is_terminal), escaped);
            let json = OutputFormat::Json.text(text, is_terminal);
            assert_eq!(json, "\"=1+1\\u001b[2J,\\u009b\\u202e\"");
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }

    #[test]
    fn a_table_has_no_empty_column_and_has_notes() {
        let columns = [("a", Align::Left), ("none", Align::Left), ("n", Align::Right)];
        let row = |text: &'static str| [Cell::Text(text.into()), Cell::Unknown, Cell::Number(1)];
        let rows = [row("x"), row("")].into_iter();
        let notes = ["why\x1b", ""].into_iter().map(str::to_owned);
        let mut out = Vec::new();
        print_noted(&mut out, columns, rows.clone(), notes).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "a  n\nx  1\n    why\\u{1b}\n   1\n");
        let mut out = Vec::new();
        print(&mut out, OutputFormat::Csv, columns, rows).expect("written");
        assert_eq!(String::from_utf8(out).expect("text"), "a,none,n\nx,,1\n,,1\n");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert!(written(Ok(())).expect("no failure"));
        assert!(!written(Err(io::ErrorKind::BrokenPipe.into())).expect("no failure"));
        assert!(written(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
