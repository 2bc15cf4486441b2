//! All debts, the overdue ones first.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_runtime::Namespace;
use tally_serve::api::{Mistakes, Parameter, Parameters, Values};
use tally_serve::pages::{Link, name, relative, thousands};

use super::parts::{badge, schedule, word};
use super::{BOARD, NEW, path_of, snippets};
use crate::error::Error;
use crate::model::Debt;
use crate::service::Service;
use crate::state::Standing;
use crate::store::{Counts, Listing, Place, cursor, read_cursor};

/// How many debts a page has.
const SHOWN_MAX: usize = 100;
/// How many tags of a debt it has.
const TAGS_MAX: usize = 5;

const STATUS: Parameter = Parameter {
    name: "status",
    about: "",
    values: Values::OneOf(&["down", "late", "up", "new", "paused"]),
    is_repeated: false,
};
const SEARCH: Parameter =
    Parameter { name: "search", about: "", values: Values::Text, is_repeated: false };
const TAG: Parameter =
    Parameter { name: "tag", about: "", values: Values::Text, is_repeated: false };
const AFTER: Parameter =
    Parameter { name: "after", about: "", values: Values::Text, is_repeated: false };

/// What an address asks for.
#[derive(Default)]
pub(super) struct Asked {
    standing: Option<Standing>,
    search: Option<String>,
    tag: Option<String>,
    after: Option<Place>,
}

/// What the page shows.
pub(super) struct Board {
    pub(super) now: Timestamp,
    asked: Asked,
    debts: Vec<Debt>,
    /// Where it goes on.
    next: Option<String>,
    pub(super) counts: Counts,
}

// === impl Asked ===

impl Asked {
    pub(super) fn read(query: Option<&str>) -> Result<Self, Mistakes> {
        let mut given = Parameters::of(query, &[STATUS, SEARCH, TAG, AFTER]);
        let status = given.one_of(&STATUS);
        let after = given.read(&AFTER, read_cursor);
        let text = |of: &Parameter| given.one(of).map(str::to_owned);
        let asked = Self {
            standing: Standing::WORST_FIRST.into_iter().find(|one| status == Some(&*lower(*one))),
            search: text(&SEARCH),
            tag: text(&TAG),
            after,
        };
        if given.mistakes.is_empty() { Ok(asked) } else { Err(given.mistakes) }
    }

    fn is_all(&self) -> bool {
        self.standing.is_none() && self.search.is_none() && self.tag.is_none()
    }

    /// The address of the same with another standing.
    fn standing(&self, standing: Option<Standing>) -> Link {
        let link = Link::to(BOARD).with_some("status", standing.map(lower));
        link.with_some("search", self.search.as_ref()).with_some("tag", self.tag.as_ref())
    }

    /// The same as CSV.
    fn csv(&self) -> Link {
        let link = Link::to("/api/v1/debts").with("format", "csv").with("limit", "1000");
        let link = link.with_some("status", self.standing.map(lower));
        let link = link.with_some("search", self.search.as_ref());
        link.with_some("tag", self.tag.as_ref())
    }
}

fn lower(standing: Standing) -> String {
    word(standing).to_lowercase()
}

// === impl Board ===

impl Board {
    pub(super) async fn read(
        service: &Service,
        namespace: Namespace,
        asked: Asked,
    ) -> Result<Self, Error> {
        let now = service.now();
        let counts = service.counts(namespace).await?;
        let listing = Listing {
            namespace,
            standings: asked.standing.into_iter().collect(),
            tags: asked.tag.iter().cloned().collect(),
            search: asked.search.clone().unwrap_or_default().to_lowercase(),
            by_slug: false,
            after: asked.after.clone(),
            limit: SHOWN_MAX,
        };
        let (debts, last) = service.list(&listing).await?;
        let next = last.as_ref().map(cursor);
        Ok(Self { now, asked, debts, next, counts })
    }

    pub(super) fn title(&self) -> String {
        match self.counts.down {
            0 => "Debts".to_owned(),
            down => format!("Debts: {down} down"),
        }
    }
}

