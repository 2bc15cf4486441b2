//! The cost of a request: recording it, finding its endpoint, and the layer around a service.
//!
//! Times are CPU times of the calling thread: other work on the machine does not count, nor does a
//! blocked thread. "Full" is a queue that gives requests back.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http_body::Body;
use tally_client::{Method, Queue};
use tower::{Layer, Service, service_fn};

use it::answer::Answer;
use it::mock;

/// The tests' server in this process, so the benchmark needs no other, and their answers without work.
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../tests/it"]
mod it {
    pub(crate) mod answer;
    pub(crate) mod mock;
}

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

/// The time of a call on each of several threads that record at once, for these series in turn, a power
/// of two. Requests are sent in between, so the queue has room and reuses its memory.
fn threads(
    c: &mut Criterion,
    name: &str,
    (threads, series): (u64, usize),
    queue: &Queue,
    drain: impl Fn(&Queue),
) {
    let series = (0..series).map(|n| queue.endpoint(Method::GET, &format!("/hello/{n}")));
    let series: Vec<_> = series.collect();
    c.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let mut elapsed = Duration::ZERO;
            let burst_max = BURST / threads;
            for from in (0..calls).step_by(burst_max as usize) {
                let burst = burst_max.min(calls - from);
                let together = Barrier::new(threads as usize);
                let record = || {
                    let mut at = 0;
                    together.wait();
                    timed(burst, || {
                        at = (at + 1) & (series.len() - 1);
                        queue.try_record(black_box(series[at])).is_ok()
                    })
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
    threads(c, "try_record, 1 thread", (1, 1), &queue, sent);
    threads(c, "try_record, 2 threads", (2, 1), &queue, sent);
    threads(c, "try_record, 16 threads", (16, 1), &queue, sent);
    assert_eq!(queue.stats().lost(), 0);
    let server = mock::Mock::good().limits(|limits| limits.resolution_us = 1_000_000).start();
    let queue = runtime.block_on(Queue::connect(server.url())).expect("a queue");
    runtime.block_on(queue.ready());
    threads(c, "try_record, merged, 1 thread", (1, 1), &queue, sent);
    threads(c, "try_record, merged, 2 threads", (2, 1), &queue, sent);
    threads(c, "try_record, merged, 16 threads", (16, 1), &queue, sent);
    threads(c, "try_record, merged, 1 thread, 1,024 series", (1, 1_024), &queue, sent);
    threads(c, "try_record, merged, 2 threads, 1,024 series", (2, 1_024), &queue, sent);
    assert_eq!(queue.stats().lost(), 0);
    // No server listens, so the queue is full most of the time.
    let full = Queue::builder("http://127.0.0.1:9").queue_rows_max(10_000);
    let full = runtime.block_on(full.connect()).expect("a queue");
    threads(c, "try_record, full, 1 thread", (1, 1), &full, |_| {});
    threads(c, "try_record, full, 2 threads", (2, 1), &full, |_| {});
    let memory = Queue::in_memory();
    threads(c, "try_record, in memory, 1 thread", (1, 1), &memory, |_| {});
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

/// How many requests are made at a time: they are in the processor's cache, as a server's are.
const PREPARED: usize = 128;

/// The time of a request and its answer, read to the end.
fn served<S, B>(c: &mut Criterion, name: &str, is_grpc: bool, mut service: S)
where
    S: Service<http::Request<()>, Response = http::Response<B>, Error = Infallible>,
    B: Body + Unpin,
{
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let request = || match is_grpc {
        true => http::Request::post("/hello").header("content-type", "application/grpc"),
        false => http::Request::get("/hello"),
    };
    c.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            runtime.block_on(async {
                let context = &mut Context::from_waker(Waker::noop());
                let mut elapsed = Duration::ZERO;
                for from in (0..calls).step_by(PREPARED) {
                    let count = PREPARED.min(usize::try_from(calls - from).unwrap_or(PREPARED));
                    let requests: Vec<_> =
                        (0..count).map(|_| request().body(()).expect("a request")).collect();
                    let start = now();
                    for request in requests {
                        let Ok(answer) = service.call(request).await;
                        let mut body = answer.into_body();
                        while let Poll::Ready(Some(_)) = Pin::new(&mut body).poll_frame(context) {}
                    }
                    elapsed += now() - start;
                }
                elapsed
            })
        });
    });
}

fn layer(c: &mut Criterion) {
    let hello = |is_grpc: bool| {
        let answer = move || http::Response::new(Answer::new(is_grpc));
        service_fn(move |_: http::Request<()>| std::future::ready(Ok(answer())))
    };
    let queue = Queue::in_memory();
    let counted = queue.layer().raw_path();
    for (kind, is_grpc) in [("HTTP", false), ("gRPC", true)] {
        served(c, &format!("{kind}, bare"), is_grpc, hello(is_grpc));
        let at_receipt = counted.clone().at_receipt().layer(hello(is_grpc));
        served(c, &format!("{kind}, counted at receipt"), is_grpc, at_receipt);
        served(c, &format!("{kind}, counted"), is_grpc, counted.layer(hello(is_grpc)));
        let layer = counted.clone().customer(|_| Some("acme".into()));
        let name = format!("{kind}, counted by customer");
        served(c, &name, is_grpc, layer.layer(hello(is_grpc)));
    }
}

criterion_group!(benches, record, layer);
criterion_main!(benches);
