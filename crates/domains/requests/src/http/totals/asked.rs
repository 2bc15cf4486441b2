//! From the parameters of a request to a query.

use hashbrown::HashSet;
use serde_json::{Value, json};
use tally_serve::api::{FORMAT, Parameter, Parameters, Problem, Values};
use tally_serve::pages::Link;

use super::super::cursor;
use crate::dates::End;
use crate::methods;
use crate::model::{Namespace, Quarter};
use crate::parameters::{self, CUSTOMER, FROM, METHOD, PATH, PATH_PREFIX, SERVICE, STATUS, TO, TZ};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::service::Service;
use crate::totals::{After, Filter, Group, GroupBy, LimitOrder, Query, StatusIs, Totals};

const BY: Parameter = Parameter {
    name: "by",
    about: "What to sum by; `quarter` is a quarter-hour. A week begins with Monday; the first and the \
            last period have only what lies in the range. Default: `day`.",
    values: Values::OneOf(&["quarter", "hour", "day", "week", "month", "year", "whole"]),
    is_repeated: false,
};
const GROUP_BY: Parameter = Parameter {
    name: "group_by",
    about: "What to tell apart, with commas between; `none` for one total of each period. Default: \
            `method,path`.",
    values: Values::SomeOf(&[
        "service",
        "method",
        "path",
        "status",
        "status_class",
        "customer",
        NO_GROUPS,
    ]),
    is_repeated: true,
};
const LIVE: Parameter = Parameter {
    name: "live",
    about: "Whether what is not rolled up yet is in it: everything that was counted until now. With \
            `false`, days that are not rolled up are missing, and `complete` says nothing of them.",
    values: Values::Flag(true),
    is_repeated: false,
};
pub(in super::super) const SORT: Parameter = Parameter {
    name: "sort",
    about: "The order: by period and group, or with `count` the largest first, of which there are at most \
            10,000, as `limit` says. Default: `path`.",
    values: Values::OneOf(&["path", "count"]),
    is_repeated: false,
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "Only the first totals. Default: all of them.",
    values: Values::Whole(1, u32::MAX as u64),
    is_repeated: false,
};
const AFTER: Parameter = Parameter {
    name: "after",
    about: "Go on after an answer that `limit` has cut: what it had in `next`, with the same parameters.",
    values: Values::Text,
    is_repeated: false,
};

/// What the query of a request may have.
pub(super) const PARAMETERS: &[Parameter] = &[
    FROM,
    TO,
    BY,
    TZ,
    GROUP_BY,
    SERVICE,
    METHOD,
    PATH,
    PATH_PREFIX,
    STATUS,
    CUSTOMER,
    LIVE,
    SORT,
    LIMIT,
    AFTER,
    FORMAT,
];

/// How many totals may be sorted by their counts, because these take ten times as much memory.
pub(in super::super) const SORTED_MAX: usize = 10_000;

/// What stands for a sum of all groups.
const NO_GROUPS: &str = "none";

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) after: Option<After>,
}

// === impl Asked ===

impl Asked {
    pub(super) fn read(
        mut given: Parameters,
        service: &Service,
        namespace: Namespace,
    ) -> Result<Self, Problem> {
        let zone = parameters::zone(&mut given);
        let range = range(&mut given, &zone, service);
        let granularity = given.one_of(&BY).and_then(parameters::granularity);
        let granularity = granularity.unwrap_or(Granularity::Day);
        let (group_by, sum) = group_by(&mut given);
        let filter = filter(&mut given, namespace);
        let live = given.flag(&LIVE);
        let order = match given.one_of(&SORT) {
            Some("count") => LimitOrder::Count,
            _ => LimitOrder::Path,
        };
        let limit = given.whole::<usize>(&LIMIT);
        let after = given.read(&AFTER, after);
        if after.is_some() && order == LimitOrder::Count {
            given.mistakes.note(AFTER.name, "goes on in the usual order, and not with sort=count");
        }
        if order == LimitOrder::Count && limit.is_none_or(|limit| limit > SORTED_MAX) {
            let text = format!("give one of 1 to {SORTED_MAX} with sort=count");
            given.mistakes.note(LIMIT.name, text);
        }
        given.check()?;
        let query = Query {
            range,
            granularity,
            zone,
            filter,
            group_by,
            live,
            with_corrections: false,
            sum,
            totals_max: service.totals_max,
            limit: limit.map(|limit| (limit, order)),
        };
        Ok(Self { query, after })
    }

    /// Whether the largest totals come first.
    pub(super) fn is_largest_first(&self) -> bool {
        self.query.limit.is_some_and(|(_, order)| order == LimitOrder::Count)
    }

    /// Where an answer goes on that its limit has cut.
    pub(super) fn next(&self, totals: &Totals) -> Option<String> {
        (totals.omitted.is_some() && !self.is_largest_first())
            .then(|| totals.last())
            .flatten()
            .map(|last| cursor_of(&last))
    }

