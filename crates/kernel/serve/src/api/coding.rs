//! Bodies that come compressed.

use std::io::Read;

use axum::extract::Request;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderValue, StatusCode, header};
use ruzstd::decoding::StreamingDecoder;

use super::given::{Given, Growing, whole};
use super::problem::Problem;

/// How much is decoded at once.
const PART_BYTES: usize = 64 << 10;
/// How far back a frame of zstd may refer to: what its format asks every decoder for. Other frames are refused
/// before anything is made room for.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// How a body may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `deflate`
    Deflate,
    /// `zstd`
    Zstd,
}

// === impl Coding ===

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    fn decoder<'a>(self, bytes: &'a [u8]) -> Result<Box<dyn Read + 'a>, String> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Deflate => Box::new(ZlibDecoder::new(bytes)),
            Self::Zstd => {
                let decoder = StreamingDecoder::new_with_max_window_size(bytes, WINDOW_BYTES_MAX);
                Box::new(decoder.map_err(|error| error.to_string())?)
            }
        })
    }
}

/// Reads a body that may be compressed in one of these ways; its media type is not looked at. It is unpacked as far as
/// the limit, which also holds for what is sent.
///
/// # Errors
/// As of [`whole`], 415 for another coding, and 400 if it is not what its coding says.
pub async fn decoded(
    request: Request,
    codings: &[Coding],
    bytes_max: usize,
) -> Result<Given, Problem> {
    let given = request.headers().get(header::CONTENT_ENCODING).cloned();
    let given = given.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
    if given.is_empty() || given.eq_ignore_ascii_case(b"identity") {
        return whole(request, bytes_max).await;
    }
    let known = codings.iter().find(|one| given.eq_ignore_ascii_case(one.name().as_bytes()));
    let Some(coding) = known else {
        let names: Vec<_> = codings.iter().map(|one| one.name()).collect();
        let detail = format!("Content-Encoding: the codings are {}", names.join(" and "));
        let problem = Problem::of_protocol(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        return Err(match HeaderValue::from_str(&names.join(", ")) {
            Ok(names) => problem.with(header::ACCEPT_ENCODING, names),
            Err(_) => problem,
        });
    };
    let coded = whole(request, bytes_max).await?;
    unpacked(&coded.bytes, *coding, bytes_max)
}

fn unpacked(bytes: &[u8], coding: Coding, bytes_max: usize) -> Result<Given, Problem> {
    let wrong = |error: String| {
        Problem::of_field(
            "body",
            format!("it is not {}, as its coding says: {error}", coding.name()),
        )
    };
    let mut decoder = coding.decoder(bytes).map_err(wrong)?;
    let mut growing = Growing::new(bytes_max);
    let mut part = vec![0; PART_BYTES];
    loop {
        match decoder.read(&mut part).map_err(|error| wrong(error.to_string()))? {
            0 => return growing.done(),
            read => growing.add(&part[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use axum::body::Body;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::api::given::tests::ALONE;

    const ALL: &[Coding] = &[Coding::Gzip, Coding::Deflate, Coding::Zstd];
    const BYTES_MAX: usize = 1 << 20;

    fn coded(coding: &str, bytes: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it is coded")
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it is coded")
            }
            "zstd" => compress_to_vec(bytes, CompressionLevel::Fastest),
            _ => bytes.to_vec(),
        }
    }

    async fn outcome(
        coding: &'static str,
        body: Vec<u8>,
        codings: &[Coding],
    ) -> Result<Vec<u8>, String> {
        let request = Request::builder().header(header::CONTENT_ENCODING, coding);
        let request = request.body(Body::from(body)).expect("a request");
        let decoded = decoded(request, codings, BYTES_MAX).await;
        decoded.map(|given| given.bytes).map_err(|problem| format!("{problem:?}"))
    }

    #[tokio::test]
    async fn a_body_is_what_was_compressed() {
        let _alone = ALONE.lock().await;
        let text = "a line of some text\n".repeat(20_000);
        for coding in ["identity", "gzip", "GZIP", "deflate", "zstd"] {
            let body = coded(&coding.to_lowercase(), text.as_bytes());
            assert_eq!(
                outcome(coding, body, ALL).await.as_deref(),
                Ok(text.as_bytes()),
                "{coding}"
            );
        }
        let twice = [coded("gzip", b"one, "), coded("gzip", b"two")].concat();
        assert_eq!(outcome("gzip", twice, ALL).await.as_deref(), Ok(&b"one, two"[..]));
    }

    /// Some kilobytes that would be gigabytes are refused when they are more than may come.
    #[tokio::test]
    async fn a_bomb_is_not_unpacked() {
        let _alone = ALONE.lock().await;
        let bomb = vec![0; 8 * BYTES_MAX];
        for coding in ["gzip", "deflate", "zstd"] {
            let body = coded(coding, &bomb);
            assert!(body.len() < BYTES_MAX / 8);
            let refused = outcome(coding, body, ALL).await.expect_err(coding);
            assert!(refused.contains("status: 413"), "{coding}: {refused}");
        }
        // A frame of zstd that says that it refers back as far as 1 GiB.
        let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
        let refused = outcome("zstd", window, ALL).await.expect_err("too far");
        assert!(refused.contains("status: 400"), "{refused}");
    }

    #[tokio::test]
    async fn what_is_not_as_it_says_is_refused() {
        let _alone = ALONE.lock().await;
        let whole = coded("gzip", b"text");
        for (coding, body, status) in [
            ("gzip", b"text".to_vec(), 400),
            ("gzip", whole[..whole.len() - 4].to_vec(), 400),
            ("deflate", b"text".to_vec(), 400),
            ("zstd", b"text".to_vec(), 400),
            ("zstd", Vec::new(), 400),
            ("br", b"text".to_vec(), 415),
            ("gzip, gzip", whole.clone(), 415),
        ] {
            let refused = outcome(coding, body, ALL).await.expect_err(coding);
            assert!(refused.contains(&format!("status: {status}")), "{coding}: {refused}");
        }
        let refused =
            outcome("zstd", coded("zstd", b"text"), &ALL[..2]).await.expect_err("not known");
        assert!(refused.contains("the codings are gzip and deflate"), "{refused}");
    }
}
