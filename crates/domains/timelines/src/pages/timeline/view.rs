//! What the page of a timeline shows.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tally_runtime::Namespace;
use tally_serve::pages::{Link, plain};

use super::asked::Asked;
use super::rows::{Line, Lines, lines};
use crate::chart::Row;
use crate::chart::lanes::{Lane, by_host};
use crate::chart::svg::Scale;
use crate::error::Error;
use crate::message::NEWEST;
use crate::model::{Context, Event, Timeline};
use crate::service::{Service, Shown};
use crate::typical::LAST_MAX;

/// What the page shows.
pub(in crate::pages) struct View {
    pub(super) context: Context,
    /// What the address calls it: `newest` stays the newest one.
    pub(super) which: String,
    pub(super) asked: Asked,
    pub(in crate::pages) shown: Shown,
    pub(super) lanes: Vec<Lane>,
    pub(super) other: Option<Other>,
    /// Those before it, the last one first.
    pub(super) earlier: Vec<Timeline>,
    /// From when to when it is drawn.
    pub(super) window: (Timestamp, Timestamp),
}

/// Another timeline, beside which it is drawn.
pub(super) struct Other {
    pub(super) shown: Shown,
    /// Its rows of events and of names, by what tells them apart; and of a name in their order.
    exact: HashMap<Mark, usize>,
    by_name: HashMap<(String, usize), usize>,
}

/// What tells a row apart: its name, and of an event its host, span and attempt.
type Mark = (String, Option<(String, String, i64)>);

// === impl View ===

impl View {
    pub(in crate::pages) async fn read(
        service: &Service,
        namespace: Namespace,
        (context, which): (&str, &str),
        asked: Asked,
    ) -> Result<Self, Error> {
        let context = service.context(namespace, context).await?;
        let shown = service.show(&context, which).await?;
        let other = match &asked.with {
            Some(with) => Some(Other::new(service.show(&context, with).await?)),
            None => None,
        };
        let earlier = service.timelines(&context, shown.timeline.number, LAST_MAX).await?;
        let lanes = match asked.is_by_host {
            true => by_host(&shown.chart, &shown.events, shown.now),
            false => vec![Lane { host: None, rows: shown.chart.rows.clone() }],
        };
        let which =
            if which == NEWEST { NEWEST.to_owned() } else { shown.timeline.number.to_string() };
        let window = window(&asked, &shown, other.as_ref());
        Ok(Self { context, which, asked, shown, lanes, other, earlier, window })
    }

    pub(in crate::pages) fn title(&self) -> String {
        let Timeline { number, .. } = self.shown.timeline;
        format!("{} {number}: {}", plain(&self.context.name), self.shown.timeline.standing())
    }

