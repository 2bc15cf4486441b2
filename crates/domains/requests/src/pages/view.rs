//! What a page shows, from one snapshot, so that all its numbers agree.

use std::sync::Arc;

use hashbrown::HashMap;
use jiff::Timestamp;
use tally_producers::Setback;
use tally_runtime::Kind;

use super::ask::{Ask, Order};
use super::times::Times;
use crate::error::Error;
use crate::model::{Day, Quarter};
use crate::periods::Granularity;
use crate::service::Service;
use crate::totals::{Filter, Group, GroupBy, Query, Questions, Totals};

/// The classes of statuses, and 0 for none.
pub(super) const CLASSES: usize = 6;
/// The class of a failure of the service.
const SERVER_ERROR: usize = 5;
/// How many points a sparkline has.
const POINTS_MAX: usize = 40;

/// What a page shows.
#[derive(Debug)]
pub(super) struct View {
    pub(super) ask: Ask,
    pub(super) times: Times,
    /// When it was read.
    pub(super) as_of: Timestamp,
    pub(super) total: i64,
    /// The total of the range before, unless its quarter-hours are gone.
    pub(super) before: Option<i64>,
    /// The total by class of status, as if no status were chosen.
    pub(super) classes: [i64; CLASSES],
    /// Each status, as if none were chosen.
    pub(super) statuses: Ranking<(u16, u8)>,
    /// Each service, as if none were chosen.
    pub(super) services: Ranking<Box<str>>,
    /// Each customer, as if none were chosen.
    pub(super) customers: Ranking<Box<str>>,
    /// Those that are shown, in order.
    pub(super) endpoints: Vec<Endpoint>,
    /// How many there are.
    pub(super) endpoints_all: usize,
    /// The largest one.
    pub(super) endpoints_max: i64,
    pub(super) bars: Vec<Period>,
    /// How many requests of these days clients have given up on purpose.
    pub(super) dropped: i64,
    pub(super) setbacks: Vec<Setback>,
    /// The last day that is rolled up.
    pub(super) rolled_up_through: Option<Day>,
    /// Whether any request was ever counted.
    has_any: bool,
}

/// Names with their counts, the largest first.
pub(super) type Ranking<T> = Vec<(T, i64)>;

/// An endpoint in a ranking.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// Its method and path.
    pub(super) group: Group,
    pub(super) count: i64,
    pub(super) before: i64,
    pub(super) server_errors: i64,
    pub(super) points: Vec<i64>,
}

/// A bar of the chart.
#[derive(Debug, Clone)]
pub(super) struct Period {
    pub(super) label: crate::periods::Label,
    /// By class of status.
    pub(super) counts: [i64; CLASSES],
    /// Whether it may still grow.
    pub(super) is_open: bool,
}

/// The places of the answers.
const NOW: usize = 0;
const BEFORE: usize = 1;
const OVER_TIME: usize = 2;
const POINTS: usize = 3;

// === impl View ===

impl View {
    /// Reads what is asked for.
    pub(super) async fn read(
        service: &Service,
        mut ask: Ask,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let answers = loop {
            let questions = questions(&ask, service.totals_max);
            match service.answers(questions).await {
                Err(error) if error.kind() == Kind::FailedPrecondition && ask.times.coarsen() => {}
                answers => break answers?,
            }
        };
        let days = first(&ask, 0)[NOW].days();
        let setbacks = service.setbacks(days).await?;
        let rolled_up_through = service.rolled_up_through().await?;
        let has_any = !answers[NOW].periods.is_empty() || service.has_series();
        let view = Self::of(ask, &answers, setbacks, now, has_any)?;
        Ok(Self { rolled_up_through, ..view })
    }

