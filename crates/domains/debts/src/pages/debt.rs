//! One debt: how it stands, its runs, its payments, its alarms, and how to pay it.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use tally_outbox::State as Told;
use tally_runtime::durations;
use tally_runtime::text::age;
use tally_serve::pages::{Frame, moment, moment_text, name, relative, thousands};

use super::parts::{badge, lasted, schedule};
use super::{BOARD, path_of, runs, snippets};
use crate::error::Error;
use crate::http::kind;
use crate::model::{Debt, KeptRun, Named, ShownPayment, stage_of};
use crate::service::{Service, Shown, ToldFlip};
use crate::state::{Standing, Status};

/// How many runs, payments and flips the page has.
const RUNS_MAX: u32 = 50;
const PAYMENTS_MAX: u32 = 15;
const FLIPS_MAX: u32 = 10;
/// How much it has of what came with a payment.
const BODY_LINES_MAX: usize = 20;

/// What the page shows.
pub(super) struct View {
    pub(super) now: Timestamp,
    debt: Debt,
    next: Vec<Timestamp>,
    /// Where its badge is on this server.
    badge: String,
    runs: Vec<KeptRun>,
    payments: Vec<ShownPayment>,
    flips: Vec<ToldFlip>,
}

// === impl View ===

impl View {
    pub(super) async fn read(service: &Service, named: &Named) -> Result<Self, Error> {
        let now = service.now();
        let Shown { debt, next, badge, .. } = service.show(named).await?;
        let runs = service.runs(&debt, i64::MAX, false, RUNS_MAX).await?;
        let payments = service.payments(&debt, i64::MAX, PAYMENTS_MAX).await?;
        let flips = service.told_flips(&debt, i64::MAX, FLIPS_MAX).await?;
        Ok(Self { now, debt, next, badge, runs, payments, flips })
    }

    pub(super) fn title(&self) -> String {
        let is_down = self.debt.state.status == Status::Down;
        let text = tally_serve::pages::plain(self.debt.definition.title());
        if is_down { format!("{text} is down") } else { text }
    }

    /// Where the API has a list of this debt as CSV.
    fn csv(&self, list: &str) -> String {
        format!("/api/v1/debts/{}/{list}?format=csv&limit=1000", self.debt.definition.slug)
    }
}

/// For how long a debt has stood as it does.
pub(super) fn since(debt: &Debt, now: Timestamp) -> Markup {
    let state = &debt.state;
    html! {
        @match (state.standing(now), state.due) {
            (Standing::Late, Some(due)) => { "due " (relative(due, now)) },
            _ => {
                "for "
                time datetime=(state.since.to_string()) title=(moment_text(state.since, None)) {
                    (age(now.as_second() - state.since.as_second()))
                }
            },
        }
    }
}

pub(super) fn page(view: &View, frame: &Frame) -> Markup {
    let (debt, now) = (&view.debt, view.now);
    let definition = &debt.definition;
    html! {
        p.trail { a href=(BOARD) { "Debts" } " / " code { (definition.slug) } }
        header.heading {
            h1 { (name(definition.title(), true)) }
            (actions(debt, frame.may_change()))
        }
        p #standing.standing { (badge(debt.state.standing(now))) " " (since(debt, now)) (why(view)) }
        @if !definition.description.is_empty() {
            div.lead { @for line in definition.description.lines() { p { (name(line, true)) } } }
        }
        div.columns {
            div.main-column {
                (runs::section(&view.runs, &view.csv("runs"), now))
                (payments(view))
                (alarms(view))
            }
            div.side { (terms(view)) (slots(view)) }
        }
        (snippets::section(debt, &view.badge, frame))
    }
}

/// The reason of the alarm, while there is one.
fn why(view: &View) -> Markup {
    let is_down = view.debt.state.status == Status::Down;
    html! {
        @if let Some(flip) = view.flips.first().map(|told| &told.flip).filter(|flip| is_down && flip.is_alarm()) {
            ": " (name(&flip.cause, false))
        }
    }
}

