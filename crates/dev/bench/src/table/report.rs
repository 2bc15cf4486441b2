//! The parts of the table, with ratios and targets.

use super::figures::{Bound, Metric, Results, Spread};
use super::row::{
    CLIENTS, COPY, DAYS, Fsync, Ingest, PERCENT, Resolution, Row, SERIES, STREAMS, Way, record,
};
use super::text::{self, Section, number, rate};
use crate::arguments::Backend;

/// What the server's memory should not exceed at full speed over 64 streams, in MiB.
const MEMORY: Bound = Bound::AtMost(64.0);

/// How close the speeds with few and many series and days should be to each other.
const FLAT: Bound = Bound::AtLeast(0.8);

const NONE: &str = "-";

const RESOLUTIONS: [Resolution; 2] = [Resolution::Raw, Resolution::Second];

/// The parts of the table that have rows.
pub(super) fn sections(results: &Results) -> Vec<Section> {
    let all = [
        speed(results, Backend::Postgres),
        speed(results, Backend::Sqlite),
        today(results),
        acknowledgements(results),
        flat(results),
        folds(results),
        disk(results),
    ];
    all.into_iter().filter(|section| !section.rows.is_empty()).collect()
}

/// Full speed, and the database's own.
fn speed(results: &Results, backend: Backend) -> Section {
    let (limits, note): (&[Row], &str) = match backend {
        Backend::Postgres => (
            &[COPY, Row::Copy { connections: 2 }],
            "\\copy is `psql \\copy … (FORMAT binary)` of such rows into the table that the server \
             uses; over one connection it is what ratios are to.",
        ),
        Backend::Sqlite => (
            &[Row::Loop],
            "The loop inserts such rows into the table that the server uses, in statements of 100 and \
             transactions of 100,000 rows, with the server's settings; ratios are to it.",
        ),
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    let names = limits.iter().map(|row| (*row, row.to_string(), None));
    let ingests = ingests(backend)
        .into_iter()
        .map(|ingest| (Row::Ingest(ingest), ingest.to_string(), target(ingest)));
    for (row, name, bound) in names.chain(ingests).filter(|(row, ..)| results.has(*row)) {
        let ratio = results.ratio((row, Metric::Rate), (limits[0], Metric::Rate)).median();
        let mut cells = vec![name];
        cells.extend(rates(&results.spread(row, Metric::Rate)));
        cells.push(shown(ratio, number));
        cells.push(bound.map_or_else(String::new, |bound: Bound| bound.verdict(ratio)));
        cells.extend([cpu(results, row), memory(results, row)]);
        rows.push(cells);
    }
    Section {
        title: format!("Requests per second on {backend}"),
        note: format!(
            "{note} CPU is in \u{b5}s for each request: of the client, the server and Postgres (SQLite runs \
             within the server). Memory is the server's in MiB, before and at the peak; over 64 streams at \
             most 64 are wanted."
        ),
        header: vec!["what", "req/s", "min\u{2013}max", "ratio", "target", "CPU \u{b5}s", "MiB"],
        rows,
    }
}

fn ingests(backend: Backend) -> Vec<Ingest> {
    let mut all = Vec::new();
    for resolution in RESOLUTIONS {
        for way in [Way::Add, Way::Record] {
            all.extend(STREAMS.map(|streams| Ingest { way, resolution, streams, backend }));
        }
        all.push(Ingest { way: Way::Queue, resolution, streams: 1, backend });
    }
    all
}

/// What the ratio should be.
fn target(ingest: Ingest) -> Option<Bound> {
    let Ingest { way, resolution, streams, backend } = ingest;
    let least = match (backend, resolution, way, streams) {
        (Backend::Postgres, Resolution::Raw, Way::Add, 8) => 0.65,
        (Backend::Postgres, Resolution::Raw, Way::Record, 1) => 0.75,
        (Backend::Postgres, Resolution::Raw, Way::Record, 8) => 0.85,
        (Backend::Postgres, Resolution::Raw, Way::Queue, _) => 0.75,
        (Backend::Postgres, Resolution::Second, Way::Add, 8) => 2.0,
        (Backend::Postgres, Resolution::Second, Way::Record, 1) => 4.0,
        (Backend::Postgres, Resolution::Second, Way::Record, 8) => 5.0,
        (Backend::Postgres, Resolution::Second, Way::Queue, _) => 8.0,
        (Backend::Sqlite, Resolution::Raw, Way::Record, 1 | 8) => 0.6,
        _ => return None,
    };
    Some(Bound::AtLeast(least))
}

/// CPU time of the client, the server and the database.
fn cpu(results: &Results, row: Row) -> String {
    let of = [Metric::ClientCpu, Metric::ServerCpu, Metric::DatabaseCpu];
    let micros = of.into_iter().filter_map(|metric| results.spread(row, metric).median());
    let micros: Vec<String> = micros.map(|micros| format!("{micros:.3}")).collect();
    if micros.is_empty() { NONE.to_owned() } else { micros.join("+") }
}

/// The server's memory, before and at the peak, judged if there are many streams.
fn memory(results: &Results, row: Row) -> String {
    let mib = |metric| results.spread(row, metric).max();
    let (Some(before), Some(peak)) = (mib(Metric::MemoryBefore), mib(Metric::MemoryPeak)) else {
        return NONE.to_owned();
    };
    let is_judged = matches!(row, Row::Ingest(Ingest { streams: 64, .. }));
    let verdict = match MEMORY.is_met(peak) {
        _ if !is_judged => "",
        true => " ok",
        false => " missed",
    };
    // Rounded up, so that 64.1 is not shown as 64.
    format!("{before:.0}\u{2192}{:.0}{verdict}", peak.ceil())
}

/// What people do now.
fn today(results: &Results) -> Section {
    let inserts = CLIENTS.map(|clients| Row::Insert { clients });
    let updates = CLIENTS.map(|clients| Row::Update { clients });
    let redis = [Row::Redis(Fsync::Always), Row::Redis(Fsync::EverySecond)];
    let mut rows = Vec::new();
    for row in inserts.into_iter().chain(updates).chain(redis).filter(|row| results.has(*row)) {
        let is_judged = !matches!(row, Row::Redis(_));
        let mut cells = vec![row.to_string()];
        cells.extend(rates(&results.spread(row, Metric::Rate)));
        for (resolution, least) in [(Resolution::Raw, 100.0), (Resolution::Second, 500.0)] {
            let full = record(resolution, 8, Backend::Postgres);
            let ratio = results.ratio((full, Metric::Rate), (row, Metric::Rate)).median();
            cells.push(shown(ratio, number));
            let verdict =
                if is_judged { Bound::AtLeast(least).verdict(ratio) } else { String::new() };
            cells.push(verdict);
        }
        rows.push(cells);
    }
    Section {
        title: "What people do now".to_owned(),
        note: "One INSERT for each request (a foreign key to its endpoint, an index on the time) and one \
               UPDATE of one of 100 counters, each committed by itself, by `pgbench -M prepared` on the \
               same Postgres; and INCR of 100 keys by `redis-benchmark`, 16 connections that pipeline 64 \
               each, with an append-only file. The ratios are those of Record over 8 streams to them."
            .to_owned(),
        header: vec!["what", "req/s", "min\u{2013}max", "raw is", "target", "1s is", "target"],
        rows,
    }
}

fn acknowledgements(results: &Results) -> Section {
    let paced = PERCENT.map(|percent| Row::Paced { percent });
    let mut rows = Vec::new();
    for row in [Row::Commit, Row::Idle].into_iter().chain(paced).filter(|row| results.has(*row)) {
        let mut cells = vec![row.to_string()];
        let ms = |metric| shown(results.spread(row, metric).median(), number);
        cells.extend([Metric::P50, Metric::P99, Metric::P999].map(ms));
        let ratio = results.ratio((row, Metric::P50), (Row::Commit, Metric::P50)).median();
        let is_idle = row == Row::Idle;
        cells.push(if is_idle { shown(ratio, number) } else { String::new() });
        let p99 = results.spread(row, Metric::P99).median();
        cells.push(match row {
            Row::Idle => Bound::AtMost(2.0).verdict(ratio),
            Row::Paced { percent: 50 } => format!("p99 {}", Bound::AtMost(50.0).verdict(p99)),
            _ => String::new(),
        });
        rows.push(cells);
    }
    Section {
        title: "Time to an acknowledgement".to_owned(),
        note: "In ms, of Record on Postgres, raw: from when a batch was due to its acknowledgement, so \
               that a server that stalls cannot hide it. At a part of the full speed over 8 streams. The \
               ratio is that of the idle server's p50 to a bare COMMIT's (`pgbench`)."
            .to_owned(),
        header: vec!["what", "p50", "p99", "p99.9", "ratio", "target"],
        rows,
    }
}

/// Speeds that should not depend on how much there is.
fn flat(results: &Results) -> Section {
    let groups = [SERIES.map(|count| Row::Series { count }), DAYS.map(|count| Row::Days { count })];
    let mut rows = Vec::new();
    for group in groups {
        let medians = group.map(|row| results.spread(row, Metric::Rate).median());
        let fastest = medians.into_iter().flatten().max_by(f64::total_cmp);
        for (row, median) in group.into_iter().zip(medians).filter(|(row, _)| results.has(*row)) {
            let ratio = median.zip(fastest).map(|(median, fastest)| median / fastest);
            let mut cells = vec![row.to_string()];
            cells.extend(rates(&results.spread(row, Metric::Rate)));
            cells.extend([shown(ratio, number), FLAT.verdict(ratio)]);
            rows.push(cells);
        }
    }
    Section {
        title: "Few and many series and days".to_owned(),
        note: "Record over 8 streams, raw, on Postgres: requests of this many series; and requests of 100 \
               series beside the totals that 1,000 series have on this many days. Ratios are to the \
               fastest of the three."
            .to_owned(),
        header: vec!["what", "req/s", "min\u{2013}max", "ratio", "target"],
        rows,
    }
}

fn folds(results: &Results) -> Section {
    let mut rows = Vec::new();
    for row in [Row::Fold(Backend::Postgres), Row::Fold(Backend::Sqlite)] {
        let spread = |metric| results.spread(row, metric);
        let (fold, roll_up) = (spread(Metric::Fold).median(), spread(Metric::RollUp).median());
        if !results.has(row) {
            continue;
        }
        let mut cells = vec![row.to_string()];
        cells.extend(rates(&spread(Metric::Rate)));
        let ms = |value| shown(value, |ms| format!("{ms:.0}"));
        cells.extend([ms(spread(Metric::Bare).median()), ms(fold), ms(roll_up)]);
        let ratio = results.ratio((row, Metric::Fold), (row, Metric::Bare)).median();
        cells.push(shown(ratio, number));
        rows.push(cells);
    }
    Section {
        title: "Ten million rows become totals".to_owned(),
        note: "Rows of one day and 1,000 series, in ms: the bare SELECT … GROUP BY of them, the fold, and \
               the roll-up of what it has folded. The rate is that of both together, and the ratio that of \
               the fold to the bare statement."
            .to_owned(),
        header: vec!["what", "rows/s", "min\u{2013}max", "bare", "fold", "roll-up", "ratio"],
        rows,
    }
}

fn disk(results: &Results) -> Section {
    let mut rows = Vec::new();
    for backend in [Backend::Postgres, Backend::Sqlite] {
        for row in RESOLUTIONS.map(|resolution| Row::Disk(resolution, backend)) {
            if results.has(row) {
                let bytes = |metric| shown(results.spread(row, metric).median(), number);
                let cells = [Metric::RowBytes, Metric::RolledUpBytes].map(bytes);
                rows.push([row.to_string()].into_iter().chain(cells).collect());
            }
        }
    }
    Section {
        title: "Bytes on disk".to_owned(),
        note: "For each of 80,000 requests of 100 series that come at full speed, so that at 1s a row stands \
               for many: the rows before they are folded, and the totals after the roll-up, which do not \
               grow with more requests of the same series and day. On SQLite, it is by how many pages the \
               file has grown."
            .to_owned(),
        header: vec!["what", "rows", "rolled up"],
        rows,
    }
}

/// A median, and the smallest and the largest.
fn rates(spread: &Spread) -> [String; 2] {
    let range = spread.min().zip(spread.max());
    let range = range.map_or_else(|| NONE.to_owned(), |(min, max)| text::range(min, max));
    [shown(spread.median(), rate), range]
}

fn shown(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::super::figures::Figures;
    use super::*;

    fn results(rates: &[(Row, f64)]) -> Results {
        let mut results = Results::default();
        for (row, rate) in rates {
            let mut figures = Figures::default();
            figures.set(Metric::Rate, *rate);
            figures.set(Metric::MemoryBefore, 20.0);
            figures.set(Metric::MemoryPeak, 65.0);
            let cpu = [Metric::ClientCpu, Metric::ServerCpu, Metric::DatabaseCpu];
            cpu.into_iter().for_each(|metric| figures.set(metric, 0.1234));
            results.add(*row, figures);
        }
        results
    }

    fn cells<'a>(sections: &'a [Section], name: &str) -> &'a Vec<String> {
        let mut rows = sections.iter().flat_map(|section| &section.rows);
        rows.find(|row| row[0] == name).expect("the row")
    }

    #[test]
    fn a_ratio_stands_beside_its_target() {
        let full = record(Resolution::Raw, 8, Backend::Postgres);
        let sections =
            sections(&results(&[(COPY, 2e6), (full, 1.8e6), (Row::Insert { clients: 8 }, 2e4)]));
        let record = cells(&sections, "Record, 8 streams, raw");
        assert_eq!(record[1..5], ["1.80 M", "1.80\u{2013}1.80 M", "0.90", "\u{2265} 0.85 ok"]);
        let insert = cells(&sections, "INSERT per request, 8 clients");
        assert_eq!(insert[3..5], ["90.0", "\u{2265} 100 missed"]);
        // The server was not measured at 1s.
        assert_eq!(insert[5..], ["-", "\u{2265} 500"]);
    }

    #[test]
    fn memory_is_judged_at_64_streams() {
        let row = |streams| record(Resolution::Raw, streams, Backend::Sqlite);
        let sections = sections(&results(&[(Row::Loop, 2e6), (row(8), 1e6), (row(64), 1e6)]));
        let peak = |name: &str| cells(&sections, name).last().cloned();
        assert_eq!(peak("Record, 8 streams, raw").as_deref(), Some("20\u{2192}65"));
        assert_eq!(peak("Record, 64 streams, raw").as_deref(), Some("20\u{2192}65 missed"));
    }

    #[test]
    fn a_part_without_rows_is_not_shown() {
        assert!(sections(&Results::default()).is_empty());
        let sections = sections(&results(&[(COPY, 2e6)]));
        assert_eq!(sections.len(), 1);
    }

    #[test]
    fn every_row_is_in_the_report() {
        for row in super::super::row::selected(None, &[Backend::Postgres, Backend::Sqlite], false) {
            let count: usize =
                sections(&results(&[(row, 1.0)])).iter().map(|section| section.rows.len()).sum();
            assert_eq!(count, 1, "{row}");
        }
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let rows = super::super::row::selected(None, &[Backend::Postgres, Backend::Sqlite], false);
        let rates: Vec<(Row, f64)> = rows.into_iter().map(|row| (row, 12_345_678.0)).collect();
        for section in sections(&results(&rates)) {
            let width = section.plain().lines().map(|line| line.chars().count()).max();
            assert!(width <= Some(100), "{width:?}: {}", section.plain());
        }
    }
}
