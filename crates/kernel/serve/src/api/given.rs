//! The body of a request, of a known type and bounded size.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::Request;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use tally_runtime::Kind;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::problem::Problem;
use super::room::{Kept, Room};

/// How long a client may take to send a body.
const SEND_MAX: Duration = Duration::from_secs(30);

/// How much memory all bodies together may take that are being sent, or read.
const ALL_BYTES_MAX: usize = 32 << 20;
/// What a body may take in any case, so that large ones keep no small one out.
const SMALL_BYTES: usize = 16 << 10;

static ROOM: Room = Room::new(ALL_BYTES_MAX);

/// The body of a request. Its memory counts until this is dropped.
#[derive(Debug)]
pub struct Given {
    /// What it is.
    pub media_type: &'static str,
    /// As it came.
    pub bytes: Vec<u8>,
    _room: Arc<Kept<Vec<u8>>>,
}

/// The beginning of a body, of any media type and length.
#[derive(Debug, Default)]
pub struct Beginning {
    /// As it came.
    pub bytes: Vec<u8>,
    /// How long all of it is.
    pub len: usize,
}

/// Reads a body of one of these media types.
///
/// # Errors
/// 415 for another type or a coding such as gzip, 413 for a longer body, 408 for a slow one, 503 when all
/// bodies together are too large and this is the slowest, or all are new.
pub async fn read(
    request: Request,
    media_types: &[&'static str],
    bytes_max: usize,
) -> Result<Given, Problem> {
    let media_type = of_type(request.headers(), media_types)?;
    Ok(Given { media_type, ..whole(request, bytes_max).await? })
}

/// Reads a body, whatever its headers say of it.
///
/// # Errors
/// As of [`read`], but not 415.
pub async fn whole(request: Request, bytes_max: usize) -> Result<Given, Problem> {
    timeout(SEND_MAX, collected(request, bytes_max)).await.map_err(slow)??.done()
}

/// Reads a body to its end and keeps its first bytes, as it comes.
///
/// # Errors
/// 408 for a slow one, and 400 for one that breaks off.
pub async fn beginning(request: Request, bytes_max: usize) -> Result<Beginning, Problem> {
    let mut body = request.into_body();
    let read = async {
        let mut beginning = Beginning::default();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(broken)?;
            let part = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
            let kept = part.len().min(bytes_max - beginning.bytes.len());
            beginning.bytes.extend_from_slice(&part[..kept]);
            beginning.len += part.len();
        }
        Ok(beginning)
    };
    timeout(SEND_MAX, read).await.map_err(slow)?
}

fn slow(_: Elapsed) -> Problem {
    let detail = format!("the body was not here after {} s", SEND_MAX.as_secs());
    Problem::of_protocol(StatusCode::REQUEST_TIMEOUT, detail)
}

fn broken(_: axum::Error) -> Problem {
    Problem::of_protocol(StatusCode::BAD_REQUEST, "the body broke off")
}

/// Reads a body as JSON.
///
/// # Errors
/// As of [`read`], and 400 if it is not the JSON that is expected.
pub async fn json_of<T: DeserializeOwned>(
    request: Request,
    bytes_max: usize,
) -> Result<T, Problem> {
    let body = read(request, &["application/json"], bytes_max).await?;
    if body.bytes.trim_ascii().is_empty() {
        return Err(Problem::of_field("body", "it is empty: send a JSON object, at least {}"));
    }
    serde_json::from_slice(&body.bytes)
        .map_err(|error| Problem::of_field("body", error.to_string()))
}

