//! What an address asks for: range, zone, filters, order. The address is the state of a page.

use jiff::Timestamp;
use jiff::civil::Date;
use tally_serve::pages::Link;

use super::times::{BY_DEFAULT, Span, Times};
use crate::periods::{Granularity, Zone};
use crate::totals::{Filter, Group};

/// The page of all requests.
pub(super) const REQUESTS: &str = "/requests";
/// The page of one endpoint.
pub(super) const ENDPOINT: &str = "/requests/endpoint";
/// The answers as JSON and CSV.
const TOTALS: &str = "/api/v1/requests/totals";

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
    pub(super) status: Option<Status>,
    pub(super) customer: Option<String>,
    pub(super) order: Order,
    /// How many endpoints are shown.
    pub(super) shown: usize,
}

/// A status, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Exactly(u16),
    Class(u8),
}

/// What endpoints are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Count,
    Change,
    Errors,
    Name,
}

/// What is wrong with a parameter.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) field: &'static str,
    pub(super) text: String,
}

// === impl Ask ===

impl Ask {
    /// Reads parameters; empty ones are as good as none. Returns every mistake.
    pub(super) fn read(
        given: &[(String, String)],
        now: Timestamp,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut value = |field: &'static str| {
            let mut values = given.iter().filter(|(name, value)| name == field && !value.is_empty());
            let value = values.next().map(|(_, value)| value.as_str());
            if value.is_some_and(|value| value.contains('\0')) {
                mistakes.push(Mistake { field, text: "contains a NUL byte, and no name does".into() });
                return None;
            }
            value
        };
        let [range, from, to, tz, by] = ["range", "from", "to", "tz", "by"].map(&mut value);
        let [service, method, path, path_prefix, customer] =
            ["service", "method", "path", "path_prefix", "customer"]
                .map(|field| value(field).map(str::to_owned));
        let [status, order, shown] = ["status", "sort", "show"].map(&mut value);
        let mut note = |field, text: String| mistakes.push(Mistake { field, text });
        let zone = Zone::named(tz.unwrap_or("UTC")).unwrap_or_else(|error| {
            note("tz", error.to_string());
            Zone::utc()
        });
        let mut date = |field, text: Option<&str>| -> Option<Date> {
            let date = text?.parse();
            date.map_err(|_| note(field, format!("{text:?} is not a date such as 2026-05-17"))).ok()
        };
        let dates = (date("from", from), date("to", to));
        let span = Span::read(range, dates, &zone, now).unwrap_or_else(|(field, text)| {
            note(field, text);
            Span::Month
        });
        let by = by.and_then(|name| {
            let of = BY_DEFAULT.into_iter().find(|(_, one)| *one == name).map(|(of, _)| of);
            if of.is_none() {
                note("by", format!("{name:?} is not quarter, hour, day, week, month or year"));
            }
            of
        });
        let status = status.and_then(|text| {
            let status = Status::read(text);
            if status.is_none() {
                note("status", format!("{text:?} is neither a status such as 404 nor a class such as 4xx"));
            }
            status
        });
        let order = order.map_or(Order::Count, |name| {
            Order::read(name).unwrap_or_else(|| {
                note("sort", format!("{name:?} is not count, change, errors or name"));
                Order::Count
            })
        });
        let shown = shown.map_or(SHOWN_DEFAULT, |text| match text.parse() {
            Ok(shown @ 1..=SHOWN_MAX) => shown,
            _ => {
                note("show", format!("{text:?} is not a number from 1 to {SHOWN_MAX}"));
                SHOWN_DEFAULT
            }
        });
        let times = Times::new(span, &zone, by, now).map_err(|error| note("from", error.to_string()));
        match times {
            Ok(times) if mistakes.is_empty() => Ok(Self {
                span, zone, times, by, service, method, path, path_prefix, status, customer, order, shown,
            }),
            _ => Err(mistakes),
        }
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
            .with_some("method", self.method.as_ref())
            .with_some("path", self.path.as_ref())
            .with_some("path_prefix", self.path_prefix.as_ref())
            .with_some("status", self.status.map(|status| status.text()))
            .with_some("customer", self.customer.as_ref())
    }

    /// The address of the page that shows this.
    pub(super) fn page(&self) -> Link {
        let is_endpoint = self.method.is_some() && self.path.is_some();
        self.link(if is_endpoint { ENDPOINT } else { REQUESTS })
            .with_some("by", self.by.map(name_of))
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
            .with("by", name_of(by))
            .with("tz", self.zone.name());
        let link = link.with_some("group_by", (!group_by.is_empty()).then_some(group_by));
        self.filters(link).with("live", "true").with("format", "csv")
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
        match self.status {
            Some(Status::Exactly(status)) => drop(filter.statuses.insert(status)),
            Some(Status::Class(class)) => drop(filter.status_classes.insert(class)),
            None => {}
        }
        filter
    }

    /// Whether nothing but the range and the zone is chosen.
    pub(super) fn is_unfiltered(&self) -> bool {
        self.filter().is_empty()
    }
}

// === impl Status ===

impl Status {
    fn read(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx") {
            return class.parse().ok().filter(|class| (1..=5).contains(class)).map(Self::Class);
        }
        text.parse().ok().filter(|status| *status <= 999).map(Self::Exactly)
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Exactly(status) => status.to_string(),
            Self::Class(class) => format!("{class}xx"),
        }
    }

    /// Whether a group has it.
    pub(super) fn is_of(self, group: &Group) -> bool {
        match self {
            Self::Exactly(status) => group.status == status,
            Self::Class(class) => group.status_class == class,
        }
    }
}

// === impl Order ===

impl Order {
    pub(super) const ALL: [Self; 4] = [Self::Name, Self::Count, Self::Change, Self::Errors];

    fn read(name: &str) -> Option<Self> {
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

/// The word for it in an address.
fn name_of(by: Granularity) -> &'static str {
    BY_DEFAULT.into_iter().find(|(of, _)| *of == by).map_or("whole", |(_, name)| name)
}
