//! The forms of query that the command line offers.

use tally_proto::tally::requests::v1::{Granularity, GroupBy, LimitOrder, QueryTotalsRequest};
use tally_runtime::Day;

use crate::message::date;
use crate::mix::Series;

/// The zones of dates and periods: UTC, and two that are off the hour.
const ZONES: [&str; 3] = ["", "Asia/Kolkata", "America/St_Johns"];

/// What totals can be grouped by.
const GROUPS: [(&str, GroupBy); 6] = [
    ("service", GroupBy::Service),
    ("method", GroupBy::Method),
    ("path", GroupBy::Path),
    ("status", GroupBy::Status),
    ("status_class", GroupBy::StatusClass),
    ("customer", GroupBy::Customer),
];

/// A query, and its command line in short.
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) query: QueryTotalsRequest,
}

/// Makes forms that end today.
struct Maker {
    today: Day,
    live: bool,
    forms: Vec<Form>,
}

/// All forms, of books with this many days.
pub(crate) fn all(today: Day, days: u32, quarter_days: u32) -> Vec<Form> {
    let mut maker = Maker { today, live: false, forms: Vec::new() };
    for live in [false, true] {
        maker.live = live;
        for zone in ZONES {
            // In a zone, each end of a period cuts a day.
            let long = if zone.is_empty() { days } else { quarter_days.saturating_sub(2) };
            maker.periods(zone, long);
        }
        maker.groups(days);
        maker.filters(days);
    }
    maker.forms
}

// === impl Maker ===

impl Maker {
    fn add(
        &mut self,
        (by, granularity): (&str, Granularity),
        days: u32,
        more: &str,
        change: impl FnOnce(&mut QueryTotalsRequest),
    ) {
        let mut query = QueryTotalsRequest {
            from: Some(date(self.today.plus(1 - days.cast_signed()))),
            to: Some(date(self.today)),
            granularity: granularity.into(),
            live: self.live,
            ..QueryTotalsRequest::default()
        };
        change(&mut query);
        let mut name = format!("{days} days by {by}");
        if !query.time_zone.is_empty() {
            name = format!("{name} --tz {}", query.time_zone);
        }
        let live = if self.live { " --live" } else { "" };
        self.forms.push(Form { name: format!("{name}{more}{live}"), query });
    }

    /// Every period, in a zone.
    fn periods(&mut self, zone: &str, long: u32) {
        let hour = ("hour", Granularity::Hour);
        let (day, week) = (("day", Granularity::Day), ("week", Granularity::Week));
        let in_zone = |query: &mut QueryTotalsRequest| query.time_zone = zone.to_owned();
        let summed =
            |query: &mut QueryTotalsRequest| (query.sum, query.time_zone) = (true, zone.to_owned());
        let by_status = |query: &mut QueryTotalsRequest| {
            (query.group_by, query.time_zone) = (vec![GroupBy::Status.into()], zone.to_owned());
        };
        self.add(hour, 1, "", in_zone);
        self.add(hour, 7, "", in_zone);
        self.add(hour, 7, " --sum", summed);
        self.add(day, 30, "", in_zone);
        for by in [day, week] {
            self.add(by, long, " --sum", summed);
            self.add(by, long, " --group-by status", by_status);
        }
        for (by, granularity) in [
            ("month", Granularity::Month),
            ("year", Granularity::Year),
            ("whole", Granularity::Whole),
        ] {
            self.add((by, granularity), long, "", in_zone);
        }
    }

    /// Each group by itself, and all.
    fn groups(&mut self, long: u32) {
        let mut all: Vec<(&str, Vec<GroupBy>)> =
            GROUPS.into_iter().map(|(name, group)| (name, vec![group])).collect();
        all.push(("all", GROUPS.map(|(_, group)| group).to_vec()));
        for (name, groups) in all {
            let groups: Vec<i32> = groups.into_iter().map(i32::from).collect();
            let more = format!(" --group-by {name}");
            let set = |query: &mut QueryTotalsRequest| query.group_by.clone_from(&groups);
            self.add(("day", Granularity::Day), 30, &more, set);
            self.add(("month", Granularity::Month), long, &more, set);
        }
    }

    /// Each filter by itself, and the largest totals.
    fn filters(&mut self, long: u32) {
        type Change = Box<dyn Fn(&mut QueryTotalsRequest)>;
        let Series { service, method, path, status, customer, .. } = Series::nth(7);
        let prefix = path[..path.len() - "/items".len()].to_owned();
        let filters: [(&str, Change); 8] = [
            (" --service", Box::new(move |query| query.services = vec![service.clone()])),
            (" --method", Box::new(move |query| query.methods = vec![method.to_owned()])),
            (" --path", Box::new(move |query| query.paths = vec![path.clone()])),
            (" --path-prefix", Box::new(move |query| query.path_prefix.clone_from(&prefix))),
            (" --status", Box::new(move |query| query.statuses = vec![status.into()])),
            (" --status 5xx", Box::new(|query| query.status_classes = vec![5])),
            (" --customer", Box::new(move |query| query.customers = vec![customer.clone()])),
            (
                " --limit 20 --sort count",
                Box::new(|query| (query.limit, query.limit_order) = (20, LimitOrder::Count.into())),
            ),
        ];
        for (more, change) in filters {
            self.add(("day", Granularity::Day), 30, more, &change);
            self.add(("month", Granularity::Month), long, more, &change);
            self.add(("whole", Granularity::Whole), long, more, &change);
        }
    }
}
