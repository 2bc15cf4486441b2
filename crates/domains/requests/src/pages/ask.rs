//! What an address asks for: range, zone, filters, order. The address is the state of a page.

use jiff::Timestamp;
use tally_serve::api::{Mistakes, Parameter, Parameters, Values};
use tally_serve::pages::Link;

use super::times::{Span, Times};
use crate::dates::{End, PeriodArg};
use crate::methods;
use crate::parameters::{self, FROM, PATH_PREFIX, TO, TZ, word_of};
use crate::periods::{Granularity, Zone};
use crate::totals::{Filter, Group, StatusIs};

/// The page of all requests.
pub(super) const REQUESTS: &str = "/requests";
/// The page of one endpoint.
pub(super) const ENDPOINT: &str = "/requests/endpoint";
/// The answers as JSON and CSV.
const TOTALS: &str = "/api/v1/requests/totals";

const RANGE: Parameter = parameter(
    "range",
    "The range that ends today.",
    Values::OneOf(&["today", "7d", "30d", "12mo"]),
);
const BY: Parameter = parameter(
    "by",
    "What the chart is summed by.",
    Values::OneOf(&["quarter", "hour", "day", "week", "month", "year"]),
);
const SERVICE: Parameter = once(parameters::SERVICE);
const METHOD: Parameter = once(parameters::METHOD);
const PATH: Parameter = once(parameters::PATH);
const STATUS: Parameter = once(parameters::STATUS);
const CUSTOMER: Parameter = once(parameters::CUSTOMER);
/// A form cannot leave out the service that nobody has chosen.
const ANY: Parameter =
    parameter("any", "What is not asked for if it is empty.", Values::OneOf(&["service"]));
const SORT: Parameter = parameter(
    "sort",
    "What endpoints are ordered by.",
    Values::OneOf(&["name", "count", "change", "errors"]),
);
const SHOW: Parameter =
    parameter("show", "How many endpoints are shown.", Values::Whole(1, SHOWN_MAX as u64));
const PARAMETERS: &[Parameter] = &[
    RANGE,
    FROM,
    TO,
    TZ,
    BY,
    SERVICE,
    METHOD,
    PATH,
    PATH_PREFIX,
    STATUS,
    CUSTOMER,
    ANY,
    SORT,
    SHOW,
];

const fn parameter(name: &'static str, about: &'static str, values: Values) -> Parameter {
    Parameter { name, about, values, is_repeated: false }
}

/// As of the API, and a page has one of it.
const fn once(parameter: Parameter) -> Parameter {
    Parameter { is_repeated: false, ..parameter }
}

/// How many endpoints are shown, unless more are asked for.
pub(super) const SHOWN_DEFAULT: usize = 50;
pub(super) const SHOWN_MAX: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) span: Span,
    pub(super) zone: Zone,
    pub(super) times: Times,
    /// What the chart is summed by, if it was chosen.
    pub(super) by: Option<Granularity>,
    pub(super) service: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) path_prefix: Option<String>,
    pub(super) status: Option<StatusIs>,
    pub(super) customer: Option<String>,
    pub(super) order: Order,
    /// How many endpoints are shown.
    pub(super) shown: usize,
}

/// What endpoints are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Count,
    Change,
    Errors,
    Name,
}

// === impl Ask ===

impl Ask {
    /// Reads a query; empty parameters are as good as none. Returns every mistake.
    pub(super) fn read(query: Option<&str>, now: Timestamp) -> Result<Self, Mistakes> {
        let mut given = Parameters::of(query, PARAMETERS);
        let zone = parameters::zone(&mut given);
        let (from, to) = parameters::ends(&mut given);
        let ends = (of_days(&mut given, &FROM, from), of_days(&mut given, &TO, to));
        let span =
            Span::read(given.one_of(&RANGE), ends, &zone, now).unwrap_or_else(|(field, text)| {
                // What could not be read is not missing.
                if !given.mistakes.all().any(|(of, _)| of == field) {
                    given.mistakes.note(field, text);
                }
                Span::Month
            });
        let by = given.one_of(&BY).and_then(parameters::granularity);
        let status = given.read(&STATUS, str::parse::<StatusIs>);
        let order = given.one_of(&SORT).and_then(Order::named).unwrap_or(Order::Count);
        let shown = given.whole(&SHOW).unwrap_or(SHOWN_DEFAULT);
        let times = Times::new(span, &zone, by, now);
        let times = given.mistakes.take(FROM.name, times.map_err(|error| error.to_string()));
        let method = given.read(&METHOD, methods::of_series);
        let text = |parameter| given.one(parameter).map(str::to_owned);
        let [service, path, path_prefix, customer] =
            [&SERVICE, &PATH, &PATH_PREFIX, &CUSTOMER].map(text);
        let is_any = given.one_of(&ANY).is_some();
        let service = service.filter(|one| !(is_any && one.is_empty()));
        match times {
            Some(times) if given.mistakes.is_empty() => Ok(Self {
                span,
                zone,
                times,
                by,
                service,
                method,
                path,
                path_prefix,
                status,
                customer,
                order,
                shown,
            }),
            _ => Err(given.mistakes),
        }
    }

