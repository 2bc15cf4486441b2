//! Clients whose times are ahead of the server's clock: what the server logs.

use tonic::Code;

use crate::add::on_sqlite;
use crate::backend::{NOW, at};
use crate::log::Log;
use crate::recording::{Recording, batch, trailer};
use crate::server::{Counting, get, settings};

const AHEAD: &str = "2031-01-01T00:00:00Z";

/// How often each warning was logged: a client's clock may be wrong, or the server's is.
fn warnings(log: &Log) -> (usize, usize) {
    (
        log.count("a client's clock is wrong, or this one"),
        log.count("this server's clock is behind"),
    )
}

/// Sets the server's clock to this many seconds after [`NOW`].
fn set(counting: &Counting, seconds: i64) {
    let micros = at(NOW) + seconds * 1_000_000;
    counting.clock.set(jiff::Timestamp::from_microsecond(micros).unwrap());
}

async fn add_ahead(counting: &Counting) {
    let status = counting.add(vec![get("/", AHEAD)]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

async fn record_ahead(counting: &Counting) {
    let mut stream = Recording::start(counting).await;
    stream.send(batch(1, 0, &[("/", AHEAD)]));
    let status = stream.ended().await;
    assert_eq!(trailer(&status, "tally-reason").as_deref(), Some("TIME_AHEAD"), "{status}");
}

#[tokio::test]
async fn a_server_whose_clock_is_behind_logs_it() {
    let (log, _guard) = Log::begin();
    let (_folder, counting) = on_sqlite(settings()).await;

    // A single client may be wrong; this is logged once a minute.
    add_ahead(&counting).await;
    record_ahead(&counting).await;
    assert_eq!(warnings(&log), (1, 0));
    // A minute later there are still no other times.
    set(&counting, 61);
    record_ahead(&counting).await;
    add_ahead(&counting).await;
    assert_eq!(warnings(&log), (1, 1));
    // Another client agrees with the server.
    set(&counting, 122);
    counting.add(vec![get("/", NOW)]).await.unwrap();
    add_ahead(&counting).await;
    assert_eq!(warnings(&log), (2, 1));
    // The clock is corrected.
    counting.clock.set(AHEAD.parse().unwrap());
    counting.add(vec![get("/", AHEAD)]).await.unwrap();
    assert_eq!(warnings(&log), (2, 1));
    counting.stop().await;
}
