//! The page of all requests.

use maud::{Markup, html};
use tally_serve::pages::{name, percent, sparkline, thousands};

use super::ask::{Order, SHOWN_MAX};
use super::view::{Endpoint, View};
use super::{chart, controls, parts};
use crate::periods::Granularity;

pub(super) fn page(view: &View) -> Markup {
    html! {
        h1.visually-hidden { "Requests" }
        (controls::controls(view))
        (parts::figures(view))
        @if view.total == 0 && view.endpoints.is_empty() {
            (parts::nothing(view))
        }
        (parts::shares(view))
        @if view.total > 0 { (chart::chart(view)) }
        div.columns {
            @if !view.endpoints.is_empty() { (endpoints(view)) }
            div.side {
                (parts::statuses(view))
                (parts::ranking(view, ("services", "Services", "service"), &view.services,
                    view.ask.service.as_deref(), |ask, service| ask.service = service))
                (parts::ranking(view, ("customers", "Customers", "customer"), &view.customers,
                    view.ask.customer.as_deref(), |ask, customer| ask.customer = customer))
            }
        }
    }
}

/// The endpoints, ranked.
fn endpoints(view: &View) -> Markup {
    let heading = |order: Order, text: &str, class: &str| {
        let is_chosen = view.ask.order == order;
        let way = if order == Order::Name { "ascending" } else { "descending" };
        html! {
            th.(class) scope="col" aria-sort=[is_chosen.then_some(way)] {
                a href=(view.ask.with(|ask| ask.order = order)) { (text) }
            }
        }
    };
    html! {
        section.endpoints aria-labelledby="endpoints" {
            header {
                h2 #endpoints { "Endpoints" }
                a.csv href=(view.ask.csv(Granularity::Whole, "method,path")) download { "CSV" span.visually-hidden { " of endpoints" } }
            }
            table.ranked {
                caption.visually-hidden { "Endpoints with their requests, the change against the time before, and the share of server errors" }
                thead {
                    tr {
                        (heading(Order::Name, "Endpoint", "name"))
                        th.trend scope="col" { span.visually-hidden { "Over time" } }
                        (heading(Order::Count, "Requests", "number"))
                        (heading(Order::Change, "Change", "number"))
                        (heading(Order::Errors, "5xx", "number"))
                    }
                }
                tbody { @for one in &view.endpoints { (row(view, one)) } }
            }
            (more(view))
        }
    }
}

fn row(view: &View, one: &Endpoint) -> Markup {
    html! {
        tr {
            th.name scope="row" {
                (parts::share_bar(one.count, view.endpoints_max))
                a href=(view.ask.endpoint(&one.group)) {
                    @if !one.group.method.is_empty() { span.method { (name(&one.group.method, false)) } " " }
                    span.path { (name(&one.group.path, false)) }
                }
            }
            td.trend { (sparkline(&one.points)) }
            td.number { (thousands(one.count)) }
            td.number { @if view.before.is_some() { (parts::change_cell(one.before, one.count)) } }
            td.number.errors[one.has_many_errors()] { (percent(one.server_errors, one.count)) }
        }
    }
}

/// What the table leaves out.
fn more(view: &View) -> Markup {
    let (shown, all) = (view.endpoints.len(), view.endpoints_all);
    let next = (view.ask.shown * 4).min(SHOWN_MAX);
    html! {
        @if shown < all {
            p.more {
                span.muted { (shown) " of " (thousands(all as i64)) " endpoints. " }
                @if view.ask.shown < SHOWN_MAX {
                    a href=(view.ask.with(|ask| ask.shown = next)) { "Show " (next.min(all)) }
                } @else { "The CSV has all." }
            }
        }
    }
}
