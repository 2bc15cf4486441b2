//! `DebtService`: between messages and service.

use std::time::Duration;

use jiff::Timestamp;
use tally_access::{Caller, Scope};
use tally_producers::{KEY_BYTES_MAX, stream};
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_server::{DebtService, DebtServiceServer};
use tally_proto::tally::debts::v1::definition::Schedule as ScheduleProto;
use tally_proto::tally::debts::v1::pay_result::Result as PayResult;
use tally_proto::wire;
use tally_runtime::{Namespace, tell};
use tally_serve::Needs;
use tonic::{Request, Response, Status};

use crate::definition::{Definition, Written, WrittenStage};
use crate::durations;
use crate::error::Error;
use crate::http::{RUN_BYTES_MAX, cursor, read_cursor};
use crate::ledger::Done;
use crate::model::{Debt, KeptFlip, KeptRun, Payment, ShownPayment, stage_of};
use crate::schedule::Schedule;
use crate::service::{Said, Service, Shown};
use crate::state::{Kind, Outcome, Status as Standing};
use crate::store::Listing;

/// What the methods need.
pub(crate) const DEBT_SERVICE: &[(&str, Needs)] = &[
    ("AddDebt", Needs::Admin),
    ("UpdateDebt", Needs::Admin),
    ("ListDebts", Needs::Read),
    ("ShowDebt", Needs::Read),
    ("PauseDebt", Needs::Admin),
    ("ResumeDebt", Needs::Admin),
    ("ForgetDebt", Needs::Admin),
    ("Pay", Needs::Ingest),
    ("PayAll", Needs::Ingest),
    ("ListPayments", Needs::Read),
    ("ListRuns", Needs::Read),
    ("ListFlips", Needs::Read),
];

/// How many payments one call may bring.
const PAYMENTS_MAX: usize = 1_000;
/// How many items a list has, unless it is told otherwise, and at most.
const DEBTS_USUAL: u32 = 1_000;
const DEBTS_MAX: u32 = 10_000;
const ITEMS_USUAL: u32 = 100;
const ITEMS_MAX: u32 = 1_000;

type Answer<T> = Result<Response<T>, Status>;

// === impl Service ===

impl Service {
    pub(crate) fn debt_service(&self) -> DebtServiceServer<Self> {
        DebtServiceServer::new(self.clone())
    }

    /// Reads a payment, with everything that is wrong with it.
    fn read_payment(&self, caller: &Caller, request: proto::PayRequest) -> Result<Payment, Error> {
        let mut wrong = Vec::new();
        let mut note = |field: &str, why: String| wrong.push((field.to_owned(), why));
        let kind = match proto::PaymentKind::try_from(request.kind) {
            Ok(kind) => kind,
            Err(_) => {
                note("kind", format!("{} is none that this server knows", request.kind));
                proto::PaymentKind::Log
            }
        };
        let kind = match (kind, request.exit_status) {
            (proto::PaymentKind::Unspecified, None | Some(0)) => Kind::Success,
            (proto::PaymentKind::Unspecified, Some(_)) | (proto::PaymentKind::Fail, _) => {
                Kind::Fail
            }
            (proto::PaymentKind::Start, _) => Kind::Start,
            (proto::PaymentKind::Stage, _) => Kind::Stage(request.stage.clone()),
            (proto::PaymentKind::Heartbeat, _) => Kind::Heartbeat,
            (proto::PaymentKind::Success, _) => Kind::Success,
            (proto::PaymentKind::Log, _) => Kind::Log,
        };
        if matches!(kind, Kind::Stage(_)) == request.stage.is_empty() {
            let why = "a payment of the kind STAGE has one, and no other has";
            note("stage", why.to_owned());
        }
        let exit_status = request.exit_status.map(u8::try_from).transpose().unwrap_or_else(|_| {
            note("exit_status", "it is more than 255".to_owned());
            None
        });
        if request.run.len() > RUN_BYTES_MAX || request.run.contains('\0') {
            note("run", format!("it has at most {RUN_BYTES_MAX} bytes, and no NUL"));
        }
        let key = request.idempotency_key;
        let is_odd = key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic());
        if is_odd {
            let why = format!("it has 1 to {KEY_BYTES_MAX} visible characters of ASCII");
            note("idempotency_key", why);
        }
        let time = request.time.map(read_time).transpose().unwrap_or_else(|why| {
            note("time", why);
            None
        });
        let took = request.took.map(read_duration).transpose().unwrap_or_else(|why| {
            note("took", why);
            None
        });
        let create = request.create.map(|mut definition| {
            if definition.slug.is_empty() {
                definition.slug.clone_from(&request.debt);
            }
            definition
        });
        let is_other = create.as_ref().is_some_and(|one| one.slug != request.debt);
        if is_other {
            let why = "the debt to be made is the one that is paid: its slug is in debt".to_owned();
            note("create.slug", why);
        }
        let create = match create.map(|definition| self.define(written(definition)?)).transpose() {
            Ok(create) => create,
            Err(Error::Wrong(more)) => {
                for (field, why) in more {
                    note(&format!("create.{field}"), why);
                }
                None
            }
            Err(error) => return Err(error),
        };
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        let to = Self::named(caller.namespace(), &request.debt);
        let some = |text: String| (!text.is_empty()).then_some(text);
        let said = Said {
            run: some(request.run),
            exit_status,
            time,
            took,
            body: request.body,
            idempotency_key: some(key),
            create,
            key_name: caller.key().unwrap_or_default().to_owned(),
            source: "grpc".to_owned(),
        };
        Ok(self.payment(to, kind, said))
    }
}

