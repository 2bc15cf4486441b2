//! A timeline in the formats that viewers open: from the chart to a text.
//!
//! What is open stays open: it has an end nowhere. The formats of traces know no open span, so there an event
//! that is open, or abandoned, is left out, and named in the attribute `tally.left_out` of its host.
//!
//! | file | what it owns |
//! |---|---|
//! | `chrome.rs` | the Trace Event Format, which Perfetto opens |
//! | `jaeger.rs` | Jaeger's own JSON |
//! | `mermaid.rs` | Gantt charts of Mermaid, alone and in Markdown |
//! | `otlp.rs` | OTLP traces as JSON |
//! | `spans.rs` | events as spans, for the formats of traces |

mod chrome;
mod jaeger;
mod mermaid;
mod otlp;
mod spans;
#[cfg(test)]
mod tests;

use tally_serve::api::csv;

use crate::chart::lanes::by_host;
use crate::chart::svg::Picture;
use crate::error::Error;
use crate::http::answers;
use crate::service::Shown;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Chrome,
    Otlp,
    Jaeger,
    Mermaid,
    Markdown,
    Csv,
    Svg,
}

/// What is exported.
#[derive(Debug, PartialEq)]
pub(crate) struct Exported {
    pub(crate) media_type: &'static str,
    pub(crate) text: Vec<u8>,
}

// === impl Format ===

impl Format {
    /// Their names, in their order.
    pub(crate) const NAMES: [&str; 7] =
        ["chrome", "otlp", "jaeger", "mermaid", "markdown", "csv", "svg"];
    const ALL: [Self; 7] = [
        Self::Chrome,
        Self::Otlp,
        Self::Jaeger,
        Self::Mermaid,
        Self::Markdown,
        Self::Csv,
        Self::Svg,
    ];

    pub(crate) fn read(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|at| Self::ALL[at])
    }
}

/// A timeline of this context in a format. Only [`Format::Mermaid`] has parts, which are numbered from 1: one
/// diagram each, because Mermaid draws none that is too long.
pub(crate) fn export(
    context: &str,
    shown: &Shown,
    format: Format,
    part: Option<u32>,
) -> Result<Exported, Error> {
    if format != Format::Mermaid && part.is_some_and(|part| part != 1) {
        return Err(Error::wrong("part", "only the format mermaid has parts"));
    }
    let (media_type, text) = match format {
        Format::Chrome => ("application/json", chrome::json(context, shown)),
        Format::Otlp => ("application/json", otlp::json(context, shown)),
        Format::Jaeger => ("application/json", jaeger::json(context, shown)),
        Format::Mermaid => {
            let diagrams = mermaid::diagrams(&titled(context, shown), shown);
            ("text/plain; charset=utf-8", one_of(diagrams, part)?.into_bytes())
        }
        Format::Markdown => {
            let diagrams = mermaid::diagrams(&titled(context, shown), shown);
            ("text/markdown; charset=utf-8", mermaid::markdown(&diagrams).into_bytes())
        }
        Format::Csv => {
            let rows = answers::event_rows(&shown.events, shown.now);
            ("text/csv; charset=utf-8", csv::table(&answers::columns("events"), &rows))
        }
        Format::Svg => {
            let lanes = by_host(&shown.chart, &shown.events, shown.now);
            let title = titled(context, shown);
            let picture = Picture { id: "timeline", title: &title, shown, lanes: &lanes };
            ("image/svg+xml", picture.file().into_bytes())
        }
    };
    Ok(Exported { media_type, text })
}

/// What a timeline is called: `deploy, timeline 7 (nightly)`.
pub(crate) fn titled(context: &str, shown: &Shown) -> String {
    let label = &shown.timeline.label;
    let label = if label.is_empty() { String::new() } else { format!(" ({label})") };
    format!("{context}, timeline {}{label}", shown.timeline.number)
}

/// The part that is asked for, of which there may be only one if none is.
fn one_of(mut diagrams: Vec<String>, part: Option<u32>) -> Result<String, Error> {
    let count = diagrams.len();
    match part {
        None if count > 1 => {
            let why = format!(
                "it takes {count} diagrams of less than 50,000 characters: ask for part 1 to {count}, or for \
                 the format markdown, which has them all"
            );
            Err(Error::wrong("part", why))
        }
        _ => {
            let at = part.map_or(1, |part| part as usize);
            let why = || Error::wrong("part", format!("it is {at}, and may be 1 to {count}"));
            if !(1..=count).contains(&at) {
                return Err(why());
            }
            Ok(diagrams.swap_remove(at - 1))
        }
    }
}
