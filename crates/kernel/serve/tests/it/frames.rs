//! Neither many small frames nor many cancelled streams end a connection.

use tally_serve::Listener;
use tally_testkit::{eventually, eventually_blocking};

use crate::support::{Gate, LIMIT, Running};
use crate::wire::{Wire, stream};

/// The smallest request of `count.v1`: 5 bytes of gRPC, a method, and a path of one byte.
const MESSAGE: [u8; 10] = [0, 0, 0, 0, 5, 8, 3, 18, 1, b'/'];
/// How many streams are opened and cancelled at once: more than the queue of a disconnected client,
/// and within the limit.
const CANCELLED: usize = 4_000;
/// How many frames still arrive for each stream ended by the server.
const LATE: usize = 10;
/// How often each stream of a full connection has one more of them until there are too many.
const FLOOD: usize = 80;
/// How often the server ends all streams of a full connection, and how often it answers another
/// one.
const ROUNDS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn unread_small_frames_do_not_end_the_connection() {
    let gate = Gate::new(false);
    let server = Running::start(&gate).await;
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(server.address);
        wire.settle();
        assert_eq!(wire.streams_max, 1_024);
        let messages = wire.window / MESSAGE.len();
        let fill = std::thread::spawn(move || {
            for index in 0..wire.streams_max {
                wire.call(stream(index));
                for _ in 0..messages {
                    wire.data(stream(index), &MESSAGE);
                }
            }
            wire
        });
        // Of what is unread there is a limit for all connections, at which this one is not read.
        let some = eventually_blocking(LIMIT, || gate.calls() >= 4);
        assert_eq!((some, gate.bytes()), (Ok(()), 0), "they wait at the gate");
        let mut other = Wire::connect(server.address);
        other.settle();
        assert_eq!(other.goaway, None, "others are read");
        gate.open();
        let mut wire = fill.join().expect("all is written");
        for index in 0..wire.streams_max {
            wire.end(stream(index));
        }
        wire.read_until(|wire| wire.ended.len() == wire.streams_max);
        assert_eq!(wire.goaway, None, "everything is read");
        assert_eq!(gate.bytes(), wire.streams_max * messages * MESSAGE.len());
    });
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cancelled_after_each_message_is_read() {
    let gate = Gate::new(true);
    // The server receives everything at once.
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.address();
    let mut wire = tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(address);
        for index in 0..CANCELLED {
            wire.call(stream(index));
            wire.data(stream(index), &MESSAGE);
            wire.reset(stream(index));
        }
        wire
    });
    let server = Running::on(&gate, listener).await;
    tokio::task::block_in_place(|| {
        wire.settle();
        assert_eq!(wire.goaway, None);
        wire.call(stream(CANCELLED));
        wire.end(stream(CANCELLED));
        wire.read_until(|wire| wire.ended.contains(&stream(CANCELLED)));
        assert_eq!(wire.goaway, None, "the connection stays open");
        drop(wire);
    });
    let all = async || gate.bytes() == CANCELLED * MESSAGE.len();
    eventually("every message is read", LIMIT, all).await;
    assert_eq!(gate.calls(), CANCELLED + 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_ends_the_connection() {
    let gate = Gate::new(true);
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.address();
    let flood = std::thread::spawn(move || {
        let mut wire = Wire::connect(address);
        for index in 0.. {
            if wire.goaway.is_some() {
                break;
            }
            wire.call(stream(index));
            wire.reset(stream(index));
        }
        wire.goaway
    });
    let server = Running::on(&gate, listener).await;
    let is_over = async || flood.is_finished();
    eventually("the connection ends", LIMIT, is_over).await;
    let goaway = flood.join().expect("it ends").expect("a GOAWAY");
    assert_eq!(goaway, "GOAWAY 11 too_many_resets");
    server.stop().await;
}

/// One worker, so that frames are read in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_with_too_many_unfinished_calls_waits() {
    let gate = Gate::of_detached_calls();
    let server = Running::start(&gate).await;
    let (mut wire, mut other) = (Wire::connect(server.address), Wire::connect(server.address));
    wire.settle();
    other.settle();
    let (too_many, calls) = (wire.streams_max / 4 * 5, 2 * wire.streams_max);
    for index in 0..calls {
        wire.call(stream(index));
        wire.data(stream(index), &MESSAGE);
        wire.reset(stream(index));
    }
    wire.flush();
    let are_too_many = async || gate.calls() >= too_many;
    eventually("there are too many", LIMIT, are_too_many).await;
    let answered = wire.pings();
    wire.ping();
    for _ in 0..ROUNDS {
        other.settle();
    }
    assert_eq!(wire.pings(), answered, "it is read");
    gate.open();
    wire.settle();
    let is_read = async || gate.bytes() == calls * MESSAGE.len();
    eventually("every message is read", LIMIT, is_read).await;
    assert_eq!(wire.goaway, None);
    drop((wire, other));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_flood_of_frames_for_ended_streams_ends_the_connection() {
    let gate = Gate::without_reading();
    let server = Running::start(&gate).await;
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(server.address);
        wire.settle();
        for round in 0..ROUNDS {
            let streams = round * wire.streams_max..(round + 1) * wire.streams_max;
            for index in streams.clone() {
                wire.call(stream(index));
            }
            wire.read_until(|wire| wire.ended.len() == streams.end);
            for _ in 0..LATE {
                for index in streams.clone() {
                    wire.data(stream(index), &MESSAGE);
                }
            }
        }
        wire.settle();
        assert_eq!(wire.goaway, None);
        for _ in 0..FLOOD {
            for index in 0..wire.streams_max {
                wire.data(stream(index), &MESSAGE);
            }
            wire.settle();
        }
        let why = wire.goaway.expect("it is ended");
        assert!(why.starts_with("GOAWAY 11 "), "{why}");
    });
    server.stop().await;
}
