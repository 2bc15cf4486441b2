//! Debts, payments, runs and flips as tables and lists.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use tally_proto::tally::debts::v1 as proto;

use super::words::{kind, limits, schedule, slug, standing};
use crate::output::table::Align;
use crate::output::times::{minute, time};
use crate::output::{self, Cell, OutputFormat, plural, visible};

/// How many flips and payments a debt shows.
pub(super) const SHOWN_MAX: u32 = 10;

/// What a debt may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Status {
    New,
    Up,
    Down,
    Paused,
    /// New or up otherwise; what is due has not come, but is not overdue yet
    Late,
}

/// What a payment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PaymentKind {
    /// It is done
    Success,
    /// It could not be done
    Fail,
    /// A run begins
    Start,
    /// A run goes on
    Heartbeat,
    /// A note
    Log,
}

// === impl Status ===

impl Status {
    pub(super) fn number(self) -> i32 {
        let status = match self {
            Self::New => proto::Status::New,
            Self::Up => proto::Status::Up,
            Self::Down => proto::Status::Down,
            Self::Paused => proto::Status::Paused,
            Self::Late => proto::Status::Late,
        };
        status.into()
    }
}

// === impl PaymentKind ===

impl PaymentKind {
    /// As the server knows it: an exit status says whether a success is one.
    pub(super) fn of(self, exit_status: Option<u8>) -> proto::PaymentKind {
        match self {
            Self::Success if exit_status.is_some() => proto::PaymentKind::Unspecified,
            Self::Success => proto::PaymentKind::Success,
            Self::Fail => proto::PaymentKind::Fail,
            Self::Start => proto::PaymentKind::Start,
            Self::Heartbeat => proto::PaymentKind::Heartbeat,
            Self::Log => proto::PaymentKind::Log,
        }
    }
}

/// Writes a list of debts.
pub(super) fn list(
    out: &mut impl Write,
    format: OutputFormat,
    debts: &[proto::Debt],
) -> io::Result<()> {
    let is_table = format == OutputFormat::Table;
    let columns = [
        ("slug", Align::Shorten),
        ("status", Align::Left),
        (if is_table { "due" } else { "due_at" }, Align::Left),
        (if is_table { "paid" } else { "paid_at" }, Align::Left),
        ("schedule", Align::Shorten),
        ("payments", Align::Right),
        ("name", Align::Shorten),
        ("tags", Align::Shorten),
    ];
    let when = |at: Option<prost_types::Timestamp>| match at {
        Some(_) => text(if is_table { minute(at) } else { time(at) }),
        None => Cell::Unknown,
    };
    let rows = debts.iter().map(|debt| {
        let definition = debt.definition.as_ref();
        let name = definition.map(|one| one.name.clone()).filter(|name| !name.is_empty());
        let tags = definition.map(|one| one.tags.join(" ")).filter(|tags| !tags.is_empty());
        [
            text(slug(debt).to_owned()),
            text(standing(debt.status()).to_owned()),
            when(debt.due_at),
            when(debt.paid_at),
            text(definition.map(schedule).unwrap_or_default()),
            Cell::Number(debt.payments.into()),
            name.map_or(Cell::Unknown, text),
            tags.map_or(Cell::Unknown, text),
        ]
    });
    if !is_table {
        return output::print(out, format, columns, rows);
    }
    // What only some have is on a line below.
    let [columns @ .., _, _] = columns;
    let rows = rows.map(|[cells @ .., _, _]| cells);
    let note = |debt: &proto::Debt| {
        let definition = debt.definition.clone().unwrap_or_default();
        let tags = definition.tags.iter().map(|tag| format!("#{tag}"));
        let name = Some(definition.name).filter(|name| !name.is_empty());
        name.into_iter().chain(tags).collect::<Vec<_>>().join(" ")
    };
    output::print_noted(out, columns, rows, debts.iter().map(note))
}

/// How many debts are shown, and how many there are of each status.
pub(super) fn counted(shown: usize, counts: &[i64]) -> String {
    let names = ["new", "up", "down", "paused", "late"];
    let all: i64 = counts.iter().sum();
    let of_status = |(name, count): (&&str, &i64)| (*count > 0).then(|| format!("{count} {name}"));
    let parts: Vec<_> = names.iter().zip(counts).filter_map(of_status).collect();
    let all_text = plural(all, "debt");
    if i64::try_from(shown) == Ok(all) {
        return format!("{all_text}: {}", parts.join(", "));
    }
    format!("{shown} of {all_text}: {}", parts.join(", "))
}

/// Writes a debt, its runs, alarms and payments.
pub(super) fn show(
    out: &mut impl Write,
    shown: &proto::ShowDebtResponse,
    flips: &[proto::Flip],
    payments: &[proto::Payment],
) -> io::Result<()> {
    let debt = shown.debt.clone().unwrap_or_default();
    let definition = debt.definition.clone().unwrap_or_default();
    let status = format!("{} since {}", standing(debt.status()), time(debt.since));
    let next: Vec<_> = shown.next.iter().map(|at| time(Some(*at))).collect();
    let notify = definition.notify.join(" ");
    let counts = match &*definition.count_service {
        "" => definition.count_as.clone(),
        service => format!("{} of {service}", definition.count_as),
    };
    let lines = [
        ("slug", definition.slug.clone()),
        ("name", definition.name.clone()),
        ("number", debt.number.to_string()),
        ("id", debt.id.clone()),
        ("status", status),
        ("schedule", schedule(&definition)),
        ("limits", limits(&definition)),
        ("next", next.join(" ")),
        ("overdue at", time(debt.overdue_at)),
        ("paid", time(debt.paid_at)),
        ("payments", debt.payments.to_string()),
        ("failures", if debt.failures > 0 { debt.failures.to_string() } else { String::new() }),
        ("tags", definition.tags.join(" ")),
        ("about", definition.description.clone()),
        ("notify", if notify.is_empty() { "nobody".to_owned() } else { notify }),
        ("counts as", counts),
        ("ping id", debt.ping_id.clone()),
        ("badge", shown.badge.clone()),
        ("added", time(debt.created_at)),
    ];
    for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "{name:<11} {}", visible(text))?;
    }
    if !shown.runs.is_empty() {
        open_runs(out, &shown.runs)?;
    }
    if !flips.is_empty() {
        alarms(out, flips)?;
    }
    if !payments.is_empty() {
        latest(out, payments)?;
    }
    out.flush()
}

