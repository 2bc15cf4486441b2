//! What a page shows. Its counts are from one snapshot, so that they agree; setbacks and how far days are
//! rolled up are read before it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use jiff::Timestamp;
use tally_runtime::Kind;

use super::ask::Ask;
pub(super) use super::sums::{CLASSES, Endpoint, Ranking};
use super::sums::{Sums, endpoints, ranking};
use super::times::Times;
use crate::error::Error;
use crate::missing::Missing;
use crate::model::{Day, Namespace, Quarter};
use crate::periods::Granularity;
use crate::service::Service;
use crate::totals::{Filter, GroupBy, Query, Questions, Totals};

/// How many points a sparkline has.
const POINTS_MAX: usize = 40;

/// What a page shows.
#[derive(Debug)]
pub(super) struct View {
    pub(super) ask: Ask,
    pub(super) times: Times,
    /// When it was read.
    pub(super) as_of: Timestamp,
    ranked: Ranked,
    /// The total of the range before, unless its quarter-hours are gone.
    pub(super) before: Option<i64>,
    pub(super) bars: Vec<Period>,
    pub(super) missing: Missing,
    /// The last day that is rolled up, if one is. It may be a day of another namespace alone, so only pages of
    /// the operator say it.
    pub(super) rolled_up_through: Option<Option<Day>>,
    /// Whether any request was ever counted.
    has_any: bool,
}

/// What the first answers add up to. The questions that they lead to need it as the page does, and it takes a
/// sum over all of them.
#[derive(Debug)]
pub(super) struct Ranked {
    pub(super) total: i64,
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
}

type Shared = Arc<Mutex<Option<Ranked>>>;

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

// === impl Ranked ===

impl Ranked {
    fn of(ask: &Ask, answers: &[Totals]) -> Self {
        let sums = Sums::of(ask, &answers[NOW]);
        let mut endpoints = endpoints(ask, &sums, &answers[BEFORE]);
        let endpoints_all = endpoints.len();
        let endpoints_max = endpoints.iter().map(|one| one.count).max().unwrap_or_default();
        endpoints.truncate(ask.shown);
        Self {
            total: sums.total,
            classes: sums.classes,
            statuses: ranking(sums.statuses),
            services: ranking(sums.services),
            customers: ranking(sums.customers),
            endpoints,
            endpoints_all,
            endpoints_max,
        }
    }
}

// === impl View ===

impl Deref for View {
    type Target = Ranked;

    fn deref(&self) -> &Ranked {
        &self.ranked
    }
}

impl View {
    /// Reads what is asked for of a namespace. The counts, which are large, come last: whoever has them waits
    /// for nothing else, so few have them at the same time, however many ask.
    pub(super) async fn read(
        service: &Service,
        namespace: Namespace,
        mut ask: Ask,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let setbacks = service.setbacks(namespace, ask.times.range.days()).await?;
        let rolled_up_through = match namespace {
            Namespace::DEFAULT => Some(service.rolled_up_through().await?),
            _ => None,
        };
        let (answers, ranked): (_, Shared) = loop {
            let ranked = Arc::default();
            let questions = questions(namespace, &ask, service.totals_max, &ranked);
            match service.answers(questions).await {
                Err(error) if error.kind() == Kind::FailedPrecondition && ask.times.coarsen() => {}
                answers => break (answers?, ranked),
            }
        };
        let has_any = !answers[NOW].periods.is_empty() || service.has_series(namespace);
        let ranked = ranked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ranked = ranked.unwrap_or_else(|| Ranked::of(&ask, &answers));
        let missing = Missing { dropped: answers[NOW].dropped, setbacks };
        let view = Self::of(ask, &answers, ranked, missing, now, has_any)?;
        Ok(Self { rolled_up_through, ..view })
    }

    fn of(
        ask: Ask,
        answers: &[Totals],
        mut ranked: Ranked,
        missing: Missing,
        as_of: Timestamp,
        has_any: bool,
    ) -> Result<Self, Error> {
        let times = ask.times.clone();
        if let Some(points) = answers.get(POINTS) {
            add_points(&mut ranked.endpoints, points, &times)?;
        }
        let bars = bars(&times, &answers[OVER_TIME])?;
        Ok(Self {
            ranked,
            before: times.is_compared.then(|| answers[BEFORE].sum()),
            bars,
            missing,
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

/// All that is read for a page.
fn questions(namespace: Namespace, ask: &Ask, totals_max: usize, ranked: &Shared) -> Questions {
    let (asked, kept) = (ask.clone(), Arc::clone(ranked));
    let then = move |answers: &[Totals]| {
        let ranked = Ranked::of(&asked, answers);
        let queries = points_of(namespace, &asked, &ranked.endpoints, totals_max);
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(ranked);
        queries
    };
    Questions { first: first(namespace, ask, totals_max), then: Arc::new(then) }
}

/// What is asked first: all that the filters of statuses, services and customers choose from, the same of the
/// range before as it is chosen, and the range by period.
fn first(namespace: Namespace, ask: &Ask, totals_max: usize) -> Vec<Query> {
    let query = |range, granularity, filter: Filter, group_by: &[GroupBy]| Query {
        range,
        granularity,
        zone: ask.zone.clone(),
        filter: Filter { namespace, ..filter },
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
fn points_of(namespace: Namespace, ask: &Ask, shown: &[Endpoint], totals_max: usize) -> Vec<Query> {
    if ask.path.is_some() || shown.is_empty() {
        return Vec::new();
    }
    let filter = Filter {
        namespace,
        methods: shown.iter().map(|one| one.group.method.to_string()).collect(),
        paths: shown.iter().map(|one| one.group.path.to_string()).collect(),
        ..ask.filter()
    };
    let [_, _, over_time] = &mut *first(namespace, ask, totals_max) else { return Vec::new() };
    vec![Query { filter, group_by: vec![GroupBy::Method, GroupBy::Path], ..over_time.clone() }]
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
