//! Reading what is stored, from a server.

use tally_proto::tally::timelines::v1::timeline_service_client::TimelineServiceClient;
use tally_proto::tally::timelines::v1::{
    Event, ListContextsRequest, ListEventsRequest, ListTimelinesRequest, Timeline,
};
use tokio::time::timeout;

use super::LIMIT;
use crate::client::Kind;
use crate::world::World;

/// How many are listed at once.
const PAGE: u32 = 1_000;

/// A timeline, with its events.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) context: String,
    pub(super) timeline: Timeline,
    pub(super) events: Vec<Event>,
}

/// All timelines of the namespace of those who tell, as the first server has them.
pub(super) fn read(world: &World) -> anyhow::Result<Vec<Stored>> {
    let of = world.clients.iter().find(|client| client.arguments.kind == Kind::Teller);
    let namespace = of.map_or(0, |of| crate::arguments::namespace_of(&of.arguments.name));
    let door = world.door(&world.servers[0], namespace);
    let reading = async {
        let channel = door.endpoint()?.connect().await?;
        let mut client = TimelineServiceClient::new(door.link(channel));
        let asked = ListContextsRequest { after: String::new(), limit: PAGE };
        let mut all = Vec::new();
        for context in client.list_contexts(asked).await?.into_inner().contexts {
            let mut before = 0;
            loop {
                let context = context.name.clone();
                let asked = ListTimelinesRequest { context: context.clone(), before, limit: PAGE };
                let answer = client.list_timelines(asked).await?.into_inner();
                for timeline in answer.timelines {
                    let (context, events) = (context.clone(), Vec::new());
                    all.push(Stored { context, timeline, events });
                }
                before = answer.next_before;
                if before == 0 {
                    break;
                }
            }
        }
        for stored in &mut all {
            let mut after = 0;
            loop {
                let (context, timeline) = (stored.context.clone(), stored.timeline.id.clone());
                let asked = ListEventsRequest { context, timeline, after, limit: PAGE };
                let answer = client.list_events(asked).await?.into_inner();
                stored.events.extend(answer.events);
                after = answer.next_after;
                if after == 0 {
                    break;
                }
            }
        }
        anyhow::Ok(all)
    };
    world.runtime.block_on(timeout(LIMIT, reading))?
}