    fn of(
        ask: Ask,
        answers: &[Totals],
        setbacks: Vec<Setback>,
        as_of: Timestamp,
        has_any: bool,
    ) -> Result<Self, Error> {
        let times = ask.times.clone();
        let sums = Sums::of(&ask, &answers[NOW]);
        let all = endpoints(&ask, &sums, &answers[BEFORE]);
        let endpoints_all = all.len();
        let endpoints_max = all.iter().map(|one| one.count).max().unwrap_or_default();
        let mut endpoints: Vec<_> = all.into_iter().take(ask.shown).collect();
        if let Some(points) = answers.get(POINTS) {
            add_points(&mut endpoints, points, &times)?;
        }
        let bars = bars(&times, &answers[OVER_TIME])?;
        Ok(Self {
            total: sums.total,
            before: times.is_compared.then(|| answers[BEFORE].sum()),
            classes: sums.classes,
            statuses: ranking(sums.statuses),
            services: ranking(sums.services),
            customers: ranking(sums.customers),
            endpoints,
            endpoints_all,
            endpoints_max,
            bars,
            dropped: answers[NOW].dropped,
            setbacks,
            rolled_up_through: None,
            has_any,
            ask,
            times,
            as_of,
        })
    }

    /// Whether nothing was ever counted.
    pub(super) fn is_first_time(&self) -> bool {
        !self.has_any && self.ask.is_unfiltered()
    }

    /// Whether any request has a status.
    pub(super) fn has_statuses(&self) -> bool {
        self.classes[1..].iter().any(|count| *count > 0)
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether one of a hundred or more was a server error.
    pub(super) fn has_many_errors(&self) -> bool {
        self.server_errors > 0 && self.server_errors.saturating_mul(100) >= self.count
    }
}

/// All that is read for a page.
fn questions(ask: &Ask, totals_max: usize) -> Questions {
    let asked = ask.clone();
    let then = move |answers: &[Totals]| points_of(&asked, answers, totals_max);
    Questions { first: first(ask, totals_max), then: Arc::new(then) }
}

/// What is asked first: all that the filters of statuses, services and customers choose from, the same of the
/// range before as it is chosen, and the range by period.
fn first(ask: &Ask, totals_max: usize) -> Vec<Query> {
    let query = |range, granularity, filter, group_by: &[GroupBy]| Query {
        range,
        granularity,
        zone: ask.zone.clone(),
        filter,
        group_by: group_by.to_vec(),
        live: true,
        with_corrections: false,
        sum: false,
        totals_max,
        limit: None,
    };
    let (whole, times) = (Granularity::Whole, &ask.times);
    let all = [
        GroupBy::Service,
        GroupBy::Method,
        GroupBy::Path,
        GroupBy::Status,
        GroupBy::StatusClass,
        GroupBy::Customer,
    ];
    vec![
        query(times.range, whole, ask.filter_of_endpoints(), &all),
        query(times.before, whole, ask.filter(), &[GroupBy::Method, GroupBy::Path]),
        query(times.range, times.by, ask.filter(), &[GroupBy::StatusClass]),
    ]
}

/// The endpoints that are shown, by period.
fn points_of(ask: &Ask, answers: &[Totals], totals_max: usize) -> Vec<Query> {
    if ask.path.is_some() {
        return Vec::new();
    }
    let all = endpoints(ask, &Sums::of(ask, &answers[NOW]), &answers[BEFORE]);
    let shown = || all.iter().take(ask.shown);
    if all.is_empty() {
        return Vec::new();
    }
    let filter = Filter {
        methods: shown().map(|one| one.group.method.to_string()).collect(),
        paths: shown().map(|one| one.group.path.to_string()).collect(),
        ..ask.filter()
    };
    let [_, _, over_time] = &mut *first(ask, totals_max) else { return Vec::new() };
    vec![Query { filter, group_by: vec![GroupBy::Method, GroupBy::Path], ..over_time.clone() }]
}

/// Sums of one answer. Each ignores what was chosen of its own kind, so that there is something else to choose.
#[derive(Default)]
struct Sums<'a> {
    total: i64,
    classes: [i64; CLASSES],
    statuses: HashMap<(u16, u8), i64>,
    services: HashMap<&'a str, i64>,
    customers: HashMap<&'a str, i64>,
    /// Count and server errors.
    endpoints: HashMap<(&'a str, &'a str), (i64, i64)>,
}

// === impl Sums ===

