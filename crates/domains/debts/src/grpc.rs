//! `DebtService`: between messages and service.
//!
//! | file | what it owns |
//! |---|---|
//! | `messages.rs` | from messages to what they say, and back |
//! | `payment.rs` | a payment from its message |

mod messages;
mod payment;

use jiff::Timestamp;
use tally_access::{Caller, Scope};
use tally_producers::stream;
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_server::{DebtService, DebtServiceServer};
use tally_proto::tally::debts::v1::pay_result::Result as PayResult;
use tally_runtime::{Kind, tell};
use tally_serve::Needs;
use tonic::{Request, Response, Status};

use self::messages::{
    at, flip, payment, read_before, read_limit, read_listing, run, shown, written,
};
use crate::error::Error;
use crate::ledger::Done;
use crate::model::Debt;
use crate::service::{Service, Shown, next_before};
use crate::state::Standing;
use crate::store::cursor;

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
    ("RenewBadges", Needs::Admin),
];

/// In the order of counts.
const STATUSES: [Standing; 5] =
    [Standing::New, Standing::Up, Standing::Down, Standing::Paused, Standing::Late];

/// How many payments one call may bring.
const PAYMENTS_MAX: usize = 1_000;
type Answer<T> = Result<Response<T>, Status>;

// === impl Service ===

impl Service {
    pub(crate) fn debt_service(&self) -> DebtServiceServer<Self> {
        DebtServiceServer::new(self.clone())
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
        let definition = self.define_new(caller.namespace(), written(definition)?).await?;
        let (debt, is_repeated) = self.add(caller.namespace(), definition).await?;
        let debt = Some(shown(&debt, &caller, self.now()));
        Ok(Response::new(proto::AddDebtResponse { debt, is_repeated }))
    }

    async fn update_debt(
        &self,
        request: Request<proto::UpdateDebtRequest>,
    ) -> Answer<proto::UpdateDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let proto::UpdateDebtRequest { debt, definition } = request.into_inner();
        let definition = written(definition.unwrap_or_default())?;
        let done = self.redefine(Self::named(caller.namespace(), &debt), definition).await?;
        let (debt, is_unchanged) = (shown(&done.debt, &caller, self.now()), done.is_repeated);
        Ok(Response::new(proto::UpdateDebtResponse { debt: Some(debt), is_unchanged }))
    }

    async fn list_debts(
        &self,
        request: Request<proto::ListDebtsRequest>,
    ) -> Answer<proto::ListDebtsResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let request = request.into_inner();
        let with_secrets = request.with_secrets;
        if with_secrets && !caller.may(Scope::Admin) {
            let why = "with_secrets: whole URLs are for keys of the scope admin";
            return Err(Error::Refused(Kind::PermissionDenied, why.to_owned()).into());
        }
        let listing = read_listing(caller.namespace(), request)?;
        let (debts, last) = self.list(&listing).await?;
        let next = last.as_ref().map_or_else(String::new, cursor);
        let counts = self.counts(caller.namespace()).await?;
        let counts = STATUSES.map(|standing| counts.of(standing)).to_vec();
        let now = self.now();
        let one = |debt: &Debt| {
            let mut one = shown(debt, &caller, now);
            if let Some(definition) = one.definition.as_mut().filter(|_| with_secrets) {
                definition.notify.clone_from(&debt.definition.notify);
            }
            one
        };
        let debts = debts.iter().map(one).collect();
        Ok(Response::new(proto::ListDebtsResponse { debts, next, counts }))
    }

    async fn show_debt(
        &self,
        request: Request<proto::ShowDebtRequest>,
    ) -> Answer<proto::ShowDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let Shown { debt, runs, next, badge } = self.show(&named).await?;
        Ok(Response::new(proto::ShowDebtResponse {
            debt: Some(shown(&debt, &caller, self.now())),
            runs: runs.into_iter().map(run).collect(),
            next: next.into_iter().map(at).collect(),
            badge,
        }))
    }

    async fn pause_debt(
        &self,
        request: Request<proto::PauseDebtRequest>,
    ) -> Answer<proto::PauseDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let debt = Some(shown(&self.pause(named).await?, &caller, self.now()));
        Ok(Response::new(proto::PauseDebtResponse { debt }))
    }

    async fn resume_debt(
        &self,
        request: Request<proto::ResumeDebtRequest>,
    ) -> Answer<proto::ResumeDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let debt = Some(shown(&self.resume(named).await?, &caller, self.now()));
        Ok(Response::new(proto::ResumeDebtResponse { debt }))
    }

    async fn forget_debt(
        &self,
        request: Request<proto::ForgetDebtRequest>,
    ) -> Answer<proto::ForgetDebtResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let named = Self::named(caller.namespace(), &request.into_inner().debt);
        let debt = Some(shown(&self.forget(&named).await?, &caller, self.now()));
        Ok(Response::new(proto::ForgetDebtResponse { debt }))
    }

    async fn pay(&self, request: Request<proto::PayRequest>) -> Answer<proto::PayResponse> {
        let caller = Caller::of(request.extensions()).clone();
        let payment = self.read_payment(&caller, request.into_inner())?;
        let paid = Service::pay(self, vec![payment]).await?.pop().ok_or(Error::Panicked)?;
        Ok(Response::new(paid_response(paid?, &caller, self.now())))
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
                Ok(done) => PayResult::Paid(paid_response(done, &caller, self.now())),
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
        let limit = read_limit(limit)?;
        let payments = self.payments(&debt, read_before(before), limit).await?;
        let next_before = next_before(&payments, limit, |payment| payment.number).unwrap_or(0);
        let payments = payments.into_iter().map(payment).collect();
        Ok(Response::new(proto::ListPaymentsResponse { payments, next_before }))
    }

    async fn list_runs(
        &self,
        request: Request<proto::ListRunsRequest>,
    ) -> Answer<proto::ListRunsResponse> {
        let namespace = Caller::of(request.extensions()).namespace();
        let proto::ListRunsRequest { debt, limit, before } = request.into_inner();
        let (debt, limit) = (self.find(&Self::named(namespace, &debt)).await?, read_limit(limit)?);
        let runs = self.runs(&debt, read_before(before), false, limit).await?;
        let next_before = next_before(&runs, limit, |run| run.number).unwrap_or(0);
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
        let limit = read_limit(limit)?;
        let flips = self.told_flips(&debt, read_before(before), limit).await?;
        let next_before = next_before(&flips, limit, |told| told.flip.number).unwrap_or(0);
        let flips = flips.into_iter().map(flip).collect();
        Ok(Response::new(proto::ListFlipsResponse { flips, next_before }))
    }

    async fn renew_badges(
        &self,
        request: Request<proto::RenewBadgesRequest>,
    ) -> Answer<proto::RenewBadgesResponse> {
        Service::renew_badges(self, Caller::of(request.extensions()).namespace()).await?;
        Ok(Response::new(proto::RenewBadgesResponse {}))
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

fn paid_response(done: Done, caller: &Caller, now: Timestamp) -> proto::PayResponse {
    let Done { debt, payment, noted, is_repeated, is_created } = done;
    proto::PayResponse {
        debt: Some(shown(&debt, caller, now)),
        payment,
        is_repeated,
        is_created,
        is_moot: noted.moot,
        is_over_rate: noted.over_rate,
        is_too_short: noted.too_short,
    }
}
