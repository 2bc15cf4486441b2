//! The cost of a request: recording it, finding its endpoint, and the layer around a service.
//!
//! Times are CPU times of the calling thread: other work on the machine does not count, nor does a
//! blocked thread. "Full" is a queue that gives requests back.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tally_client::{Method, Queue};
use tower::{Layer, Service, service_fn};

/// A server in this process, so the benchmark needs no other.
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/mock.rs"]
mod mock;

/// The CPU time of this thread.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's time is not negative")
}

/// The CPU time of these calls.
fn timed<T>(calls: u64, mut call: impl FnMut() -> T) -> Duration {
    let start = now();
    for _ in 0..calls {
        black_box(call());
    }
    now() - start
}

/// How many requests are recorded before they are sent; the queue has room for more.
const BURST: u64 = 320_000;

/// The time of a call on each of several threads that record at once. Requests are sent in between,
/// so the queue has room and reuses its memory.
fn threads(c: &mut Criterion, name: &str, threads: u64, queue: &Queue, drain: impl Fn(&Queue)) {
    let hello = queue.endpoint(Method::GET, "/hello");
    c.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let mut elapsed = Duration::ZERO;
            let burst_max = BURST / threads;
            for from in (0..calls).step_by(burst_max as usize) {
                let burst = burst_max.min(calls - from);
                let together = Barrier::new(threads as usize);
                let record = || {
                    together.wait();
                    timed(burst, || queue.try_record(black_box(hello)).is_ok())
                };
                elapsed += std::thread::scope(|scope| {
                    let others: Vec<_> = (1..threads).map(|_| scope.spawn(record)).collect();
                    let own = record();
                    others
                        .into_iter()
                        .map(|other| other.join().expect("no panic"))
                        .sum::<Duration>()
                        + own
                });
                drain(queue);
            }
            elapsed / threads as u32
        });
    });
}

fn record(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = mock::Mock::good().limits(|limits| limits.batches_in_flight_max = 64).start();
    let queue = runtime.block_on(Queue::connect(server.url())).expect("a queue");
    let sent = |queue: &Queue| runtime.block_on(queue.flush()).expect("the server takes them");
    threads(c, "try_record, 1 thread", 1, &queue, sent);
    threads(c, "try_record, 2 threads", 2, &queue, sent);
    threads(c, "try_record, 16 threads", 16, &queue, sent);
    assert_eq!(queue.stats().lost(), 0);
    // No server listens, so the queue is full most of the time.
    let full = Queue::builder("http://127.0.0.1:9").queue_requests_max(10_000);
    let full = runtime.block_on(full.connect()).expect("a queue");
    threads(c, "try_record, full, 1 thread", 1, &full, |_| {});
    threads(c, "try_record, full, 2 threads", 2, &full, |_| {});
    let memory = Queue::in_memory();
    threads(c, "try_record, in memory, 1 thread", 1, &memory, |_| {});
    c.bench_function("endpoint, known", |bencher| {
        let paths: Vec<_> = (0..1000).map(|n| format!("/api/v1/things/{n}")).collect();
        let mut at = 0;
        bencher.iter_custom(|calls| {
            timed(calls, || {
                at = (at + 1) % paths.len();
                memory.endpoint(Method::GET, black_box(&paths[at]))
            })
        });
    });
    c.bench_function("clock", |bencher| {
        #[allow(clippy::disallowed_methods, reason = "it is the clock that is measured")]
        bencher.iter_custom(|calls| timed(calls, std::time::SystemTime::now));
    });
}

fn layer(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let hello = || {
        service_fn(|_: http::Request<()>| async { Ok::<_, Infallible>(http::Response::new(())) })
    };
    let request = || http::Request::get("/hello").body(()).expect("a request");
    let call = |bencher: &mut criterion::Bencher<'_>, counted: bool| {
        let queue = Queue::in_memory();
        let mut bare = hello();
        let mut layered = queue.layer().raw_path().layer(hello());
        bencher.iter_custom(|calls| {
            runtime.block_on(async {
                let requests: Vec<_> = (0..calls).map(|_| request()).collect();
                let start = now();
                for request in requests {
                    if counted {
                        let _ = black_box(layered.call(request).await);
                    } else {
                        let _ = black_box(bare.call(request).await);
                    }
                }
                now() - start
            })
        });
    };
    c.bench_function("a service, bare", |bencher| call(bencher, false));
    c.bench_function("a service, with the layer", |bencher| call(bencher, true));
}

criterion_group!(benches, record, layer);
criterion_main!(benches);
