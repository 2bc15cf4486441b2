//! The service on its own port, as a client sees it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tally_ingest::Limits;
use tally_outbox::{Outbox, Webhooks};
use tally_producers::Terms;
use tally_proto::count::v1::AddRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::google::r#type::Date;
use tally_proto::methods::number_of_text;
use tally_proto::tally::requests::v1 as proto;
use tally_proto::tally::requests::v1::book_service_client::BookServiceClient;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::wire::{COUNTED_TRAILER, REFUSED_TRAILER, timestamp};
use tally_requests::{MIGRATIONS, RecordLimits, Service, Settings};
use tally_runtime::{Drain, ManualClock, Tasks};
use tally_serve::{Access, Domains, Listener, Parts, Server, Started};
use tally_store::Database;
use tally_testkit::{Described, Response, http};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::backend::{NOW, TERMS, Total, at, open_with, total};

/// A running service. Its tasks end with the test's runtime.
pub(crate) struct Counting {
    pub(crate) service: Service,
    domains: Domains,
    pub(crate) clock: Arc<ManualClock>,
    address: SocketAddr,
    drain: Drain,
    tasks: Tasks,
}

/// A total of an answer.
pub(crate) struct Answered {
    pub(crate) period: Option<Date>,
    pub(crate) group: proto::Group,
    pub(crate) count: i64,
    pub(crate) correction: i64,
}

/// Settings with limits that a test can reach.
pub(crate) fn settings() -> Settings {
    Settings {
        workers: 2,
        batch_rows_max: 10_000,
        queue: Limits {
            rows_max: 100_000,
            bytes_max: 10_000_000,
            wait_max: Duration::from_secs(30),
        },
        write_wait_max: Duration::from_secs(30),
        resolution: tally_requests::Resolution::Raw,
        path_bytes_max: 2_048,
        series_max: 1_000,
        totals_max: 1_000_000,
        roll_up_at: tally_requests::Schedule::NEVER,
        quarter_retention_days: 400,
        metrics_endpoints: 0,
        kept_after_roll_up: Duration::ZERO,
        idempotency: Duration::from_secs(24 * 60 * 60),
        record: RecordLimits::default(),
        terms: Terms { producers_max: 1_000, ..TERMS },
    }
}

/// Settings that give up on a batch soon, but not on one that a busy machine takes its time for.
pub(crate) fn impatient() -> Settings {
    Settings { write_wait_max: Duration::from_millis(1_500), ..settings() }
}

// === impl Counting ===

impl Counting {
    /// Creates the tables of a database and starts a service on it.
    pub(crate) async fn start(url: &str, settings: Settings) -> Self {
        let database = open_with(url, settings.of_workers().attempt_max()).await;
        tally_producers::MIGRATIONS.run(&database).await.expect("migrations");
        MIGRATIONS.run(&database).await.expect("migrations");
        Self::on(database, settings).await
    }

    /// Starts a service on a database that has its tables.
    pub(crate) async fn on(database: Database, settings: Settings) -> Self {
        Self::guarded(database, settings, Access::Anyone).await
    }

