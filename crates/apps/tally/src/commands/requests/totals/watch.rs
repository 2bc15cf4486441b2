//! The same table again and again, in one place.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_runtime::Clock;
use tokio::time::{Instant, sleep};

use super::TotalsArgs;
use crate::client::Caller;
use crate::commands::requests::screen::{Input, Screen};
use crate::output::{self, OutputFormat, age, visible};

/// The pause before a server that is away is asked again, and how often the screen says so.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

type Client = RequestServiceClient<Caller>;

/// An answer, and the connection that it came by.
struct Answer {
    client: Client,
    table: Vec<String>,
    words: Vec<String>,
}

/// What is on the screen.
#[derive(Default)]
struct Shown {
    table: Vec<String>,
    words: Vec<String>,
    /// Since when there is no answer, and why.
    away: Option<(Instant, String)>,
    /// How many lines are above the screen.
    scrolled: usize,
}

/// Asks until somebody wants it to end, and leaves the last answer on the terminal.
pub(super) async fn run(args: &TotalsArgs, clock: &dyn Clock) -> anyhow::Result<ExitCode> {
    let interval = Duration::from_secs(args.watch.unwrap_or_default().into());
    let mut shown = Shown::default();
    // What is wrong from the start is said at once, and not on a screen that waits.
    let (mut answer, mut took) = (Ok(ask(args, clock, None).await?), Duration::ZERO);
    let mut screen = Screen::take()?;
    loop {
        let (client, pause) = match answer {
            Ok(Answer { client, table, words }) => {
                (shown.table, shown.words, shown.away) = (table, words, None);
                // A server that takes long is busy with this for a fifth of its time at most.
                (Some(client), interval.max(took * 4))
            }
            Err(error) => {
                shown.miss(&error);
                (None, AWAY_PAUSE)
            }
        };
        let asking = async {
            sleep(pause).await;
            let asked = Instant::now();
            (ask(args, clock, client).await, asked.elapsed())
        };
        let Some(next) = answer_on(&mut screen, &mut shown, asking).await? else { break };
        (answer, took) = next;
    }
    drop(screen);
    let mut out = output::stdout();
    let lines = shown.table.iter().try_for_each(|line| writeln!(out, "{line}"));
    output::written(lines.and_then(|()| out.flush()))?;
    shown.words.iter().for_each(output::say);
    Ok(ExitCode::SUCCESS)
}

/// Waits for an answer while keys move what is shown. `None` if somebody wants it to end.
async fn answer_on<T>(
    screen: &mut Screen,
    shown: &mut Shown,
    asking: impl Future<Output = T>,
) -> anyhow::Result<Option<T>> {
    tokio::pin!(asking);
    loop {
        screen.draw(|frame| shown.draw(frame))?;
        tokio::select! {
            answer = &mut asking => return Ok(Some(answer)),
            input = screen.input() => match input {
                Input::End | Input::Key(KeyCode::Char('q') | KeyCode::Esc) => return Ok(None),
                Input::Key(key) => shown.scroll(key),
                Input::Redraw => {}
            },
            // How long the server is away.
            () = sleep(AWAY_PAUSE), if shown.away.is_some() => {}
        }
    }
}

async fn ask(
    args: &TotalsArgs,
    clock: &dyn Clock,
    client: Option<Client>,
) -> anyhow::Result<Answer> {
    let mut client = match client {
        Some(client) => client,
        None => args.server.requests().await?,
    };
    let (from, to) = args.range(clock).map_err(anyhow::Error::msg)?;
    let (format, mut table) = (OutputFormat::Table, Vec::new());
    let read = args.read(&mut client, args.request(from, to), args.how(format), &mut table).await?;
    let words = read.map(|(printed, about)| args.words(format, printed, &about));
    let table = String::from_utf8_lossy(&table).lines().map(str::to_owned).collect();
    let words = words.filter(|_| !args.quiet).unwrap_or_default();
    Ok(Answer { client, table, words })
}

// === impl Shown ===

impl Shown {
    fn miss(&mut self, error: &anyhow::Error) {
        let since = self.away.take().map_or_else(Instant::now, |(since, _)| since);
        self.away = Some((since, format!("{error:#}")));
    }

    fn scroll(&mut self, key: KeyCode) {
        let last = self.table.len().saturating_sub(2);
        let moved = match key {
            KeyCode::Down | KeyCode::Char('j') => self.scrolled + 1,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scrolled + 10,
            KeyCode::PageUp => self.scrolled.saturating_sub(10),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => self.scrolled,
        };
        self.scrolled = moved.min(last);
    }

    /// The table as far as it fits, and the words below it. Its header stays.
    fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut below: Vec<Line<'_>> = self.words.iter().map(|word| Line::from(&**word)).collect();
        if let Some((since, why)) = &self.away {
            let away = age(since.elapsed().as_secs().try_into().unwrap_or(i64::MAX));
            let text = format!("NO ANSWER for {away}, trying again: {}", visible(why));
            below.insert(0, Line::styled(text, bold));
        }
        let room = usize::from(area.height).saturating_sub(below.len() + 1);
        let mut lines = Vec::new();
        if let Some((header, rows)) = self.table.split_first() {
            let first = self.scrolled.min(rows.len().saturating_sub(1));
            let rows = &rows[first..];
            // One line for the header, and one to say that there are more.
            let mut room = room.saturating_sub(1);
            if rows.len() > room {
                room = room.saturating_sub(1);
                let more = output::plural((rows.len() - room) as u64, "more line");
                below.insert(0, Line::from(format!("{more} below: the arrow keys scroll")));
            }
            lines.push(Line::styled(&**header, Style::new().add_modifier(Modifier::UNDERLINED)));
            lines.extend(rows.iter().take(room).map(|row| Line::from(&**row)));
        }
        lines.extend(below);
        lines.push(Line::styled("q ends", bold));
        frame.render_widget(Paragraph::new(lines), area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn screen(shown: &Shown, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
        terminal.draw(|frame| shown.draw(frame)).expect("it draws");
        let buffer = terminal.backend().buffer();
        let cells: Vec<_> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
        let lines = cells.chunks(width.into()).map(<[&str]>::concat);
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn what_fits_is_shown_and_the_rest_is_counted() {
        let rows = (1..=5).map(|row| format!("row {row}"));
        let table = std::iter::once("header".to_owned()).chain(rows).collect();
        let mut shown = Shown { table, words: vec!["5 requests".to_owned()], ..Shown::default() };
        let all =
            ["header", "row 1", "row 2", "row 3", "row 4", "row 5", "5 requests", "q ends", ""];
        assert_eq!(screen(&shown, 40, 9), all);
        let more = "2 more lines below: the arrow keys scroll";
        let some = ["header", "row 1", "row 2", "row 3", more, "5 requests", "q ends"];
        assert_eq!(screen(&shown, 50, 7), some);
        shown.scroll(KeyCode::End);
        assert_eq!(screen(&shown, 40, 7)[..3], ["header", "row 5", "5 requests"]);
        shown.miss(&anyhow::anyhow!("connection refused\x1b"));
        let away = "NO ANSWER for 0 s, trying again: connection refused\\u{1b}";
        assert_eq!(screen(&shown, 80, 7)[2], away);
        for (width, height) in [(1, 1), (3, 2), (80, 3)] {
            assert_eq!(screen(&shown, width, height).len(), usize::from(height));
        }
    }
}
