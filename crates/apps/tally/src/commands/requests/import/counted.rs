//! Files that an earlier import has counted.

use std::collections::HashMap;
use std::fs::File;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use tally_proto::tally::requests::v1::{self as proto, FindCountedFilesRequest};
use tally_proto::wire::COUNTED_FILES_MAX;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Code;

use super::ImportArgs;
use super::fingerprint::fingerprint;
use super::input::Input;
use crate::client::describe;
use crate::output::{plural, say, thousands, visible};

const NAME_CHARS_MAX: usize = 200;

/// How long one call may take, and the pause before the next.
const CALL_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);

/// Counted files by their fingerprints.
type Counted = HashMap<Vec<u8>, proto::CountedFile>;

/// What the server is to remember of each input, as far as known before reading.
pub(super) fn files(args: &ImportArgs, inputs: &[Input]) -> Vec<tally_client::CountedFile> {
    let reading = args.how();
    let of = |input: &Input| tally_client::CountedFile {
        name: input.to_string().chars().take(NAME_CHARS_MAX).collect(),
        reading: reading.clone(),
        ..Default::default()
    };
    inputs.iter().map(of).collect()
}

/// Leaves out files that the server has counted, and says so. One counted with other flags is an
/// error, because it may have the same requests with these.
pub(super) async fn without_counted(
    args: &ImportArgs,
    inputs: Vec<Input>,
) -> anyhow::Result<Vec<Input>> {
    // A pipe, or a file that is begun in the middle, has no fingerprint.
    let known = |(at, input): (usize, &Input)| match input {
        Input::File(path) if at > 0 || args.from_line == 1 => {
            File::open(path).and_then(|file| fingerprint(&file)).ok().flatten()
        }
        _ => None,
    };
    let known: Vec<_> = inputs.iter().enumerate().map(known).collect();
    let asked: Vec<Vec<u8>> = known.iter().flatten().cloned().collect();
    if asked.is_empty() {
        return Ok(inputs);
    }
    let counted = find(args, &asked).await?;
    let (mut left, mut refused) = (Vec::new(), 0);
    let how = args.how();
    for (input, known) in inputs.into_iter().zip(known) {
        match known.and_then(|known| counted.get(&known)) {
            None => left.push(input),
            Some(file) if file.reading == how => {
                let was = was_counted(&input, file);
                say(format_args!("{was}, and is left out; --again counts it again"));
            }
            Some(file) => {
                let was = was_counted(&input, file);
                say(format_args!("error: {was} with other flags; --again counts it anyway"));
                refused += 1;
            }
        }
    }
    if refused > 0 {
        return Err(anyhow!("nothing was sent"));
    }
    Ok(left)
}

/// Asks which files are counted, and waits for a server that cannot say it yet.
async fn find(args: &ImportArgs, asked: &[Vec<u8>]) -> anyhow::Result<Counted> {
    const STEP: &str = "cannot ask which files are counted already";
    let until = Instant::now() + Duration::from_secs(args.patience);
    let silent = |_| anyhow!("{STEP}: no answer within {} s", args.patience);
    let mut client = timeout_at(until, args.server.requests()).await.map_err(silent)??;
    let mut counted = HashMap::new();
    let mut waits = false;
    for fingerprints in asked.chunks(COUNTED_FILES_MAX) {
        loop {
            let request = FindCountedFilesRequest { fingerprints: fingerprints.to_vec() };
            let call_until = until.min(Instant::now() + CALL_MAX);
            let why = match timeout_at(call_until, client.find_counted_files(request)).await {
                Ok(Ok(answer)) => {
                    let files = answer.into_inner().files.into_iter();
                    counted.extend(files.map(|file| (file.fingerprint.clone(), file)));
                    break;
                }
                // An older server remembers nothing.
                Ok(Err(status)) if status.code() == Code::Unimplemented => return Ok(counted),
                Ok(Err(status)) => match status.code() {
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                        describe(&status)
                    }
                    _ => {
                        let why = describe(&status);
                        return Err(anyhow!("{STEP}: {why}; with --again it is not asked"));
                    }
                },
                Err(_elapsed) => "it does not answer".to_owned(),
            };
            if Instant::now() + PAUSE >= until {
                return Err(anyhow!("{STEP}: {why}; nothing was sent"));
            }
            if !std::mem::replace(&mut waits, true) {
                say(format_args!("waiting for the server: {why}"));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(counted)
}

fn was_counted(input: &Input, file: &proto::CountedFile) -> String {
    let at = file.counted_at.and_then(|at| Timestamp::from_second(at.seconds).ok());
    let on = at.map_or_else(String::new, |at| format!(" on {}", at.strftime("%Y-%m-%d")));
    let name = if *file.name == *input.to_string() {
        String::new()
    } else {
        format!(" as {}", visible(&file.name))
    };
    let malformed = match file.malformed {
        0 => String::new(),
        lines => format!(", {} malformed", thousands(lines)),
    };
    format!("{input} was counted{on}{name} ({}{malformed})", plural(file.requests, "request"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::send::tests::fake::Fake;
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ImportArgs,
    }

    #[tokio::test]
    async fn a_server_whose_database_is_away_is_waited_for() {
        let asked = |refusals, patience| async move {
            let fake = Fake::default();
            fake.state().refusals = refusals;
            let find = async |server: String| {
                let words = ["import", "--patience", patience, "--server", &server, "a.log"];
                find(&Cli::parse_from(words).args, &[vec![7]]).await
            };
            fake.serve(find).await
        };
        assert!(asked(2, "60").await.expect("it answers").contains_key(&vec![7]));
        let error = asked(u32::MAX, "3").await.expect_err("too early").to_string();
        let expected = "cannot ask which files are counted already: the database does not answer; \
                        nothing was sent";
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn an_older_server_is_not_missed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "a\n").expect("written");
        let inputs = vec![Input::File(path.clone()), Input::Stdin];
        let ask = async |server: String| {
            let words = ["import", "--server", &server, &path.to_string_lossy()];
            without_counted(&Cli::parse_from(words).args, inputs.clone()).await
        };
        let older = Fake { is_older: true, ..Fake::default() };
        assert_eq!(older.serve(ask).await.expect("it goes on"), inputs);
    }
}
