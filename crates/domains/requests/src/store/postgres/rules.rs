//! Rules.

use std::slice::from_ref;

use tally_outbox::{Event, postgres as outbox};
use tally_runtime::{Kind, faults};
use tally_store::Error;
use tally_store::postgres::{Database, Isolation};
use tally_store::retry::Policy;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::Result;
use super::super::rules::{Added, Judged};
use crate::NAME;
use crate::model::Namespace;
use crate::rules::{KeptRule, TESTS};

pub(crate) async fn list(
    database: &Database,
    namespace: Option<Namespace>,
) -> Result<Vec<KeptRule>> {
    let (step, sql) = ("list rules", include_str!("rules.sql"));
    let namespace = namespace.map(|namespace| namespace.0);
    let once = || async { database.rows(step, sql, &[&namespace]).await };
    Policy::short(step).run(once).await?.iter().map(kept).collect()
}

/// Adds a rule.
pub(crate) async fn add(database: &Database, kept: &KeptRule, rules_max: u32) -> Result<Added> {
    let (step, sql) = ("add a rule", include_str!("add_rule.sql"));
    let KeptRule { id, namespace, rule, webhook, created, .. } = kept;
    let (definition, max) = (definition(kept)?, i64::from(rules_max));
    let once = || async {
        let values: [&(dyn ToSql + Sync); 7] =
            [id, &namespace.0, &rule.name, &definition, webhook, created, &max];
        database.commit_rows(step, sql, &values).await
    };
    let is_added = !Policy::short(step).run(once).await?.is_empty();
    if is_added {
        return Ok(Added::New);
    }
    let same = list(database, Some(*namespace))
        .await?
        .into_iter()
        .find(|other| other.rule.name == rule.name);
    Ok(same.map_or(Added::TooMany, |same| Added::Taken(Box::new(same))))
}

/// Removes a rule and its events.
pub(crate) async fn remove(database: &Database, id: Uuid) -> Result<()> {
    let step = "remove a rule";
    let once = || async {
        let transaction = database.begin(Isolation::Default).await?;
        transaction.write(step, include_str!("remove_rule.sql"), &[&id]).await?;
        outbox::remove(&transaction, NAME, id).await?;
        outbox::remove(&transaction, TESTS, id).await?;
        transaction.commit().await
    };
    Policy::short(step).run(once).await
}

/// Writes how a rule stands, and its next event.
pub(crate) async fn tell(database: &Database, kept: &KeptRule, judged: &Judged) -> Result<bool> {
    let (step, sql) = ("write a verdict", include_str!("tell_rule.sql"));
    let once = || async {
        let transaction = database.begin(Isolation::Default).await?;
        let values: [&(dyn ToSql + Sync); 4] =
            [&kept.id, &kept.events, &judged.firing_since, &judged.told];
        if transaction.write(step, sql, &values).await? == 0 {
            transaction.abandon().await?;
            return Ok(false);
        }
        outbox::append(&transaction, judged.event.as_slice()).await?;
        faults::point("rules.before_commit").await;
        transaction.commit().await?;
        faults::point("rules.committed").await;
        Ok(true)
    };
    Policy::short(step).run(once).await
}

/// Writes a test event.
pub(crate) async fn add_test(
    database: &Database,
    event: &Event,
    failed: Option<Uuid>,
) -> Result<()> {
    let once = || async {
        let transaction = database.begin(Isolation::Default).await?;
        if let Some(rule) = failed {
            outbox::remove(&transaction, TESTS, rule).await?;
        }
        outbox::append(&transaction, from_ref(event)).await?;
        transaction.commit().await
    };
    Policy::short("write a test event").run(once).await
}

/// What is stored of what was asked for, besides its URL.
fn definition(kept: &KeptRule) -> Result<String> {
    serde_json::to_string(&kept.rule)
        .map_err(|error| Error::permanent("write a rule", Kind::Internal).because(error))
}

fn kept(row: &Row) -> Result<KeptRule> {
    Ok(KeptRule {
        id: row.get(0),
        namespace: Namespace(row.get(7)),
        rule: serde_json::from_str(row.get(1))
            .map_err(|error| Error::permanent("read a rule", Kind::Internal).because(error))?,
        webhook: row.get(2),
        created: row.get(3),
        firing_since: row.get(4),
        told: row.get(5),
        events: row.get(6),
    })
}
