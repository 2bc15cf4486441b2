//! A server takes over the port of another one.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use tally_serve::{Error, Listener, Offer, Predecessor, Work};

use crate::support::{Gate, LIMIT, Running};
use crate::wire::{Wire, stream};

fn work(database: &str, version: i64) -> Work {
    Work { database: database.to_owned(), version }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_gets_the_socket_and_the_first_one_stops_once_it_is_ready() {
    let first = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let address = first.address().to_string();
    let offer = Offer::new(&first, work("sqlite:a", 1)).expect("no other offer");
    let (gate, later) = (Gate::new(true), Gate::new(true));
    let first = Running::on(&gate, first).await;
    let successor = async {
        // A successor that leaves before it is ready changes nothing.
        let taken = Predecessor::ask(&address, &work("sqlite:a", 1)).await.expect("no error");
        drop(taken.expect("it answers"));
        pass(&first);
        assert_eq!(gate.calls(), 1);
        let taken = Predecessor::ask(&address, &work("sqlite:a", 2)).await.expect("no error");
        let (listener, mut predecessor) = taken.expect("it answers");
        predecessor.stop().await.expect("it says that it stops");
        (listener, predecessor)
    };
    let replaced = async {
        let mut successor = offer.taken().await;
        successor.go().await.expect("it waits for that");
        successor
    };
    let ((listener, mut predecessor), successor) = tokio::join!(successor, replaced);
    drop(offer);
    assert_eq!(listener.address(), first.address);
    first.stop().await;
    // At this moment no server accepts, but connections are not refused.
    let waiting = tokio::task::block_in_place(|| Wire::connect(listener.address()));
    let running = predecessor.ended(Duration::ZERO).await;
    assert!(matches!(running, Err(Error::Handover { .. })), "{running:?}");
    drop(successor);
    predecessor.ended(LIMIT).await.expect("it has ended");
    let offer = Offer::new(&listener, work("sqlite:a", 2)).expect("the name is free again");
    let second = Running::on(&later, listener).await;
    tokio::task::block_in_place(|| {
        let mut wire = waiting;
        wire.call(stream(0));
        wire.end(stream(0));
        wire.read_until(|wire| wire.ended.contains(&stream(0)));
        assert_eq!(wire.goaway, None);
    });
    assert_eq!((gate.calls(), later.calls()), (1, 1));
    drop(offer);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_refuses_successors_that_are_older_or_use_another_database() {
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.address().to_string();
    let offer = Offer::new(&listener, work("sqlite:a b", 2)).expect("no other offer");
    let wrong = [
        (work("sqlite:b", 2), "stores in sqlite:a b, not in sqlite:b"),
        (work("sqlite:a b", 1), "is newer than this one"),
    ];
    for (work, reason) in wrong {
        let refused = tokio::select! {
            answer = Predecessor::ask(&address, &work) => answer.expect_err("it keeps its port"),
            _ = offer.taken() => panic!("{work:?} took over"),
        };
        let text = refused.to_string();
        assert!(text.starts_with(&format!("cannot listen on {address}: ")), "{text}");
        assert!(text.contains(reason), "{text}");
    }
    drop(offer);
    let none = Predecessor::ask(&address, &work("sqlite:a b", 2)).await.expect("no error");
    assert!(none.is_none(), "it is not offered");
}

/// The clock is paused while this test is busy, so the server waits as long as necessary.
#[tokio::test(start_paused = true)]
async fn a_new_connection_is_served_while_the_server_stops() {
    let gate = Gate::new(true);
    let server = Running::start(&gate).await;
    let mut first = Wire::connect(server.address);
    let mut second = Wire::connect(server.address);
    second.call(stream(0));
    second.end(stream(0));
    // Connections are accepted in order: an answer on the second means the first is accepted.
    busily(|| second.has_ended(stream(0))).await;
    server.drain.begin();
    busily(|| TcpStream::connect(server.address).is_err()).await;
    first.call(stream(0));
    first.end(stream(0));
    busily(|| first.has_ended(stream(0))).await;
    assert_eq!(first.goaway.as_deref(), Some("GOAWAY 0 "), "it gets a GOAWAY and is not cut off");
    drop((first, second));
    server.stop().await;
}

/// Lets the server run until the condition holds.
pub(crate) async fn busily(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}");
        tokio::task::yield_now().await;
    }
}

/// One call on its own connection.
fn pass(server: &Running) {
    tokio::task::block_in_place(|| {
        let mut wire = Wire::connect(server.address);
        wire.call(stream(0));
        wire.end(stream(0));
        wire.read_until(|wire| wire.ended.contains(&stream(0)));
        assert_eq!(wire.goaway, None);
    });
}