fn of_type(headers: &HeaderMap, media_types: &[&'static str]) -> Result<&'static str, Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let known =
        media_types.iter().find(|known| essence.eq_ignore_ascii_case(known.as_bytes())).copied();
    let refused = |detail: String, name, value: &str| {
        let problem = Problem::of_protocol(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        match HeaderValue::from_str(value) {
            Ok(value) => problem.with(name, value),
            Err(_) => problem,
        }
    };
    let known = known.ok_or_else(|| {
        let detail = format!("Content-Type: the body must be {}", media_types.join(" or "));
        refused(detail, header::ACCEPT, &media_types.join(", "))
    })?;
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => Ok(known),
        Some(coding) if coding.eq_ignore_ascii_case(b"identity") => Ok(known),
        Some(_) => {
            let detail = "Content-Encoding: send the body as it is, not compressed";
            Err(refused(detail.to_owned(), header::ACCEPT_ENCODING, "identity"))
        }
    }
}

async fn collected(request: Request, bytes_max: usize) -> Result<Growing, Problem> {
    let mut body = request.into_body();
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_long(bytes_max));
    }
    let mut growing = Growing::new(bytes_max);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(broken)?;
        growing.add(frame.data_ref().map(Bytes::as_ref).unwrap_or_default())?;
    }
    Ok(growing)
}

/// A body of which more and more is here, and for which others make room.
pub(super) struct Growing {
    kept: Arc<Kept<Vec<u8>>>,
    bytes_max: usize,
    len: usize,
    capacity: usize,
}

// === impl Growing ===

impl Growing {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { kept: Kept::new(0, Vec::new()), bytes_max, len: 0, capacity: 0 }
    }

    pub(super) fn add(&mut self, part: &[u8]) -> Result<(), Problem> {
        self.len += part.len();
        if self.len > self.bytes_max {
            return Err(too_long(self.bytes_max));
        }
        if self.len > self.capacity {
            self.capacity = (2 * self.len).min(self.bytes_max);
            if self.capacity > SMALL_BYTES && !ROOM.take(&self.kept, self.capacity) {
                return Err(too_many());
            }
        }
        let capacity = self.capacity;
        let add = |bytes: &mut Vec<u8>| {
            bytes.reserve_exact(capacity - bytes.len());
            bytes.extend_from_slice(part);
        };
        self.kept.write(part.len(), add).map_err(|_| too_many())
    }

    /// All of it.
    pub(super) fn done(self) -> Result<Given, Problem> {
        let bytes = self.kept.done().map_err(|_| too_many())?;
        Ok(Given { media_type: "", bytes, _room: self.kept })
    }
}

