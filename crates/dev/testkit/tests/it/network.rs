//! Faults of the proxy without a database: resets, holes, delays, redirection.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tally_testkit::{Direction, Proxy, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::LIMIT;

/// A proxy, and both ends of a connection through it.
async fn connected() -> (Proxy, TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = Proxy::start(listener.local_addr().expect("it listens")).await;
    let (client, server) = through(&proxy, &listener).await;
    (proxy, listener, client, server)
}

async fn through(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(proxy.addr()).await.expect("the proxy listens");
    let (mut server, _) = listener.accept().await.expect("the proxy connects");
    // The proxy has not only accepted the connection but forwards it.
    assert_eq!(sent(&mut client, &mut server, b"hello").await, b"hello");
    (client, server)
}

/// Sends these bytes and returns what arrives.
async fn sent(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    from.write_all(bytes).await.expect("it is open");
    let mut arrived = vec![0; bytes.len()];
    to.read_exact(&mut arrived).await.expect("it is open");
    arrived
}

async fn ends_with_a_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).await.expect_err("it is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    bytes
}

#[tokio::test]
async fn a_reset_ends_both_sides_and_lets_new_ones_in() {
    let (proxy, listener, mut client, mut server) = connected().await;
    proxy.reset();
    ends_with_a_reset(&mut client).await;
    ends_with_a_reset(&mut server).await;
    through(&proxy, &listener).await;
}

#[tokio::test]
async fn a_message_is_torn_after_n_bytes() {
    let (proxy, _listener, mut client, mut server) = connected().await;
    proxy.tear_after(6);
    assert_eq!(sent(&mut client, &mut server, b"0123").await, b"0123");
    client.write_all(b"4567").await.unwrap();
    ends_with_a_reset(&mut client).await;
    // A reset may overtake earlier bytes, but nothing follows the sixth byte.
    let mut rest = Vec::new();
    let _ = server.read_to_end(&mut rest).await;
    assert!(b"45".starts_with(&rest), "{rest:?}");
    assert_eq!(proxy.torn(), 1);
}

#[tokio::test]
async fn a_half_open_connection_loses_one_direction_and_ends_when_healed() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let (proxy, listener, mut client, mut server) = connected().await;
        let (from, to) = match direction {
            Direction::ToServer => (&mut client, &mut server),
            Direction::ToClient => (&mut server, &mut client),
        };
        proxy.lose(direction);
        from.write_all(b"lost").await.unwrap();
        eventually("the bytes are discarded", LIMIT, async || proxy.bytes_lost() == 4).await;
        assert_eq!(sent(to, from, b"heard").await, b"heard");
        proxy.heal();
        let mut arrived = Vec::new();
        let _ = to.read_to_end(&mut arrived).await;
        assert_eq!(arrived, b"");
        through(&proxy, &listener).await;
    }
}

#[tokio::test]
async fn a_delay_loses_nothing() {
    let (proxy, _listener, mut client, mut server) = connected().await;
    proxy.delay(Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(sent(&mut client, &mut server, b"slow").await, b"slow");
    assert!(start.elapsed() >= Duration::from_millis(50));
    proxy.heal();
    assert_eq!(sent(&mut client, &mut server, b"fast").await, b"fast");
}

#[tokio::test]
async fn only_new_connections_are_redirected() {
    let (proxy, _first, mut client, mut server) = connected().await;
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    proxy.redirect(&second.local_addr().unwrap().to_string());
    through(&proxy, &second).await;
    assert_eq!(sent(&mut client, &mut server, b"still").await, b"still");
}

#[tokio::test]
async fn an_answer_is_lost_only_after_all_patterns_in_order() {
    let (proxy, listener, mut client, mut server) = connected().await;
    let (mut other, mut other_server) = through(&proxy, &listener).await;
    proxy.swallow_after(&[b"first", b"second"]);
    assert_eq!(sent(&mut client, &mut server, b"second, fir").await, b"second, fir");
    assert_eq!(sent(&mut server, &mut client, b"answer").await, b"answer");
    assert_eq!(sent(&mut client, &mut server, b"st, sec").await, b"st, sec");
    // Each connection is matched separately.
    assert_eq!(sent(&mut other, &mut other_server, b"second").await, b"second");
    assert_eq!(sent(&mut other_server, &mut other, b"answer").await, b"answer");
    assert_eq!(sent(&mut client, &mut server, b"ond").await, b"ond");
    server.write_all(b"lost").await.unwrap();
    let mut arrived = Vec::new();
    let _ = client.read_to_end(&mut arrived).await;
    assert_eq!((arrived, proxy.swallowed()), (Vec::new(), 1));
}
