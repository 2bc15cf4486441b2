//! A payment from its message, with everything that is wrong with it.

use tally_access::Caller;
use tally_producers::KEY_BYTES_MAX;
use tally_proto::tally::debts::v1 as proto;

use super::messages::{read_duration, read_time, written};
use crate::definition::{Definition, Wrong};
use crate::error::Error;
use crate::model::{Payment, wrong_run};
use crate::service::{Said, Service};
use crate::state::Kind;

// === impl Service ===

impl Service {
    /// Reads a payment, with everything that is wrong with it.
    pub(super) fn read_payment(
        &self,
        caller: &Caller,
        request: proto::PayRequest,
    ) -> Result<Payment, Error> {
        let mut wrong = Wrong::new();
        let kind = read_kind(&request, &mut wrong);
        let mut note = |field: &str, why: String| wrong.push((field.to_owned(), why));
        let exit_status = request.exit_status.map(u8::try_from).transpose().unwrap_or_else(|_| {
            note("exit_status", "it is more than 255".to_owned());
            None
        });
        if let Some(why) = wrong_run(&request.run) {
            note("run", why);
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
        let create = self.read_create(request.create, &request.debt, &mut wrong)?;
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

    /// What the debt is made of if there is none.
    fn read_create(
        &self,
        create: Option<proto::Definition>,
        debt: &str,
        wrong: &mut Wrong,
    ) -> Result<Option<Definition>, Error> {
        let Some(mut create) = create else { return Ok(None) };
        if create.slug.is_empty() {
            debt.clone_into(&mut create.slug);
        }
        if create.slug != debt {
            let why = "the debt to be made is the one that is paid: its slug is in debt".to_owned();
            wrong.push(("create.slug".to_owned(), why));
        }
        match written(create).and_then(|create| self.define(create)) {
            Ok(create) => Ok(Some(create)),
            Err(Error::Wrong(more)) => {
                let named = more.into_iter().map(|(field, why)| (format!("create.{field}"), why));
                wrong.extend(named);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn read_kind(request: &proto::PayRequest, wrong: &mut Wrong) -> Kind {
    let kind = proto::PaymentKind::try_from(request.kind).unwrap_or_else(|_| {
        let why = format!("{} is none that this server knows", request.kind);
        wrong.push(("kind".to_owned(), why));
        proto::PaymentKind::Log
    });
    let kind = match (kind, request.exit_status) {
        (proto::PaymentKind::Unspecified, None | Some(0)) => Kind::Success,
        (proto::PaymentKind::Unspecified, Some(_)) | (proto::PaymentKind::Fail, _) => Kind::Fail,
        (proto::PaymentKind::Start, _) => Kind::Start,
        (proto::PaymentKind::Stage, _) => Kind::Stage(request.stage.clone()),
        (proto::PaymentKind::Heartbeat, _) => Kind::Heartbeat,
        (proto::PaymentKind::Success, _) => Kind::Success,
        (proto::PaymentKind::Log, _) => Kind::Log,
    };
    if matches!(kind, Kind::Stage(_)) == request.stage.is_empty() {
        let why = "a payment of the kind STAGE has one, and no other has".to_owned();
        wrong.push(("stage".to_owned(), why));
    }
    kind
}
