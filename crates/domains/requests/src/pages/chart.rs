//! The chart of a range, and its numbers as a table.

use maud::{Markup, html};
use tally_serve::pages::{Bar, Chart, percent, thousands};

use super::parts::KINDS;
use super::view::{CLASSES, Period, View};
use crate::parameters::word_of;
use crate::periods::Granularity;

/// The classes of the style sheet, as [`KINDS`] has them.
const STYLES: [&str; CLASSES] = ["s5", "s4", "s3", "s2", "s1", "s0"];
/// The same where no request has a status, which is then nothing to be told by a colour.
const STYLES_WITHOUT: [&str; CLASSES] = ["s5", "s4", "s3", "s2", "s1", "s2"];
/// The chart with its numbers.
pub(super) fn chart(view: &View) -> Markup {
    let times = &view.times;
    let labels: Vec<_> = view.bars.iter().map(|bar| bar.label).collect();
    let said = |bar: &Period| {
        let total: i64 = bar.counts.iter().sum();
        let errors = percent(bar.counts[5], total);
        let errors = if errors.is_empty() { errors } else { format!(", {errors} server errors") };
        let open = if bar.is_open { ", not over yet" } else { "" };
        format!("{}: {}{errors}{open}", times.period(&bar.label), thousands(total))
    };
    let link = |bar: &Period| {
        let span = times.dates_of(&bar.label)?;
        Some(view.ask.with(|ask| (ask.span, ask.by) = (span, None)))
    };
    let bars = view.bars.iter().map(|bar| Bar {
        parts: KINDS.map(|(class, ..)| bar.counts[class]).to_vec(),
        label: said(bar),
        link: link(bar),
        is_open: bar.is_open,
    });
    let classes = if view.has_statuses() { &STYLES } else { &STYLES_WITHOUT };
    let chart =
        Chart { classes: classes.to_vec(), bars: bars.collect(), ticks: times.ticks(&labels) };
    html! {
        figure.chart-frame aria-labelledby="chart" {
            figcaption {
                h2 #chart { "Requests by " (by_words(times.by)) }
                p #readout.readout aria-hidden="true" {}
                nav.segments.small aria-label="By" {
                    @for by in &times.choices {
                        a href=(view.ask.with(|ask| ask.by = Some(*by)))
                            aria-current=[(*by == times.by).then_some("true")] { (by_words(*by)) }
                    }
                }
            }
            (chart.draw())
            (numbers(view))
        }
    }
}

/// The same as a table, under a fold.
fn numbers(view: &View) -> Markup {
    let times = &view.times;
    html! {
        details.numbers {
            summary { "The numbers of this chart" }
            p { a href=(view.ask.csv(times.by, "none")) download { "As CSV" } }
            div.table-frame tabindex="0" role="group" aria-label="The numbers of this chart" {
                table {
                    caption.visually-hidden { "Requests by " (by_words(times.by)) }
                    thead { tr { th scope="col" { "From" } th.number scope="col" { "Requests" } th.number scope="col" { "Server errors" } } }
                    tbody {
                        @for bar in view.bars.iter().rev() {
                            tr {
                                th scope="row" {
                                    // Those of one day would all lead to it.
                                    @match times.dates_of(&bar.label).filter(|_| times.has_dates()) {
                                        Some(span) => a href=(view.ask.with(|ask| (ask.span, ask.by) = (span, None))) { (times.period(&bar.label)) },
                                        None => (times.period(&bar.label)),
                                    }
                                }
                                td.number { (thousands(bar.counts.iter().sum())) }
                                td.number { (thousands(bar.counts[5])) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn by_words(by: Granularity) -> &'static str {
    match by {
        Granularity::Quarter => "quarter-hour",
        by => word_of(by),
    }
}
