//! Reading what is stored, from a server.

use anyhow::Context as _;
use jiff::Timestamp;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_proto::tally::debts::v1::{
    Flip, ListDebtsRequest, ListFlipsRequest, ListPaymentsRequest, ListRunsRequest, Payment, Run,
};

use super::{Debts, LIMIT, NAMESPACES, pay};
use crate::door::Door;
use crate::sessions;

/// How many are listed at once.
const PAGE: u32 = 1_000;

/// A debt, with everything that belongs to it, in order.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    pub(super) namespace: i64,
    pub(super) slug: String,
    pub(super) debt: tally_proto::tally::debts::v1::Debt,
    pub(super) payments: Vec<Payment>,
    pub(super) runs: Vec<Run>,
    pub(super) flips: Vec<Flip>,
}

// === impl Debt ===

impl Debt {
    /// Whether nothing more can be overdue.
    pub(super) fn is_settled(&self) -> bool {
        self.debt.overdue_at.is_none()
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        format!("{} of namespace {}", self.slug, self.namespace)
    }
}

// === impl Debts ===

impl Debts<'_> {
    /// All debts, as the first server has them.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Debt>> {
        let mut all = Vec::new();
        for namespace in NAMESPACES {
            let door = self.world.door(&self.world.servers[0], namespace);
            let of_one = pay::within(LIMIT, read(&door, namespace));
            all.extend(self.world.runtime.block_on(of_one)?);
        }
        Ok(all)
    }

    /// What a statement says that has one number.
    pub(super) fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let Some(url) = self.world.primary() else {
            let connection = rusqlite::Connection::open(self.world.sqlite_path())?;
            return Ok(connection.query_row(sql, [], |row| row.get(0))?);
        };
        self.world.runtime.block_on(async {
            let client = sessions::connect(&url).await?;
            Ok(client.query_one(sql, &[]).await?.try_get(0)?)
        })
    }
}

async fn read(door: &Door, namespace: i64) -> anyhow::Result<Vec<Debt>> {
    let channel = door.endpoint()?.connect().await?;
    let mut client = DebtServiceClient::new(door.link(channel));
    let listed = client.list_debts(ListDebtsRequest::default()).await?.into_inner().debts;
    let mut all = Vec::new();
    for debt in listed {
        let slug = debt.definition.as_ref().context("a definition")?.slug.clone();
        let (mut payments, mut flips, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = 0;
        loop {
            let request = ListPaymentsRequest { debt: slug.clone(), limit: PAGE, before };
            let some = client.list_payments(request).await?.into_inner().payments;
            before = some.last().map_or(1, |last| last.number);
            payments.extend(some);
            if before <= 1 {
                break;
            }
        }
        before = 0;
        loop {
            let request = ListFlipsRequest { debt: slug.clone(), limit: PAGE, before };
            let some = client.list_flips(request).await?.into_inner().flips;
            before = some.last().map_or(1, |last| last.number);
            flips.extend(some);
            if before <= 1 {
                break;
            }
        }
        before = 0;
        loop {
            let request = ListRunsRequest { debt: slug.clone(), limit: PAGE, before };
            let some = client.list_runs(request).await?.into_inner();
            runs.extend(some.runs);
            before = some.next_before;
            if before == 0 {
                break;
            }
        }
        payments.reverse();
        flips.reverse();
        runs.reverse();
        all.push(Debt { namespace, slug, debt, payments, runs, flips });
    }
    Ok(all)
}

/// A time of a message.
pub(super) fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.seconds, at.nanos).ok()
}