impl<'a> Sums<'a> {
    fn of(ask: &Ask, totals: &'a Totals) -> Self {
        let mut sums = Self::default();
        let counts = totals.periods.iter().flat_map(|period| &period.counts);
        for (group, count) in counts {
            let Some(group) = totals.groups.get(*group as usize) else { continue };
            sums.add(ask, group, *count);
        }
        sums
    }

    fn add(&mut self, ask: &Ask, group: &'a Group, count: i64) {
        let has_service = ask.service.as_deref().is_none_or(|one| *one == *group.service);
        let has_customer = ask.customer.as_deref().is_none_or(|one| *one == *group.customer);
        let has_status = ask.status.is_none_or(|status| status.is_of(group));
        let class = usize::from(group.status_class);
        if has_service && has_customer {
            self.classes[class] += count;
            *self.statuses.entry((group.status, group.status_class)).or_default() += count;
        }
        if has_customer && has_status {
            *self.services.entry(&group.service).or_default() += count;
        }
        if has_service && has_status {
            *self.customers.entry(&group.customer).or_default() += count;
        }
        if has_service && has_customer && has_status {
            self.total += count;
            let endpoint = self.endpoints.entry((&*group.method, &*group.path)).or_default();
            endpoint.0 += count;
            endpoint.1 += if class == SERVER_ERROR { count } else { 0 };
        }
    }
}

fn ranking<T: Into<U>, U: Ord>(counts: HashMap<T, i64>) -> Ranking<U> {
    let counts = counts.into_iter().filter(|(_, count)| *count != 0);
    let mut ranking: Vec<_> = counts.map(|(one, count)| (one.into(), count)).collect();
    ranking.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ranking
}

/// All endpoints of the range or the one before, in order.
fn endpoints(ask: &Ask, sums: &Sums<'_>, before: &Totals) -> Vec<Endpoint> {
    let mut befores: HashMap<(&str, &str), i64> = HashMap::new();
    for (group, count) in before.periods.iter().flat_map(|period| &period.counts) {
        let Some(group) = before.groups.get(*group as usize) else { continue };
        *befores.entry((&*group.method, &*group.path)).or_default() += count;
    }
    let mut all: Vec<_> = sums
        .endpoints
        .iter()
        .map(|(&(method, path), &(count, server_errors))| Endpoint {
            group: Group { method: method.into(), path: path.into(), ..Group::default() },
            count,
            server_errors,
            before: befores.remove(&(method, path)).unwrap_or_default(),
            points: Vec::new(),
        })
        .collect();
    let gone = befores.into_iter().map(|((method, path), before)| Endpoint {
        group: Group { method: method.into(), path: path.into(), ..Group::default() },
        count: 0,
        server_errors: 0,
        before,
        points: Vec::new(),
    });
    all.extend(gone);
    all.sort_unstable_by(|a, b| {
        let by = |key: fn(&Endpoint) -> i64| key(b).cmp(&key(a));
        match ask.order {
            Order::Count => by(|one| one.count),
            Order::Change => by(|one| one.count.saturating_sub(one.before).saturating_abs()),
            Order::Errors => by(|one| one.server_errors),
            Order::Name => std::cmp::Ordering::Equal,
        }
        .then_with(|| a.group.cmp(&b.group))
    });
    all
}

/// Adds the points of sparklines.
fn add_points(endpoints: &mut [Endpoint], totals: &Totals, times: &Times) -> Result<(), Error> {
    let periods = times.periods()?;
    let each = periods.len().div_ceil(POINTS_MAX).max(1);
    let points = periods.len().div_ceil(each);
    let places: Vec<_> = {
        let shown = endpoints.iter().enumerate();
        let places: HashMap<_, _> = shown.map(|(at, one)| (&one.group, at)).collect();
        totals.groups.iter().map(|group| places.get(group).copied()).collect()
    };
    endpoints.iter_mut().for_each(|one| one.points = vec![0; points]);
    for period in &totals.periods {
        let Some(at) = periods.at(period.label.start.max(times.range.start)) else { continue };
        for (group, count) in &period.counts {
            if let Some(place) = places.get(*group as usize).copied().flatten() {
                endpoints[place].points[at / each] += count;
            }
        }
    }
    Ok(())
}

