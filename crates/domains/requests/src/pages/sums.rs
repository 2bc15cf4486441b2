//! One answer added up in several ways, and the endpoints in order.

use hashbrown::HashMap;

use super::ask::{Ask, Order};
use crate::totals::{Group, Totals};

/// The classes of statuses, and 0 for none.
pub(super) const CLASSES: usize = 6;
/// The class of a failure of the service.
const SERVER_ERROR: usize = 5;
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

/// Sums of one answer. Each ignores what was chosen of its own kind, so that there is something else to choose.
#[derive(Default)]
pub(super) struct Sums<'a> {
    pub(super) total: i64,
    pub(super) classes: [i64; CLASSES],
    pub(super) statuses: HashMap<(u16, u8), i64>,
    pub(super) services: HashMap<&'a str, i64>,
    pub(super) customers: HashMap<&'a str, i64>,
    /// Count and server errors.
    endpoints: HashMap<(&'a str, &'a str), (i64, i64)>,
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether one of a hundred or more was a server error.
    pub(super) fn has_many_errors(&self) -> bool {
        self.server_errors > 0 && self.server_errors.saturating_mul(100) >= self.count
    }
}

// === impl Sums ===

impl<'a> Sums<'a> {
    pub(super) fn of(ask: &Ask, totals: &'a Totals) -> Self {
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

pub(super) fn ranking<T: Into<U>, U: Ord>(counts: HashMap<T, i64>) -> Ranking<U> {
    let counts = counts.into_iter().filter(|(_, count)| *count != 0);
    let mut ranking: Vec<_> = counts.map(|(one, count)| (one.into(), count)).collect();
    ranking.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ranking
}

/// All endpoints of the range or the one before, in order.
pub(super) fn endpoints(ask: &Ask, sums: &Sums<'_>, before: &Totals) -> Vec<Endpoint> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Quarter;
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
