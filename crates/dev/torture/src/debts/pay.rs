//! One attempt to pay, and what its answer means.

use std::time::Duration;

use anyhow::Context as _;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::pay_result::Result as PayResult;
use tally_proto::tally::debts::v1::{PayAllRequest, PayRequest, PaymentKind};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::beat;
use crate::door::Door;

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// In how many ways a payment can be sent.
pub(super) const WAYS: u64 = 3;

/// A payment.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) namespace: i64,
    pub(super) debt: String,
    kind: PaymentKind,
    run: String,
    key: String,
    /// Its body, which no other one has.
    pub(super) token: String,
    /// Whether it makes the debt.
    creates: bool,
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Told {
    /// It has this number.
    Paid(i64),
    /// It may be paid, or not.
    Unknown,
    /// The server broke a rule.
    Broken(String),
}

// === impl Payment ===

impl Payment {
    /// A success without a run; with a key, it can be sent again.
    pub(super) fn beat(namespace: i64, which: u64, token: String, has_key: bool) -> Self {
        let key = if has_key { token.clone() } else { String::new() };
        Self {
            namespace,
            debt: format!("beat-{which}"),
            kind: PaymentKind::Success,
            run: String::new(),
            key,
            token,
            creates: false,
        }
    }

    /// One that makes its debt if there is none.
    pub(super) fn made(namespace: i64, which: u64, token: String) -> Self {
        let debt = format!("made-{which}");
        Self { debt, creates: true, ..Self::beat(namespace, which, token, true) }
    }

    /// A run is told by its id.
    pub(super) fn of_run(
        namespace: i64,
        which: u64,
        run: &str,
        kind: PaymentKind,
        token: String,
    ) -> Self {
        let (debt, run) = (format!("job-{which}"), run.to_owned());
        Self { debt, kind, run, ..Self::beat(namespace, which, token, false) }
    }

    /// Whether the same again counts once.
    pub(super) fn can_be_repeated(&self) -> bool {
        !self.key.is_empty() || !self.run.is_empty()
    }

    fn request(&self) -> PayRequest {
        PayRequest {
            debt: self.debt.clone(),
            kind: self.kind.into(),
            run: self.run.clone(),
            idempotency_key: self.key.clone(),
            body: self.token.clone().into_bytes(),
            create: self.creates.then(|| beat(String::new(), "")),
            ..PayRequest::default()
        }
    }
}

/// Pays once: by one call, by a call with the same twice, or over HTTP.
pub(super) async fn attempt(door: &Door, payment: &Payment, patience: Duration, way: u64) -> Told {
    let paying = async {
        match way % WAYS {
            0 => one(door, payment).await,
            1 if payment.can_be_repeated() => twice(door, payment).await,
            _ if payment.run.is_empty() && !payment.key.is_empty() => post(door, payment).await,
            _ => one(door, payment).await,
        }
    };
    within(patience, paying).await.unwrap_or_else(|error| match error.downcast_ref::<Status>() {
        Some(status) => judge(status),
        None => Told::Unknown,
    })
}

/// What it comes to within this time.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    timeout(patience, work).await.context("no answer in time")?
}

/// A failure that says that nobody knows, or that it can be sent again.
fn judge(status: &Status) -> Told {
    let again =
        [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Unknown, Code::Aborted];
    if again.contains(&status.code()) {
        return Told::Unknown;
    }
    Told::Broken(format!("{:?} {}", status.code(), status.message()))
}

async fn one(door: &Door, payment: &Payment) -> anyhow::Result<Told> {
    let channel = door.endpoint()?.connect().await?;
    let mut client = DebtServiceClient::new(door.link(channel));
    Ok(Told::Paid(client.pay(payment.request()).await?.into_inner().payment))
}

async fn twice(door: &Door, payment: &Payment) -> anyhow::Result<Told> {
    let channel = door.endpoint()?.connect().await?;
    let mut client = DebtServiceClient::new(door.link(channel));
    let request = PayAllRequest { payments: vec![payment.request(), payment.request()] };
    let results = client.pay_all(request).await?.into_inner().results;
    let paid = |one: tally_proto::tally::debts::v1::PayResult| match one.result {
        Some(PayResult::Paid(paid)) => Ok((paid.payment, paid.is_repeated)),
        other => Err(format!("{other:?}")),
    };
    let both: Result<Vec<(i64, bool)>, String> = results.into_iter().map(paid).collect();
    Ok(match both.as_deref() {
        Ok([(first, _), (second, true)]) if first == second => Told::Paid(*first),
        both => Told::Broken(format!("the same twice: {both:?}")),
    })
}

async fn post(door: &Door, payment: &Payment) -> anyhow::Result<Told> {
    let create = if payment.creates { ",\"create\":{\"every\":\"3s\"}" } else { "" };
    let body = format!("{{\"kind\":\"success\",\"body\":\"{}\"{create}}}", payment.token);
    let head = format!(
        "POST /api/v1/debts/{}/payments HTTP/1.1\r\nIdempotency-Key: \"{}\"\r\n\
         Content-Type: application/json\r\n",
        payment.debt, payment.key
    );
    let (answer, _) = door.ask(&head, &body).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(match status {
        200 | 201 => {
            // It may break off.
            let said: serde_json::Value = serde_json::from_str(body)?;
            Told::Paid(said["payment"].as_i64().context("no number")?)
        }
        408 | 429 | 500.. => Told::Unknown,
        _ => Told::Broken(format!("{status} {body}")),
    })
}