fn actions(debt: &Debt, may_change: bool) -> Markup {
    let path = path_of(&debt.definition.slug);
    let (does, word) = match debt.state.status {
        Status::Paused => ("resume", "Resume"),
        _ => ("pause", "Pause"),
    };
    html! {
        @if may_change {
            div.actions {
                form method="post" action={ (path) "/" (does) } { button.second type="submit" { (word) } }
                a.button.second href={ (path) "/edit" } { "Change" }
                a.button.second href={ (path) "/forget" } { "Forget" }
            }
        }
    }
}

fn terms(view: &View) -> Markup {
    let (debt, now) = (&view.debt, view.now);
    let (state, terms) = (&debt.state, &debt.definition.terms);
    let some = |what: &'static str, span: Option<Duration>| {
        span.filter(|span| !span.is_zero()).map(|span| (what, durations::shown(span)))
    };
    let limits = [
        some("Grace", Some(terms.grace)),
        some("Start limit", terms.start_limit),
        some("Run limit", terms.run_limit),
        some("Heartbeat limit", terms.heartbeat_limit),
        some("Shortest run", terms.run_min),
        some("Early window", Some(terms.early_window)),
        terms.rate_max.map(|rate| {
            ("At most", format!("{} payments in {}", rate.payments, durations::shown(rate.period)))
        }),
        (terms.failures_to_alarm > 1)
            .then(|| ("Alarm", format!("after {} failures in a row", terms.failures_to_alarm))),
        (terms.successes_to_recover > 1).then(|| {
            ("Recovery", format!("after {} successes in a row", terms.successes_to_recover))
        }),
    ];
    html! {
        section aria-labelledby="terms" {
            header { h2 #terms { "Terms" } }
            dl.facts {
                div { dt { "Due" } dd { (schedule(&terms.schedule)) } }
                @for (what, text) in limits.into_iter().flatten() { div { dt { (what) } dd { (text) } } }
                @for stage in &terms.stages {
                    div { dt { "Stage " (name(&stage.name, false)) } dd { "within " (durations::shown(stage.time_out)) } }
                }
                @if let Some(deadline) = state.deadline {
                    div { dt { "Overdue" } dd { (relative(deadline, now)) } }
                }
                @if state.failures > 0 { div { dt { "Failures in a row" } dd { (state.failures) } } }
                @if debt.open_runs > 0 { div { dt { "Open runs" } dd { (debt.open_runs) } } }
                div { dt { "Last payment" } dd { @match state.last_payment {
                    Some(at) => (relative(at, now)),
                    None => "never",
                } } }
                div { dt { "Added" } dd { (moment(debt.created, None)) " as number " (debt.number) } }
                @if !debt.definition.tags.is_empty() {
                    div { dt { "Tags" } dd { @for tag in &debt.definition.tags { span.tag { (name(tag, false)) } " " } } }
                }
                div { dt { "Tells" } dd { @match &*debt.definition.shown_notify() {
                    [] => span.muted { "nobody" },
                    urls => { @for url in urls { p { (name(url, false)) } } },
                } } }
                @if let Some(series) = &debt.definition.count_as {
                    div { dt { "Counts as" } dd {
                        (name(&series.written(), false))
                        @if let Some(service) = series.written_service() { " of " (name(&service, false)) }
                    } }
                }
            }
        }
    }
}

