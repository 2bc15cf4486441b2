//! What is said of an answer.

use tally_proto::tally::requests::v1::{Omitted, Resolved};

use super::super::series::Part;
use super::print::Printed;
use super::{About, TotalsArgs};
use crate::output::{OutputFormat, known_drops, plural, signed, thousands, visible};

// === impl TotalsArgs ===

impl TotalsArgs {
    /// What the numbers are of, and what may be missing from them: a line each.
    pub(super) fn words(
        &self,
        format: OutputFormat,
        printed: Printed,
        about: &About,
    ) -> Vec<String> {
        let (is_filtered, mut words) = (!self.filters.is_empty(), Vec::new());
        if printed.totals == 0 {
            let nothing = match (self.live, is_filtered) {
                (true, false) => "nothing was counted in this range",
                (true, true) => "nothing that matches was counted in this range",
                (false, false) => {
                    "no rolled-up days in this range; add --live to include requests that are not \
                     rolled up yet"
                }
                (false, true) => {
                    "nothing that matches is rolled up in this range; add --live to include \
                     requests that are not rolled up yet"
                }
            };
            words.push(nothing.to_owned());
        } else if format == OutputFormat::Table {
            let is_complete = printed.dropped == 0 && about.incomplete.is_none();
            let more = match (self.live, is_complete) {
                (true, true) => "; complete: no drops are known",
                (true, false) => "",
                (false, _) => ", rolled up; --live adds later ones",
            };
            words.push(format!("{}{more}", self.how_much(printed, about)));
        }
        if printed.dropped > 0 {
            let of_all = if is_filtered { ", over all series" } else { "" };
            let drops = known_drops(printed.dropped);
            words.push(format!(
                "short by {drops}{of_all}: `tally producers` shows whose, unless that client is done"
            ));
        }
        words.extend(about.incomplete.clone());
        words
    }

    pub(super) fn how_much(&self, printed: Printed, about: &About) -> String {
        let requests = plural(printed.requests, "request");
        let corrections = match (self.with_corrections, &about.omitted) {
            (true, None) => format!(", corrections {}", signed(printed.corrections)),
            // The server says of what the limit leaves out only how many requests it has.
            (true, Some(_)) => {
                format!(", corrections of these lines {}", signed(printed.corrections))
            }
            (false, _) => String::new(),
        };
        let much = match &about.omitted {
            Some(Omitted { totals: more, requests: others }) => {
                let of_all = thousands(i128::from(printed.totals) + i128::from(*more));
                let of_requests = plural(printed.requests + i128::from(*others), "request");
                let (lines, some) = (thousands(printed.totals), thousands(printed.requests));
                format!("{lines} of {of_all} lines, with {some} of {of_requests}")
            }
            None if self.sum => requests,
            None if self.columns() == Part::USUAL => {
                format!("{requests} to {}", plural(printed.groups, "endpoint"))
            }
            None => format!("{requests} in {}", plural(printed.groups, "group")),
        } + &corrections;
        let Resolved { time_zone, tzdb_version, .. } = &about.resolved;
        match visible(time_zone) {
            zone if zone.is_empty() || zone == "UTC" => much,
            offset if offset.starts_with(['+', '-']) => format!("{much}, in {offset}"),
            zone => format!("{much}, in {zone} (tz database {})", visible(tzdb_version)),
        }
    }
}
