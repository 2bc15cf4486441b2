//! Those who pay, as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::pay_result::Result as Paid;
use tally_proto::tally::debts::v1::{PayAllRequest, PayRequest, PayResult, PaymentKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use super::Sizes;
use super::fill::slug;
use crate::mix::mixed;
use crate::samples::Samples;
use crate::server::Server;

/// How many calls each connection of gRPC has open.
const CALLS: u64 = 4;

/// How many payments a call of `PayAll` has, and over how many connections they come.
const TOGETHER: u64 = 250;
const FEW: u64 = 4;

/// How they pay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A success a call.
    Pay,
    /// The start of a run, and then its success.
    Runs,
    PayAll,
    /// Over HTTP, by connections that stay.
    Post,
}

/// What was paid.
pub(super) struct Total {
    pub(super) payments: u64,
    pub(super) took: Duration,
    pub(super) waits: Samples,
}

/// Who pays: which debt, for how long.
#[derive(Clone, Copy)]
struct Payer {
    number: u64,
    until: Instant,
    sizes: Sizes,
}

// === impl Form ===

impl Form {
    pub(super) const ALL: [Self; 4] = [Self::Pay, Self::Runs, Self::PayAll, Self::Post];

    pub(super) fn name(self, sizes: Sizes) -> String {
        let connections = sizes.connections;
        match self {
            Self::Pay => format!("gRPC Pay, {connections} x {CALLS} calls"),
            Self::Runs => format!("gRPC Pay, runs, {connections} x {CALLS}"),
            Self::PayAll => format!("gRPC PayAll, {FEW} x {TOGETHER} payments"),
            Self::Post => format!("HTTP POST, {connections} connections"),
        }
    }
}

/// Pays for a while.
pub(super) async fn measure(server: &Server, form: Form, sizes: Sizes) -> anyhow::Result<Total> {
    let (connections, calls) = match form {
        Form::Pay | Form::Runs => (sizes.connections, CALLS),
        Form::PayAll => (FEW, 1),
        Form::Post => (sizes.connections, 1),
    };
    let endpoint = Endpoint::new(server.url().to_owned())?;
    let channels = (0..connections).map(|_| endpoint.connect());
    let channels = try_join_all(channels).await.context("connect")?;
    let start = Instant::now();
    let payer = |number| Payer { number, until: start + sizes.lasts, sizes };
    let all = (0..connections * calls).map(|number| {
        let channel = channels[(number % connections) as usize].clone();
        let (payer, url) = (payer(number), server.url());
        async move {
            match form {
                Form::Pay => payer.pay(channel).await,
                Form::Runs => payer.runs(channel).await,
                Form::PayAll => payer.pay_all(channel).await,
                Form::Post => payer.post(url).await,
            }
        }
    });
    let mut total = Total { payments: 0, took: Duration::ZERO, waits: Samples::default() };
    for (payments, waits) in try_join_all(all).await? {
        total.payments += payments;
        total.waits.join(waits);
    }
    total.took = start.elapsed();
    Ok(total)
}

// === impl Payer ===

impl Payer {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn debt(&self, payment: u64) -> String {
        slug(mixed(self.sizes.seed, self.number, payment) % self.sizes.debts)
    }

    async fn pay(self, channel: Channel) -> anyhow::Result<(u64, Samples)> {
        let (mut client, mut waits) = (DebtServiceClient::new(channel), Samples::default());
        let mut payments = 0;
        while !self.is_over() {
            let request = PayRequest { debt: self.debt(payments), ..PayRequest::default() };
            let start = Instant::now();
            client.pay(request).await?;
            waits.add(start.elapsed());
            payments += 1;
        }
        Ok((payments, waits))
    }

    async fn runs(self, channel: Channel) -> anyhow::Result<(u64, Samples)> {
        let (mut client, mut waits) = (DebtServiceClient::new(channel), Samples::default());
        let mut payments = 0;
        while !self.is_over() {
            let (debt, run) = (self.debt(payments), format!("{}-{payments}", self.number));
            for kind in [PaymentKind::Start, PaymentKind::Success] {
                let request = PayRequest {
                    debt: debt.clone(),
                    kind: kind.into(),
                    run: run.clone(),
                    ..PayRequest::default()
                };
                let start = Instant::now();
                client.pay(request).await?;
                waits.add(start.elapsed());
                payments += 1;
            }
        }
        Ok((payments, waits))
    }

    async fn pay_all(self, channel: Channel) -> anyhow::Result<(u64, Samples)> {
        let (mut client, mut waits) = (DebtServiceClient::new(channel), Samples::default());
        let mut payments = 0;
        while !self.is_over() {
            let one = |n| PayRequest { debt: self.debt(payments + n), ..PayRequest::default() };
            let request = PayAllRequest { payments: (0..TOGETHER).map(one).collect() };
            let start = Instant::now();
            let results = client.pay_all(request).await?.into_inner().results;
            waits.add(start.elapsed());
            let paid = |one: &&PayResult| matches!(one.result, Some(Paid::Paid(_)));
            let paid = results.iter().filter(paid).count();
            anyhow::ensure!(paid as u64 == TOGETHER, "{paid} of {TOGETHER} are paid");
            payments += TOGETHER;
        }
        Ok((payments, waits))
    }

    async fn post(self, url: &str) -> anyhow::Result<(u64, Samples)> {
        let address = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut payments, mut waits) = (0, Samples::default());
        while !self.is_over() {
            let request = format!(
                "POST /api/v1/debts/{}/payments HTTP/1.1\r\nhost: {address}\r\n\
                 content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
                self.debt(payments)
            );
            let start = Instant::now();
            stream.write_all(request.as_bytes()).await?;
            answer(&mut stream).await?;
            waits.add(start.elapsed());
            payments += 1;
        }
        Ok((payments, waits))
    }
}

/// Reads one answer; fails unless it is a 200.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut read = Vec::with_capacity(2_048);
    loop {
        anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "the server hung up");
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.map(|(_, length)| length.parse::<usize>()).next();
        if body.len() >= length.context("an answer of no length")?? {
            anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{text}");
            return Ok(());
        }
    }
}
