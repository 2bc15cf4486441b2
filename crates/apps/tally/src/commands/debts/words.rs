//! Debts and payments in a few words.

use std::time::Duration;

use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::definition::Schedule;
use tally_runtime::durations;

use crate::output::times::time;
use crate::output::visible;

pub(super) fn slug(debt: &proto::Debt) -> &str {
    debt.definition.as_ref().map_or("", |definition| &definition.slug)
}

/// A debt in a few words: `backup, up, due 2030-01-31T02:00:00Z`.
pub(super) fn brief(debt: &proto::Debt) -> String {
    let due = match debt.due_at {
        Some(due) => format!("due {}", time(Some(due))),
        None => "nothing due".to_owned(),
    };
    format!("{}, {}, {due}", visible(slug(debt)), standing(debt.status()))
}

/// What became of a payment: `paid: backup, up, due 2030-01-31T02:00:00Z`, and what is odd about it.
pub(super) fn paid(paid: &proto::PayResponse) -> String {
    let done = if paid.is_repeated { "was paid already" } else { "paid" };
    let odd = if paid.is_moot {
        "; it changed nothing: it is a note, or its run has ended, or there is a later payment"
    } else if paid.is_too_short {
        "; it counts as a failure: its run was too short"
    } else if paid.is_over_rate {
        "; it counts as a failure: there are more payments than the rate allows"
    } else {
        ""
    };
    format!("{done}: {}{odd}", brief(&paid.debt.clone().unwrap_or_default()))
}

pub(super) fn kind(payment: &proto::Payment) -> String {
    let kind = match payment.kind() {
        proto::PaymentKind::Start => "start".to_owned(),
        proto::PaymentKind::Stage => format!("stage {}", payment.stage),
        proto::PaymentKind::Heartbeat => "heartbeat".to_owned(),
        proto::PaymentKind::Fail => match payment.exit_status {
            Some(status) => format!("fail ({status})"),
            None => "fail".to_owned(),
        },
        proto::PaymentKind::Log => "log".to_owned(),
        proto::PaymentKind::Success | proto::PaymentKind::Unspecified => "success".to_owned(),
    };
    let marks = [
        (payment.is_early, "early"),
        (payment.is_over_rate, "too often"),
        (payment.is_too_short, "too short"),
        (payment.is_moot && payment.kind() != proto::PaymentKind::Log, "changed nothing"),
    ];
    let marks: Vec<_> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    if marks.is_empty() { kind } else { format!("{kind}, {}", marks.join(", ")) }
}

pub(super) fn standing(status: proto::Status) -> &'static str {
    match status {
        proto::Status::New => "new",
        proto::Status::Up => "up",
        proto::Status::Down => "down",
        proto::Status::Paused => "paused",
        proto::Status::Late => "late",
        proto::Status::Unspecified => "unknown",
    }
}

pub(super) fn schedule(definition: &proto::Definition) -> String {
    match &definition.schedule {
        Some(Schedule::Every(every)) => format!("every {}", span(Some(*every))),
        Some(Schedule::Cron(cron)) => format!("{cron} ({})", definition.time_zone),
        Some(Schedule::Deadline(at)) => format!("by {}", time(Some(*at))),
        None => "none".to_owned(),
    }
}

pub(super) fn limits(definition: &proto::Definition) -> String {
    let of = |name: &str, limit: Option<prost_types::Duration>| {
        limit.map(|limit| format!("{name} {}", span(Some(limit))))
    };
    let rate = definition
        .rate_period
        .zip(definition.rate_payments)
        .map(|(period, most)| format!("at most {most} in {}", span(Some(period))));
    let times = |name: &str, times: Option<u32>| {
        times.filter(|times| *times > 1).map(|times| format!("{name} {times} in a row"))
    };
    let stages = definition.stages.iter();
    let stages =
        stages.map(|stage| Some(format!("{} within {}", stage.name, span(stage.time_out))));
    let limits = [
        of("grace", definition.grace),
        of("early", definition.early_window),
        of("start within", definition.start_limit),
        of("run at most", definition.run_limit),
        of("run at least", definition.run_min),
        of("silent at most", definition.heartbeat_limit),
        rate,
        times("alarm at", definition.failures_to_alarm),
        times("recovered at", definition.successes_to_recover),
    ];
    let limits: Vec<_> = limits.into_iter().chain(stages).flatten().collect();
    limits.join(", ")
}

fn span(span: Option<prost_types::Duration>) -> String {
    let span = span.and_then(|span| Duration::try_from(span).ok());
    span.map(durations::shown).unwrap_or_default()
}
