//! Millions of rows of a day become totals: a fold, and the roll-up of what it has folded.

use std::time::Instant;

use tally_requests::DayRange;
use tally_runtime::{Clock as _, Day, SystemClock};

use super::figures::{Figures, Metric};
use super::{Measured, Run};
use crate::arguments::Backend;
use crate::mix::Mix;
use crate::roll_up::{Filling, count};

/// How many series the rows are of.
const SERIES: usize = 1_000;

pub(super) async fn measure(run: &Run<'_>, backend: Backend) -> anyhow::Result<Measured> {
    let place = run.place(backend)?;
    let (database, store) = place.open().await?;
    let (rows, day) = (run.sizes.fold, Day::of(SystemClock.now()));
    let mix = Mix::new(SERIES, false, run.arguments.seed);
    Filling { mix, day, rows, is_shuffled: false }.store(&store, 1).await?;
    let (counted, bare) = count(&database, &place, day, false).await?;
    let start = Instant::now();
    let folded = store.fold().await?;
    let fold = start.elapsed();
    let start = Instant::now();
    let rolled_up = store.roll_up(DayRange::one(day)).await?;
    let roll_up = start.elapsed();
    let mut figures = Figures::default();
    for (metric, took) in [(Metric::Bare, bare), (Metric::Fold, fold), (Metric::RollUp, roll_up)] {
        figures.set(metric, took.as_secs_f64() * 1e3);
    }
    figures.set(Metric::Rate, rows as f64 / (fold + roll_up).as_secs_f64());
    let mut measured = Measured::of(figures);
    measured.expect("rows", counted, rows);
    measured.expect("requests folded", folded.requests, rows);
    measured.expect("requests rolled up", rolled_up, rows);
    Ok(measured)
}