fn text<'a>(text: String) -> Cell<'a> {
    Cell::Text(Cow::Owned(text))
}

fn open_runs(out: &mut impl Write, runs: &[proto::Run]) -> io::Result<()> {
    writeln!(out, "\nopen runs")?;
    let columns = [
        ("run", Align::Shorten),
        ("started", Align::Left),
        ("heard", Align::Left),
        ("stages", Align::Left),
        ("overdue at", Align::Left),
    ];
    let rows = runs.iter().map(|run| {
        let name = if run.run.is_empty() { "-".to_owned() } else { run.run.clone() };
        [
            text(name),
            text(time(run.started_at)),
            text(time(run.heard_at)),
            text(run.stages.join(" ")),
            text(time(run.overdue_at)),
        ]
    });
    output::print(out, OutputFormat::Table, columns, rows)
}

fn alarms(out: &mut impl Write, flips: &[proto::Flip]) -> io::Result<()> {
    writeln!(out, "\nalarms")?;
    let columns = [("at", Align::Left), ("what", Align::Left), ("why", Align::Shorten)];
    let rows = flips.iter().map(|flip| {
        let what = if flip.is_alarm { "alarm" } else { "recovered" };
        [text(time(flip.at)), text(what.to_owned()), text(flip.cause.clone())]
    });
    output::print(out, OutputFormat::Table, columns, rows)?;
    if flips.iter().any(|flip| !flip.deliveries.is_empty()) {
        deliveries(out, flips)?;
    }
    Ok(())
}

/// Writes who was told of alarms and recoveries, when, and why not yet.
fn deliveries(out: &mut impl Write, flips: &[proto::Flip]) -> io::Result<()> {
    writeln!(out, "\ntold")?;
    let columns = [
        ("of", Align::Left),
        ("state", Align::Left),
        ("when", Align::Left),
        ("attempts", Align::Right),
    ];
    let all = flips.iter().flat_map(|flip| flip.deliveries.iter().map(move |one| (flip, one)));
    let rows = all.clone().map(|(flip, one)| {
        let (state, when) = match (one.delivered_at, one.dead_at) {
            (Some(at), _) => ("delivered", Some(at)),
            (None, Some(at)) => ("given up", Some(at)),
            // What was before has to arrive first.
            (None, None) if one.is_waiting => ("waiting", None),
            (None, None) => ("due", one.due_at),
        };
        [
            text(time(flip.at)),
            text(state.to_owned()),
            when.map_or(Cell::Unknown, |when| text(time(Some(when)))),
            Cell::Number(one.attempts.into()),
        ]
    });
    // An address and an answer have a line of their own: the ends of either say too little.
    let note = |(_, one): (&proto::Flip, &proto::Delivery)| match &*one.answer {
        "" => one.receiver.clone(),
        answer => format!("{}: {answer}", one.receiver),
    };
    output::print_noted(out, columns, rows, all.map(note))
}

fn latest(out: &mut impl Write, payments: &[proto::Payment]) -> io::Result<()> {
    writeln!(out, "\npayments")?;
    let columns = [
        ("number", Align::Right),
        ("received", Align::Left),
        ("kind", Align::Left),
        ("took", Align::Right),
        ("run", Align::Shorten),
        ("message", Align::Shorten),
    ];
    let rows = payments.iter().map(|payment| {
        let took = payment.took.map(|took| Duration::try_from(took).unwrap_or_default());
        let body = String::from_utf8_lossy(&payment.body);
        let line = body.lines().next_back().unwrap_or_default().to_owned();
        [
            Cell::Number(payment.number.into()),
            text(time(payment.received_at)),
            text(kind(payment)),
            took.map_or(Cell::Unknown, |took| text(format!("{:.1} s", took.as_secs_f64()))),
            text(payment.run.clone()),
            text(line),
        ]
    });
    output::print(out, OutputFormat::Table, columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, tags, a receiver and an answer are told in full, whatever else there is.
    #[test]
    fn what_may_be_long_has_a_line_of_its_own() {
        let definition = proto::Definition {
            slug: "nightly".to_owned(),
            name: "Every night".to_owned(),
            tags: vec!["db".to_owned()],
            ..Default::default()
        };
        let debts = [proto::Debt { definition: Some(definition), ..Default::default() }];
        let told = ["250 2.0.0 queued as 4711", ""].map(|answer| proto::Delivery {
            receiver: "mailto:ops@example.com".to_owned(),
            answer: answer.to_owned(),
            ..Default::default()
        });
        let flips = [proto::Flip { deliveries: told.to_vec(), ..Default::default() }];
        let mut out = Vec::new();
        list(&mut out, OutputFormat::Table, &debts).expect("written");
        deliveries(&mut out, &flips).expect("written");
        let text = String::from_utf8(out).expect("text");
        let notes: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let receiver = "mailto:ops@example.com";
        let answered = format!("{receiver}: 250 2.0.0 queued as 4711");
        assert_eq!(notes, ["Every night #db", &answered, receiver], "{text}");
    }
}
