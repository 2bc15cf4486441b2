//! All contexts, the one that was heard of last first.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::Namespace;
use tally_runtime::text::lasted;
use tally_serve::api::{Mistakes, Parameter, Parameters, Values};
use tally_serve::pages::{Link, name, relative};

use super::parts::{TREND_MAX, badge, context_link, so_far, timeline_link, title, trend, usual};
use super::{CONTEXTS, first};
use crate::error::Error;
use crate::service::Service;
use crate::service::look::Listed;
use crate::store::look::Place;

/// How many contexts a page has.
const SHOWN_MAX: u32 = 50;

const SEARCH: Parameter =
    Parameter { name: "search", about: "", values: Values::Text, is_repeated: false };
const AFTER: Parameter =
    Parameter { name: "after", about: "", values: Values::Text, is_repeated: false };

/// What an address asks for.
#[derive(Default)]
pub(super) struct Asked {
    search: Option<String>,
    after: Option<Place>,
}

/// What the page shows.
pub(super) struct View {
    pub(super) now: Timestamp,
    asked: Asked,
    contexts: Vec<Listed>,
    has_more: bool,
}

// === impl Asked ===

impl Asked {
    pub(super) fn read(query: Option<&str>) -> Result<Self, Mistakes> {
        let mut given = Parameters::of(query, &[SEARCH, AFTER]);
        let after = given.read(&AFTER, place);
        let search = given.one(&SEARCH).map(str::to_owned);
        if given.mistakes.is_empty() { Ok(Self { search, after }) } else { Err(given.mistakes) }
    }

    fn is_all(&self) -> bool {
        self.search.is_none() && self.after.is_none()
    }
}

/// Where a list goes on, from an address.
fn place(text: &str) -> Result<Place, &'static str> {
    let place = text.split_once('-').and_then(|(micros, name)| {
        Some((Timestamp::from_microsecond(micros.parse().ok()?).ok()?, name.to_owned()))
    });
    place.ok_or("it comes from the page before")
}

// === impl View ===

impl View {
    pub(super) async fn read(
        service: &Service,
        namespace: Namespace,
        asked: Asked,
    ) -> Result<Self, Error> {
        let now = service.now();
        let search = asked.search.clone().unwrap_or_default();
        let listed =
            service.latest(namespace, &search, asked.after.clone(), SHOWN_MAX, TREND_MAX).await;
        let (contexts, has_more) = listed?;
        Ok(Self { now, asked, contexts, has_more })
    }

    /// The address of what comes next.
    fn next(&self) -> Option<Link> {
        let (heard, name) = self.contexts.last().filter(|_| self.has_more)?.place();
        let after = format!("{}-{name}", heard.as_microsecond());
        Some(
            Link::to(CONTEXTS)
                .with_some("search", self.asked.search.as_ref())
                .with("after", &after),
        )
    }
}

pub(super) fn page(view: &View, url: &str) -> Markup {
    if view.contexts.is_empty() && view.asked.is_all() {
        return html! {
            h1 { "Draw the first timeline" }
            (first::how(url))
        };
    }
    html! {
        header.heading {
            h1 { "Timelines" }
            form.search role="search" action=(CONTEXTS) {
                label { span.visually-hidden { "Search contexts" }
                    input type="search" name="search" placeholder="Context" value=[view.asked.search.as_ref()]; }
                button type="submit" { "Search" }
            }
        }
        @if view.contexts.is_empty() {
            p.notice { "No context is like this. " a href=(CONTEXTS) { "All timelines" } }
        } @else {
            section aria-labelledby="contexts" {
                header {
                    h2 #contexts { "Contexts, the latest first" }
                    a.csv href="/api/v1/timelines/contexts?format=csv&limit=1000" download { "CSV" span.visually-hidden { " of contexts" } }
                }
                table.list.contexts {
                    thead { tr {
                        th scope="col" { "Context" } th scope="col" { "Newest timeline" }
                        th.number scope="col" { "Took" } th.number scope="col" { "Usually" }
                        th.trend scope="col" { "The last " (TREND_MAX) } th scope="col" { "Heard of" }
                    } }
                    tbody { @for listed in &view.contexts { (row(listed, view.now)) } }
                }
                @if let Some(next) = view.next() { p.more { a.button href=(next) { "The next " (SHOWN_MAX) } } }
            }
        }
    }
}

fn row(listed: &Listed, now: Timestamp) -> Markup {
    let context = &listed.context.name;
    html! {
        tr {
            th.name scope="row" { a href=(context_link(context)) { (name(context, false)) } }
            @match &listed.newest {
                Some(newest) => {
                    td { (badge(newest)) " " a href=(timeline_link(context, newest.number)) { (title(newest)) } }
                    td.number { span.label { "Took " } (so_far(newest, now).map(lasted).unwrap_or_default()) }
                }
                None => { td { span.muted { "not kept" } } td.number {} }
            }
            td.number {
                @if let Some(typical) = usual(&listed.latest) { span.label { "Usually " } (lasted(typical.median)) }
            }
            td.trend { (trend(&listed.latest, now)) }
            td { span.label { "Heard of " } (relative(listed.place().0, now)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let read = place("1900000000000001-a-b").expect("a place");
        assert_eq!(read.0.as_microsecond(), 1_900_000_000_000_001);
        assert_eq!(read.1, "a-b");
        assert!(place("1").is_err() && place("x-a").is_err());
        let far = place("9223372036854775807-a");
        assert!(far.is_err(), "no such time: {far:?}");
    }
}
