//! A check, a ping and a flip as they are shown.

use std::collections::BTreeSet;

use axum::extract::Request;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tally_access::{Caller, Scope};
use tally_runtime::Namespace;
use tally_serve::pages::Frame;
use uuid::Uuid;

use super::refused;
use crate::model::{Debt, KeptFlip, ShownPayment};
use crate::schedule::Schedule;
use crate::service::{Badge, Service};
use crate::state::{Kind, Standing, Status};

/// What a unique key begins with, so that it has the 40 digits of a hash.
const BEFORE_ID: &str = "00000000";

/// For whom checks are shown.
pub(super) struct Shown {
    service: Service,
    /// Where the client reaches this server.
    origin: String,
    version: String,
    now: Timestamp,
    may_change: bool,
}

// === impl Shown ===

impl Shown {
    pub(super) fn of(frame: &Frame, request: &Request, service: &Service) -> Self {
        let version = request.uri().path().split('/').nth(2).unwrap_or("v3").to_owned();
        let may_change = Caller::of(request.extensions()).may(Scope::Admin);
        let (service, now) = (service.clone(), service.now());
        Self { service, origin: frame.url(), version, now, may_change }
    }

    pub(super) async fn check(&self, debt: &Debt) -> Result<Value, Response> {
        let (definition, state) = (&debt.definition, &debt.state);
        let is_started = debt.open_runs > 0;
        let is_late = state.standing(self.now) == Standing::Late;
        let status = match state.status {
            Status::Paused => "paused",
            Status::Down => "down",
            _ if is_started && self.version == "v1" => "started",
            Status::Up if is_late => "grace",
            Status::Up => "up",
            Status::New => "new",
        };
        let mut check = json!({
            "name": definition.name,
            "slug": definition.slug,
            "tags": definition.tags.join(" "),
            "desc": definition.description,
            "grace": definition.terms.grace.as_secs(),
            "n_pings": debt.payments,
            "status": status,
            "started": is_started,
            "last_ping": state.last_payment.map(seconds),
            "next_ping": state.due.map(seconds),
            // Only who resumes it ends a pause.
            "manual_resume": true,
            "methods": "",
        });
        match &definition.terms.schedule {
            Schedule::Interval(every) => check["timeout"] = every.as_secs().into(),
            Schedule::Cron(cron) => {
                check["schedule"] = cron.text().into();
                check["tz"] = cron.zone().into();
            }
            Schedule::Deadline(_) | Schedule::None => {}
        }
        if self.may_change {
            let (uuid, url) = (debt.ping_id, self.url(debt));
            check["uuid"] = uuid.to_string().into();
            check["ping_url"] = format!("{}/ping/{uuid}", self.origin).into();
            check["update_url"] = url.clone().into();
            check["pause_url"] = format!("{url}/pause").into();
            check["resume_url"] = format!("{url}/resume").into();
            check["badge_url"] =
                self.badge(debt.namespace, &Badge::Debt(debt.number)).await?.into();
            check["channels"] = "".into();
        } else {
            check["unique_key"] = format!("{BEFORE_ID}{}", debt.id.simple()).into();
        }
        Ok(check)
    }

    /// Of each tag, where its badge is: one image for what healthchecks tells apart as two and three states.
    pub(super) async fn badges(
        &self,
        namespace: Namespace,
        tags: BTreeSet<String>,
    ) -> Result<Map<String, Value>, Response> {
        let mut badges = Map::new();
        for tag in tags {
            let url = self.badge(namespace, &Badge::Tag(tag.clone())).await?;
            badges.insert(tag, json!({"svg": url, "svg3": url}));
        }
        Ok(badges)
    }

    async fn badge(&self, namespace: Namespace, badge: &Badge) -> Result<String, Response> {
        let link = self.service.badge_link(namespace, badge).await.map_err(refused)?;
        Ok(format!("{}{}", self.origin, link.unwrap_or_default()))
    }

    pub(super) fn ping(&self, debt: &Debt, payment: &ShownPayment) -> Value {
        let kind = match payment.kind {
            Kind::Success => "success",
            Kind::Fail => "fail",
            Kind::Start => "start",
            Kind::Stage(_) | Kind::Heartbeat | Kind::Log => "log",
        };
        // As the doors write it: the product, the method, the address, and what the client calls itself.
        let mut how =
            payment.source.splitn(4, ' ').skip(1).map(|part| if part == "-" { "" } else { part });
        let mut next = || how.next().unwrap_or_default();
        let (method, remote_addr, ua) = (next(), next(), next());
        let has_body = self.may_change && !payment.body.is_empty();
        let body_url =
            has_body.then(|| format!("{}/pings/{}/body", self.url(debt), payment.number));
        let mut ping = json!({
            "type": kind,
            "date": moment(payment.received),
            "n": payment.number,
            "scheme": "http",
            "remote_addr": remote_addr,
            "method": method,
            "ua": ua,
            "rid": payment.run,
            "body_url": body_url,
        });
        if let Some(took) = payment.noted.took {
            ping["duration"] = ((took.as_secs_f64() * 100.0).round() / 100.0).into();
        }
        ping
    }

    fn url(&self, debt: &Debt) -> String {
        format!("{}/api/{}/checks/{}", self.origin, self.version, debt.ping_id)
    }
}

pub(super) fn flip(flip: &KeptFlip) -> Value {
    json!({"timestamp": seconds(flip.at), "up": i32::from(!flip.is_alarm())})
}

/// The id that a unique key stands for.
pub(super) fn id_of(unique_key: &str) -> Option<Uuid> {
    let id = unique_key.strip_prefix(BEFORE_ID).filter(|id| id.len() == 32)?;
    Uuid::try_parse(id).ok()
}

/// Whole seconds.
fn seconds(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// Microseconds.
fn moment(at: Timestamp) -> String {
    let micros = at.as_microsecond().rem_euclid(1_000_000);
    seconds(at).replace('+', &format!(".{micros:06}+"))
}
