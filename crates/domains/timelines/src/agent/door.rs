//! Messages over HTTP, as the server takes them, and as datagrams of upto. The answer comes when they are on disk.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};
use tally_proto::tally::timelines::v1 as proto;
use tally_runtime::{Kind as ErrorKind, tell};
use tally_serve::api::{self, Problem};
use tally_serve::{Datagram, Datagrams, Foreign, Manner, Needs};

use super::Agent;
use super::spool::NotKept;
use crate::error::Error;
use crate::http::record;
use crate::message::Kind;
use crate::udp::Reader;

const MANNER: Manner = Manner { places: &[], refuse: None };
const NEEDS: &[(&str, Needs)] = &[("post", Needs::Ingest)];

/// Takes datagrams.
struct Door {
    agent: Agent,
    reader: Reader,
    /// The context of the last datagram, if it was for a new timeline: it may have come twice.
    last_new: Mutex<Option<String>>,
}

// === impl Agent ===

impl Agent {
    /// Where the server takes them, too.
    pub(super) fn routes(&self) -> Foreign {
        let (one, all) = (post(record_one), post(record_all));
        Foreign::new()
            .route("/api/v1/timelines", &MANNER, NEEDS, one.with_state(self.clone()))
            .route("/api/v1/timelines/batch", &MANNER, NEEDS, all.with_state(self.clone()))
    }

    pub(super) fn datagrams(&self) -> Arc<dyn Datagrams> {
        let reader = Reader::new(Arc::clone(&self.0.refusals));
        Arc::new(Door { agent: self.clone(), reader, last_new: Mutex::default() })
    }

    fn checked(&self, (said, key, mut wrong): record::Read) -> Result<proto::RecordRequest, Error> {
        wrong.extend(said.wrong());
        if wrong.is_empty() { Ok(self.message(said, key)) } else { Err(Error::Wrong(wrong)) }
    }
}

impl From<NotKept> for Problem {
    fn from(why: NotKept) -> Self {
        Self::new(ErrorKind::Unavailable, why.to_string())
    }
}

async fn record_one(State(agent): State<Agent>, request: Request) -> Result<Response, Problem> {
    let message = agent.checked(record::one(request).await?)?;
    agent.keep(vec![message]).await?;
    Ok((StatusCode::ACCEPTED, api::json(&json!({"kept": true}))).into_response())
}

async fn record_all(State(agent): State<Agent>, request: Request) -> Result<Response, Problem> {
    let (mut messages, mut results) = (Vec::new(), Vec::<Value>::new());
    for read in record::all(request).await? {
        match agent.checked(read) {
            Ok(message) => {
                messages.push(message);
                results.push(json!({"kept": true, "refusal": null}));
            }
            Err(error) => {
                let (status, detail) = (error.kind().http_status(), tell(&error, error.kind()));
                let refusal = json!({"status": status, "detail": detail, "reason": error.reason()});
                results.push(json!({"kept": false, "refusal": refusal}));
            }
        }
    }
    agent.keep(messages).await?;
    Ok((StatusCode::ACCEPTED, api::json(&json!({"results": results}))).into_response())
}

// === impl Door ===

#[async_trait]
impl Datagrams for Door {
    async fn take(&self, datagrams: Vec<Datagram>) {
        let read = datagrams.iter().filter_map(|one| self.reader.read(one));
        let read: Vec<_> = read
            .filter(|said| {
                let new = (said.kind == Kind::New).then(|| said.context.clone());
                let mut last = self.last_new.lock().unwrap_or_else(PoisonError::into_inner);
                let is_again = new.is_some() && *last == new;
                *last = new;
                !is_again
            })
            .map(|said| self.agent.message(said, None))
            .collect();
        drop(datagrams);
        for messages in read.chunks(crate::service::MESSAGES_MAX) {
            if let Err(why) = self.agent.keep(messages.to_vec()).await {
                self.reader.lost(messages.len() as u64, &why.to_string());
            }
        }
    }
}