#[tonic::async_trait]
impl DebtService for Service {
    async fn add_debt(
        &self,
        request: Request<proto::AddDebtRequest>,
    ) -> Answer<proto::AddDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let definition = request.into_inner().definition.unwrap_or_default();
        let definition = self.define(written(definition)?)?;
        let (debt, is_repeated) = self.add(caller.namespace(), definition).await?;
        let debt = Some(shown(&debt, &caller));
        Ok(Response::new(proto::AddDebtResponse { debt, is_repeated }))
    }

    async fn update_debt(
        &self,
        request: Request<proto::UpdateDebtRequest>,
    ) -> Answer<proto::UpdateDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let proto::UpdateDebtRequest { debt, definition } = request.into_inner();
        let definition = self.define(written(definition.unwrap_or_default())?)?;
        let debt = self.update(Self::named(caller.namespace(), &debt), definition).await?;
        Ok(Response::new(proto::UpdateDebtResponse { debt: Some(shown(&debt, &caller)) }))
    }

    async fn list_debts(
        &self,
        request: Request<proto::ListDebtsRequest>,
    ) -> Answer<proto::ListDebtsResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let listing = read_listing(caller.namespace(), request.into_inner())?;
        let (debts, has_more) = self.list(&listing).await?;
        let last = debts.last().filter(|_| has_more);
        let next = last.map_or_else(String::new, cursor);
        let counts = self.counts(caller.namespace()).await?.to_vec();
        let debts = debts.iter().map(|debt| shown(debt, &caller)).collect();
        Ok(Response::new(proto::ListDebtsResponse { debts, next, counts }))
    }

    async fn show_debt(
        &self,
        request: Request<proto::ShowDebtRequest>,
    ) -> Answer<proto::ShowDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let Shown { debt, runs, next } = self.show(&named).await?;
        Ok(Response::new(proto::ShowDebtResponse {
            debt: Some(shown(&debt, &caller)),
            runs: runs.into_iter().map(run).collect(),
            next: next.into_iter().map(at).collect(),
        }))
    }

    async fn pause_debt(
        &self,
        request: Request<proto::PauseDebtRequest>,
    ) -> Answer<proto::PauseDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let debt = Some(shown(&self.pause(named).await?, &caller));
        Ok(Response::new(proto::PauseDebtResponse { debt }))
    }

    async fn resume_debt(
        &self,
        request: Request<proto::ResumeDebtRequest>,
    ) -> Answer<proto::ResumeDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let debt = Some(shown(&self.resume(named).await?, &caller));
        Ok(Response::new(proto::ResumeDebtResponse { debt }))
    }

    async fn forget_debt(
        &self,
        request: Request<proto::ForgetDebtRequest>,
    ) -> Answer<proto::ForgetDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let debt = Some(shown(&self.forget(&named).await?, &caller));
        Ok(Response::new(proto::ForgetDebtResponse { debt }))
    }

    async fn pay(&self, request: Request<proto::PayRequest>) -> Answer<proto::PayResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let payment = self.read_payment(&caller, request.into_inner())?;
        let paid = Service::pay(self, vec![payment]).await?.pop().ok_or(Error::Panicked)?;
        Ok(Response::new(paid_response(paid?, &caller)))
    }

    async fn pay_all(
        &self,
        request: Request<proto::PayAllRequest>,
    ) -> Answer<proto::PayAllResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let payments = request.into_inner().payments;
        if payments.len() > PAYMENTS_MAX {
            let why = format!("there are {}, and there may be {PAYMENTS_MAX}", payments.len());
            return Err(Error::wrong("payments", why).into());
        }
        let (mut read, mut refused) = (Vec::new(), Vec::new());
        for (position, payment) in payments.into_iter().enumerate() {
            match self.read_payment(&caller, payment) {
                Ok(payment) => read.push(payment),
                Err(error) => refused.push((position, error)),
            }
        }
        let paid = if read.is_empty() { Vec::new() } else { Service::pay(self, read).await? };
        let mut results: Vec<_> = paid
            .into_iter()
            .map(|paid| match paid {
                Ok(done) => PayResult::Paid(paid_response(done, &caller)),
                Err(error) => PayResult::Refusal(refusal(&error)),
            })
            .collect();
        for (position, error) in refused {
            results.insert(position, PayResult::Refusal(refusal(&error)));
        }
        let result = |result| proto::PayResult { result: Some(result) };
        let results = results.into_iter().map(result).collect();
        Ok(Response::new(proto::PayAllResponse { results }))
    }

    async fn list_payments(
        &self,
        request: Request<proto::ListPaymentsRequest>,
    ) -> Answer<proto::ListPaymentsResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListPaymentsRequest { debt, limit, before } = request.into_inner();
        let debt = self.find(&Self::named(namespace, &debt)).await?;
        let payments = self.payments(&debt, read_before(before), read_limit(limit)?).await?;
        let payments = payments.into_iter().map(payment).collect();
        Ok(Response::new(proto::ListPaymentsResponse { payments }))
    }

    async fn list_runs(
        &self,
        request: Request<proto::ListRunsRequest>,
    ) -> Answer<proto::ListRunsResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListRunsRequest { debt, limit, before } = request.into_inner();
        let (debt, limit) = (self.find(&Self::named(namespace, &debt)).await?, read_limit(limit)?);
        let runs = self.runs(&debt, read_before(before), false, limit).await?;
        let last = runs.last().filter(|_| runs.len() == limit as usize);
        let next_before = last.map_or(0, |run| run.number);
        let runs = runs.into_iter().map(run).collect();
        Ok(Response::new(proto::ListRunsResponse { runs, next_before }))
    }

    async fn list_flips(
        &self,
        request: Request<proto::ListFlipsRequest>,
    ) -> Answer<proto::ListFlipsResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListFlipsRequest { debt, limit, before } = request.into_inner();
        let debt = self.find(&Self::named(namespace, &debt)).await?;
        let flips = self.flips(&debt, read_before(before), read_limit(limit)?).await?;
        let flips = flips.into_iter().map(flip).collect();
        Ok(Response::new(proto::ListFlipsResponse { flips }))
    }
}