    /// The same, with keys.
    pub(crate) async fn guarded(database: Database, settings: Settings, access: Access) -> Self {
        let drain = Drain::new();
        let clock = Arc::new(ManualClock::new(NOW.parse().expect("a time")));
        let (of_domain, tasks) = (Tasks::new(), Tasks::new());
        let parts = Parts {
            outbox: Outbox::new(database.clone(), Webhooks::default()),
            database,
            clock: Arc::clone(&clock) as _,
            drain: drain.clone(),
            tasks: of_domain.clone(),
        };
        let service = Service::start(parts, settings).await.expect("the service starts");
        let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.address();
        let started = Started {
            name: "requests",
            running: Arc::new(service.clone()),
            doors: service.doors(),
            tasks: of_domain,
        };
        let server = Server::open("a test", "", vec![started], &drain).await.expect("no sockets");
        let server = server.guarded(access, Arc::clone(&clock) as _);
        let (domains, until) = (server.domains(), drain.clone());
        tasks.spawn("server", async move {
            let probe = || async { Ok(()) };
            server.run(listener, probe, &until).await.expect("it serves");
        });
        Self { service, domains, clock, address, drain, tasks }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One request over HTTP, to which the answer is one that the API describes.
    #[track_caller]
    pub(crate) fn http(&self, line: &str, headers: &[&str], body: &str) -> Response {
        static DESCRIBED: OnceLock<Described> = OnceLock::new();
        let address = self.address.to_string();
        let answer = http(&address, line, headers, body);
        let described = DESCRIBED.get_or_init(|| Described::of(&address));
        described.check(line, &answer).unwrap_or_else(|why| panic!("{why}: {answer:?}"));
        answer
    }

    /// A client with its own connection.
    pub(crate) async fn client(&self) -> CountServiceClient<Channel> {
        CountServiceClient::new(self.channel().await)
    }

    /// A new connection.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        endpoint.expect("an address").connect().await.expect("a connection")
    }

    /// A client of Tally's own API with its own connection.
    pub(crate) async fn request_client(&self) -> RequestServiceClient<Channel> {
        RequestServiceClient::new(self.channel().await).max_decoding_message_size(16 << 20)
    }

    /// A client that changes the books, with its own connection.
    pub(crate) async fn book_client(&self) -> BookServiceClient<Channel> {
        BookServiceClient::new(self.channel().await)
    }

    /// Sends requests as one stream.
    pub(crate) async fn add(&self, requests: Vec<AddRequest>) -> Result<(), Status> {
        let requests = tokio_stream::iter(requests);
        self.client().await.add(requests).await.map(|_| ())
    }

    /// Live totals by day, from the service.
    pub(crate) async fn live(&self) -> Vec<Total> {
        let query = proto::QueryTotalsRequest { live: true, ..Default::default() };
        let of_day = |Answered { period, group, count, .. }: Answered| {
            let date = period.expect("a day");
            let day = format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
            total(&day, number_of_text(&group.method), &group.path, count)
        };
        self.totals(query).await.unwrap().into_iter().map(of_day).collect()
    }

    /// An answer, with each total as one.
    pub(crate) async fn totals(
        &self,
        query: proto::QueryTotalsRequest,
    ) -> Result<Vec<Answered>, Status> {
        let mut answers = self.request_client().await.query_totals(query).await?.into_inner();
        let (mut groups, mut totals) = (Vec::<proto::Group>::new(), Vec::new());
        while let Some(answer) = answers.message().await? {
            groups.extend(answer.groups);
            for part in answer.periods {
                for (at, (number, count)) in part.number.iter().zip(&part.count).enumerate() {
                    let group = groups[*number as usize].clone();
                    let correction = part.correction.get(at).copied().unwrap_or_default();
                    totals.push(Answered { period: part.period, group, count: *count, correction });
                }
            }
        }
        Ok(totals)
    }

    /// Starts to stop, as a server does.
    pub(crate) fn begin_to_stop(&self) {
        self.drain.begin();
    }

    /// Stops as a server does: answers the streams and writes the queue.
    pub(crate) async fn stop(self) {
        self.drain.begin();
        self.tasks.finished().await;
        self.domains.finished().await;
    }
}

/// A failed stream's position and how many of its requests were refused for their times, if the
/// server knows.
pub(crate) fn counted(status: &Status) -> Option<(u64, u64)> {
    let trailer = |name| {
        let value = status.metadata().get(name)?;
        Some(value.to_str().expect("a number").parse().expect("a number"))
    };
    trailer(COUNTED_TRAILER).map(|counted| (counted, trailer(REFUSED_TRAILER).unwrap_or(0)))
}

/// A GET at a time.
pub(crate) fn get(path: &str, time: &str) -> AddRequest {
    request(3, path, time)
}

/// A request at a time.
pub(crate) fn request(method: i32, path: &str, time: &str) -> AddRequest {
    let request_timestamp = Some(timestamp(at(time)));
    AddRequest { method, path: path.to_owned(), request_timestamp }
}
