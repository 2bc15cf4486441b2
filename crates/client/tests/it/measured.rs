//! A queue seen from outside: the counters of the `metrics` facade, and the log of drops.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tally_client::{Connection, Method, Queue, Report};
use tonic::{Code, Status};

use crate::lines::Lines;
use crate::mock::{Act, Event, Mock, fast_queue, refusal, until};

/// Metrics by name. A gauge is kept as the bits of a double.
#[derive(Default)]
struct Measured(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

// === impl Measured ===

impl Measured {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        assert_eq!(labels, [("producer", "test")]);
        let mut cells = self.0.lock().expect("no panic meanwhile");
        Arc::clone(cells.entry(key.name().to_owned()).or_default())
    }

    fn get(&self, name: &str) -> u64 {
        let cells = self.0.lock().expect("no panic meanwhile");
        cells.get(name).unwrap_or_else(|| panic!("{name} of {cells:?}")).load(Ordering::Relaxed)
    }

    fn counter(&self, what: &str) -> u64 {
        self.get(&format!("tally_client_requests_{what}_total"))
    }

    fn gauge(&self, what: &str) -> f64 {
        f64::from_bits(self.get(&format!("tally_client_{what}")))
    }

    /// Checks the metrics against the report.
    #[track_caller]
    fn assert_is(&self, report: &Report) {
        for (what, expected) in [
            ("recorded", report.recorded),
            ("acknowledged", report.acknowledged),
            ("rejected", report.rejected),
            ("in_doubt", report.in_doubt),
            ("dropped", report.dropped + report.refused),
            ("skipped", report.skipped),
        ] {
            assert_eq!(self.counter(what), expected, "{what} of {report:?}");
        }
    }
}

impl Recorder for Measured {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("no histogram is documented: {key}")
    }
}

fn record(queue: &Queue, path: &str, requests: u32) {
    let endpoint = queue.endpoint(Method::GET, path);
    for _ in 0..requests {
        queue.record_or_drop(endpoint);
    }
}

/// A server that refuses `/bad`, and can be switched to silence.
fn moody(silent: Arc<AtomicBool>) -> Mock {
    let bad = AtomicBool::new(false);
    Mock::new(move |event| match event {
        _ if silent.load(Ordering::Relaxed) => Act::Hold,
        Event::Batch(batch) => {
            bad.fetch_or(batch.series.iter().any(|it| it.path == "/bad"), Ordering::Relaxed);
            match batch.number.is_empty() || !bad.swap(false, Ordering::Relaxed) {
                true => Act::Serve,
                false => Act::End(refusal(Code::InvalidArgument, "INVALID_BATCH")),
            }
        }
        _ => Act::Serve,
    })
}

