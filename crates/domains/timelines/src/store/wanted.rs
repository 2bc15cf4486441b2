//! What messages are about: what is read before they are judged.

use std::collections::{BTreeSet, HashMap};

use tally_runtime::Namespace;
use uuid::Uuid;

use crate::ledger::Loaded;
use crate::message::{Kind, Message};
use crate::model::{Event, Key, Timeline};

/// The contexts that messages name.
pub(super) fn contexts(messages: &[Message]) -> BTreeSet<(Namespace, &str)> {
    messages.iter().map(|message| (message.namespace, &*message.said.context)).collect()
}

/// The newest timelines of the contexts that are loaded, by their numbers.
pub(super) fn newest(loaded: &Loaded) -> impl Iterator<Item = (Uuid, i64)> {
    loaded.contexts.values().filter(|one| one.timelines > 0).map(|one| (one.id, one.timelines))
}

/// The timelines that messages name by their labels.
pub(super) fn labels<'a>(loaded: &Loaded, messages: &'a [Message]) -> BTreeSet<(Uuid, &'a str)> {
    let named = messages.iter().filter(|message| !message.said.timeline.is_empty());
    named
        .filter_map(|message| Some((context_of(loaded, message)?, &*message.said.timeline)))
        .collect()
}

/// What tells the messages.
pub(super) fn once(loaded: &Loaded, messages: &[Message]) -> BTreeSet<(Uuid, Uuid)> {
    messages
        .iter()
        .filter_map(|message| Some((context_of(loaded, message)?, message.once)))
        .collect()
}

/// What is read of a name and host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) context: Uuid,
    pub(super) key: Key,
    /// The timeline that a message goes to first, if it is there.
    pub(super) timeline: Option<Uuid>,
    /// Whether a phase may belong to an event that has ended already, in one of the newest timelines.
    pub(super) is_phase: bool,
}

/// The names and hosts that messages are about.
pub(super) fn keys(loaded: &Loaded, messages: &[Message]) -> BTreeSet<Wanted> {
    let by_number: HashMap<(Uuid, i64), Uuid> =
        loaded.timelines.values().map(|one| ((one.context, one.number), one.id)).collect();
    let by_label: HashMap<(Uuid, &str), Uuid> =
        loaded.timelines.values().map(|one| ((one.context, &*one.label), one.id)).collect();
    let is_paired = |message: &&Message| !matches!(message.said.kind, Kind::New | Kind::Point);
    messages
        .iter()
        .filter(is_paired)
        .filter_map(|message| {
            let of = (message.namespace, message.said.context.clone());
            let context = loaded.contexts.get(&of)?;
            let timeline = match &*message.said.timeline {
                "" => by_number.get(&(context.id, context.timelines)),
                label => by_label.get(&(context.id, label)),
            };
            let is_phase = message.said.kind == Kind::Phase && message.said.timeline.is_empty();
            let (context, key, timeline) = (context.id, Key::of(&message.said), timeline.copied());
            Some(Wanted { context, key, timeline, is_phase })
        })
        .collect()
}

fn context_of(loaded: &Loaded, message: &Message) -> Option<Uuid> {
    let of = (message.namespace, message.said.context.clone());
    loaded.contexts.get(&of).map(|context| context.id)
}

// === impl Loaded ===

impl Loaded {
    pub(super) fn put_timeline(&mut self, timeline: Timeline) {
        self.timelines.insert(timeline.id, timeline);
    }

    /// Adds an event, once.
    pub(super) fn put_event(&mut self, event: Event) {
        let tracks = self.tracks.entry((event.context, event.key.clone())).or_default();
        tracks.entry(event.timeline).or_default().load(event);
    }

    /// The timelines that are still to be read.
    pub(super) fn missing_timelines(&self) -> Vec<Uuid> {
        let of_tracks = self.tracks.values().flat_map(HashMap::keys).copied();
        let of_known = self.known.values().map(|known| known.timeline);
        let all: BTreeSet<Uuid> = of_tracks.chain(of_known).collect();
        all.into_iter().filter(|id| !self.timelines.contains_key(id)).collect()
    }
}
