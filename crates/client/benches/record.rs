//! What a request costs: recording it, finding its endpoint, and the layer around a service.
//!
//! Times are CPU times of the calling thread, so that other work on the machine does not count.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tally_client::{Method, Queue};
use tower::{Layer, Service, service_fn};

/// The CPU time of this thread.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's time is not negative")
}

/// The time of calls.
fn timed<T>(calls: u64, mut call: impl FnMut() -> T) -> Duration {
    let start = now();
    for _ in 0..calls {
        black_box(call());
    }
    now() - start
}

/// The time of one call, with this many threads that do nothing else.
fn threads(c: &mut Criterion, name: &str, queue: &Queue, threads: usize) {
    let hello = queue.endpoint(Method::GET, "/hello");
    c.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            let _ = queue.try_record(black_box(hello));
                        }
                    });
                }
                let elapsed = timed(calls, || queue.try_record(black_box(hello)));
                stop.store(true, Ordering::Relaxed);
                elapsed
            })
        });
    });
}

fn record(c: &mut Criterion) {
    let memory = Queue::in_memory();
    threads(c, "try_record, 1 thread", &memory, 1);
    threads(c, "try_record, 2 threads", &memory, 2);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    // Nobody is there: what the sender's task does is not in the figure, and the queue is full
    // most of the time.
    let full = runtime
        .block_on(Queue::builder("http://127.0.0.1:9").queue_requests_max(10_000).connect())
        .expect("a queue");
    threads(c, "try_record, full", &full, 1);
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
        let clock = tally_client::SystemClock;
        bencher.iter_custom(|calls| timed(calls, || tally_client::Clock::now(&clock)));
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
