//! `Record` through the real program: killed at every step, with database errors, and with broken
//! rules to prove that these tests would notice them.

use tally_proto::tally::producers::v1 as producers;

use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_runtime::{Clock as _, SystemClock};
use tally_testkit::{Proxy, Stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::support::{Home, LIMIT, RAW, Server, Totals, totals, wait_for};

/// Below and above the size from which Postgres uses COPY.
const SMALL: u32 = 5;
const LARGE: u32 = 2_500;

/// Batches sent.
const BATCHES: u64 = 4;

/// A client that remembers only what the server acknowledged.
struct Client {
    epoch: u64,
    /// The highest acknowledged number.
    acknowledged: u64,
    /// The time of its requests.
    micros: i64,
}

// === impl Client ===

impl Client {
    fn new() -> Self {
        Self { epoch: 0, acknowledged: 0, micros: SystemClock.now().as_microsecond() }
    }

    /// Opens the producer, sends all batches `1..=last`, and waits until all are acknowledged or
    /// the stream ends.
    async fn send(&mut self, url: &str, last: u64, rows: u32) -> Result<(), Status> {
        let (sender, messages) = mpsc::channel(100);
        let send = |kind| {
            sender.try_send(proto::RecordRequest { kind: Some(kind) }).expect("room");
        };
        let producer_id = vec![7; 16];
        let open = producers::Open {
            producer_id,
            epoch: self.epoch,
            claims: vec![5],
            name: "shop".into(),
            ..Default::default()
        };
        send(Kind::Open(open));
        for sequence in 1..=last {
            send(Kind::Batch(batch(sequence, rows, self.micros)));
        }
        let client = RequestServiceClient::connect(url.to_owned()).await;
        let mut client = client.expect("the server listens");
        let mut answers = client.record(ReceiverStream::new(messages)).await?.into_inner();
        while self.acknowledged < last {
            self.hear(&mut answers).await?;
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        answers: &mut Streaming<producers::Acknowledgement>,
    ) -> Result<(), Status> {
        let answer = answers.message().await?.expect("an answer before the end");
        self.epoch = answer.opened.map_or(self.epoch, |opened| opened.epoch);
        self.acknowledged = self.acknowledged.max(answer.committed_sequence);
        Ok(())
    }
}

fn batch(sequence: u64, rows: u32, micros: i64) -> proto::Batch {
    let mut time_delta = vec![0; rows as usize];
    time_delta[0] = micros;
    let series = proto::Series { method: "GET".into(), path: "/a".into(), ..Default::default() };
    proto::Batch {
        sequence,
        series: (sequence == 1).then_some(series).into_iter().collect(),
        number: vec![0; rows as usize],
        time_delta,
        count: rows,
        ..proto::Batch::default()
    }
}

/// Sends batches to a server that stops at a point, and kills it there. Returns how many were
/// acknowledged before.
fn killed(server: &Server, point: &str, client: &mut Client, rows: u32) -> u64 {
    std::thread::scope(|scope| {
        let url = server.url.as_str();
        let sending = scope.spawn(move || {
            let ended = wait_for(client.send(url, BATCHES, rows));
            (ended, client.acknowledged)
        });
        server.process.wait_for_line(Stream::Stderr, &format!("stopped at {point}"), LIMIT);
        server.kill();
        let (_ended, acknowledged) = sending.join().expect("the client does not panic");
        acknowledged
    })
}

/// Everything resent after a kill, even twice, is counted once.
fn killed_at(home: &Home, point: &str, rows: u32) {
    let server = home.serve_until(point);
    let mut client = Client::new();
    assert!(killed(&server, point, &mut client, rows) < BATCHES);
    let server = home.serve(&[]);
    for last in [BATCHES, BATCHES + 1] {
        client.acknowledged = 0;
        wait_for(client.send(&server.url, last, rows)).expect("all of it is stored");
        assert_eq!(server.live(), expected(last, rows));
    }
    server.ok(&["roll-up", "yesterday..today"]);
    assert_eq!(server.rolled_up(), expected(BATCHES + 1, rows));
}

fn expected(batches: u64, rows: u32) -> Totals {
    totals([("GET /a", i64::try_from(batches).expect("few") * i64::from(rows))])
}

#[test]
fn killed_on_sqlite() {
    for rows in [SMALL, LARGE] {
        for point in ["append.before_commit", "append.committed"] {
            killed_at(&Home::sqlite(), point, rows);
        }
    }
}

#[test]
fn killed_on_postgres() {
    let home = Home::postgres("record_crash");
    home.know_endpoint("/a", 0);
    killed_at(&home, "append.small.committed", SMALL);
    for point in ["append.before_commit", "append.committed"] {
        killed_at(&Home::postgres("record_crash"), point, LARGE);
    }
}

/// Every third write fails before it is stored, with each error that is retried.
#[test]
fn database_errors_neither_lose_nor_double() {
    for state in ["40001", "40P01", "57P01", "53300"] {
        for rows in [SMALL, LARGE] {
            let home = Home::postgres("record_sqlstate");
            let fault = format!("sqlstate.{state}.3");
            let server = Server::start(home.serve_command(&[]).env("TALLY_FAULT", fault));
            for last in [10, 20] {
                let mut client = Client::new();
                wait_for(client.send(&server.url, last, rows)).expect("all of it is stored");
                assert_eq!(server.live(), expected(last, rows), "{state}");
            }
            assert!(server.log().contains("a fault on purpose"), "{state}");
        }
    }
}

/// If a rule is broken, requests are lost or doubled, so these tests would notice.
#[test]
fn an_early_acknowledgement_loses() {
    let home = Home::sqlite();
    let faults = "record.acknowledge_early,append.before_commit";
    let server = Server::start(home.serve_command(&[]).env("TALLY_FAULT", faults));
    let point = "stopped at append.before_commit";
    wait_for(Client::new().send(&server.url, 1, SMALL)).expect("it is acknowledged early");
    server.process.wait_for_line(Stream::Stderr, point, LIMIT);
    server.kill();
    assert_eq!(home.serve(&[]).live(), totals([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_sequence_check_a_lost_answer_doubles() {
    for (fault, times) in [("none", 1), ("record.skip_sequence", 2)] {
        let home = Home::postgres("record_unsafe");
        let (proxy, url) = Proxy::before(&home.database_url()).await;
        tokio::task::block_in_place(|| {
            let server = Server::start(home.serve_command_at(&url, RAW).env("TALLY_FAULT", fault));
            let mut client = Client::new();
            // The statement that stores these requests contains their time in microseconds since
            // 2000. It commits together with the names of their endpoints, and its answer is lost.
            let time = (client.micros - 946_684_800_000_000).to_be_bytes();
            proxy.swallow_after(&[&time, b"COMMIT"]);
            wait_for(client.send(&server.url, 1, SMALL)).expect("it is acknowledged");
            assert_eq!(proxy.swallowed(), 1, "{}", server.log());
            assert_eq!(server.live(), expected(times, SMALL), "{fault}");
        });
    }
}