/// The only place where an error becomes a status.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        stream::status(&error, error.kind(), error.reason())
    }
}

fn refusal(error: &Error) -> proto::Refusal {
    proto::Refusal {
        code: error.kind().grpc_code(),
        message: tell(error, error.kind()),
        reason: error.reason().unwrap_or_default().to_owned(),
    }
}

fn paid_response(done: Done, caller: &Caller) -> proto::PayResponse {
    let Done { debt, payment, is_repeated, is_created } = done;
    proto::PayResponse { debt: Some(shown(&debt, caller)), payment, is_repeated, is_created }
}

/// A definition as it is written.
fn written(definition: proto::Definition) -> Result<Written, Error> {
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
        rate_payments: (definition.rate_payments > 0).then_some(definition.rate_payments),
        rate_period: span("rate_period", definition.rate_period),
        failures_to_alarm: narrow(definition.failures_to_alarm),
        successes_to_recover: narrow(definition.successes_to_recover),
        slug: definition.slug,
        name: definition.name,
        tags: definition.tags,
        description: definition.description,
        notify: definition.notify,
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

/// 0 is the default; what is too large stays so.
fn narrow(number: u32) -> Option<u16> {
    (number > 0).then(|| u16::try_from(number).unwrap_or(u16::MAX))
}

fn read_time(time: prost_types::Timestamp) -> Result<Timestamp, String> {
    let micros = wire::micros(time).and_then(|micros| Timestamp::from_microsecond(micros).ok());
    micros.ok_or_else(|| {
        "it is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z".to_owned()
    })
}

fn read_duration(duration: prost_types::Duration) -> Result<Duration, String> {
    Duration::try_from(duration)
        .ok()
        .filter(|duration| *duration <= durations::MAX)
        .ok_or_else(|| "it is negative, or more than ten years".to_owned())
}

fn read_limit(limit: u32) -> Result<u32, Error> {
    match limit {
        0 => Ok(ITEMS_USUAL),
        1..=ITEMS_MAX => Ok(limit),
        _ => Err(Error::wrong("limit", format!("it is {limit}, and may be 1 to {ITEMS_MAX}"))),
    }
}

fn read_before(before: i64) -> i64 {
    if before <= 0 { i64::MAX } else { before }
}

fn read_listing(namespace: Namespace, request: proto::ListDebtsRequest) -> Result<Listing, Error> {
    let proto::ListDebtsRequest { statuses, tags, search, limit, after } = request;
    let status = |number: i32| match proto::Status::try_from(number) {
        Ok(proto::Status::New) => Ok(Standing::New),
        Ok(proto::Status::Up) => Ok(Standing::Up),
        Ok(proto::Status::Down) => Ok(Standing::Down),
        Ok(proto::Status::Paused) => Ok(Standing::Paused),
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
        statuses: statuses.into_iter().map(status).collect::<Result<_, _>>()?,
        tags,
        search: search.to_lowercase(),
        after,
        limit: limit as usize,
    })
}

