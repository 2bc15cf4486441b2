//! One attempt to pay, and what its answer means.

use std::time::Duration;

use anyhow::Context as _;
use tally_proto::tally::debts::v1::PayAllRequest;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::pay_result::Result as PayResult;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::payment::Payment;
use crate::door::Door;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// In how many ways a payment can be sent.
pub(crate) const WAYS: u64 = 3;

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Told {
    /// It has this number.
    Paid(i64),
    /// It may be paid, or not.
    Unknown,
    /// The server broke a rule.
    Broken(String),
}

/// Pays once: by one call, by a call with the same twice, or over HTTP.
pub(crate) async fn attempt(door: &Door, payment: &Payment, patience: Duration, way: u64) -> Told {
    let paying = async {
        match way % WAYS {
            0 => one(door, payment).await,
            1 if payment.can_be_repeated() => twice(door, payment).await,
            _ if payment.can_be_repeated() => post(door, payment).await,
            _ => one(door, payment).await,
        }
    };
    within(patience, paying).await.unwrap_or_else(|error| match error.downcast_ref::<Status>() {
        Some(status) => judge(status),
        None => Told::Unknown,
    })
}

/// What it comes to within this time.
pub(crate) async fn within<T>(
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
        Some(PayResult::Refusal(no)) => Err(Status::new(Code::from_i32(no.code), no.message)),
        None => Err(Status::internal("no result")),
    };
    let both: Result<Vec<(i64, bool)>, Status> = results.into_iter().map(paid).collect();
    Ok(match both.as_deref() {
        Ok([(first, _), (second, true)]) if first == second => Told::Paid(*first),
        Err(status) => judge(status),
        both => Told::Broken(format!("the same twice: {both:?}")),
    })
}

async fn post(door: &Door, payment: &Payment) -> anyhow::Result<Told> {
    let key = match &*payment.key {
        "" => String::new(),
        key => format!("Idempotency-Key: \"{key}\"\r\n"),
    };
    let (body, debt) = (payment.json(), &payment.debt);
    let head = format!(
        "POST /api/v1/debts/{debt}/payments HTTP/1.1\r\n{key}Content-Type: application/json\r\n"
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
