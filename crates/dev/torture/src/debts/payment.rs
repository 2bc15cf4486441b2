//! A payment as somebody makes it, and the line of a journal that it is kept as.

use std::time::Duration;

use jiff::Timestamp;
use tally_proto::tally::debts::v1::definition::Schedule;
use tally_proto::tally::debts::v1::{
    Definition, PayRequest, Payment as Stored, PaymentKind, Stage,
};

use crate::arguments::OF_DEBTS;

/// Of each kind, how many debts a namespace has.
pub(crate) const EACH: u64 = 4;

/// How long after the last payment a beat is due; how long a run may take, and be silent, and until when it has come
/// to its stage.
pub(super) const EVERY: Duration = Duration::from_secs(3);
pub(super) const RUN_LIMIT: Duration = Duration::from_secs(3);
pub(super) const HEARTBEAT_LIMIT: Duration = Duration::from_secs(2);
pub(super) const STAGE_LIMIT: Duration = Duration::from_secs(1);
pub(crate) const STAGE: &str = "half";

/// The service that debts count as.
pub(super) const SERVICE: &str = "debts";

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(super) namespace: i64,
    pub(super) debt: String,
    pub(super) kind: PaymentKind,
    pub(super) run: String,
    stage: String,
    pub(super) key: String,
    /// Its body, which no other one has.
    pub(crate) token: String,
    /// Whether it makes the debt.
    pub(super) creates: bool,
    /// When it was made, by its client's clock, if that says so.
    time: Option<Timestamp>,
}

// === impl Payment ===

impl Payment {
    /// A success without a run; with a key, it can be sent again.
    pub(crate) fn beat(namespace: i64, which: u64, token: String, has_key: bool) -> Self {
        let key = if has_key { token.clone() } else { String::new() };
        Self {
            namespace,
            debt: format!("beat-{which}"),
            kind: PaymentKind::Success,
            run: String::new(),
            stage: String::new(),
            key,
            token,
            creates: false,
            time: None,
        }
    }

    /// One that makes its debt if there is none.
    pub(crate) fn made(namespace: i64, which: u64, token: String) -> Self {
        let debt = format!("made-{which}");
        Self { debt, creates: true, ..Self::beat(namespace, which, token, true) }
    }

    /// A run is told by its id; a heartbeat and a note need a key to be told apart.
    pub(crate) fn of_run(
        namespace: i64,
        debt: String,
        run: &str,
        kind: PaymentKind,
        token: String,
    ) -> Self {
        let has_key = matches!(kind, PaymentKind::Heartbeat | PaymentKind::Log);
        let stage = if kind == PaymentKind::Stage { STAGE } else { "" }.to_owned();
        let run = run.to_owned();
        Self { debt, kind, run, stage, ..Self::beat(namespace, 0, token, has_key) }
    }

    /// The same, made at another time than when it is received.
    pub(crate) fn at(self, time: Option<Timestamp>) -> Self {
        Self { time, ..self }
    }

    /// Whether the same again counts once.
    pub(crate) fn can_be_repeated(&self) -> bool {
        !self.key.is_empty() || !self.run.is_empty()
    }

    pub(super) fn request(&self) -> PayRequest {
        let seconds = |at: Timestamp| prost_types::Timestamp {
            seconds: at.as_second(),
            nanos: at.subsec_nanosecond(),
        };
        PayRequest {
            debt: self.debt.clone(),
            kind: self.kind.into(),
            run: self.run.clone(),
            stage: self.stage.clone(),
            time: self.time.map(seconds),
            idempotency_key: self.key.clone(),
            body: self.token.clone().into_bytes(),
            create: self.creates.then(|| {
                let definition = definition(self.namespace, &self.debt, "");
                Definition { slug: String::new(), ..definition }
            }),
            ..PayRequest::default()
        }
    }

    /// Whether this is what is stored of it.
    pub(super) fn is(&self, stored: &Stored) -> bool {
        let time = stored.time.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        (self.kind, &self.run, &self.stage) == (stored.kind(), &stored.run, &stored.stage)
            && self.time == time
    }

