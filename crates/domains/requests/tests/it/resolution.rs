//! Merged requests: the counts are the same, whatever the resolution is, and however often it changes.

use tally_proto::tally::requests::v1 as proto;
use tally_requests::{Resolution, Settings};
use tonic::Code;

use crate::add::on_sqlite;
use crate::backend::{Backend, NOW, TODAY, at, sum, total};
use crate::conformance::on_every_backend;
use crate::recording::{Recording, series};
use crate::server::{Counting, counted, get, settings};

on_every_backend!(crate::resolution:
    counts_are_the_same_at_every_resolution,
);

const SECOND: i64 = 1_000_000;

/// A batch of two series that take turns, an entry each tenth of a second from now on, back in time.
fn tenths(entries: u32, requests: &[u32]) -> proto::Batch {
    proto::Batch {
        sequence: 1,
        series: vec![series("/a"), series("/b")],
        number: (0..entries).map(|n| n % 2).collect(),
        time_delta: (0..entries).map(|n| if n == 0 { at(NOW) } else { -SECOND / 10 }).collect(),
        count: entries,
        requests: requests.iter().copied().cycle().take(entries as usize).collect(),
        ..Default::default()
    }
}

/// Small batches and large ones, which Postgres stores in different ways, of single requests and of
/// several.
async fn counts_are_the_same_at_every_resolution(backend: Backend) {
    let resolutions = [Resolution::Second, Resolution::Raw, Resolution::Minute, Resolution::Raw];
    let mut expected = 0;
    for resolution in resolutions {
        let counting =
            Counting::on(backend.database.clone(), Settings { resolution, ..settings() });
        let counting = counting.await;
        let step = resolution.step_micros();
        for (entries, requests) in [(50, &[1][..]), (50, &[3, 1]), (6_000, &[1]), (6_000, &[1, 7])]
        {
            let sent = tenths(entries, requests);
            let before = backend.count("tally_requests").await;
            let mut stream = Recording::start(&counting).await;
            assert_eq!(stream.opened.resolution_us, step.map_or(0, i64::unsigned_abs));
            stream.send(sent.clone());
            stream.acknowledged(1).await.expect("stored");
            stream.finish().await.expect("a good end");
            expected += i64::from(sent.requests.iter().sum::<u32>());
            assert_eq!(sum(&counting.live().await), expected);
            // The last times of both series are in the first step, and those of one alone may be.
            let steps = |step: i64| i64::from(entries - 1) * SECOND / 10 / step + 2;
            let rows = backend.count("tally_requests").await - before;
            match step {
                None => assert_eq!(rows, i64::from(entries)),
                Some(step) => assert!(
                    (2 * (steps(step) - 2)..=2 * steps(step)).contains(&rows),
                    "{rows} rows for {} steps",
                    steps(step)
                ),
            }
        }
        counting.stop().await;
        if resolution == Resolution::Minute {
            backend.maintain().await;
        }
    }
    assert_eq!(sum(&backend.live().await), expected);
    assert_eq!(backend.audit().await, expected);
}

/// What was merged still has its places in the stream.
#[tokio::test]
async fn positions_are_those_of_requests() {
    let (_folder, counting) =
        on_sqlite(Settings { resolution: Resolution::Minute, ..settings() }).await;
    let mut stream = vec![get("/", NOW); 3_000];
    stream[10] = get("/", "2040-01-01T00:00:00Z");
    let status = counting.add(stream).await.expect_err("a time is ahead");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(counted(&status), Some((3_000, 1)));
    assert_eq!(counting.live().await, [total(TODAY, 3, "/", 2_999)]);
}