/// Every period of the range, even if it has none.
fn bars(times: &Times, totals: &Totals) -> Result<Vec<Period>, Error> {
    let periods = times.periods()?;
    let ends = periods.starts().iter().skip(1).copied().chain([periods.end()]);
    let bar = |(at, end): (usize, Quarter)| Period {
        label: periods.label(at),
        counts: [0; CLASSES],
        is_open: times.is_open && periods.starts()[at] <= times.now && times.now < end,
    };
    let mut bars: Vec<_> = ends.enumerate().map(bar).collect();
    for period in &totals.periods {
        let Some(at) = periods.at(period.label.start.max(times.range.start)) else { continue };
        for (group, count) in &period.counts {
            let class = totals.groups.get(*group as usize).map_or(0, |one| one.status_class);
            bars[at].counts[usize::from(class)] += count;
        }
    }
    Ok(bars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::PeriodTotals;

    /// Service, path, status, class, customer and count.
    type Counted = (&'static str, &'static str, u16, u8, &'static str, i64);

    /// The counts of the whole range.
    fn totals(series: &[Counted]) -> Totals {
        let group = |one: &Counted| Group {
            service: one.0.into(),
            method: "GET".into(),
            path: one.1.into(),
            status: one.2,
            status_class: one.3,
            customer: one.4.into(),
        };
        let label = crate::periods::Label {
            date: jiff::civil::date(2026, 11, 1),
            start: Quarter(0),
            utc_offset_seconds: 0,
        };
        let counts = (0..).zip(series).map(|(at, one)| (at, one.5)).collect();
        let periods = vec![PeriodTotals { label, counts, corrections: Vec::new() }];
        Totals { groups: series.iter().map(group).collect(), periods, ..Totals::default() }
    }

    fn ask(query: &str) -> Ask {
        Ask::read(Some(query), "2026-11-27T20:20:00Z".parse().expect("a time")).expect("a question")
    }

    const SERIES: &[Counted] = &[
        ("shop", "/a", 200, 2, "acme", 100),
        ("shop", "/a", 500, 5, "acme", 3),
        ("shop", "/b", 200, 2, "", 40),
        ("search", "/b", 200, 2, "acme", 7),
    ];

    /// What was chosen of one kind leaves the others of this kind to choose, and filters all else.
    #[test]
    fn each_ranking_ignores_what_was_chosen_of_it() {
        let totals = totals(SERIES);
        let ask = ask("service=shop&status=2xx");
        let sums = Sums::of(&ask, &totals);
        assert_eq!(sums.total, 140);
        assert_eq!(
            ranking::<_, Box<str>>(sums.services),
            [("shop".into(), 140), ("search".into(), 7)]
        );
        assert_eq!(sums.classes, [0, 0, 140, 0, 0, 3]);
        assert_eq!(ranking::<_, Box<str>>(sums.customers), [("acme".into(), 100), ("".into(), 40)]);
    }

    #[test]
    fn endpoints_are_ranked_with_those_that_are_gone() {
        let now = totals(SERIES);
        let before = totals(&[("", "/a", 0, 0, "", 50), ("", "/gone", 0, 0, "", 9)]);
        let paths = |query: &str| {
            let ask = ask(query);
            let all = endpoints(&ask, &Sums::of(&ask, &now), &before);
            let said = |one: Endpoint| (one.group.path.to_string(), one.count, one.before);
            all.into_iter().map(said).collect::<Vec<_>>()
        };
        let [a, b, gone] = [("/a", 103, 50), ("/b", 47, 0), ("/gone", 0, 9)]
            .map(|(path, now, before)| (path.to_owned(), now, before));
        assert_eq!(paths(""), [a.clone(), b.clone(), gone.clone()]);
        assert_eq!(paths("sort=name"), [a.clone(), b.clone(), gone.clone()]);
        assert_eq!(paths("sort=change"), [a.clone(), b, gone]);
        assert_eq!(paths("sort=errors")[0], a);
    }
}
