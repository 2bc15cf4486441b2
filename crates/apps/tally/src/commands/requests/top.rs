//! `tally top`: what is called now, how often, live.
//!
//! | file | what it owns |
//! |---|---|
//! | `ask.rs` | asking the server, and the query that is asked |
//! | `draw.rs` | what the screen looks like |
//! | `history.rs` | from totals at known times to rates |
//! | `live.rs` | the loop of the live view: keys, answers, a server that is away |
//! | `once.rs` | one plain table |
//! | `view.rs` | what is shown, and which keys change it |

mod ask;
mod draw;
mod history;
mod live;
mod once;
mod view;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tally_runtime::Clock;

use self::ask::Asker;
use super::series::{Filters, Part};
use crate::client::ServerArgs;
use crate::numbers;
use crate::output;

/// Show live how often each endpoint is called
///
/// Rates are differences of exact totals: of what the server has stored, so a client
/// that was away and sends what it has kept makes a peak. Requests of today and
/// yesterday (UTC) are in them, by their own times.
///
/// Keys:
///   e s t c   by endpoint, service, status, customer
///   o         another order: rate, count, name
///   /         show only lines that contain a text
///   p         pause, and go on
///   ? q       help; quit
///
/// Where stdout is not a terminal, it prints one table and ends, as with --once.
///
/// Examples:
///   tally top
///   tally top --group-by status --service shop
///   tally top --path-prefix /api/ --interval 5
///   tally top --once | head
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TopArgs {
    /// What to tell apart; a key changes it
    #[arg(long, value_enum, default_value_t = GroupBy::Endpoint)]
    group_by: GroupBy,

    /// The order of the lines; a key changes it
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    sort: Sort,

    /// How often to ask, in seconds. A server that takes long is asked less often
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = numbers::within(1, 3_600_u32))]
    interval: u32,

    /// How many lines to ask for: those with the most requests of today and yesterday. The others are
    /// shown as one
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = numbers::within(1, 100_000_u32))]
    limit: u32,

    /// Print one plain table of what is called within an interval, and end
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    server: ServerArgs,
}

/// What is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GroupBy {
    /// Method and path
    Endpoint,
    /// Who served it
    Service,
    /// The HTTP status or gRPC code
    Status,
    /// On whose behalf
    Customer,
}

/// The order of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The most requests per second first
    Rate,
    /// The most requests of today and yesterday first
    Count,
    /// By name
    Name,
}

pub(crate) async fn run(args: TopArgs, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
    let interval = Duration::from_secs(args.interval.into());
    let (by, sort, once) = (args.group_by, args.sort, args.once);
    let server = args.server.server.clone();
    let asker = Asker::new(args, clock);
    // A mistake in the address is said at once, and not on a screen that waits.
    let client = asker.connect().await?;
    if once || !output::stdout_is_terminal() || output::terminal_is_dumb() {
        return once::run(&asker, client, by, sort, interval).await;
    }
    live::run(&asker, client, view::View::new(server, by, sort, interval)).await
}

// === impl GroupBy ===

impl GroupBy {
    const ALL: [Self; 4] = [Self::Endpoint, Self::Service, Self::Status, Self::Customer];

    fn parts(self) -> &'static [Part] {
        match self {
            Self::Endpoint => &Part::USUAL,
            Self::Service => &[Part::Service],
            Self::Status => &[Part::Status],
            Self::Customer => &[Part::Customer],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Service => "service",
            Self::Status => "status",
            Self::Customer => "customer",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|by| *by == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

// === impl Sort ===

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Count => "count",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Rate => Self::Count,
            Self::Count => Self::Name,
            Self::Name => Self::Rate,
        }
    }
}
