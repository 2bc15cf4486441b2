//! `/about`: the server and its settings.

use axum::response::Response;
use maud::html;

use super::{Frame, Page};

/// What a server says of itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Tally's version.
    pub version: String,
    /// The database, without its password.
    pub database: String,
    /// The namespace that the pages show.
    pub namespace: String,
    /// The settings in force.
    pub settings: Vec<Setting>,
}

/// A setting in force. A secret has no value here.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its variable.
    pub name: String,
    /// What it is set to.
    pub value: String,
    /// Where that comes from.
    pub source: &'static str,
    /// What it is for.
    pub help: String,
}

pub(super) async fn page(frame: Frame) -> Response {
    let about = &frame.site.about;
    let body = html! {
        h1 { "About this server" }
        dl.facts {
            div { dt { "Version" } dd { (about.version) } }
            div { dt { "Database" } dd { code { (about.database) } } }
            div { dt { "Namespace" } dd { (about.namespace) } }
        }
        section aria-labelledby="settings" {
            h2 #settings { "Settings in force" }
            p.muted {
                "Set by flags, the environment, a file .env, or by default. "
                code { "tally config" } " shows them before a server starts."
            }
            div.table-frame {
                table.settings {
                    caption.visually-hidden { "Settings in force" }
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } } }
                    tbody {
                        @for setting in &about.settings {
                            tr {
                                th scope="row" {
                                    code { (setting.name) }
                                    span.help { (setting.help) }
                                }
                                td { @if setting.value.is_empty() { em.muted { "none" } } @else { code { (setting.value) } } }
                                td { (setting.source) }
                            }
                        }
                    }
                }
            }
        }
    };
    frame.page(Page { title: "About".into(), ..Page::new(body) })
}
