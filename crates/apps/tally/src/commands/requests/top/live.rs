//! The loop of the live view: keys, answers, and a server that is away.

use std::future::{Future, pending};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ask::{Asker, Client, Question};
use super::draw;
use super::history::Sample;
use super::view::{View, Wish};
use crate::commands::requests::screen::{Input, Screen};

/// How often the screen is drawn anew although nothing has come: it says how long a server is away.
const REDRAW: Duration = Duration::from_secs(1);

/// The pause before a server that is away is tried again.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// An answer that is waited for, and the connection if it is still good.
type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

struct Answer {
    client: Option<Client>,
    question: Question,
    sample: anyhow::Result<Sample>,
    took: Duration,
}

/// Shows what the server says until somebody wants it to end.
pub(super) async fn run(asker: &Asker, client: Client, mut view: View) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::take()?;
    // Clones share one connection.
    let mut connection = Some(client.clone());
    let mut asking: Asking<'_> = ask(asker, Some(client), asker.question(view.by), Duration::ZERO);
    loop {
        screen.draw(|frame| draw::draw(frame, &view, asker.elapsed()))?;
        let wish = tokio::select! {
            input = screen.input() => match input {
                Input::End => Wish::Quit,
                Input::Key(key) => view.key(key),
                Input::Redraw => Wish::Nothing,
            },
            answer = &mut asking => {
                let Answer { client, question, sample, took } = answer;
                connection.clone_from(&client);
                let pause = match sample {
                    Ok(sample) => {
                        view.take(question, sample);
                        view.pause_after(took)
                    }
                    Err(error) => {
                        view.miss(asker.elapsed(), format!("{error:#}"));
                        AWAY_PAUSE
                    }
                };
                asking = ask(asker, client, asker.question(view.by), pause);
                Wish::Nothing
            }
            () = sleep(REDRAW) => Wish::Nothing,
        };
        match wish {
            Wish::Quit => return Ok(ExitCode::SUCCESS),
            Wish::Ask => {
                let question = asker.question(view.by);
                asking = ask(asker, connection.clone(), question, Duration::ZERO);
            }
            Wish::Nothing if view.is_paused => asking = Box::pin(pending()),
            Wish::Nothing => {}
        }
    }
}

/// Asks after a pause, by a new connection if there is none.
fn ask(asker: &Asker, client: Option<Client>, question: Question, pause: Duration) -> Asking<'_> {
    Box::pin(async move {
        sleep(pause).await;
        let asked = Instant::now();
        let answer = async {
            let mut client = match client {
                Some(client) => client,
                None => asker.connect().await?,
            };
            let sample = asker.ask(&mut client, question).await?;
            anyhow::Ok((client, sample))
        };
        match answer.await {
            Ok((client, sample)) => {
                Answer { client: Some(client), question, sample: Ok(sample), took: asked.elapsed() }
            }
            Err(error) => {
                Answer { client: None, question, sample: Err(error), took: asked.elapsed() }
            }
        }
    })
}