fn too_long(bytes_max: usize) -> Problem {
    let detail = format!("the body may have at most {bytes_max} bytes");
    Problem::of_protocol(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn too_many() -> Problem {
    Problem::new(Kind::Unavailable, "too many bodies are being sent; send it again later")
}

#[cfg(test)]
pub(super) mod tests {
    use axum::body::Body;
    use futures_util::{StreamExt as _, stream};
    use tokio::sync::Mutex;
    use tokio::time::sleep;

    use super::*;

    /// Who takes the room of all bodies has it alone.
    pub(in crate::api) static ALONE: Mutex<()> = Mutex::const_new(());

    const TYPES: &[&str] = &["application/json", "application/x-ndjson"];

    async fn outcome(
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<(&'static str, usize), String> {
        let request = headers
            .iter()
            .fold(Request::builder(), |builder, (name, value)| builder.header(*name, *value));
        let read = read(request.body(body).expect("a request"), TYPES, 4).await;
        read.map(|body| (body.media_type, body.bytes.len()))
            .map_err(|problem| format!("{problem:?}"))
    }

    #[tokio::test]
    async fn only_known_types_of_bounded_size_are_read() {
        let kind = |of| ("content-type", of);
        let json = kind("Application/JSON ; charset=utf-8");
        assert_eq!(outcome(&[json], "1234".into()).await, Ok((TYPES[0], 4)));
        let lines = [kind("application/x-ndjson"), ("content-encoding", "Identity")];
        assert_eq!(outcome(&lines, "".into()).await, Ok((TYPES[1], 0)));
        // Its length is not known before.
        let parts = || Body::from_stream(stream::iter(["123", "45"].map(Ok::<_, axum::Error>)));
        for (headers, body, status) in [
            (&[json][..], Body::from("12345"), "413"),
            (&[json], parts(), "413"),
            (&[], "1".into(), "415"),
            (&[kind("text/json")], "1".into(), "415"),
            (&[kind("application/jsonx")], "1".into(), "415"),
            (&[json, ("content-encoding", "gzip")], "1".into(), "415"),
        ] {
            let problem = outcome(headers, body).await.expect_err(status);
            assert!(problem.contains(&format!("status: {status},")), "{status}: {problem}");
        }
    }

    #[tokio::test]
    async fn of_a_long_body_the_beginning_is_kept() {
        let parts = Body::from_stream(stream::iter(["123", "45", "6"].map(Ok::<_, axum::Error>)));
        let read = beginning(Request::new(parts), 4).await.expect("it is read");
        assert_eq!((&*read.bytes, read.len), (&b"1234"[..], 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
        let problem = outcome(&[("content-type", TYPES[0])], never).await.expect_err("slow");
        assert!(problem.contains("status: 408,"), "{problem}");
        let first = stream::iter([Ok::<_, axum::Error>("123")]).chain(stream::pending());
        let read = beginning(Request::new(Body::from_stream(first)), 4);
        let read = timeout(2 * SEND_MAX, read).await.expect("it is given up");
        let problem = format!("{:?}", read.expect_err("slow"));
        assert!(problem.contains("status: 408,"), "{problem}");
        let never = Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
        let read = timeout(2 * SEND_MAX, whole(Request::new(never), 4)).await;
        let problem = format!("{:?}", read.expect("it is given up").expect_err("slow"));
        assert!(problem.contains("status: 408,"), "{problem}");
    }

    /// However many connections send them.
    #[tokio::test]
    async fn all_bodies_together_have_a_limit() {
        let _alone = ALONE.lock().await;
        let part = vec![b' '; 1 << 20];
        let body = || async {
            let request = Request::builder().header("content-type", TYPES[0]);
            let request = request.body(part.clone().into()).expect("a request");
            read(request, TYPES, 1 << 20).await
        };
        let mut held = Vec::new();
        // Other tests have small bodies at the same time.
        for _ in 0..ALL_BYTES_MAX / (1 << 20) - 1 {
            held.push(body().await.expect("room"));
        }
        let over = [body().await, body().await];
        let refused = over.iter().filter_map(|one| one.as_ref().err()).collect::<Vec<_>>();
        assert!(!refused.is_empty());
        assert!(refused.iter().all(|problem| format!("{problem:?}").contains("status: 503,")));
        let request = Request::builder().header("content-type", TYPES[0]);
        let small = vec![b' '; SMALL_BYTES / 2];
        let small = request.body(small.into()).expect("a request");
        read(small, TYPES, 1 << 20).await.expect("a small one has room in any case");
        drop((held, over));
        body().await.expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_gives_its_room_to_others() {
        let _alone = ALONE.lock().await;
        let half = || {
            let part = stream::iter([Ok::<_, axum::Error>(Bytes::from(vec![b' '; 1_000_000]))]);
            let body = Body::from_stream(part.chain(stream::pending()));
            let request = Request::builder().header("content-type", TYPES[0]).body(body);
            read(request.expect("a request"), TYPES, 1 << 20)
        };
        let mut halves = tokio::task::JoinSet::new();
        (0..(2 * ALL_BYTES_MAX) >> 20).for_each(|_| drop(halves.spawn(half())));
        sleep(Duration::from_secs(10)).await;
        let request = Request::builder().header("content-type", TYPES[0]);
        let request = request.body(vec![b' '; 1 << 20].into()).expect("a request");
        read(request, TYPES, 1 << 20).await.expect("the room of one that stopped");
        halves.shutdown().await;
    }

    #[tokio::test]
    async fn what_is_no_json_is_a_mistake_of_the_body() {
        for (body, told) in
            [("{", "EOF while parsing"), ("", "it is empty"), (" \n", "at least {}")]
        {
            let request = Request::builder().header("content-type", TYPES[0]).body(body.into());
            let read = json_of::<serde_json::Value>(request.expect("a request"), 10).await;
            let problem = format!("{:?}", read.expect_err("no JSON"));
            assert!(problem.contains("body: ") && problem.contains(told), "{problem}");
        }
    }
}