    /// What an address of one endpoint asks for.
    pub(super) fn read_endpoint(query: Option<&str>, now: Timestamp) -> Result<Self, Mistakes> {
        let ask = Self::read(query, now)?;
        let mut mistakes = Mistakes::default();
        for (parameter, is_given) in [(&METHOD, ask.method.is_some()), (&PATH, ask.path.is_some())]
        {
            if !is_given {
                mistakes.note(parameter.name, "say which endpoint: this page is of one");
            }
        }
        if mistakes.is_empty() { Ok(ask) } else { Err(mistakes) }
    }

    /// The same without anything that a page may leave out.
    fn link(&self, path: &'static str) -> Link {
        let link = match self.span {
            Span::Dates(first, last) => {
                Link::to(path).with("from", &first.to_string()).with("to", &last.to_string())
            }
            Span::Month => Link::to(path),
            span => Link::to(path).with("range", span.name()),
        };
        let link = link.with_some("tz", (self.zone.name() != "UTC").then(|| self.zone.name()));
        self.filters(link)
    }

    fn filters(&self, link: Link) -> Link {
        link.with_some("service", self.service.as_ref())
            .with_some("method", self.method_in_query())
            .with_some("path", self.path.as_ref())
            .with_some("path_prefix", self.path_prefix.as_ref())
            .with_some("status", self.status.map(|status| status.to_string()))
            .with_some("customer", self.customer.as_ref())
    }

    /// The address of the page that shows this.
    pub(super) fn page(&self) -> Link {
        let is_endpoint = self.method.is_some() && self.path.is_some();
        self.link(if is_endpoint { ENDPOINT } else { REQUESTS })
            .with_some("by", self.by.map(word_of))
            .with_some("sort", (self.order != Order::Count).then(|| self.order.name()))
            .with_some("show", (self.shown != SHOWN_DEFAULT).then(|| self.shown.to_string()))
    }

    /// The same with something else.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Link {
        let mut other = self.clone();
        change(&mut other);
        other.page()
    }

    /// The page of an endpoint.
    pub(super) fn endpoint(&self, group: &Group) -> Link {
        self.with(|ask| {
            (ask.method, ask.path) = (Some(group.method.to_string()), Some(group.path.to_string()));
            (ask.path_prefix, ask.order, ask.shown) = (None, Order::Count, SHOWN_DEFAULT);
        })
    }

    /// The same numbers as CSV.
    pub(super) fn csv(&self, by: Granularity, group_by: &str) -> Link {
        let link = Link::to(TOTALS)
            .with("from", &self.times.first.to_string())
            .with("to", &self.times.last.to_string())
            .with("by", word_of(by))
            .with("tz", self.zone.name());
        self.filters(link.with("group_by", group_by)).with("format", "csv")
    }

    /// A series without a method has an empty one, which in a query would be none.
    pub(super) fn method_in_query(&self) -> Option<&str> {
        self.method.as_deref().map(|method| if method.is_empty() { "UNSPECIFIED" } else { method })
    }

    /// The filter of the endpoints alone.
    pub(super) fn filter_of_endpoints(&self) -> Filter {
        let one = |name: &Option<String>| name.iter().cloned().collect();
        Filter {
            methods: one(&self.method),
            paths: one(&self.path),
            path_prefix: self.path_prefix.clone().unwrap_or_default(),
            ..Filter::default()
        }
    }

    /// The filter of everything.
    pub(super) fn filter(&self) -> Filter {
        let one = |name: &Option<String>| name.iter().cloned().collect();
        let mut filter = Filter {
            services: one(&self.service),
            customers: one(&self.customer),
            ..self.filter_of_endpoints()
        };
        self.status.into_iter().for_each(|status| filter.with_status(status));
        filter
    }

    /// Whether nothing but the range and the zone is chosen.
    pub(super) fn is_unfiltered(&self) -> bool {
        self.filter().is_empty()
    }
}

