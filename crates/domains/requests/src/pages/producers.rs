//! Who counts: the clients that number their batches, and what they gave up or lost.

use jiff::Timestamp;
use maud::{Markup, html};
use tally_producers::{Producer, short_id};
use tally_runtime::text::age;
use tally_serve::pages::{Link, name, thousands};

use super::parts;
use crate::error::Error;
use crate::missing::Missing;
use crate::model::{DayRange, Namespace};
use crate::service::Service;

pub(super) const PATH: &str = "/requests/producers";
const LIST: &str = "/api/v1/requests/producers";
/// How many are shown; the CSV has all.
const SHOWN_MAX: usize = 200;

/// The page, and when it is from.
pub(super) async fn page(
    service: &Service,
    namespace: Namespace,
) -> Result<(Markup, Markup), Error> {
    let now = service.now();
    let setbacks = service.setbacks(namespace, DayRange::ALL).await?;
    // The larger one last, so that few wait with it for the other.
    let mut producers = service.producers(namespace, true).await?;
    producers.sort_by_key(|one| std::cmp::Reverse((one.last_seen_micros, one.id)));
    let (workers, clients): (Vec<_>, Vec<_>) = producers.into_iter().partition(|one| one.is_worker);
    let dropped = clients.iter().fold(0, |sum: i64, one| sum.saturating_add(one.dropped));
    let missing = Missing { dropped, setbacks };
    let body = html! {
        h1 { "Producers" }
        p.lead { "Clients that number their batches, so that each is counted once. " a href=(Link::to(LIST).with("format", "csv")) download { "CSV" } }
        (short(&missing))
        @if clients.is_empty() {
            p.notice { "None yet. The Rust client, " code { "tally add" } " and " code { "tally import" } " are producers; clients of " code { "count.v1" } " are not." }
        } @else {
            (table(&clients, "Clients", now))
            @if clients.len() > SHOWN_MAX {
                p.more { span.muted { (SHOWN_MAX) " of " (thousands(clients.len() as i64)) ", those that were seen last." } }
            }
        }
        @if !workers.is_empty() {
            details.numbers {
                summary { "Insert workers of servers (" (workers.len()) ")" }
                (table(&workers, "Insert workers", now))
            }
        }
    };
    let as_of = html! {
        "As of " time datetime=(now.strftime("%Y-%m-%dT%H:%M:%SZ")) data-zone="UTC" { (now.strftime("%H:%M:%S")) } " UTC"
    };
    Ok((body, as_of))
}

/// What clients gave up, and what databases lost.
fn short(missing: &Missing) -> Markup {
    html! {
        p.completeness.short[!missing.is_complete()] {
            (parts::badge(missing))
            @if missing.is_complete() { "No client has given up a request, and the database has lost none." }
            @else { (parts::reasons(missing)) }
        }
        @if !missing.setbacks.is_empty() {
            section.ranking aria-labelledby="setbacks" {
                header { h2 #setbacks { "Setbacks" } }
                p { "The database went back to an earlier state. Batches that it had acknowledged are missing:" }
                ul.setbacks {
                    @for one in &missing.setbacks {
                        li {
                            strong { "at least " (thousands(one.batches)) @if one.batches == 1 { " batch" } @else { " batches" } }
                            " of "
                            @if one.producers > 1 { (thousands(one.producers)) " producers" } @else { (name(&one.name, false)) " " code { (short_id(one.producer)) } }
                            ", noticed " (moment(one.noticed_micros)) ", stored after " (moment(one.since_micros))
                        }
                    }
                }
            }
        }
    }
}

fn table(producers: &[Producer], caption: &str, now: Timestamp) -> Markup {
    html! {
        div.table-frame tabindex="0" role="group" aria-label=(caption) {
            table.producers {
                caption.visually-hidden { (caption) }
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "Id" } th.number scope="col" { "Counted" }
                    th.number scope="col" { "Given up" } th.number scope="col" { "Batches" } th scope="col" { "Last seen" }
                } }
                tbody {
                    @for one in producers.iter().take(SHOWN_MAX) {
                        tr {
                            th scope="row" { (name(&one.name, false)) }
                            td { code { (short_id(one.id)) } }
                            td.number { (thousands(one.accepted)) }
                            td.number.errors[one.dropped > 0] { (thousands(one.dropped)) }
                            td.number { (thousands(one.sequence)) }
                            td { (ago(one.last_seen_micros, now)) }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn moment(micros: i64) -> Markup {
    let text = Timestamp::from_microsecond(micros).map_or_else(
        |_| "an unknown time".into(),
        |at| at.strftime("%-d %b %Y %H:%M").to_string() + " UTC",
    );
    html! { (text) }
}

/// How long ago something was, which is never more precise than it is read.
fn ago(micros: i64, now: Timestamp) -> Markup {
    let seconds = (now.as_microsecond() - micros).max(0) / 1_000_000;
    let words = match seconds {
        ..120 => "within two minutes".to_owned(),
        _ => format!("{} ago", age(seconds)),
    };
    html! { span title=(moment(micros).into_string()) { (words) } }
}