    pub(super) fn lines(&self) -> Lines<'_> {
        lines(&self.lanes, &self.shown.events, &self.asked, self.window)
    }

    pub(super) fn event(&self, row: &Row) -> Option<&Event> {
        row.event.and_then(|at| self.shown.events.get(at))
    }

    pub(super) fn scale(&self) -> Scale {
        let (from, until) = self.window;
        Scale { origin: self.shown.chart.from, from, until }
    }

    /// The same time since the beginning, of the other one.
    pub(super) fn scale_of(&self, other: &Other) -> Scale {
        let scale = self.scale();
        let origin = other.shown.chart.from;
        let at = |time: Timestamp| origin.saturating_add(time.duration_since(scale.origin));
        let end = Timestamp::MAX;
        Scale { origin, from: at(scale.from).unwrap_or(end), until: at(scale.until).unwrap_or(end) }
    }

    /// How long a time is after the beginning.
    pub(super) fn since(&self, time: Timestamp) -> SignedDuration {
        time.duration_since(self.shown.chart.from)
    }

    /// The address of the same, changed.
    pub(super) fn but(&self, change: impl FnOnce(&mut Asked)) -> Link {
        self.asked.but(&self.context.name, &self.which, change)
    }

    /// The address of another part of the time: from there, and how long, as parts of what is shown.
    pub(super) fn moved(&self, by: f64, times: f64) -> Link {
        let (from, until) = self.window;
        let (from, length) = (self.since(from), until.duration_since(from));
        let to_ends = |asked: &mut Asked, from: SignedDuration, length: SignedDuration| {
            let from = from.max(SignedDuration::ZERO);
            // An address is short.
            let round = |of: SignedDuration| match length.as_secs() {
                10.. => {
                    SignedDuration::from_millis(i64::try_from(of.as_millis()).unwrap_or(i64::MAX))
                }
                _ => of,
            };
            (asked.from, asked.to) =
                (Some(round(from)).filter(|from| !from.is_zero()), Some(round(from + length)));
        };
        let longer = scaled(length, times).max(SignedDuration::from_nanos(10));
        let whole = self.whole();
        self.but(|asked| match longer >= whole && times > 1.0 {
            true => (asked.from, asked.to) = (None, None),
            false => {
                let middle = from + scaled(length, by + 0.5);
                to_ends(asked, middle - scaled(longer, 0.5), longer);
            }
        })
    }

    /// How long it lasts, or the other one if that lasts longer.
    pub(super) fn whole(&self) -> SignedDuration {
        whole(&self.shown, self.other.as_ref())
    }

    pub(super) fn is_zoomed(&self) -> bool {
        self.asked.from.is_some() || self.asked.to.is_some()
    }
}

fn scaled(length: SignedDuration, times: f64) -> SignedDuration {
    let nanos = length.as_nanos() as f64 * times;
    SignedDuration::from_nanos_i128(nanos as i128)
}

fn whole(shown: &Shown, other: Option<&Other>) -> SignedDuration {
    let of = |shown: &Shown| shown.chart.until.duration_since(shown.chart.from);
    other.map_or(SignedDuration::ZERO, |other| of(&other.shown)).max(of(shown))
}

fn window(asked: &Asked, shown: &Shown, other: Option<&Other>) -> (Timestamp, Timestamp) {
    let origin = shown.chart.from;
    let at = |since: SignedDuration| origin.saturating_add(since).unwrap_or(Timestamp::MAX);
    let from = at(asked.from.unwrap_or_default());
    let until = at(asked.to.unwrap_or_else(|| whole(shown, other)));
    (from, until.max(from))
}

// === impl Other ===

impl Other {
    fn new(shown: Shown) -> Self {
        let (mut exact, mut by_name) = (HashMap::new(), HashMap::new());
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (at, row) in shown.chart.rows.iter().enumerate() {
            exact.insert(mark(row, &shown.events), at);
            if row.event.is_some() {
                let count = seen.entry(&row.name).or_default();
                by_name.insert((row.name.clone(), *count), at);
                *count += 1;
            }
        }
        Self { shown, exact, by_name }
    }

    /// Its row that is the same as each of these: by name, host and attempt, or else the next one of the name.
    pub(super) fn rows(&self, lines: &[Line<'_>], events: &[Event]) -> Vec<Option<&Row>> {
        let mut used = vec![false; self.shown.chart.rows.len()];
        let mut found: Vec<Option<usize>> = lines
            .iter()
            .map(|line| {
                let at =
                    (!line.is_host).then(|| self.exact.get(&mark(&line.row, events))).flatten();
                at.inspect(|at| used[**at] = true).copied()
            })
            .collect();
        for (line, found) in lines.iter().zip(&mut found) {
            if found.is_none() && line.row.event.is_some() {
                let all = (0..).map_while(|n| self.by_name.get(&(line.row.name.clone(), n)));
                *found = all.copied().find(|at| !used[*at]).inspect(|at| used[*at] = true);
            }
        }
        found.into_iter().map(|at| Some(&self.shown.chart.rows[at?])).collect()
    }
}

fn mark(row: &Row, events: &[Event]) -> Mark {
    let event = row.event.and_then(|at| events.get(at));
    let key = |event: &Event| (event.key.host.clone(), event.key.span.clone(), event.rank);
    (row.name.clone(), event.map(key))
}