/// The days of an end.
fn of_days(given: &mut Parameters, parameter: &Parameter, end: Option<End>) -> Option<PeriodArg> {
    match end? {
        End::Period(period) => Some(period),
        End::Moment(_) => {
            given.mistakes.note(parameter.name, "a page has whole days: write a day");
            None
        }
    }
}

// === impl Order ===

impl Order {
    pub(super) const ALL: [Self; 4] = [Self::Name, Self::Count, Self::Change, Self::Errors];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Change => "change",
            Self::Errors => "errors",
            Self::Name => "name",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-27T20:20:00Z";

    fn read(query: &str) -> Result<Ask, Mistakes> {
        Ask::read(Some(query), NOW.parse().expect("a time"))
    }

    /// Whatever was chosen, its address leads to the same.
    #[test]
    fn an_address_is_the_state() {
        for query in [
            "",
            "range=today",
            "range=12mo&tz=Asia/Kolkata&by=month",
            "from=2026-05-01&to=2026-05-31&tz=%2B05:30",
            "service=shop&status=5xx&customer=a%20%26%20b&path_prefix=/a%3Fb",
            "method=GET&path=/products/%7Bid%7D&status=404",
            "method=UNSPECIFIED&path=/",
            "service=&customer=&status=0",
            "sort=change&show=200",
        ] {
            let ask = read(query).expect(query);
            let address = ask.page().into_text();
            let (path, query) = address.split_once('?').unwrap_or((&address, ""));
            assert_eq!(path == ENDPOINT, ask.path.is_some(), "{address}");
            let again = read(query).expect(query);
            assert_eq!(again.page().into_text(), address);
            assert_eq!((again.filter(), again.span), (ask.filter(), ask.span), "{address}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let mistakes = read("from=tomorrow&tz=Berlin&by=minute&status=9xx&sort=x&show=0&what=1");
        let mistakes = mistakes.expect_err("mistakes");
        let fields: Vec<_> = mistakes.all().map(|(field, _)| field.to_owned()).collect();
        for field in ["from", "tz", "by", "status", "sort", "show", "what"] {
            assert!(fields.iter().any(|one| one == field), "{field} is not in {fields:?}");
        }
        let backwards = read("from=2026-05-02&to=2026-05-01").expect_err("backwards");
        assert_eq!(backwards.all().map(|(field, _)| field).collect::<Vec<_>>(), ["to"]);
        for (query, text) in [
            ("from=2026-11-01T10:00Z", "whole days"),
            ("from=2026-11-01T10:00:00", "with its offset"),
            ("from=20261101", "write a day as"),
            ("from=today&to=yesterday", "is before"),
            ("to=2026-05", "is missing"),
            ("from=tomorrow&to=2026-05", "write a day as"),
        ] {
            let mistakes = read(query).expect_err(query);
            let told: Vec<_> = mistakes.all().map(|(_, text)| text).collect();
            assert!(told.len() == 1 && told[0].contains(text), "{query}: {told:?}");
        }
    }

    #[test]
    fn a_range_is_written_as_for_the_api() {
        for (query, first, last) in [
            ("from=2026-05&to=2026-05", "2026-05-01", "2026-05-31"),
            ("from=today", "2026-11-27", "2026-11-27"),
            ("from=7d", "2026-11-21", "2026-11-27"),
            ("from=last-month&to=yesterday", "2026-10-01", "2026-11-26"),
            ("from=2025&to=last-year", "2025-01-01", "2025-12-31"),
        ] {
            let times = read(query).expect(query).times;
            assert_eq!(
                [times.first, times.last].map(|day| day.to_string()),
                [first, last],
                "{query}"
            );
        }
    }

    #[test]
    fn a_form_that_keeps_its_dates_keeps_the_range() {
        let ask = read("from=2026-10-29&to=2026-11-27&service=shop").expect("a question");
        assert_eq!(ask.page().into_text(), "/requests?service=shop");
        let own = read("from=2026-10-28&to=2026-11-27").expect("a question");
        assert_eq!(own.page().into_text(), "/requests?from=2026-10-28&to=2026-11-27");
    }

    #[test]
    fn a_form_sends_what_is_empty() {
        let ask =
            read("from=&to=&tz=&any=service&service=&path_prefix=").expect("nothing is chosen");
        assert!(ask.is_unfiltered() && ask.span == Span::Month && ask.zone.name() == "UTC");
    }
}
