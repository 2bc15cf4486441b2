//! The page docs/performance.md: the table, how it was measured, and how to repeat it.

use std::path::Path;

use anyhow::Context as _;

use super::text::{Section, wrapped};
use crate::circumstances::Circumstances;

/// The file that `--write` writes.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/performance.md");

/// What the file has from this line on is of other commands, and stays.
const OTHERS: &str = "<!-- Not written by `cargo xtask bench --write`. -->";

/// Writes docs/performance.md.
pub(super) fn write(
    sections: &[Section],
    circumstances: &Circumstances,
    settings: &str,
    rounds: u32,
) -> anyhow::Result<()> {
    let path = Path::new(FILE);
    let before = std::fs::read_to_string(path).context(FILE)?;
    let others = before.find(OTHERS).map(|at| format!("\n{}", &before[at..])).unwrap_or_default();
    let page = page(sections, circumstances, settings, rounds);
    std::fs::write(path, page + &others).context(FILE)?;
    println!("written: docs/performance.md");
    Ok(())
}

fn page(
    sections: &[Section],
    circumstances: &Circumstances,
    settings: &str,
    rounds: u32,
) -> String {
    let Circumstances { command, commit, at, cores, processor, memory, kernel } = circumstances;
    let facts = [
        ("command", format!("`{command}`")),
        ("commit", format!("`{commit}`")),
        ("time", at.clone()),
        ("machine", format!("{cores} cores ({processor}), {memory} memory, {kernel}")),
        ("Postgres", settings.to_owned()),
    ];
    let facts: String = facts.iter().map(|(name, fact)| format!("| {name} | {fact} |\n")).collect();
    let intro = format!(
        "Tally against the database's own limit and against what people do now. Clients, server and \
         database share the cores of one machine; everything that is acknowledged is committed and on \
         the disk. The figures are medians of {rounds} rounds, and each round measures every row once. \
         **Ratios are what counts**: those of two rows within a round. Rates of such a machine vary from \
         run to run, because others use its processors too."
    );
    let repeat = "The command writes this page, and with other flags prints the same table: \
                  `cargo xtask bench --only Record`, `--rounds 1`, `--backend sqlite`. It needs psql and \
                  pgbench (Debian: postgresql), brings up a Postgres of its own with the default settings, \
                  and measures Redis where redis-server is installed. It fails if a request is lost or \
                  counted twice, and never because of a time.";
    let parts: Vec<String> = sections.iter().map(Section::markdown).collect();
    format!(
        "# Performance\n\n<!-- Written by `cargo xtask bench --write`. -->\n\n{}\n\n\
         | | |\n| --- | --- |\n{facts}\n{}\n\n{}",
        wrapped(&intro).join("\n"),
        wrapped(repeat).join("\n"),
        parts.join("\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_how_it_was_made() {
        let text = |text: &str| text.to_owned();
        let circumstances = Circumstances {
            command: text("cargo xtask bench --write"),
            commit: text("0123456789ab"),
            at: text("2026-01-31T00:00:00Z"),
            cores: 2,
            processor: text("a processor"),
            memory: text("16 GB"),
            kernel: text("Linux 6"),
        };
        let section = Section {
            title: text("Speed"),
            note: String::new(),
            header: vec!["what", "req/s"],
            rows: vec![vec![text("Record"), text("2.00 M")]],
        };
        let page = page(&[section], &circumstances, "fsync on", 3);
        for part in ["0123456789ab", "2026-01-31", "2 cores", "fsync on", "medians of 3", "2.00 M"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(page.contains("cargo xtask bench --write"), "{page}");
    }
}