#[tokio::test]
async fn the_counters_say_what_the_report_says() {
    let measured = Measured::default();
    let _local = metrics::set_default_local_recorder(&measured);
    let silent = Arc::new(AtomicBool::new(false));
    let mock = moody(Arc::clone(&silent));
    let server = mock.start();
    let queue = server.queue().queue_rows_max(1000).batch_rows_max(10);
    let queue = queue.batches_in_flight_max(2).connect().await.expect("a queue");
    record(&queue, "/good", 100);
    queue.flush().await.expect("everything");
    measured.assert_is(&queue.stats());
    assert_eq!((measured.gauge("requests_queued"), measured.gauge("connected")), (0.0, 1.0));
    assert_eq!(measured.gauge("requests_unsettled"), 0.0);

    record(&queue, "/bad", 10);
    queue.note_skipped();
    queue.flush().await.expect_err("some are rejected");
    // This thread does not let the queue send meanwhile.
    record(&queue, "/more", 5000);
    let _ = queue.flush().await;
    measured.assert_is(&queue.stats());

    silent.store(true, Ordering::Relaxed);
    mock.database().in_flight = 0;
    record(&queue, "/last", 500);
    until("batches are on their way", || mock.database().in_flight >= 2).await;
    let waiting = measured.gauge("requests_queued");
    assert!((1.0..500.0).contains(&waiting), "{waiting} and some are on their way");
    let unsettled = measured.gauge("requests_unsettled");
    assert!(unsettled >= 20.0, "{unsettled}");
    assert_eq!(queue.stats().queued as f64, waiting + unsettled);
    let report = queue.close_within(Duration::ZERO).await;
    measured.assert_is(&report);
    assert_eq!((measured.gauge("requests_queued"), measured.gauge("connected")), (0.0, 0.0));
    assert_eq!(measured.gauge("requests_unsettled"), 0.0);
    // Every outcome occurred.
    assert!(report.acknowledged > 100 && report.rejected > 0 && report.in_doubt > 0, "{report:?}");
    assert!(report.dropped > 0 && report.refused == 4000 && report.skipped == 1, "{report:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_measured() {
    let measured = Measured::default();
    let _local = metrics::set_default_local_recorder(&measured);
    let mock = Mock::good();
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    assert_eq!(queue.ready().await, Connection::Record);
    assert_eq!(measured.gauge("connected"), 1.0);
    drop(server);
    until("the queue notices that the server is away", || {
        queue.stats().connection == Connection::Away
    })
    .await;
    assert_eq!(measured.gauge("connected"), 0.0);
}

/// An address without a server.
fn nowhere() -> SocketAddr {
    Mock::good().start().address()
}

/// The sum of a field of the lines that have a text.
fn sum(lines: &Lines, text: &str, field: &str) -> u64 {
    let number = |line: String| {
        let (_, rest) = line.split_once(&format!(" {field}=")).expect("the field");
        rest.split(' ').next().expect("a number").parse::<u64>().expect("a number")
    };
    lines.with(text).into_iter().map(number).sum()
}

const FULL: &str = "requests were dropped: the queue was full or closed";

#[tokio::test(start_paused = true)]
async fn drops_are_logged_once_in_ten_seconds_and_all_of_them() {
    let (lines, _guard) = Lines::take();
    let second = Duration::from_secs(1);
    let queue = fast_queue(&format!("http://{}", nowhere())).backoff(second, second);
    let queue = queue.queue_rows_max(100).connect().await.expect("a queue");
    let dropped = || queue.stats().dropped + queue.stats().refused;
    record(&queue, "/", 150);
    tokio::time::sleep(second / 2).await;
    assert_eq!(dropped(), 50);
    assert_eq!((lines.with(FULL).len(), sum(&lines, FULL, "requests")), (1, 50));
    for _ in 0..9 {
        record(&queue, "/", 1000);
        tokio::time::sleep(second).await;
        assert_eq!(lines.with(FULL).len(), 1, "ten seconds are not over");
    }
    tokio::time::sleep(3 * second).await;
    let so_far = dropped();
    assert!(so_far > 8000, "{so_far}");
    assert_eq!((lines.with(FULL).len(), sum(&lines, FULL, "requests")), (2, so_far));
    // Nothing more was dropped, so nothing is logged.
    tokio::time::sleep(60 * second).await;
    assert_eq!(lines.with(FULL).len(), 2);

    record(&queue, "/", 1);
    tokio::time::sleep(12 * second).await;
    assert_eq!((lines.with(FULL).len(), sum(&lines, FULL, "requests")), (3, so_far + 1));
    // Too soon for a line of their own: they are logged at the end.
    record(&queue, "/", 30);
    let report = queue.close_within(Duration::ZERO).await;
    assert!(report.refused > so_far && report.dropped > 0, "{report:?}");
    let logged = sum(&lines, "requests were dropped", "requests");
    let closing = sum(&lines, "closed before everything", "dropped");
    assert_eq!(logged + closing, report.refused + report.dropped, "{:?}", lines.with(""));
}

/// Many failing attempts.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_long_is_no_flood() {
    let (lines, _guard) = Lines::take();
    let queue = fast_queue(&format!("http://{}", nowhere()));
    let queue = queue.backoff(Duration::from_millis(100), Duration::from_secs(1));
    let queue = queue.queue_rows_max(100).connect().await.expect("a queue");
    for _ in 0..600 {
        record(&queue, "/", 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let of_drops = lines.with(FULL).len();
    assert!((59..=61).contains(&of_drops), "one in ten seconds: {of_drops}");
    assert_eq!(lines.with("cannot be reached").len(), 1);
    assert_eq!(lines.with("").len(), of_drops + 1, "{:?}", lines.with(""));
}

/// Two alternating reasons.
#[tokio::test]
async fn a_server_that_refuses_the_client_is_no_flood() {
    let (lines, _guard) = Lines::take();
    let opens = Arc::new(AtomicU64::new(0));
    let mock = Mock::new({
        let opens = Arc::clone(&opens);
        move |event| match event {
            Event::Open(_) if opens.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
                Act::End(Status::unauthenticated("who are you"))
            }
            _ => Act::End(Status::permission_denied("not for you")),
        }
    });
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    until("the producer is opened again", || opens.load(Ordering::Relaxed) >= 50).await;
    queue.close_within(Duration::ZERO).await;
    assert_eq!(lines.with("refuses this client").len(), 1, "{:?}", lines.with(""));
}

/// It refuses the client in between.
#[tokio::test]
async fn a_server_that_takes_some_and_refuses_the_client_is_no_flood() {
    let (lines, _guard) = Lines::take();
    let mock = Mock::new(|event| match event {
        Event::Batch(_) => Act::StoreAndEnd(0, Status::permission_denied("no more")),
        _ => Act::Serve,
    });
    let server = mock.start();
    let queue = server.queue().connect().await.expect("a queue");
    for _ in 0..20 {
        record(&queue, "/", 1);
        queue.flush().await.expect("the next stream says that it is stored");
    }
    queue.close_within(Duration::ZERO).await;
    assert_eq!(mock.total(), 20);
    assert_eq!(lines.with("refuses this client").len(), 1, "{:?}", lines.with(""));
    assert!(lines.with("counting with Tally").len() <= 2, "{:?}", lines.with(""));
}