    /// The query as it was understood.
    pub(super) fn as_json(&self) -> Value {
        let query = &self.query;
        let bound = |quarter: Quarter, bound| (quarter != bound).then(|| query.zone.time(quarter));
        json!({
            "from": bound(query.range.start, QuarterRange::ALL.start),
            "to": bound(query.range.end, QuarterRange::ALL.end),
            "by": parameters::word_of(query.granularity),
            "tz": query.zone.name(),
            "group_by": self.groups(),
            "service": sorted(&query.filter.services),
            "method": self.methods(),
            "path": sorted(&query.filter.paths),
            "path_prefix": query.filter.path_prefix,
            "status": self.statuses(),
            "customer": sorted(&query.filter.customers),
            "live": query.live,
            "sort": self.sort(),
            "limit": query.limit.map(|(limit, _)| limit),
            "after": self.after.as_ref().map(cursor_of),
        })
    }

    /// The same as the query of a URL.
    pub(super) fn as_query(&self) -> String {
        let mut link = Link::to("");
        for (name, value) in self.as_json().as_object().into_iter().flatten() {
            let values = match value {
                Value::Array(values) if name != "group_by" => values.clone(),
                Value::Array(values) => {
                    let names: Vec<_> = values.iter().filter_map(Value::as_str).collect();
                    vec![if names.is_empty() { NO_GROUPS.into() } else { names.join(",").into() }]
                }
                Value::Null => Vec::new(),
                Value::String(text) if text.is_empty() => Vec::new(),
                one => vec![one.clone()],
            };
            for value in values {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                link = link.with(name, &value);
            }
        }
        link.into_text().trim_start_matches('?').to_owned()
    }

    fn groups(&self) -> Vec<&'static str> {
        if self.query.sum {
            return Vec::new();
        }
        self.query.group_by.iter().map(|by| by.name()).collect()
    }

    fn methods(&self) -> Vec<&str> {
        let methods = sorted(&self.query.filter.methods).into_iter();
        methods.map(|name| if name.is_empty() { "UNSPECIFIED" } else { name }).collect()
    }

    fn statuses(&self) -> Vec<String> {
        let Filter { statuses, status_classes, .. } = &self.query.filter;
        let one = statuses.iter().map(ToString::to_string);
        let mut all: Vec<_> =
            one.chain(status_classes.iter().map(|class| format!("{class}xx"))).collect();
        all.sort();
        all
    }

    fn sort(&self) -> &'static str {
        if self.is_largest_first() { "count" } else { "path" }
    }
}

/// Where an answer goes on.
fn cursor_of(after: &After) -> String {
    let After { start: Quarter(start), group } = after;
    let (start, status) = (start.to_string(), group.status.to_string());
    let class = group.status_class.to_string();
    let texts =
        [&*start, &group.service, &group.method, &group.path, &status, &class, &group.customer];
    cursor::encode(&texts)
}

fn after(cursor: &str) -> Result<After, &'static str> {
    let [start, service, method, path, status, class, customer] = cursor::decode(cursor)?;
    let number = "is not what an answer had in next";
    Ok(After {
        start: Quarter(start.parse().map_err(|_| number)?),
        group: Group {
            service: service.into(),
            method: method.into(),
            path: path.into(),
            status: status.parse().map_err(|_| number)?,
            status_class: class.parse().map_err(|_| number)?,
            customer: customer.into(),
        },
    })
}

fn range(given: &mut Parameters, zone: &Zone, service: &Service) -> QuarterRange {
    let is_wrong = !given.mistakes.is_empty();
    let (from, to) = parameters::ends(given);
    let range = End::range(from, to, zone, service.today(zone)).map_err(|error| error.to_string());
    let range = given.mistakes.take(FROM.name, range).unwrap_or(QuarterRange::ALL);
    if range.is_empty() && from.is_some() && to.is_some() && !is_wrong {
        given.mistakes.note(TO.name, "the range ends before it begins");
    }
    range
}

fn group_by(given: &mut Parameters) -> (Vec<GroupBy>, bool) {
    let names = given.some_of(&GROUP_BY);
    let sum = names.as_ref().is_some_and(|names| names.contains(&NO_GROUPS));
    if sum && names.as_ref().is_some_and(|names| names.len() > 1) {
        given.mistakes.note(GROUP_BY.name, "none stands alone");
    }
    let groups = names.unwrap_or_else(|| vec!["method", "path"]);
    (groups.into_iter().filter_map(GroupBy::of_name).collect(), sum)
}

fn filter(given: &mut Parameters, namespace: Namespace) -> Filter {
    let texts =
        |given: &Parameters, of| -> HashSet<String> { given.all(of).map(str::to_owned).collect() };
    let mut filter = Filter {
        namespace,
        services: texts(given, &SERVICE),
        methods: given.read_all(&METHOD, methods::of_series).into_iter().collect(),
        path_prefix: given.one(&PATH_PREFIX).unwrap_or_default().to_owned(),
        paths: texts(given, &PATH),
        customers: texts(given, &CUSTOMER),
        ..Filter::default()
    };
    given
        .read_all(&STATUS, str::parse::<StatusIs>)
        .into_iter()
        .for_each(|one| filter.with_status(one));
    filter
}

fn sorted(texts: &HashSet<String>) -> Vec<&str> {
    let mut sorted: Vec<_> = texts.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted
}
