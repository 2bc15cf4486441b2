//! Rules about counts.

use tally_outbox::Delivery;
use tally_runtime::{Kind, random};
use uuid::Uuid;

use super::Service;
use crate::NAME;
use crate::error::Error;
use crate::rules::{Counted, KeptRule, RULES_MAX, Rule};
use crate::store::{Added, Judged};

/// How many of its events a rule shows.
const EVENTS_SHOWN: u32 = 20;
/// How often a test event is tried if something else happens to the rule.
const ATTEMPTS_MAX: usize = 10;

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
            rule,
            webhook,
            created: now,
            firing_since: None,
            told: None,
            events: 0,
        };
        let _place = self.queries.acquire().await;
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

    /// All rules, by name.
    pub(crate) async fn rules(&self) -> Result<Vec<KeptRule>, Error> {
        let _place = self.queries.acquire().await;
        self.house.store.rules().await.map_err(Error::store("list rules"))
    }

    /// A rule by its name or id, and how it stands.
    pub(crate) async fn shown_rule(&self, name_or_id: &str) -> Result<ShownRule, Error> {
        let kept = self.rule(name_or_id).await?;
        let now = self.intake.clock.now();
        let _place = self.queries.acquire().await;
        let counted = self.judge.count(&kept, now).await.map_err(Error::store("count"))?;
        let watched_since = self.house.store.watched_since().await;
        let watched_since = watched_since.map_err(Error::store("show a rule"))?;
        let events = self.outbox.deliveries(NAME, kept.id, EVENTS_SHOWN).await;
        let events = events.map_err(Error::store("list events"))?;
        Ok(ShownRule { kept, counted, now, watched_since, events })
    }

    /// Removes a rule, and returns what it was.
    pub(crate) async fn remove_rule(&self, name_or_id: &str) -> Result<KeptRule, Error> {
        let kept = self.rule(name_or_id).await?;
        let _place = self.queries.acquire().await;
        self.house.store.remove_rule(kept.id).await.map_err(Error::store("remove a rule"))?;
        tracing::info!(rule = %kept.id, "removed a rule");
        Ok(kept)
    }

    /// Sends an event that says nothing, in the way of all others. Returns its id.
    pub(crate) async fn test_rule(&self, name_or_id: &str) -> Result<Uuid, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let kept = self.rule(name_or_id).await?;
            let receiver = kept.receiver(self.outbox.webhooks());
            let receiver = receiver.and_then(|receiver| receiver.ok_or("is missing".to_owned()));
            let receiver = receiver.map_err(|why| {
                Error::Refused(Kind::FailedPrecondition, format!("webhook: {why}").into())
            })?;
            let event = kept.test_event(receiver, self.intake.clock.now());
            let id = event.id();
            let _place = self.queries.acquire().await;
            let told = self.house.store.tell(&kept, &Judged::besides(&kept, event)).await;
            if told.map_err(Error::store("write an event"))? {
                self.outbox.notice();
                return Ok(id);
            }
        }
        let text = "the rule changes all the time: try again later";
        Err(Error::Refused(Kind::Unavailable, text.into()))
    }

    async fn rule(&self, name_or_id: &str) -> Result<KeptRule, Error> {
        let id = Uuid::parse_str(name_or_id).ok();
        let is_it = |kept: &KeptRule| kept.rule.name == name_or_id || Some(kept.id) == id;
        let found = self.rules().await?.into_iter().find(is_it);
        found.ok_or_else(|| {
            Error::Refused(Kind::NotFound, "rule: there is none of this name".into())
        })
    }
}