pub(super) fn page(board: &Board, url: &str, may_change: bool) -> Markup {
    let asked = &board.asked;
    if board.counts.all() == 0 {
        return html! {
            h1 { "Add the first debt" }
            (snippets::first(url))
        };
    }
    html! {
        header.heading {
            h1 { "Debts" }
            a.button href=(NEW) { @if may_change { "Add a debt" } @else { "How to add one" } }
        }
        div.controls {
            nav aria-label="Standings" { ul.standings {
                li { a href=(asked.standing(None)) aria-current=[asked.standing.is_none().then_some("true")] {
                    "All " span.count { (thousands(board.counts.all())) }
                } }
                @for standing in Standing::WORST_FIRST {
                    @let is_chosen = asked.standing == Some(standing);
                    li { a href=(asked.standing(Some(standing))) aria-current=[is_chosen.then_some("true")] {
                        (word(standing)) " " span.count { (thousands(board.counts.of(standing))) }
                    } }
                }
            } }
            form.search role="search" action=(BOARD) {
                @if let Some(standing) = asked.standing { input type="hidden" name="status" value=(lower(standing)); }
                @if let Some(tag) = &asked.tag { input type="hidden" name="tag" value=(tag); }
                label { span.visually-hidden { "Search slugs and names" }
                    input type="search" name="search" placeholder="Slug or name" value=[asked.search.as_ref()]; }
                button type="submit" { "Search" }
            }
        }
        @if let Some(tag) = &asked.tag {
            p.chips { a.chip href=(Asked { tag: None, search: asked.search.clone(), ..Asked::default() }.standing(asked.standing))
                title="Without this tag" { "tag " (name(tag, false)) span.lift aria-hidden="true" { "×" } } }
        }
        (list(board))
    }
}

fn list(board: &Board) -> Markup {
    let asked = &board.asked;
    if board.debts.is_empty() {
        return html! {
            p.notice {
                "No debt is like this. " a href=(BOARD) { "All debts" }
            }
        };
    }
    html! {
        section aria-labelledby="debts" {
            header {
                h2 #debts { @if asked.is_all() { "The overdue ones first" } @else { "Those that were asked for" } }
                a.csv href=(asked.csv()) download { "CSV" span.visually-hidden { " of debts" } }
            }
            table.list {
                thead { tr {
                    th scope="col" { "Debt" } th scope="col" { "Stands" }
                    th scope="col" { "Last payment" } th scope="col" { "Next" } th scope="col" { "Due" }
                } }
                tbody { @for debt in &board.debts { (row(debt, board.now)) } }
            }
            @if let Some(next) = &board.next {
                p.more { a.button href=(asked.standing(asked.standing).with("after", next)) { "The next " (SHOWN_MAX) } }
            }
        }
    }
}

fn row(debt: &Debt, now: Timestamp) -> Markup {
    let (state, definition) = (&debt.state, &debt.definition);
    let standing = state.standing(now);
    html! {
        tr {
            th.name scope="row" {
                a href=(path_of(&definition.slug)) { (name(definition.title(), false)) }
                @if !definition.name.is_empty() { " " code.muted { (definition.slug) } }
                @for tag in definition.tags.iter().take(TAGS_MAX) {
                    " " a.tag href=(Link::to(BOARD).with("tag", tag)) { (name(tag, false)) }
                }
            }
            td { (badge(standing)) " " span.since { (super::debt::since(debt, now)) } }
            td { span.label { "paid " } @match state.last_payment {
                Some(at) => (relative(at, now)),
                None => span.muted { "never" },
            } }
            td { span.label { "next " } (next(debt, standing, now)) }
            td.muted { (schedule(&definition.terms.schedule)) }
        }
    }
}

/// What comes next.
fn next(debt: &Debt, standing: Standing, now: Timestamp) -> Markup {
    let state = &debt.state;
    html! {
        @match (standing, state.due, state.deadline) {
            (Standing::Paused, ..) => span.muted { "nothing, until it is resumed" },
            (Standing::Late, _, Some(deadline)) => { "overdue " (relative(deadline, now)) },
            (_, Some(due), _) => { "due " (relative(due, now)) },
            (_, None, Some(deadline)) => { "a run ends by " (relative(deadline, now)) },
            (_, None, None) => span.muted { "nothing" },
        }
    }
}
