//! One plain table, for pipes and scripts.

use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

use super::ask::{Asker, Client};
use super::history::{History, Line};
use super::{GroupBy, Sort};
use crate::output::table::{self, Align};
use crate::output::{self, plural, say, thousands};

/// Asks twice, and prints what was called in between.
pub(super) async fn run(
    asker: &Asker,
    mut client: Client,
    by: GroupBy,
    sort: Sort,
    interval: Duration,
) -> anyhow::Result<ExitCode> {
    let (question, mut history) = (asker.question(by), History::default());
    history.push(asker.ask(&mut client, question).await?);
    tokio::time::sleep(interval).await;
    history.push(asker.ask(&mut client, question).await?);
    let mut lines = history.lines(sort);
    lines.retain(|line| line.rate.is_none_or(|rate| !rate.is_zero()));
    let parts = by.parts().iter().map(|part| (part.name(), part.align()));
    let numbers = [("req/s", Align::Right), ("requests", Align::Right)];
    let columns: Vec<_> = numbers.into_iter().chain(parts).collect();
    let row = |Line { name, rate, count }: &Line| {
        let rate = rate.map_or(Cow::Borrowed("-"), |rate| Cow::Owned(rate.to_string()));
        let numbers = [rate, thousands(*count).into()];
        let row: Vec<_> = numbers.into_iter().chain(name.iter().cloned().map(Cow::Owned)).collect();
        row
    };
    let mut out = output::stdout();
    let printed =
        table::write(&mut out, output::terminal_columns(), &columns, lines.iter().map(row));
    let printed = printed.and_then(|()| std::io::Write::flush(&mut out));
    if !output::written(printed)? {
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = interval.as_secs();
    match history.total_rate() {
        Some(rate) if !rate.is_zero() => say(format_args!("{rate} requests/s within {seconds} s")),
        _ => say(format_args!("nothing was counted within {seconds} s")),
    }
    if let Some(others) = history.last().map(|last| last.others).filter(|others| *others > 0) {
        let (others, rate) = (plural(others, "other line"), history.others_rate(&lines));
        let rate = rate.map_or("some".to_owned(), |rate| rate.to_string());
        say(format_args!("{rate} requests/s of {others}: --limit asks for more"));
    }
    Ok(ExitCode::SUCCESS)
}