    /// The same as JSON, without the key.
    pub(super) fn json(&self) -> String {
        let kind = match self.kind {
            PaymentKind::Start => "start",
            PaymentKind::Stage => "stage",
            PaymentKind::Heartbeat => "heartbeat",
            PaymentKind::Fail => "fail",
            PaymentKind::Log => "log",
            PaymentKind::Success | PaymentKind::Unspecified => "success",
        };
        let mut json = serde_json::json!({"kind": kind, "body": self.token});
        for (name, text) in [("run", &self.run), ("stage", &self.stage)] {
            if !text.is_empty() {
                json[name] = text.as_str().into();
            }
        }
        if let Some(time) = self.time {
            json["time"] = time.to_string().into();
        }
        if self.creates {
            json["create"] = serde_json::json!({"every": "3s"});
            if self.namespace == OF_DEBTS {
                json["create"]["count_as"] = format!("POST /{}", self.debt).into();
                json["create"]["count_service"] = SERVICE.into();
            }
        }
        json.to_string()
    }

    /// As a journal has it: words, of which none is empty.
    pub(crate) fn written(&self) -> String {
        let Self { namespace, debt, kind, run, stage, key, token, creates, time } = self;
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let time = time.map_or_else(|| "-".to_owned(), |time| time.as_microsecond().to_string());
        let (kind, creates) = (i32::from(*kind), u8::from(*creates));
        let [run, stage, key] = [run, stage, key].map(|text| or_none(text));
        format!("{namespace} {debt} {kind} {run} {stage} {key} {token} {creates} {time}")
    }

    /// From a journal.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let [namespace, debt, kind, run, stage, key, token, creates, time] =
            text.split(' ').collect::<Vec<_>>()[..]
        else {
            anyhow::bail!("{text:?} is no payment")
        };
        let or_none = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
        let [run, stage, key] = [run, stage, key].map(or_none);
        let time = match time {
            "-" => None,
            micros => Some(Timestamp::from_microsecond(micros.parse()?)?),
        };
        Ok(Self {
            namespace: namespace.parse()?,
            debt: debt.to_owned(),
            kind: PaymentKind::try_from(kind.parse::<i32>()?)?,
            run,
            stage,
            key,
            token: token.to_owned(),
            creates: creates == "1",
            time,
        })
    }
}

/// What is agreed of a debt. Its name says what it is, and its namespace whether it counts as requests.
pub(super) fn definition(namespace: i64, slug: &str, hook: &str) -> Definition {
    let limit = |limit: Duration| limit.try_into().ok();
    let mut definition = Definition { slug: slug.to_owned(), ..Definition::default() };
    if slug.starts_with("job-") || slug.starts_with("staged-") {
        definition.run_limit = limit(RUN_LIMIT);
    } else {
        definition.schedule = limit(EVERY).map(Schedule::Every);
    }
    if slug.starts_with("staged-") {
        definition.heartbeat_limit = limit(HEARTBEAT_LIMIT);
        definition.stages = vec![Stage { name: STAGE.to_owned(), time_out: limit(STAGE_LIMIT) }];
    }
    if !hook.is_empty() {
        definition.notify = vec![hook.to_owned()];
    }
    if namespace == OF_DEBTS {
        (definition.count_as, definition.count_service) =
            (format!("POST /{slug}"), SERVICE.to_owned());
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_read_as_it_was_written() {
        let time = Timestamp::from_microsecond(1_768_444_200_250_001).ok();
        let run = |kind| Payment::of_run(2, "staged-1".to_owned(), "r", kind, "t".to_owned());
        let all = [
            Payment::beat(0, 3, "t-1".to_owned(), false),
            Payment::made(2, 0, "t-2".to_owned()).at(time),
            run(PaymentKind::Stage),
            run(PaymentKind::Heartbeat).at(time),
        ];
        for payment in all {
            assert_eq!(Payment::read(&payment.written()).expect("it is one"), payment);
        }
        Payment::read("0 beat-1").expect_err("it is torn");
    }
}
