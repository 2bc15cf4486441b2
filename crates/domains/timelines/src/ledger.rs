//! What messages make of timelines, in one transaction: from what the database has, to what is written. Nothing
//! here waits for anything.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use tally_runtime::{Kind as ErrorKind, Namespace, faults};
use uuid::Uuid;

use crate::message::{Kind, Message, Status};
use crate::model::{Context, Counts, Duration, Event, Key, Timeline};
use crate::pairing::{Attempt, End, Start};
use crate::track::Track;

/// How many attempts one name and host may have in a timeline, and of how many messages they are made.
pub(crate) const ATTEMPTS_MAX: usize = 1_000;
const SAID_MAX: usize = 4 * ATTEMPTS_MAX;
/// In how many timelines, the latest ones, an end looks for its start.
pub(crate) const LOOKED_BACK_MAX: i64 = 8;

/// The limits that the server's settings say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many contexts a namespace may have.
    pub(crate) contexts_max: u32,
    /// How many events a timeline may have.
    pub(crate) events_max: u32,
    pub(crate) retention_days: u32,
    pub(crate) abandon_after: SignedDuration,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Done),
    /// Something else was said under the idempotency key.
    OtherContent,
    /// There are as many contexts as there may be.
    TooMany,
    /// For the reason that the text gives.
    Refused(ErrorKind, String),
}

/// A message that is stored, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    /// The timeline it went to.
    pub(crate) timeline: Timeline,
    /// It was stored before.
    pub(crate) is_repeated: bool,
}

/// What the database has of what messages are about.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The contexts, locked until the transaction ends.
    pub(crate) contexts: HashMap<(Namespace, String), Context>,
    /// Those that were not made, because there are too many.
    pub(crate) too_many: HashSet<(Namespace, String)>,
    /// The newest timelines, those that messages name, and those that have their events.
    pub(crate) timelines: HashMap<Uuid, Timeline>,
    /// Messages that were stored before, by their contexts and by what tells them.
    pub(crate) known: HashMap<(Uuid, Uuid), Known>,
    /// By their contexts: of each key the timelines that have it, and what they have.
    pub(crate) tracks: HashMap<(Uuid, Key), HashMap<Uuid, Track>>,
}

/// A message that was stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) timeline: Uuid,
    pub(crate) fingerprint: i64,
}

/// A message by what tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptMessage {
    pub(crate) context: Uuid,
    pub(crate) once: Uuid,
    pub(crate) known: Known,
    pub(crate) received: Timestamp,
}

/// What is written.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Contexts that have new timelines.
    pub(crate) contexts: Vec<Context>,
    /// Timelines that are new or have changed, by their ids.
    pub(crate) timelines: Vec<Timeline>,
    /// Events that are new or have changed.
    pub(crate) events: Vec<Event>,
    pub(crate) durations: Vec<Duration>,
    pub(crate) messages: Vec<KeptMessage>,
    /// One for each message.
    pub(crate) outcomes: Vec<Outcome>,
}

/// Takes messages, in order.
struct Ledger<'a> {
    loaded: &'a mut Loaded,
    limits: Limits,
    now: Timestamp,
    messages: Vec<KeptMessage>,
    contexts: HashSet<(Namespace, String)>,
    timelines: HashSet<Uuid>,
    points: Vec<Event>,
    tracks: HashSet<(Uuid, Key, Uuid)>,
}

/// Takes messages, in order, and says what is to be written. What is loaded is what the database has then.
pub(crate) fn judge(
    loaded: &mut Loaded,
    messages: &[Message],
    now: Timestamp,
    limits: Limits,
) -> Changes {
    let mut ledger = Ledger {
        loaded,
        limits,
        now,
        messages: Vec::new(),
        contexts: HashSet::new(),
        timelines: HashSet::new(),
        points: Vec::new(),
        tracks: HashSet::new(),
    };
    let outcomes = messages.iter().map(|message| ledger.one(message)).collect();
    Changes { outcomes, ..ledger.finish() }
}

// === impl Limits ===

impl Limits {
    /// When a timeline that was heard of now is deleted: rounded up to the hour, so that its row is not moved in
    /// the index each time.
    pub(crate) fn expires(&self, context: &Context, heard: Timestamp) -> Option<Timestamp> {
        let days = context.terms.retention_days.unwrap_or(self.retention_days);
        let kept = SignedDuration::from_hours(24 * i64::from(days));
        let until = heard.saturating_add(kept).ok().filter(|_| days > 0)?;
        Timestamp::from_second((until.as_second() / 3_600 + 1) * 3_600).ok()
    }

    /// When an open event that was heard of now is abandoned.
    pub(crate) fn overdue(&self, context: &Context, heard: Timestamp) -> Option<Timestamp> {
        let after = context.terms.abandon_after.unwrap_or(self.abandon_after);
        heard.saturating_add(after).ok()
    }
}

