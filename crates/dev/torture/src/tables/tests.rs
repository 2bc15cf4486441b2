//! Books that are not balanced are found.

use super::*;
use crate::views::View;

const DAY: i32 = 20_000;

impl Tables {
    fn with_names(totals: &Totals, dropped: u64) -> (Tables, Counts) {
        let mut tables = Tables { view: totals.clone(), ..Tables::default() };
        let mut counts = Counts::new();
        for ((key, count), id) in totals.iter().zip(1..) {
            tables.names.insert(id, key.series.clone());
            counts.insert((key.quarter, id), *count);
            let of_day = (key.series.namespace, key.day());
            *tables.accepted.entry(of_day).or_default() += count;
            tables.dropped.insert(of_day, dropped);
        }
        (tables, counts)
    }

    /// Tables with these totals in rows that are not folded.
    pub(crate) fn unfolded(totals: &Totals, dropped: u64) -> Tables {
        let (tables, rows) = Tables::with_names(totals, dropped);
        Tables { rows, view: View::Days.totals(&tables.view), ..tables }
    }

    /// Tables with these totals in months of one day.
    pub(crate) fn pruned(totals: &Totals, dropped: u64) -> Tables {
        let mut tables = Tables::unfolded(totals, dropped);
        let mut days = tables.by_day();
        tables.rows.clear();
        while let Some(((first, id), total)) = days.pop_first() {
            tables.calendar.insert(first, Stage { is_rolled_up: true, is_pruned: true });
            tables.months.push(Packed { first, id, total, slots: [(0, total)].into() });
        }
        tables
    }

    /// Removes the name with this path, and returns its id.
    pub(crate) fn forget(&mut self, path: &str) -> i64 {
        let id = self.names.iter().find(|(_, series)| series.path == path).map(|(id, _)| *id);
        self.names.remove(&id.unwrap());
        id.unwrap()
    }
}

fn series(path: &str) -> Series {
    Series { path: path.to_owned(), ..Series::default() }
}

/// A folded day, a rolled-up day, and rows of both.
fn tables() -> Tables {
    let day = |first, slots: BTreeMap<i32, u64>| Packed {
        first,
        id: 1,
        total: slots.values().sum(),
        slots,
    };
    let stage = |is_rolled_up| Stage { is_rolled_up, is_pruned: false };
    let key = |day: i32| Key { quarter: day * QUARTERS_PER_DAY, series: series("/a") };
    Tables {
        moves: BTreeMap::new(),
        names: [(1, series("/a"))].into(),
        calendar: [(DAY, stage(true)), (DAY + 1, stage(false))].into(),
        days: vec![day(DAY, [(3, 5), (7, 2)].into()), day(DAY + 1, [(0, 4)].into())],
        months: vec![day(DAY - 4, [(4, 7)].into())],
        rows: [((DAY * QUARTERS_PER_DAY, 1), 1), (((DAY + 1) * QUARTERS_PER_DAY, 1), 2)].into(),
        view: [(key(DAY), 8), (key(DAY + 1), 6)].into(),
        accepted: [((0, DAY), 8), ((0, DAY + 1), 6)].into(),
        dropped: BTreeMap::new(),
    }
}

#[track_caller]
fn assert_found(change: impl Fn(&mut Tables), check: &str) {
    let (mut tables, mut verdict) = (tables(), Verdict::default());
    change(&mut tables);
    tables.check(&mut verdict);
    let found = verdict.differences.iter().any(|difference| difference.starts_with(check));
    assert!(found, "no {check:?} in {:#?}", verdict.differences);
}

#[test]
fn balanced_books_pass() {
    let mut verdict = Verdict::default();
    tables().check(&mut verdict);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
    assert_eq!(tables().by_quarter().len(), 4);
}

#[test]
fn books_that_are_not_balanced_are_found() {
    let accepted = "books: accepted = rows + folded";
    // A fold adds and does not empty, or empties and does not add.
    assert_found(|tables| tables.rows.extend([((DAY * QUARTERS_PER_DAY, 2), 5)]), accepted);
    assert_found(|tables| tables.rows.clear(), accepted);
    assert_found(|tables| tables.days.truncate(1), accepted);
    // A row of a rolled-up day is added to only one of both.
    let month = "books: rolled-up day = its month";
    assert_found(|tables| tables.days[0].total += 1, month);
    assert_found(|tables| tables.days[0].total += 1, "books: total = its slots");
    assert_found(|tables| *tables.months[0].slots.get_mut(&4).unwrap() += 1, month);
    assert_found(|tables| *tables.months[0].slots.get_mut(&4).unwrap() += 1, accepted);
    // A day is in its month before it is rolled up.
    assert_found(|tables| tables.months[0].slots.extend([(5, 4)]), month);
    let pruned = Stage { is_rolled_up: false, is_pruned: true };
    let prune = |tables: &mut Tables| tables.calendar.extend([(DAY, pruned)]);
    assert_found(prune, "books: pruned after the roll-up");
    assert_found(
        |tables| tables.calendar.retain(|day, _| *day != DAY),
        "books: days are in the calendar",
    );
    assert_found(|tables| drop(tables.view.pop_first()), "books: view = tables");
}

#[test]
fn packed_counts_are_read() {
    let text = |text: &str| Cell::Text(text.to_owned());
    let row = |slots| vec![Cell::Number(-5), Cell::Number(9), Cell::Number(21), text(slots)];
    let packed = Packed::of(&row("[57,12,0,9]")).unwrap();
    assert_eq!((packed.first, packed.id, packed.total), (-5, 9, 21));
    assert_eq!(packed.slots, [(57, 12), (59, 9)].into());
    assert!(Packed::of(&row("57,12")).is_err());
}

#[test]
fn what_moved_counts_once_under_its_new_series() {
    let mut tables = tables();
    let before = tables.by_day().values().sum::<u64>();
    tables.moves.insert(1, 2);
    tables.names.insert(2, series("/b"));
    assert!(tables.left_behind() > 0 && tables.has_moved_rows());
    let moved = tables.totals();
    assert!(moved.keys().all(|key| key.series.path == "/b"), "{moved:?}");
    assert_eq!(moved.values().sum::<u64>(), before);
    tables.view = moved;
    let mut verdict = Verdict::default();
    tables.check(&mut verdict);
    assert!(verdict.passed(), "{:#?}", verdict.differences);
}
