//! A part of the table as plain text and as Markdown.

use std::fmt::Write as _;

/// A part of the table: rows of the same kind.
pub(crate) struct Section {
    pub(crate) title: String,
    /// What its rows are, and how they are measured.
    pub(crate) note: String,
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// How wide a line of a note is, so that it fits a terminal with its indent.
const WIDTH: usize = 98;

// === impl Section ===

impl Section {
    /// Removes the columns of this name.
    pub(crate) fn remove(&mut self, name: &str) {
        let is_kept: Vec<bool> = self.header.iter().map(|column| *column != name).collect();
        for row in &mut self.rows {
            let mut is_kept = is_kept.iter();
            row.retain(|_| *is_kept.next().unwrap_or(&true));
        }
        self.header.retain(|column| *column != name);
    }

    /// Columns are as wide as they need to be; all but the first are aligned to the right.
    pub(crate) fn plain(&self) -> String {
        let header: Vec<String> = self.header.iter().map(|name| (*name).to_owned()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&header]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut text = format!("{}\n", self.title);
        for line in wrapped(&self.note) {
            let _ = writeln!(text, "  {line}");
        }
        for row in [&header].into_iter().chain(&self.rows) {
            let _ = writeln!(text, "{}", line(row));
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        if !self.note.is_empty() {
            let _ = writeln!(text, "{}\n", wrapped(&self.note).join("\n"));
        }
        let _ = writeln!(text, "| {} |", self.header.join(" | "));
        let rule: Vec<&str> =
            (0..self.header.len()).map(|column| if column == 0 { "---" } else { "--:" }).collect();
        let _ = writeln!(text, "| {} |", rule.join(" | "));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

/// The lines of a text.
pub(crate) fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A rate as people read it.
pub(crate) fn rate(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// The smallest and the largest of some rates, with one unit if they share it.
pub(crate) fn range(min: f64, max: f64) -> String {
    let (min, max) = (rate(min), rate(max));
    let min = match (min.split_once(' '), max.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => number.to_owned(),
        _ => min,
    };
    format!("{min}\u{2013}{max}")
}

/// A number of things, by thousands.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with as many digits as it deserves.
pub(crate) fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let row = |name: &str, rate: &str| vec![name.to_owned(), rate.to_owned()];
        Section {
            title: "Speed".into(),
            note: "Rows a second.".into(),
            header: vec!["what", "rows/s"],
            rows: vec![row("a|b", "12"), row("one that is longer", "1.25 M")],
        }
    }

    #[test]
    fn columns_of_plain_text_are_aligned() {
        let expected = "Speed\n  Rows a second.\n\
                        what                rows/s\n\
                        a|b                     12\n\
                        one that is longer  1.25 M\n";
        assert_eq!(section().plain(), expected);
    }

    #[test]
    fn a_removed_column_takes_its_cells_with_it() {
        let mut section = section();
        section.remove("rows/s");
        assert_eq!(section.header, ["what"]);
        assert_eq!(section.rows, [["a|b"], ["one that is longer"]]);
    }

    #[test]
    fn markdown_has_a_rule_below_its_header() {
        let expected = "## Speed\n\nRows a second.\n\n| what | rows/s |\n| --- | --: |\n\
                        | a\\|b | 12 |\n| one that is longer | 1.25 M |\n";
        assert_eq!(section().markdown(), expected);
    }

    #[test]
    fn numbers_have_few_digits() {
        let rates = [0.4, 980.0, 15_149.0, 2_345_678.0].map(rate);
        assert_eq!(rates, ["0", "980", "15.1 k", "2.35 M"]);
        assert_eq!(range(2.03e6, 2.3e6), "2.03\u{2013}2.30 M");
        assert_eq!(range(9.5e5, 1.1e6), "950.0 k\u{2013}1.10 M");
        let numbers = [0.854, 12.34, 150.2].map(number);
        assert_eq!(numbers, ["0.85", "12.3", "150"]);
        let counts = [7, 100, 80_000, 10_000_000].map(grouped);
        assert_eq!(counts, ["7", "100", "80,000", "10,000,000"]);
    }

    #[test]
    fn no_line_of_a_note_is_wider_than_a_terminal() {
        let text = "word ".repeat(100);
        assert!(wrapped(&text).iter().all(|line| line.len() <= WIDTH));
        assert_eq!(wrapped(&text).join(" "), text.trim_end());
    }
}