// === impl Ledger ===

impl Ledger<'_> {
    fn one(&mut self, message: &Message) -> Outcome {
        let of = (message.namespace, message.said.context.clone());
        if self.loaded.too_many.contains(&of) {
            return Outcome::TooMany;
        }
        let Some(context) = self.loaded.contexts.get(&of).cloned() else {
            let text = "its context was forgotten at this moment: send it again".to_owned();
            return Outcome::Refused(ErrorKind::Unavailable, text);
        };
        let known = self.loaded.known.get(&(context.id, message.once)).copied();
        if let Some(known) = known {
            return match self.loaded.timelines.get(&known.timeline) {
                _ if known.fingerprint != message.fingerprint => Outcome::OtherContent,
                Some(timeline) => done(timeline, true),
                None => gone(),
            };
        }
        let newest = self.newest(&context);
        let labelled = self.labelled(&context, &message.said.timeline);
        let timeline = match message.said.kind {
            Kind::New => match (labelled, newest) {
                (Some(there), _) => return done(&there, true),
                // A datagram has no time of its own, and may come twice.
                (None, Some(newest))
                    if message.said.time.is_none()
                        && message.said.timeline.is_empty()
                        && message.fingerprint == 0
                        && newest.counts.events == 0 =>
                {
                    return done(&newest, true);
                }
                _ => self.begin(&of, message),
            },
            _ => {
                let key = (context.id, Key::of(&message.said));
                let there = if message.said.timeline.is_empty() {
                    self.meant(&key, message, newest)
                } else {
                    labelled
                };
                match self.with_room(there, message, &key, &of) {
                    Ok(timeline) => timeline,
                    Err(text) => return Outcome::Refused(ErrorKind::ResourceExhausted, text),
                }
            }
        };
        self.note(message, &context, timeline)
    }

    /// Stores what a message says, in this timeline.
    fn note(&mut self, message: &Message, context: &Context, mut timeline: Timeline) -> Outcome {
        timeline.heard = timeline.heard.max(message.received);
        timeline.expires = self.limits.expires(context, timeline.heard);
        if message.said.kind != Kind::New {
            timeline.first = Some(timeline.first.map_or(message.time, |at| at.min(message.time)));
            timeline.last = Some(timeline.last.map_or(message.time, |at| at.max(message.time)));
        }
        if message.said.kind == Kind::Point {
            timeline.counts.events += 1;
            timeline.counts.failed += i64::from(message.said.status == Status::Failed);
            self.points.push(point(message, &timeline));
        } else if message.said.kind != Kind::New {
            let key = Key::of(&message.said);
            let tracks = self.loaded.tracks.entry((context.id, key.clone())).or_default();
            let track = tracks.entry(timeline.id).or_default();
            let overdue = |heard| self.limits.overdue(context, heard);
            track.hear(message, &mut timeline.counts, overdue);
            self.tracks.insert((context.id, key, timeline.id));
        }
        let known = Known { timeline: timeline.id, fingerprint: message.fingerprint };
        self.loaded.known.insert((context.id, message.once), known);
        let (context, once) = (context.id, message.once);
        // A fault that stores what comes again.
        if !faults::is_on("timelines.forget") {
            self.messages.push(KeptMessage { context, once, known, received: message.received });
        }
        self.timelines.insert(timeline.id);
        let outcome = done(&timeline, false);
        self.loaded.timelines.insert(timeline.id, timeline);
        outcome
    }

    fn newest(&self, context: &Context) -> Option<Timeline> {
        let mut of_context = self.loaded.timelines.values();
        of_context.find(|one| one.context == context.id && one.number == context.timelines).cloned()
    }

    fn labelled(&self, context: &Context, label: &str) -> Option<Timeline> {
        let mut all = self.loaded.timelines.values();
        let found = all.find(|one| one.context == context.id && one.label == label);
        found.filter(|_| !label.is_empty()).cloned()
    }

    /// Which timeline a message is meant for that names none. An end, and a phase, belong where the event began;
    /// and what has overtaken others of its event, these belong to.
    fn meant(
        &self,
        key: &(Uuid, Key),
        message: &Message,
        newest: Option<Timeline>,
    ) -> Option<Timeline> {
        let tracks = self.loaded.tracks.get(key);
        let mut there: Vec<(&Timeline, &Track)> = tracks
            .into_iter()
            .flatten()
            .filter_map(|(id, track)| Some((self.loaded.timelines.get(id)?, track)))
            .collect();
        there.sort_by_key(|(timeline, _)| -timeline.number);
        let (kind, time) = (message.said.kind, message.time);
        // What came before it although it was said after it.
        let has_other_half = |track: &Track| {
            let is_overtaken = || track.reaches_over(time) || track.waits_for(time);
            track.has_lone_phase(time) || kind == Kind::Phase && is_overtaken()
        };
        let found = match kind {
            // A fault that takes what is newest for what is meant.
            _ if faults::is_on("timelines.astray") => None,
            Kind::End | Kind::Phase => there
                .iter()
                .find(|(_, track)| track.is_open_at(time))
                .or_else(|| there.iter().find(|(_, track)| track.is_open()))
                .or_else(|| there.iter().find(|(_, track)| has_other_half(track))),
            Kind::Start => there.iter().find(|(timeline, track)| {
                let is_newest = newest.as_ref().is_some_and(|newest| newest.id == timeline.id);
                !is_newest && track.waits_for(time)
            }),
            _ => None,
        };
        found.map(|(timeline, _)| (*timeline).clone()).or(newest)
    }

    /// The timeline, if it has room; otherwise a new one, unless the message names it: then why not.
    fn with_room(
        &mut self,
        there: Option<Timeline>,
        message: &Message,
        key: &(Uuid, Key),
        of: &(Namespace, String),
    ) -> Result<Timeline, String> {
        let Some(there) = there else { return Ok(self.begin(of, message)) };
        let track = self.loaded.tracks.get(key).and_then(|tracks| tracks.get(&there.id));
        let (events, said) = track.map_or((0, 0), |track| (track.events(), track.said()));
        let is_known = matches!(message.said.kind, Kind::End | Kind::Phase) && events > 0;
        let is_full = match message.said.kind {
            _ if is_known => said >= SAID_MAX,
            Kind::Start if events >= ATTEMPTS_MAX => true,
            _ => there.counts.events >= i64::from(self.limits.events_max),
        };
        if !is_full {
            return Ok(there);
        }
        if message.said.timeline.is_empty() && !is_known {
            return Ok(self.begin(of, message));
        }
        Err(format!(
            "the timeline is full: it may have {} events, and {ATTEMPTS_MAX} attempts of one; begin a new \
             timeline",
            self.limits.events_max
        ))
    }

    /// Begins a timeline.
    fn begin(&mut self, of: &(Namespace, String), message: &Message) -> Timeline {
        let context = self.loaded.contexts.get_mut(of).expect("it was looked up");
        context.timelines += 1;
        self.contexts.insert(of.clone());
        Timeline {
            id: tally_runtime::random::id(self.now),
            context: context.id,
            number: context.timelines,
            label: message.said.timeline.clone(),
            begun: message.received,
            heard: message.received,
            expires: None,
            first: None,
            last: None,
            counts: Counts::default(),
        }
    }

    fn finish(self) -> Changes {
        let Self { loaded, messages, contexts, timelines, points, tracks, .. } = self;
        let mut changes = Changes { messages, events: points, ..Changes::default() };
        changes.contexts =
            contexts.iter().filter_map(|of| loaded.contexts.get(of).cloned()).collect();
        changes.contexts.sort_by_key(|context| context.id);
        let changed = timelines.iter().filter_map(|id| loaded.timelines.get(id).cloned());
        changes.timelines = changed.collect();
        changes.timelines.sort_by_key(|timeline| timeline.id);
        for (context, key, id) in tracks {
            let Some(timeline) = loaded.timelines.get(&id) else { continue };
            let of_key = loaded.tracks.get_mut(&(context, key.clone()));
            let Some(track) = of_key.and_then(|tracks| tracks.get_mut(&id)) else { continue };
            let (events, duration) = track.take_changes(timeline, &key);
            changes.events.extend(events);
            changes.durations.extend(duration);
        }
        changes
    }
}

/// A point: it begins and ends at once.
fn point(message: &Message, timeline: &Timeline) -> Event {
    let Message { said, time, received, .. } = message;
    let (time, received) = (*time, *received);
    let start = Start { time, received, attributes: said.attributes.clone() };
    let end = End { time, received, status: said.status, attributes: BTreeMap::new() };
    Event {
        timeline: timeline.id,
        number: timeline.counts.events,
        context: timeline.context,
        key: Key::of(said),
        is_point: true,
        rank: 1,
        attempt: Attempt { start: Some(start), end: Some(end), shifts: Vec::new() },
        overdue: None,
        abandoned: None,
    }
}

fn done(timeline: &Timeline, is_repeated: bool) -> Outcome {
    Outcome::Done(Done { timeline: timeline.clone(), is_repeated })
}

/// A message that is known, but not its timeline.
fn gone() -> Outcome {
    let text = "it was said before, and its timeline is not kept any more".to_owned();
    Outcome::Refused(ErrorKind::FailedPrecondition, text)
}

#[cfg(test)]
mod tests;
