//! Aligned columns.

use std::borrow::Cow;
use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Outside a terminal, a longer cell sticks out rather than widen every line.
const CELL_WIDTH_MAX: usize = 80;

/// On a terminal, a cell keeps at least this width.
const SHORTENED_WIDTH_MIN: usize = 8;

const GAP: &str = "  ";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
    /// Left, and shortened if the table is wider than the terminal.
    Shorten,
}

/// Writes a header and rows in lines that fit the terminal. Rows are read twice: to measure and to
/// write. Each has a cell for each column.
pub(crate) fn write<'a, R: AsRef<[Cow<'a, str>]>>(
    out: &mut impl Write,
    terminal_columns: Option<usize>,
    columns: &[(&'a str, Align)],
    rows: impl Iterator<Item = R> + Clone,
) -> io::Result<()> {
    let cell_width_max = if terminal_columns.is_some() { usize::MAX } else { CELL_WIDTH_MAX };
    let mut widths: Vec<_> = columns.iter().map(|(name, _)| name.width()).collect();
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.width().min(cell_width_max));
        }
    }
    if let Some(width_max) = terminal_columns {
        fit(&mut widths, columns, width_max);
    }
    let header: Vec<_> = columns.iter().map(|(name, _)| Cow::Borrowed(*name)).collect();
    let mut line = |row: &[Cow<'a, str>]| {
        for (at, cell) in row.iter().enumerate() {
            let gap = if at == 0 { "" } else { GAP };
            let is_short = terminal_columns.is_none() || columns[at].1 != Align::Shorten;
            let cell = if is_short { Cow::Borrowed(&**cell) } else { shortened(cell, widths[at]) };
            let space = widths[at].saturating_sub(cell.width());
            match columns[at].1 {
                Align::Right => write!(out, "{gap}{:space$}{cell}", "")?,
                _ if at + 1 == columns.len() => write!(out, "{gap}{cell}")?,
                _ => write!(out, "{gap}{cell}{:space$}", "")?,
            }
        }
        writeln!(out)
    };
    line(&header)?;
    for row in rows {
        line(row.as_ref())?;
    }
    Ok(())
}

/// Narrows the widest of the columns that may be shortened, again and again, until the line fits: a
/// short name is not cut while a long path has room.
fn fit(widths: &mut [usize], columns: &[(&str, Align)], width_max: usize) {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    let too_wide = (widths.iter().sum::<usize>() + gaps).saturating_sub(width_max);
    for _ in 0..too_wide {
        let narrowable = widths.iter_mut().zip(columns).filter(|(width, (name, align))| {
            *align == Align::Shorten && **width > SHORTENED_WIDTH_MIN.max(name.width())
        });
        let Some(widest) = narrowable.map(|(width, _)| width).max() else { break };
        *widest -= 1;
    }
}

/// Cuts the middle out of text that is too wide: the ends of a path say most.
pub(crate) fn shortened(text: &str, width_max: usize) -> Cow<'_, str> {
    if text.width() <= width_max {
        return Cow::Borrowed(text);
    }
    let kept = width_max.saturating_sub(1);
    let head = fitting(text.chars(), kept.div_ceil(2));
    let tail = fitting(text.chars().rev(), kept / 2);
    Cow::Owned(format!("{}\u{2026}{}", &text[..head], &text[text.len() - tail..]))
}

/// How many bytes the first characters have that fit this width.
pub(crate) fn fitting(characters: impl Iterator<Item = char>, width_max: usize) -> usize {
    let (mut bytes, mut width) = (0, 0);
    for character in characters {
        width += character.width().unwrap_or(0);
        if width > width_max {
            break;
        }
        bytes += character.len_utf8();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<const N: usize>(
        terminal_columns: Option<usize>,
        columns: [Align; N],
        rows: &[[&str; N]],
    ) -> String {
        let mut out = Vec::new();
        let columns = columns.map(|align| ("", align));
        let rows = rows.iter().map(|row| row.map(Cow::Borrowed));
        write(&mut out, terminal_columns, &columns, rows).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_line_up() {
        let rows = [("/\u{e4}", "1"), ("/\u{6771}", "1,000"), ("/abc", "20")];
        let mut out = Vec::new();
        let columns = [("path", Align::Left), ("count", Align::Right), ("", Align::Left)];
        let rows = rows.iter().map(|(path, count)| [*path, *count, "x"].map(Cow::Borrowed));
        write(&mut out, None, &columns, rows).expect("written");
        let text = String::from_utf8(out).expect("text");
        let lines =
            ["path  count  ", "/\u{e4}        1  x", "/\u{6771}   1,000  x", "/abc     20  x"];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn elsewhere_than_on_a_terminal_a_long_cell_sticks_out_alone() {
        let long = "x".repeat(500);
        let text = written(None, [Align::Shorten, Align::Right], &[[&long, "1"], ["y", "1"]]);
        let widths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(widths, [83, 503, 83]);
    }

    #[test]
    fn lines_fit_the_terminal() {
        let long = format!("/api/{}/orders", "x".repeat(500));
        let rows = [["2015-05-17", &long, "1,000"], ["2015-05-17", "/y", "1"]];
        let columns = [Align::Left, Align::Shorten, Align::Right];
        for width in [40, 80, 81, 200] {
            let text = written(Some(width), columns, &rows);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.iter().map(|line| line.width()).max(), Some(width), "{text}");
            assert!(lines[1].contains("/api/") && lines[1].contains("orders  1,000"), "{text}");
            assert!(lines[2].contains("/y "), "{text}");
        }
        let text = written(Some(10), columns, &rows);
        assert!(text.contains("  /api\u{2026}ers  "), "some of a path is always there: {text}");
        let text = written(Some(1_000), columns, &rows);
        assert!(text.contains(&long), "what fits is not shortened");
    }

    /// Otherwise rows that differ in a short name look equal.
    #[test]
    fn the_widest_column_is_narrowed_first() {
        let long = format!("/{}", "x".repeat(99));
        let rows = [["checkout-eu-west", &*long, "1"], ["checkout-us-west", &*long, "2"]];
        let columns = [Align::Shorten, Align::Shorten, Align::Right];
        let text = written(Some(60), columns, &rows);
        assert!(text.lines().all(|line| line.width() == 60), "{text}");
        assert!(text.contains("checkout-eu-west  /x"), "{text}");
        assert!(text.contains("checkout-us-west  /x"), "{text}");
        let text = written(Some(30), columns, &[[&long, &long, "1"]]);
        let cells: Vec<_> = text.lines().nth(1).unwrap_or_default().split("  ").collect();
        assert_eq!(
            cells.iter().map(|cell| cell.width()).collect::<Vec<_>>(),
            [13, 12, 1],
            "{text}"
        );
    }

    #[test]
    fn wide_characters_are_not_cut() {
        assert_eq!(shortened("/\u{6771}\u{6771}\u{6771}\u{6771}", 6), "/\u{6771}\u{2026}\u{6771}");
        assert_eq!(shortened("/\u{e4}", 2), "/\u{e4}");
        assert_eq!(shortened("abc", 1), "\u{2026}");
    }
}
