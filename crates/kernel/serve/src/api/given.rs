//! The body of a request, of a known type and bounded size.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::Request;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::Problem;

/// How long a client may take to send a body.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Reads a body of one of these media types, and which of them it is.
///
/// # Errors
/// 415 for another type or a coding such as gzip, 413 for a longer body, 408 for a slow one.
pub async fn read(
    request: Request,
    media_types: &[&'static str],
    bytes_max: usize,
) -> Result<(&'static str, Vec<u8>), Problem> {
    let media_type = of_type(request.headers(), media_types)?;
    let read = timeout(SEND_MAX, collected(request, bytes_max)).await;
    let slow = |_| {
        let detail = format!("the body was not here after {} s", SEND_MAX.as_secs());
        Problem::of_protocol(StatusCode::REQUEST_TIMEOUT, detail)
    };
    Ok((media_type, read.map_err(slow)??))
}

/// Reads a body as JSON.
///
/// # Errors
/// As of [`read`], and 400 if it is not the JSON that is expected.
pub async fn json_of<T: DeserializeOwned>(
    request: Request,
    bytes_max: usize,
) -> Result<T, Problem> {
    let (_, body) = read(request, &["application/json"], bytes_max).await?;
    serde_json::from_slice(&body).map_err(|error| Problem::of_field("body", error.to_string()))
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

async fn collected(request: Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let mut body = request.into_body();
    let too_long = || {
        let detail = format!("the body may have at most {bytes_max} bytes");
        Problem::of_protocol(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let broken = |_| Problem::of_protocol(StatusCode::BAD_REQUEST, "the body broke off");
        let frame = frame.map_err(broken)?;
        let part = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
        if bytes.len() + part.len() > bytes_max {
            return Err(too_long());
        }
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    const TYPES: &[&str] = &["application/json", "application/x-ndjson"];

    async fn outcome(
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<(&'static str, usize), String> {
        let request = headers
            .iter()
            .fold(Request::builder(), |builder, (name, value)| builder.header(*name, *value));
        let read = read(request.body(body).expect("a request"), TYPES, 4).await;
        read.map(|(of, bytes)| (of, bytes.len())).map_err(|problem| format!("{problem:?}"))
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

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
        let problem = outcome(&[("content-type", TYPES[0])], never).await.expect_err("slow");
        assert!(problem.contains("status: 408,"), "{problem}");
    }

    #[tokio::test]
    async fn what_is_no_json_is_a_mistake_of_the_body() {
        let request = Request::builder().header("content-type", TYPES[0]).body("{".into());
        let read = json_of::<serde_json::Value>(request.expect("a request"), 10).await;
        let problem = format!("{:?}", read.expect_err("no JSON"));
        assert!(problem.contains("body: EOF while parsing"), "{problem}");
    }
}
