//! `Add` by the frame: messages start and end anywhere in frames, and some frames are malformed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use prost::Message as _;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};
use tonic::{Code, Status};

use crate::add::{on_sqlite, stopped};
use crate::backend::{NOW, TODAY, total};
use crate::server::{Counting, counted, get, settings};

/// A body with exactly these frames.
struct Frames(VecDeque<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|frame| Ok(Frame::data(frame))))
    }
}

/// Sends frames, and returns how the call ended.
async fn send(counting: &Counting, encoding: &'static str, frames: &[&[u8]]) -> Status {
    let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
    let request = http::Request::post("http://localhost/count.v1.CountService/Add")
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(Body::new(Frames(frames)))
        .expect("a request");
    let mut channel = counting.channel().await;
    poll_fn(|context| channel.poll_ready(context)).await.expect("a connection");
    let (head, body) = channel.call(request).await.expect("an answer").into_parts();
    assert_eq!(
        (head.status, &head.headers["content-type"]),
        (http::StatusCode::OK, &"application/grpc".parse().expect("a value"))
    );
    if let Some(status) = Status::from_header_map(&head.headers) {
        return status;
    }
    let (mut body, mut message) = (pin!(body), Vec::new());
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        match frame.expect("a frame").into_data() {
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => {
                // An answer without fields.
                assert_eq!(message, [0; 5]);
                let trailers = frame.into_trailers().expect("only trailers are left");
                return Status::from_header_map(&trailers).expect("a status");
            }
        }
    }
    panic!("no trailers");
}

fn prefixed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0], &len[..], message].concat()
}

/// Consecutive requests for `/a`.
fn requests(count: usize) -> Vec<u8> {
    prefixed(&get("/a", NOW).encode_to_vec()).repeat(count)
}

#[tokio::test]
async fn messages_are_counted_wherever_frames_end() {
    let (folder, counting) = on_sqlite(settings()).await;
    let bytes = requests(3);
    for at in 0..=bytes.len() {
        let status = send(&counting, "identity", &[&bytes[..at], &bytes[at..]]).await;
        assert_eq!(status.code(), Code::Ok, "{at}: {status}");
    }
    let bytewise: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(send(&counting, "identity", &bytewise).await.code(), Code::Ok);
    let many = requests(5_000);
    assert_eq!(send(&counting, "identity", &[&many]).await.code(), Code::Ok);
    assert_eq!(send(&counting, "identity", &[]).await.code(), Code::Ok);
    let count = 3 * (bytes.len() + 2) + 5_000;
    assert_eq!(stopped(&folder, counting).await, [total(TODAY, 3, "/a", count as i64)]);
}

/// Earlier requests are counted, and the answer says so; later ones are not.
#[tokio::test]
async fn a_malformed_message_ends_the_stream() {
    let (folder, counting) = on_sqlite(settings()).await;
    let good = requests(2);
    let too_large = (64_u32 << 10) + 1;
    let cases = [
        (vec![1, 0, 0, 0, 0], Code::Unavailable, "message 3 is marked as compressed"),
        (vec![2, 0, 0, 0, 0], Code::Unavailable, "message 3 is marked as compressed"),
        (
            [&[0], &too_large.to_be_bytes()[..]].concat(),
            Code::InvalidArgument,
            "request 3 of the stream cannot be read: its message has 65537 bytes",
        ),
    ];
    let cases_count = cases.len();
    for (bad, code, message) in cases {
        let status = send(&counting, "identity", &[&good, &bad, &good]).await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(message), "{status}");
        assert_eq!(counted(&status), Some((2, 0)));
    }
    let cuts = 1..requests(1).len();
    for cut in cuts.clone() {
        let status = send(&counting, "identity", &[&good, &good[..cut]]).await;
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("it ended within message 3"), "{status}");
        assert_eq!(counted(&status), Some((2, 0)));
    }
    let status = send(&counting, "gzip", &[&good]).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let count = 2 * (cases_count + cuts.len());
    assert_eq!(stopped(&folder, counting).await, [total(TODAY, 3, "/a", count as i64)]);
}
