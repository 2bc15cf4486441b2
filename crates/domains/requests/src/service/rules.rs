//! Rules about counts.

use std::cmp::Reverse;

use tally_outbox::{Delivery, State};
use tally_runtime::{Kind, random};
use uuid::Uuid;

use super::Service;
use crate::NAME;
use crate::error::Error;
use crate::model::Namespace;
use crate::rules::{Counted, KeptRule, RULES_MAX, Rule, TESTS};
use crate::store::Added;

/// How many of its events a rule shows.
const EVENTS_SHOWN: u32 = 20;

/// A rule, what it counts now, and its latest events.
pub(crate) struct ShownRule {
    pub(crate) kept: KeptRule,
    pub(crate) counted: Counted,
    pub(crate) now: jiff::Timestamp,
    pub(crate) watched_since: Option<jiff::Timestamp>,
    pub(crate) events: Vec<Delivery>,
}

// === impl Service ===

impl Service {
    /// Adds a rule whose events go to this URL. Says whether it was there before.
    pub(crate) async fn add_rule(
        &self,
        namespace: Namespace,
        rule: Rule,
        webhook: String,
    ) -> Result<(KeptRule, bool), Error> {
        let rule = rule.with_methods_of_series().map_err(Error::invalid)?;
        let webhooks = self.outbox.webhooks();
        rule.check(&webhook, webhooks, self.quarter_retention_days)
            .map_err(|problems| Error::invalid(problems.join("; ")))?;
        let now = self.intake.clock.now();
        let kept = KeptRule {
            id: random::id(now),
            namespace,
            rule,
            webhook,
            created: now,
            firing_since: None,
            told: None,
            events: 0,
        };
        let _place = self.place().await?;
        let added = self.house.store.add_rule(&kept, RULES_MAX).await;
        match added.map_err(Error::store("add a rule"))? {
            Added::New => Ok((kept, false)),
            Added::Taken(same) if same.id == kept.id => Ok((*same, false)),
            Added::Taken(same) if same.rule == kept.rule && same.webhook == kept.webhook => {
                Ok((*same, true))
            }
            Added::Taken(_) => {
                let text =
                    "name: another rule has it; remove that one first, or choose another name";
                Err(Error::Refused(Kind::AlreadyExists, text.into()))
            }
            Added::TooMany => {
                let text = format!("there are {RULES_MAX} rules already, and there can be no more");
                Err(Error::Refused(Kind::ResourceExhausted, text.into()))
            }
        }
    }

    /// All rules of a namespace, by name.
    pub(crate) async fn rules(&self, namespace: Namespace) -> Result<Vec<KeptRule>, Error> {
        let _place = self.place().await?;
        self.house.store.rules(Some(namespace)).await.map_err(Error::store("list rules"))
    }

    /// A rule by its name or id, and how it stands.
    pub(crate) async fn shown_rule(
        &self,
        namespace: Namespace,
        name_or_id: &str,
    ) -> Result<ShownRule, Error> {
        let kept = self.rule(namespace, name_or_id).await?;
        let now = self.intake.clock.now();
        let _place = self.place().await?;
        let counted = self.judge.count(&kept, now).await.map_err(Error::store("count"))?;
        let watched_since = self.judge.watched_since().await;
        let watched_since = watched_since.map_err(Error::store("show a rule"))?;
        let mut events = Vec::new();
        for domain in [NAME, TESTS] {
            let some = self.outbox.deliveries(domain, kept.id, i64::MAX, EVENTS_SHOWN).await;
            events.extend(some.map_err(Error::store("list events"))?);
        }
        events.sort_by_key(|event| Reverse(event.created));
        events.truncate(EVENTS_SHOWN as usize);
        Ok(ShownRule { kept, counted, now, watched_since, events })
    }

    /// Removes a rule, and returns what it was.
    pub(crate) async fn remove_rule(
        &self,
        namespace: Namespace,
        name_or_id: &str,
    ) -> Result<KeptRule, Error> {
        let kept = self.rule(namespace, name_or_id).await?;
        let _place = self.place().await?;
        self.house.store.remove_rule(kept.id).await.map_err(Error::store("remove a rule"))?;
        tracing::info!(rule = %kept.id, "removed a rule");
        Ok(kept)
    }

    /// Sends an event that says nothing, in the way of all others. Returns its id. There is one at a time:
    /// they are not to flood the outbox. The next one replaces one that has failed and is tried again.
    pub(crate) async fn test_rule(
        &self,
        namespace: Namespace,
        name_or_id: &str,
    ) -> Result<Uuid, Error> {
        let kept = self.rule(namespace, name_or_id).await?;
        let receiver = kept.receiver(self.outbox.webhooks());
        let receiver = receiver.and_then(|receiver| receiver.ok_or("is missing".to_owned()));
        let refused = |text: String| Error::Refused(Kind::FailedPrecondition, text.into());
        let receiver = receiver.map_err(|why| refused(format!("webhook: {why}")))?;
        let _place = self.place().await?;
        let last = async || {
            let last = self.outbox.deliveries(TESTS, kept.id, i64::MAX, 1).await;
            last.map(|all| all.into_iter().next()).map_err(Error::store("list events"))
        };
        let before = last().await?;
        let is_pending = |one: &Delivery| matches!(one.state, State::Pending { .. });
        // Somebody may have mended what it failed for.
        let is_untried = |one: &Delivery| is_pending(one) && one.attempts == 0;
        if !before.as_ref().is_some_and(is_untried) {
            let failed = before.as_ref().filter(|one| is_pending(one)).map(|_| kept.id);
            let number = before.map_or(1, |before| before.number + 1);
            let event = kept.test_event(receiver, number, self.intake.clock.now());
            let added = self.house.store.add_test(&event, failed).await;
            added.map_err(Error::store("write an event"))?;
            if last().await?.is_some_and(|last| last.id == event.id()) {
                self.outbox.notice();
                return Ok(event.id());
            }
        }
        let text = "a test of this rule is still on its way, and there is one at a time: see what becomes \
                    of it, and try again when it has arrived or failed";
        Err(refused(text.to_owned()))
    }

    async fn rule(&self, namespace: Namespace, name_or_id: &str) -> Result<KeptRule, Error> {
        let id = Uuid::parse_str(name_or_id).ok();
        let is_it = |kept: &KeptRule| kept.rule.name == name_or_id || Some(kept.id) == id;
        let found = self.rules(namespace).await?.into_iter().find(is_it);
        found.ok_or_else(|| {
            Error::Refused(Kind::NotFound, "rule: there is none of this name".into())
        })
    }
}
