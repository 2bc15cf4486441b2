//! What a page can be asked for: range, dates, zone, filters.

use maud::{Markup, html};
use tally_serve::pages::{Link, name, plain};

use super::ask::{self, Ask};
use super::times::{Span, dates};
use super::view::View;
use crate::totals::StatusIs;

/// How many services the form offers; the ranking's CSV has all.
const SERVICES_MAX: usize = 200;
/// Zones that are offered; any other can be written.
const ZONES: [&str; 24] = [
    "UTC",
    "Africa/Cairo",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Dubai",
    "Asia/Hong_Kong",
    "Asia/Jakarta",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Istanbul",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Auckland",
];

/// The range, and under a fold the dates, the zone and the filters.
pub(super) fn controls(view: &View) -> Markup {
    let (ask, times) = (&view.ask, &view.times);
    let preset = |span: Span| ask.with(|ask| (ask.span, ask.by) = (span, None));
    html! {
        div.controls {
            nav.segments aria-label="Range" {
                @for (span, text) in Span::PRESETS {
                    a href=(preset(span)) aria-current=[(ask.span == span).then_some("true")] { (text) }
                }
            }
            details.chooser {
                summary {
                    span.range { (dates(times.first, times.last)) }
                    span.muted { (times.zone.name()) }
                    span.choose { "Dates, zone, filters" }
                }
                (form(view))
            }
        }
        (chips(ask))
    }
}

fn form(view: &View) -> Markup {
    let (ask, times) = (&view.ask, &view.times);
    let action =
        if ask.path.is_some() && ask.method.is_some() { ask::ENDPOINT } else { ask::REQUESTS };
    let is_listed = |service: &str| view.services.iter().any(|(one, _)| **one == *service);
    let has_none = ask.service.as_deref() == Some("");
    html! {
        form method="get" action=(action) {
            label { "From" input type="date" name="from" value=(times.first) max="9999-12-31"; }
            label { "To" input type="date" name="to" value=(times.last) max="9999-12-31"; }
            label { "Time zone" input name="tz" value=(times.zone.name()) list="zones" autocomplete="off" spellcheck="false"; }
            datalist #zones { @for zone in ZONES { option value=(zone) {} } }
            label { "Service"
                // Whoever has chosen those without one keeps them, because that is what an empty one says.
                @if !has_none { input type="hidden" name="any" value="service"; }
                select name="service" {
                    option value="" { @if has_none { "None" } @else { "All services" } }
                    @if let Some(service) = ask.service.as_deref().filter(|one| !one.is_empty() && !is_listed(one)) {
                        option value=(service) selected { (plain(service)) }
                    }
                    @for (service, _) in view.services.iter().filter(|(one, _)| !one.is_empty()).take(SERVICES_MAX) {
                        option value=(service) selected[ask.service.as_deref() == Some(service)] { (plain(service)) }
                    }
                }
            }
            @if let (Some(method), Some(path)) = (ask.method_in_query(), &ask.path) {
                input type="hidden" name="method" value=(method);
                input type="hidden" name="path" value=(path);
            } @else {
                label { "Path begins with"
                    input name="path_prefix" value=[ask.path_prefix.as_ref()] placeholder="/" autocomplete="off" spellcheck="false";
                }
            }
            @if let Some(status) = ask.status { input type="hidden" name="status" value=(status.to_string()); }
            @if let Some(customer) = &ask.customer { input type="hidden" name="customer" value=(customer); }
            button type="submit" { "Show" }
        }
    }
}

/// The filters, each with a way to lift it.
fn chips(ask: &Ask) -> Markup {
    let chip = |kind: &str, value: &str, without: Link| {
        html! {
            li { a.chip href=(without) { span.muted { (kind) } " " (name(value, false)) span.lift aria-hidden="true" { "×" } span.visually-hidden { ", lift this filter" } } }
        }
    };
    html! {
        @if ask.service.is_some() || ask.path_prefix.is_some() || ask.status.is_some() || ask.customer.is_some() {
            ul.chips aria-label="Filters" {
                @if let Some(one) = &ask.service { (chip("Service", one, ask.with(|ask| ask.service = None))) }
                @if let Some(one) = &ask.path_prefix { (chip("Path begins with", one, ask.with(|ask| ask.path_prefix = None))) }
                @if let Some(one) = ask.status { (chip("Status", &if one == StatusIs::One(0) { String::new() } else { one.to_string() }, ask.with(|ask| ask.status = None))) }
                @if let Some(one) = &ask.customer { (chip("Customer", one, ask.with(|ask| ask.customer = None))) }
            }
        }
    }
}