fn at(time: Timestamp) -> prost_types::Timestamp {
    wire::timestamp(time.as_microsecond())
}

fn lasts(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

fn standing(status: Standing) -> proto::Status {
    match status {
        Standing::New => proto::Status::New,
        Standing::Up => proto::Status::Up,
        Standing::Down => proto::Status::Down,
        Standing::Paused => proto::Status::Paused,
    }
}

fn shown(debt: &Debt, caller: &Caller) -> proto::Debt {
    let state = &debt.state;
    // Whoever knows it can pay.
    let may_pay = caller.may(Scope::Ingest);
    proto::Debt {
        definition: Some(definition(&debt.definition)),
        id: debt.id.to_string(),
        number: debt.number,
        ping_id: if may_pay { debt.ping_id.to_string() } else { String::new() },
        created_at: Some(at(debt.created)),
        status: standing(state.status).into(),
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
        rate_payments: terms.rate_max.map(|rate| rate.payments).unwrap_or_default(),
        rate_period: terms.rate_max.map(|rate| lasts(rate.period)),
        failures_to_alarm: terms.failures_to_alarm.into(),
        successes_to_recover: terms.successes_to_recover.into(),
        stages: terms.stages.iter().map(stage).collect(),
        notify: of.shown_notify(),
    }
}

fn run(kept: KeptRun) -> proto::Run {
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

fn payment(shown: ShownPayment) -> proto::Payment {
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

fn flip(kept: KeptFlip) -> proto::Flip {
    proto::Flip {
        number: kept.number,
        is_alarm: kept.is_alarm(),
        at: Some(at(kept.at)),
        noticed_at: Some(at(kept.noticed)),
        cause: kept.cause,
    }
}
