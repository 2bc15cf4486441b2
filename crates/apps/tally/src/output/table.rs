//! Aligned columns.

use std::borrow::Cow;
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

/// A longer cell sticks out, and does not make every other line as long.
const CELL_WIDTH_MAX: usize = 80;

/// Between two columns.
const GAP: &str = "  ";

/// On which side a column's cells are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Writes a header and rows. The rows are gone through twice: to measure, and to write.
pub(crate) fn write<'a, const N: usize>(
    out: &mut impl Write,
    columns: [(&'a str, Align); N],
    rows: impl Iterator<Item = [Cow<'a, str>; N]> + Clone,
) -> io::Result<()> {
    let mut widths = columns.map(|(name, _)| name.width());
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.width().min(CELL_WIDTH_MAX));
        }
    }
    let header = columns.map(|(name, _)| Cow::Borrowed(name));
    for row in std::iter::once(header).chain(rows) {
        for (at, cell) in row.iter().enumerate() {
            let gap = if at == 0 { "" } else { GAP };
            let space = widths[at].saturating_sub(cell.width());
            match columns[at].1 {
                Align::Right => write!(out, "{gap}{:space$}{cell}", "")?,
                Align::Left if at + 1 == N => write!(out, "{gap}{cell}")?,
                Align::Left => write!(out, "{gap}{cell}{:space$}", "")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [("/\u{e4}", "1"), ("/\u{6771}", "1,000"), ("/abc", "20")];
        let mut out = Vec::new();
        let columns = [("path", Align::Left), ("count", Align::Right), ("", Align::Left)];
        let rows = rows.iter().map(|(path, count)| [*path, *count, "x"].map(Cow::Borrowed));
        write(&mut out, columns, rows).expect("written");
        let text = String::from_utf8(out).expect("text");
        let lines =
            ["path  count  ", "/\u{e4}        1  x", "/\u{6771}   1,000  x", "/abc     20  x"];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_long_cell_sticks_out_alone() {
        let long = "x".repeat(500);
        let rows = [[long.as_str(), "1"], ["y", "1"]].map(|row| row.map(Cow::Borrowed));
        let mut out = Vec::new();
        write(&mut out, [("", Align::Left), ("", Align::Right)], rows.into_iter())
            .expect("written");
        let text = String::from_utf8(out).expect("text");
        let widths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(widths, [83, 503, 83]);
    }
}