fn slots(view: &View) -> Markup {
    let zone = view.debt.definition.terms.schedule.zone();
    html! {
        section aria-labelledby="slots" {
            header { h2 #slots { "Next" } }
            @if view.next.is_empty() {
                p.muted { @match view.debt.state.status {
                    Status::Paused => "Nothing is due until it is resumed.",
                    _ => "Nothing is due: it has no schedule, or its deadline is over.",
                } }
            } @else {
                ol.slots { @for at in &view.next { li { (moment(*at, zone)) } } }
                @if zone.is_none() && view.next.len() > 1 { p.muted { "if each payment comes when it is due" } }
            }
        }
    }
}

fn payments(view: &View) -> Markup {
    html! {
        section aria-labelledby="payments" {
            header { h2 #payments { "Payments" } @if !view.payments.is_empty() { a.csv href=(view.csv("payments")) download { "CSV" span.visually-hidden { " of payments" } } } }
            @if view.payments.is_empty() {
                p.notice { "Nobody has paid yet. The lines below are to be copied." }
            } @else {
                ol.events { @for payment in &view.payments { li { (payment_line(payment)) } } }
                @if view.debt.payments > view.payments.len() as i64 {
                    p.muted { "The latest " (view.payments.len()) " of " (view.debt.payments) "; more of them are in the CSV" }
                }
            }
        }
    }
}

fn payment_line(payment: &ShownPayment) -> Markup {
    let noted = &payment.noted;
    let notes = [
        (noted.early, "early"),
        (noted.over_rate, "beyond the rate"),
        (noted.too_short, "too short"),
        (noted.moot, "changed nothing"),
    ];
    html! {
        p {
            strong { (kind(&payment.kind)) }
            @if !stage_of(&payment.kind).is_empty() { " " (name(stage_of(&payment.kind), false)) }
            @if let Some(status) = payment.exit_status { ", exit status " (status) }
            @if let Some(took) = noted.took { ", after " (lasted(took)) }
            @for (_, note) in notes.iter().filter(|(is_noted, _)| *is_noted) { " " span.tag { (note) } }
        }
        p.when { (moment(payment.said.unwrap_or(payment.received), None)) }
        p.muted {
            "number " (payment.number) ", by " (name(&payment.source, false))
            @if !payment.key_name.is_empty() { " with the key " (name(&payment.key_name, false)) }
            @if let Some(run) = &payment.run { ", run " (name(run, false)) }
            @if let Some(slot) = noted.slot { ", for " (moment(slot, None)) }
        }
        @if !payment.body.is_empty() { (body(payment)) }
    }
}

/// The last lines of what came with a payment.
fn body(payment: &ShownPayment) -> Markup {
    let text = String::from_utf8_lossy(&payment.body);
    let lines: Vec<_> = text.lines().collect();
    let left_out = lines.len().saturating_sub(BODY_LINES_MAX);
    html! {
        details {
            summary { (thousands(payment.body_bytes)) @if payment.body_bytes == 1 { " byte" } @else { " bytes" } " of text" }
            pre tabindex="0" {
                @if left_out > 0 { span.muted { "… " (left_out) " lines before" } "\n" }
                @for line in &lines[left_out..] { (name(line, false)) "\n" }
            }
        }
    }
}

fn alarms(view: &View) -> Markup {
    html! {
        section aria-labelledby="alarms" {
            header { h2 #alarms { "Alarms" } @if !view.flips.is_empty() { a.csv href=(view.csv("flips")) download { "CSV" span.visually-hidden { " of alarms" } } } }
            @if view.flips.is_empty() {
                p.notice { "There was none." }
            } @else {
                ol.events { @for told in &view.flips { li { (alarm(told)) } } }
            }
        }
    }
}

fn alarm(told: &ToldFlip) -> Markup {
    let flip = &told.flip;
    html! {
        p {
            strong.errors[flip.is_alarm()] { @if flip.is_alarm() { "Down" } @else { "Recovered" } }
            ": " (name(&flip.cause, false))
        }
        p.when { (moment(flip.at, None)) }
        @if told.deliveries.is_empty() { p.muted { "Nobody was told, or that is long ago" } }
        @for event in &told.deliveries {
            p.muted {
                (name(&event.receiver, false)) " "
                @match event.state {
                    Told::Delivered { at } => { "was told at " (moment(at, None)) },
                    Told::Waiting => { "is to be told after what was before" },
                    Told::Pending { due } => { "is to be told at " (moment(due, None)) },
                    Told::Dead { at } => span.errors { "was not told: given up at " (moment(at, None)) },
                }
                @if event.attempts > 1 { ", at attempt " (event.attempts) }
                @if !event.answer.is_empty() { ": " (name(&event.answer, false)) }
            }
        }
    }
}
