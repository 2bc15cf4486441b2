//! From messages to what they say, and back.

use std::time::Duration;

use jiff::Timestamp;
use tally_access::{Caller, Scope};
use tally_outbox::{Delivery, State as Told};
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::definition::Schedule as ScheduleProto;
use tally_proto::wire;
use tally_runtime::{Namespace, durations};

use crate::counted::Series;
use crate::definition::{Definition, Written, WrittenStage};
use crate::error::Error;
use crate::model::{Debt, KeptRun, ShownPayment, stage_of};
use crate::schedule::{Schedule, storable};
use crate::service::ToldFlip;
use crate::state::{Kind, Outcome, Standing};
use crate::store::{Listing, read_cursor};

/// How many items a list has, unless it is told otherwise, and at most.
const DEBTS_USUAL: u32 = 1_000;
const DEBTS_MAX: u32 = 1_000;
const ITEMS_USUAL: u32 = 100;
const ITEMS_MAX: u32 = 1_000;

/// A definition as it is written.
pub(super) fn written(definition: proto::Definition) -> Result<Written, Error> {
    let mut wrong = Vec::new();
    let mut span = |field: &str, duration: Option<prost_types::Duration>| -> Option<String> {
        match duration.map(read_duration)? {
            Ok(duration) if duration.subsec_nanos() == 0 => Some(durations::shown(duration)),
            Ok(_) => {
                wrong.push((field.to_owned(), "it has parts of a second".to_owned()));
                None
            }
            Err(why) => {
                wrong.push((field.to_owned(), why));
                None
            }
        }
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    let mut read = Written {
        time_zone: some(definition.time_zone),
        early_window: span("early_window", definition.early_window),
        start_limit: span("start_limit", definition.start_limit),
        grace: span("grace", definition.grace),
        run_limit: span("run_limit", definition.run_limit),
        run_min: span("run_min", definition.run_min),
        heartbeat_limit: span("heartbeat_limit", definition.heartbeat_limit),
        rate_payments: definition.rate_payments,
        rate_period: span("rate_period", definition.rate_period),
        failures_to_alarm: definition.failures_to_alarm.map(narrow),
        successes_to_recover: definition.successes_to_recover.map(narrow),
        slug: definition.slug,
        name: definition.name,
        tags: definition.tags,
        description: definition.description,
        notify: definition.notify,
        count_as: some(definition.count_as),
        count_service: some(definition.count_service),
        ..Written::default()
    };
    for stage in definition.stages {
        let time_out = span("stages", Some(stage.time_out.unwrap_or_default()));
        let time_out = time_out.unwrap_or_default();
        read.stages.push(WrittenStage { name: stage.name, time_out });
    }
    match definition.schedule {
        Some(ScheduleProto::Every(every)) => read.every = span("every", Some(every)),
        Some(ScheduleProto::Cron(cron)) => read.cron = Some(cron),
        Some(ScheduleProto::Deadline(deadline)) => match read_time(deadline) {
            Ok(deadline) => read.deadline = Some(deadline.to_string()),
            Err(why) => wrong.push(("deadline".to_owned(), why)),
        },
        None => {}
    }
    if wrong.is_empty() { Ok(read) } else { Err(Error::Wrong(wrong)) }
}

/// What is too large stays so.
fn narrow(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

pub(super) fn read_time(time: prost_types::Timestamp) -> Result<Timestamp, String> {
    let micros = wire::micros(time).and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let read = micros.and_then(storable);
    read.ok_or_else(|| "it is not between 0001-01-01T00:00:00Z and 9999-12-30T22:00:00Z".to_owned())
}

pub(super) fn read_duration(duration: prost_types::Duration) -> Result<Duration, String> {
    // The conversion of the library negates what may be the least number that there is.
    let is_forward = duration.seconds >= 0 && (0..1_000_000_000).contains(&duration.nanos);
    Some(duration)
        .filter(|_| is_forward)
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| *duration <= durations::MAX)
        .ok_or_else(|| "it is negative, or more than ten years".to_owned())
}

pub(super) fn read_limit(limit: u32) -> Result<u32, Error> {
    match limit {
        0 => Ok(ITEMS_USUAL),
        1..=ITEMS_MAX => Ok(limit),
        _ => Err(Error::wrong("limit", format!("it is {limit}, and may be 1 to {ITEMS_MAX}"))),
    }
}

pub(super) fn read_before(before: i64) -> i64 {
    if before <= 0 { i64::MAX } else { before }
}

pub(super) fn read_listing(
    namespace: Namespace,
    request: proto::ListDebtsRequest,
) -> Result<Listing, Error> {
    let proto::ListDebtsRequest { statuses, tags, search, limit, after, by_slug, .. } = request;
    let status = |number: i32| match proto::Status::try_from(number) {
        Ok(proto::Status::New) => Ok(Standing::New),
        Ok(proto::Status::Up) => Ok(Standing::Up),
        Ok(proto::Status::Down) => Ok(Standing::Down),
        Ok(proto::Status::Paused) => Ok(Standing::Paused),
        Ok(proto::Status::Late) => Ok(Standing::Late),
        _ => Err(Error::wrong("statuses", format!("{number} is none that a debt can have"))),
    };
    let limit = match limit {
        0 => DEBTS_USUAL,
        1..=DEBTS_MAX => limit,
        _ => {
            let why = format!("it is {limit}, and may be 1 to {DEBTS_MAX}");
            return Err(Error::wrong("limit", why));
        }
    };
    let after = match &*after {
        "" => None,
        after => Some(read_cursor(after).map_err(|why| Error::wrong("after", why))?),
    };
    Ok(Listing {
        namespace,
        standings: statuses.into_iter().map(status).collect::<Result<_, _>>()?,
        tags,
        search: search.to_lowercase(),
        by_slug,
        after,
        limit: limit as usize,
    })
}

pub(super) fn at(time: Timestamp) -> prost_types::Timestamp {
    wire::timestamp(time.as_microsecond())
}

fn lasts(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

fn status(standing: Standing) -> proto::Status {
    match standing {
        Standing::New => proto::Status::New,
        Standing::Up => proto::Status::Up,
        Standing::Down => proto::Status::Down,
        Standing::Paused => proto::Status::Paused,
        Standing::Late => proto::Status::Late,
    }
}

pub(super) fn shown(debt: &Debt, caller: &Caller, now: Timestamp) -> proto::Debt {
    let state = &debt.state;
    // Whoever knows it can pay.
    let may_pay = caller.may(Scope::Ingest);
    proto::Debt {
        definition: Some(definition(&debt.definition)),
        id: debt.id.to_string(),
        number: debt.number,
        ping_id: if may_pay { debt.ping_id.to_string() } else { String::new() },
        created_at: Some(at(debt.created)),
        status: status(state.standing(now)).into(),
        since: Some(at(state.since)),
        payments: debt.payments,
        paid_at: state.last_payment.map(at),
        due_at: state.due.map(at),
        overdue_at: state.deadline.map(at),
        failures: state.failures.into(),
        open_runs: u32::try_from(debt.open_runs).unwrap_or(u32::MAX),
    }
}

fn definition(of: &Definition) -> proto::Definition {
    let terms = &of.terms;
    let (mut time_zone, schedule) = (
        String::new(),
        match &terms.schedule {
            Schedule::Interval(every) => Some(ScheduleProto::Every(lasts(*every))),
            Schedule::Cron(cron) => Some(ScheduleProto::Cron(cron.text().to_owned())),
            Schedule::Deadline(deadline) => Some(ScheduleProto::Deadline(at(*deadline))),
            Schedule::None => None,
        },
    );
    if let Some(zone) = terms.schedule.zone() {
        zone.clone_into(&mut time_zone);
    }
    let unless_none = |duration: Duration| (!duration.is_zero()).then(|| lasts(duration));
    let stage = |stage: &crate::terms::Stage| proto::Stage {
        name: stage.name.clone(),
        time_out: Some(lasts(stage.time_out)),
    };
    proto::Definition {
        slug: of.slug.clone(),
        name: of.name.clone(),
        tags: of.tags.clone(),
        description: of.description.clone(),
        schedule,
        time_zone,
        early_window: unless_none(terms.early_window),
        start_limit: terms.start_limit.map(lasts),
        grace: unless_none(terms.grace),
        run_limit: terms.run_limit.map(lasts),
        run_min: terms.run_min.map(lasts),
        heartbeat_limit: terms.heartbeat_limit.map(lasts),
        rate_payments: terms.rate_max.map(|rate| rate.payments),
        rate_period: terms.rate_max.map(|rate| lasts(rate.period)),
        failures_to_alarm: Some(terms.failures_to_alarm.into()),
        successes_to_recover: Some(terms.successes_to_recover.into()),
        stages: terms.stages.iter().map(stage).collect(),
        notify: of.shown_notify(),
        count_as: of.count_as.as_ref().map(Series::written).unwrap_or_default(),
        count_service: of.count_as.as_ref().and_then(Series::written_service).unwrap_or_default(),
    }
}

pub(super) fn run(kept: KeptRun) -> proto::Run {
    let run = kept.run;
    let outcome = match run.outcome {
        None => proto::RunOutcome::Unspecified,
        Some(Outcome::Succeeded) => proto::RunOutcome::Succeeded,
        Some(Outcome::Failed) => proto::RunOutcome::Failed,
        Some(Outcome::TimedOut) => proto::RunOutcome::TimedOut,
        Some(Outcome::Abandoned) => proto::RunOutcome::Abandoned,
    };
    proto::Run {
        run: run.id.unwrap_or_default(),
        started_at: run.started.map(at),
        heard_at: Some(at(run.heard)),
        stages: run.stages,
        overdue_at: run.deadline.map(at),
        outcome: outcome.into(),
        ended_at: run.ended.map(at),
    }
}

pub(super) fn payment(shown: ShownPayment) -> proto::Payment {
    let kind = match shown.kind {
        Kind::Start => proto::PaymentKind::Start,
        Kind::Stage(_) => proto::PaymentKind::Stage,
        Kind::Heartbeat => proto::PaymentKind::Heartbeat,
        Kind::Success => proto::PaymentKind::Success,
        Kind::Fail => proto::PaymentKind::Fail,
        Kind::Log => proto::PaymentKind::Log,
    };
    let noted = shown.noted;
    proto::Payment {
        number: shown.number,
        kind: kind.into(),
        stage: stage_of(&shown.kind).to_owned(),
        run: shown.run.unwrap_or_default(),
        exit_status: shown.exit_status.map(u32::from),
        received_at: Some(at(shown.received)),
        time: shown.said.map(at),
        took: noted.took.map(lasts),
        body: shown.body,
        body_bytes: shown.body_bytes,
        key: shown.key_name,
        source: shown.source,
        slot: noted.slot.map(at),
        is_early: noted.early,
        is_over_rate: noted.over_rate,
        is_too_short: noted.too_short,
        is_moot: noted.moot,
    }
}

pub(super) fn flip(told: ToldFlip) -> proto::Flip {
    let ToldFlip { flip: kept, deliveries } = told;
    proto::Flip {
        number: kept.number,
        is_alarm: kept.is_alarm(),
        at: Some(at(kept.at)),
        noticed_at: Some(at(kept.noticed)),
        cause: kept.cause,
        deliveries: deliveries.into_iter().map(delivery).collect(),
    }
}

fn delivery(delivery: Delivery) -> proto::Delivery {
    let (mut due_at, mut delivered_at, mut dead_at) = (None, None, None);
    match delivery.state {
        Told::Waiting => {}
        Told::Pending { due } => due_at = Some(at(due)),
        Told::Delivered { at: since } => delivered_at = Some(at(since)),
        Told::Dead { at: since } => dead_at = Some(at(since)),
    }
    proto::Delivery {
        receiver: delivery.receiver,
        event_id: delivery.id.to_string(),
        attempts: u32::try_from(delivery.attempts).unwrap_or(u32::MAX),
        answer: delivery.answer,
        due_at,
        delivered_at,
        dead_at,
        is_waiting: delivery.state == Told::Waiting,
    }
}
