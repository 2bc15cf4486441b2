//! `RuleService`: rules about counts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tally_access::Caller;
use tally_outbox::{Delivery, State};
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::rule::Limit as LimitProto;
use tally_proto::tally::requests::v1::rule_service_server::RuleService;
use tally_proto::wire;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::rules::{KeptRule, Limit, Rule, Sum, start_of};
use crate::service::{Service, ShownRule};

#[tonic::async_trait]
impl RuleService for Service {
    async fn add_rule(
        &self,
        request: Request<proto::AddRuleRequest>,
    ) -> Result<Response<proto::AddRuleResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let rule = request.into_inner().rule.unwrap_or_default();
        let webhook = rule.webhook.clone();
        let (kept, is_repeated) = self.add_rule(namespace, read(rule)?, webhook).await?;
        let rule = Some(proto::KeptRule::from(&kept));
        Ok(Response::new(proto::AddRuleResponse { rule, is_repeated }))
    }

    async fn list_rules(
        &self,
        request: Request<proto::ListRulesRequest>,
    ) -> Result<Response<proto::ListRulesResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let rules = self.rules(namespace).await?.iter().map(proto::KeptRule::from).collect();
        Ok(Response::new(proto::ListRulesResponse { rules }))
    }

    async fn show_rule(
        &self,
        request: Request<proto::ShowRuleRequest>,
    ) -> Result<Response<proto::ShowRuleResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let shown = self.shown_rule(namespace, &request.into_inner().rule).await?;
        Ok(Response::new(shown.into()))
    }

    async fn remove_rule(
        &self,
        request: Request<proto::RemoveRuleRequest>,
    ) -> Result<Response<proto::RemoveRuleResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let kept = self.remove_rule(namespace, &request.into_inner().rule).await?;
        Ok(Response::new(proto::RemoveRuleResponse { rule: Some((&kept).into()) }))
    }

    async fn test_rule(
        &self,
        request: Request<proto::TestRuleRequest>,
    ) -> Result<Response<proto::TestRuleResponse>, Status> {
        let namespace = Caller::of(request.extensions()).namespace();
        let id = self.test_rule(namespace, &request.into_inner().rule).await?;
        Ok(Response::new(proto::TestRuleResponse { event_id: id.to_string() }))
    }
}

/// Reads a rule. What its fields cannot have here at all is out of range there as well.
fn read(rule: proto::Rule) -> Result<Rule, Error> {
    let limit = match rule.limit {
        Some(LimitProto::Below(number)) => Limit::Below(number),
        Some(LimitProto::Above(number)) => Limit::Above(number),
        Some(LimitProto::ShareBelowMillionths(share)) => Limit::ShareBelowMillionths(share),
        Some(LimitProto::ShareAboveMillionths(share)) => Limit::ShareAboveMillionths(share),
        None => return Err(Error::invalid("limit: is missing: say below or above what it fires")),
    };
    let wide = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let narrow = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let some = |number: u32| (number > 0).then_some(number);
    Ok(Rule {
        name: rule.name,
        services: set(rule.services),
        methods: set(rule.methods),
        paths: set(rule.paths),
        path_prefix: rule.path_prefix,
        statuses: set(rule.statuses.into_iter().map(wide)),
        status_classes: set(rule.status_classes.into_iter().map(narrow)),
        customers: set(rule.customers),
        limit,
        window_minutes: rule.window_minutes,
        at_least: some(rule.at_least),
        repeat_minutes: some(rule.repeat_minutes),
    })
}

/// In order and without repetitions, so that the same rule is the same.
fn set<T: Ord>(entries: impl IntoIterator<Item = T>) -> Vec<T> {
    let entries: BTreeSet<T> = entries.into_iter().collect();
    entries.into_iter().collect()
}

fn at(time: Timestamp) -> prost_types::Timestamp {
    wire::timestamp(time.as_microsecond())
}

fn event(delivery: Delivery) -> proto::Event {
    let Delivery { id, body, created, state, attempts, answer, .. } = delivery;
    let (mut due_at, mut delivered_at, mut dead_at) = (None, None, None);
    match state {
        State::Waiting => {}
        State::Pending { due } => due_at = Some(at(due)),
        State::Delivered { at: since } => delivered_at = Some(at(since)),
        State::Dead { at: since } => dead_at = Some(at(since)),
    }
    proto::Event {
        id: id.to_string(),
        body,
        created_at: Some(at(created)),
        due_at,
        delivered_at,
        dead_at,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        answer,
        is_waiting: state == State::Waiting,
    }
}

impl From<&KeptRule> for proto::KeptRule {
    fn from(kept: &KeptRule) -> Self {
        let Rule { name, services, methods, paths, path_prefix, customers, .. } = kept.rule.clone();
        let rule = &kept.rule;
        let limit = match rule.limit {
            Limit::Below(number) => LimitProto::Below(number),
            Limit::Above(number) => LimitProto::Above(number),
            Limit::ShareBelowMillionths(share) => LimitProto::ShareBelowMillionths(share),
            Limit::ShareAboveMillionths(share) => LimitProto::ShareAboveMillionths(share),
        };
        let shown = proto::Rule {
            name,
            services,
            methods,
            paths,
            path_prefix,
            statuses: rule.statuses.iter().map(|status| (*status).into()).collect(),
            status_classes: rule.status_classes.iter().map(|class| (*class).into()).collect(),
            customers,
            limit: Some(limit),
            window_minutes: rule.window_minutes,
            at_least: if rule.limit.is_share() { rule.at_least() } else { 0 },
            repeat_minutes: rule.repeat_minutes.unwrap_or_default(),
            webhook: kept.shown_webhook(),
        };
        Self {
            rule: Some(shown),
            id: kept.id.to_string(),
            created_at: Some(at(kept.created)),
            firing_since: kept.firing_since.map(at),
            condition: rule.condition(),
        }
    }
}

impl From<ShownRule> for proto::ShowRuleResponse {
    fn from(shown: ShownRule) -> Self {
        let ShownRule { kept, counted, now, watched_since, events } = shown;
        let window = |from, to, sum: Sum| proto::Window {
            from: Some(at(from)),
            to: Some(at(to)),
            requests: sum.requests,
            of_requests: sum.of_requests,
        };
        let windows = counted.windows;
        let (complete, running) = (windows.complete, windows.running);
        Self {
            rule: Some((&kept).into()),
            complete: Some(window(
                start_of(complete.start),
                start_of(complete.end),
                counted.complete,
            )),
            running: Some(window(
                start_of(running.start),
                now.min(start_of(running.end)),
                counted.running,
            )),
            events: events.into_iter().map(event).collect(),
            watched_since: watched_since.map(at),
        }
    }
}
