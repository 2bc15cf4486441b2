//! `tally timelines export`: a timeline in the formats that viewers open.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tally_proto::tally::timelines::v1 as proto;

use super::failed;
use crate::client::ServerArgs;
use crate::output;

/// Write a timeline in a format that viewers open
///
/// What is open has an end in none of them: the formats of traces, which know no open
/// span, name it in the attribute tally.left_out.
///
/// Examples:
///   tally timelines export deploy --format chrome --output deploy.json
///   tally timelines export deploy --format markdown >> "$GITHUB_STEP_SUMMARY"
///   tally timelines export deploy nightly --format svg --output nightly.svg
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ExportArgs {
    /// The kind of process
    context: String,

    /// The timeline: newest, a number, an id, or a label
    #[arg(default_value = "newest")]
    timeline: String,

    /// For whom
    #[arg(long, value_enum)]
    format: Format,

    /// Which diagram of Mermaid, if it takes several [default: the only one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    part: Option<u32>,

    /// Where to; `-` is stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,

    #[command(flatten)]
    server: ServerArgs,
}

/// Who opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Perfetto (ui.perfetto.dev) and chrome://tracing: the Trace Event Format
    Chrome,
    /// What takes OpenTelemetry's traces as JSON
    Otlp,
    /// Jaeger: its own JSON
    Jaeger,
    /// Mermaid: one diagram
    Mermaid,
    /// GitHub and GitLab: diagrams of Mermaid in Markdown, as many as it takes
    Markdown,
    /// Spreadsheets: a line for each event
    Csv,
    /// Browsers: a picture, in light and dark
    Svg,
}

// === impl Format ===

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Chrome => "chrome",
            Self::Otlp => "otlp",
            Self::Jaeger => "jaeger",
            Self::Mermaid => "mermaid",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
            Self::Svg => "svg",
        }
    }
}

pub(super) async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.timelines().await?;
    let request = proto::ExportTimelineRequest {
        context: args.context,
        timeline: args.timeline,
        format: args.format.name().to_owned(),
        part: args.part.unwrap_or(0),
    };
    let exported = args.server.answer(client.export_timeline(request)).await;
    let exported = exported.map_err(|status| failed("export the timeline", &status))?.into_inner();
    if args.output.to_str() == Some("-") {
        let mut out = output::stdout();
        output::written(out.write_all(&exported.text).and_then(|()| out.flush()))?;
    } else {
        let file = args.output.display();
        fs::write(&args.output, &exported.text).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
