//! Which rows of a chart belong together: all of them, or those of one host.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Chart, Row, laid_out, rows_max};
use crate::model::Event;

/// Rows that are drawn together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lane {
    /// Of which host they are. None: of all.
    pub(crate) host: Option<String>,
    pub(crate) rows: Vec<Row>,
}

/// One lane for each host, by when it is first heard of, with names nested within it; if there is only one host,
/// one lane for all. What a row says besides is as in the chart that is given.
pub(crate) fn by_host(chart: &Chart, events: &[Event], now: Timestamp) -> Vec<Lane> {
    let mut hosts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        hosts.entry(&event.key.host).or_default().push(at);
    }
    if hosts.len() < 2 {
        return vec![Lane { host: None, rows: chart.rows.clone() }];
    }
    let known: BTreeMap<usize, &Row> =
        chart.rows.iter().filter_map(|row| Some((row.event?, row))).collect();
    let mut left = rows_max(events);
    let mut lanes: Vec<Lane> = hosts
        .into_iter()
        .map(|(host, places)| {
            let mut rows = laid_out(events, &places, &mut left, now);
            for row in &mut rows {
                let of_chart = row.event.and_then(|at| known.get(&at));
                row.typical = of_chart.and_then(|row| row.typical);
                row.is_critical = of_chart.is_some_and(|row| row.is_critical);
            }
            Lane { host: Some(host.to_owned()), rows }
        })
        .collect();
    lanes.sort_by_key(|lane| lane.rows.iter().map(|row| row.from).min());
    lanes
}
