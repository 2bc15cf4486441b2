//! Files that were counted by an earlier import.

use std::collections::HashMap;

use anyhow::anyhow;
use jiff::Timestamp;
use tally_proto::tally::requests::v1::{CountedFile, FindCountedFilesRequest};
use tally_proto::wire::COUNTED_FILES_MAX;
use tonic::Code;

use super::ImportArgs;
use crate::client::describe;
use crate::import::fingerprint::fingerprint;
use crate::import::input::Input;
use crate::import::send::Marked;
use crate::output::{plural, say, visible};

/// How much of a file's name is told.
const NAME_CHARS_MAX: usize = 200;

/// What tells the inputs apart: of each, if it can be counted as a whole. Of what cannot be read
/// twice, and of a file that is begun in its middle, nothing is known.
pub(super) fn marked(args: &ImportArgs, inputs: &[Input]) -> Vec<Marked> {
    let how = args.selection();
    let of = |(at, input): (usize, &Input)| {
        let fingerprint = match input {
            Input::File(path) if at > 0 || args.from_line == 1 => {
                fingerprint(path, &how).ok().flatten()
            }
            _ => None,
        };
        let name = input.to_string().chars().take(NAME_CHARS_MAX).collect();
        Marked { name, fingerprint }
    };
    inputs.iter().enumerate().map(of).collect()
}

/// Leaves out the files that the server knows to be counted, with a word for each.
pub(super) async fn without_counted(
    args: &ImportArgs,
    inputs: Vec<Input>,
    marked: Vec<Marked>,
) -> anyhow::Result<(Vec<Input>, Vec<Marked>)> {
    let asked: Vec<Vec<u8>> = marked.iter().filter_map(|one| one.fingerprint.clone()).collect();
    if args.again || asked.is_empty() {
        return Ok((inputs, marked));
    }
    let mut counted = HashMap::new();
    let mut client = args.server.requests().await?;
    for fingerprints in asked.chunks(COUNTED_FILES_MAX) {
        let request = FindCountedFilesRequest { fingerprints: fingerprints.to_vec() };
        match client.find_counted_files(request).await {
            Ok(answer) => {
                let files = answer.into_inner().files.into_iter();
                counted.extend(files.map(|file| (file.fingerprint.clone(), file)));
            }
            // An older server remembers nothing.
            Err(status) if status.code() == Code::Unimplemented => break,
            Err(status) => {
                return Err(anyhow!(
                    "cannot ask which files are counted already: {}; with --again it is not asked",
                    describe(&status)
                ));
            }
        }
    }
    let is_counted = |(input, marked): &(Input, Marked)| {
        let file = marked.fingerprint.as_ref().and_then(|one| counted.get(one));
        file.inspect(|file| say(line(input, file))).is_some()
    };
    let all = inputs.into_iter().zip(marked);
    Ok(all.filter(|one| !is_counted(one)).unzip())
}

fn line(input: &Input, file: &CountedFile) -> String {
    let at = file.counted_at.and_then(|at| Timestamp::from_second(at.seconds).ok());
    let on = at.map_or_else(String::new, |at| format!(" on {}", at.strftime("%Y-%m-%d")));
    let name = if *file.name == *input.to_string() {
        String::new()
    } else {
        format!(" as {}", visible(&file.name))
    };
    let requests = plural(file.requests, "request");
    format!("{input} was counted{on}{name} ({requests}), and is left out; --again counts it again")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tally_proto::count::v1;
    use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::Server;
    use tonic::{Request, Response, Status, Streaming};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ImportArgs,
    }

    /// A server that counts, and has nothing else of today's.
    struct Older;

    #[tonic::async_trait]
    impl CountService for Older {
        async fn add(
            &self,
            _: Request<Streaming<v1::AddRequest>>,
        ) -> Result<Response<v1::AddResponse>, Status> {
            Ok(Response::new(v1::AddResponse::default()))
        }

        async fn count_daily_totals(
            &self,
            _: Request<v1::CountDailyTotalsRequest>,
        ) -> Result<Response<v1::CountDailyTotalsResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn list_daily_totals(
            &self,
            _: Request<v1::ListDailyTotalsRequest>,
        ) -> Result<Response<v1::ListDailyTotalsResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }

        async fn get_period_totals(
            &self,
            _: Request<v1::GetPeriodTotalsRequest>,
        ) -> Result<Response<v1::GetPeriodTotalsResponse>, Status> {
            Err(Status::unimplemented("not here"))
        }
    }

    #[tokio::test]
    async fn an_older_server_is_not_missed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let older = Server::builder()
            .add_service(CountServiceServer::new(Older))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "a\n").expect("written");
        let inputs = vec![Input::File(path.clone()), Input::Stdin];
        let args = Cli::parse_from(["import", "--server", &server, &path.to_string_lossy()]).args;
        let marked = marked(&args, &inputs);
        assert!(marked[0].fingerprint.is_some() && marked[1].fingerprint.is_none());
        let left = tokio::select! {
            left = without_counted(&args, inputs.clone(), marked) => left.expect("it goes on"),
            ended = older => panic!("the server ended: {ended:?}"),
        };
        assert_eq!((left.0, left.1.len()), (inputs, 2));
    }
}
