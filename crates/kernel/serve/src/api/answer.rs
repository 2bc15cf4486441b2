//! Answers with a weak tag (RFC 9110, section 8.8.3), and bodies that are made as the client takes them.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::problem::Problem;
use super::room::{SMALLEST_BYTES, keep};

/// The parts in which a body is made. A connection whose client reads slowly holds 16 of them.
pub const PART_BYTES: usize = 4 << 10;

/// A body cannot be made to its end. Its connection ends without one, so that the client notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was given up")]
pub struct GivenUp;

/// A number that changes with what is answered. It is another one in another version of the program.
#[must_use]
pub fn tag_of(answer: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    answer.hash(&mut hasher);
    hasher.finish()
}

/// An answer that the client need not read again while its tag is the same: then it is 304, without
/// the body. The tag is weak, because proxies keep such a one when they compress.
pub fn tagged(
    asked: &HeaderMap,
    tag: u64,
    content_type: &'static str,
    body: impl FnOnce() -> Body,
) -> Response {
    let tag = format!("\"{tag:016x}\"");
    let mut response = match is_known(asked, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => untagged(content_type, body()),
    };
    let headers = response.headers_mut();
    let tag = HeaderValue::from_str(&format!("W/{tag}")).expect("hex digits");
    headers.insert(header::ETAG, tag);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    // Whoever keeps it asks before using it again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// An answer with a tag that is a text. However many clients read it how slowly, its memory is bounded:
/// it may be refused, and given up while it is read.
pub fn text(
    asked: &HeaderMap,
    tag: u64,
    content_type: &'static str,
    text: impl Into<Vec<u8>>,
) -> Response {
    let mut refused = None;
    let body = || {
        let (text, mut at) = (text.into(), 0);
        if text.len() <= SMALLEST_BYTES {
            return text.into();
        }
        let bytes = text.capacity();
        let kept = keep(tag, text, bytes).map_err(|problem| refused = Some(problem)).ok();
        kept.map_or_else(Body::empty, |kept| {
            streamed(move |part| {
                kept.read(|text| {
                    let end = text.len().min(at + PART_BYTES);
                    part.extend_from_slice(&text[at..end]);
                    at = end;
                    at < text.len()
                })
            })
        })
    };
    let response = tagged(asked, tag, content_type, body);
    refused.map_or(response, Problem::into_response)
}

/// The same of what is written as JSON.
pub fn one(asked: &HeaderMap, answer: &impl Serialize) -> Response {
    let mut body = serde_json::to_vec(answer).expect("answers are JSON");
    body.push(b'\n');
    text(asked, tag_of(&body), "application/json", body)
}

/// An answer that is of the moment, or of a write.
pub fn untagged(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A browser does not guess another type from what strangers have sent.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A small answer in JSON, of a write.
pub fn json(answer: &impl Serialize) -> Response {
    let mut body = serde_json::to_vec(answer).expect("answers are JSON");
    body.push(b'\n');
    untagged("application/json", body.into())
}

/// A body that is made in parts as the client takes them. `make` appends some bytes, at best
/// [`PART_BYTES`], and says whether there may be more.
pub fn streamed(
    mut make: impl FnMut(&mut Vec<u8>) -> Result<bool, GivenUp> + Send + 'static,
) -> Body {
    let mut is_more = true;
    let parts = std::iter::from_fn(move || {
        let mut part = Vec::with_capacity(PART_BYTES + PART_BYTES / 8);
        while is_more && part.len() < PART_BYTES {
            match make(&mut part) {
                Ok(more) => is_more = more,
                Err(given_up) => {
                    is_more = false;
                    return Some(Err(given_up));
                }
            }
        }
        (!part.is_empty()).then(|| Ok(Bytes::from(part)))
    });
    Body::from_stream(stream::iter(parts))
}

/// A list as JSON, between these two texts, however long it is: nothing has all of it. Its first page is read before
/// the answer begins, and each other one once the client has taken those before. `page` gets where a page begins;
/// it returns the items, and where the next page begins, unless there is none.
///
/// # Errors
/// That of the first page. If another one fails, the answer is given up.
pub async fn paged<C, T, E, F>(
    (open, close): (&'static str, &'static str),
    first: C,
    mut page: impl FnMut(C) -> F + Send + 'static,
) -> Result<Response, E>
where
    C: Send + 'static,
    T: Serialize,
    F: Future<Output = Result<(Vec<T>, Option<C>), E>> + Send,
{
    let (items, next) = page(first).await?;
    let mut part = open.as_bytes().to_vec();
    let is_begun = append(&mut part, &items, false);
    if next.is_none() {
        part.extend_from_slice(close.as_bytes());
        return Ok(untagged("application/json", part.into()));
    }
    let others =
        stream::try_unfold((page, next, is_begun), move |(mut page, next, is_begun)| async move {
            let Some(place) = next else { return Ok(None) };
            let (items, next) = page(place).await.map_err(|_| GivenUp)?;
            let mut part = Vec::new();
            let is_begun = append(&mut part, &items, is_begun);
            if next.is_none() {
                part.extend_from_slice(close.as_bytes());
            }
            Ok(Some((part, (page, next, is_begun))))
        });
    let parts = stream::iter([Ok::<_, GivenUp>(part)]).chain(others);
    Ok(untagged("application/json", Body::from_stream(parts)))
}

/// Appends items with commas between them; returns whether there is an item now.
fn append(part: &mut Vec<u8>, items: &[impl Serialize], mut is_begun: bool) -> bool {
    for item in items {
        if is_begun {
            part.push(b',');
        }
        serde_json::to_writer(&mut *part, item).expect("answers are JSON");
        is_begun = true;
    }
    is_begun
}

/// Whether the client has what this tag is of.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let values = asked.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    tags.any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::{HttpBody as _, to_bytes};

    use super::super::room::ALONE;
    use super::*;

    fn answer(known: &[&str], tag: u64) -> Response {
        let mut asked = HeaderMap::new();
        for value in known {
            asked.append(header::IF_NONE_MATCH, value.parse().expect("a header"));
        }
        tagged(&asked, tag, "text/csv", || Body::from("a"))
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let first = answer(&[], 10);
        assert_eq!(first.status(), 200);
        let tag = first.headers()[header::ETAG].to_str().expect("a text").to_owned();
        assert_eq!(tag, "W/\"000000000000000a\"");
        let strong = tag.trim_start_matches("W/").to_owned();
        let list = format!("\"x\", {tag}");
        for known in [&[&*tag][..], &[&strong], &["\"x\"", &tag], &[&list], &["*"]] {
            let again = answer(known, 10);
            assert_eq!(again.status(), 304, "{known:?}");
            for name in [header::ETAG, header::VARY, header::CACHE_CONTROL] {
                assert_eq!(again.headers()[&name], first.headers()[&name]);
            }
            assert!(!again.headers().contains_key(header::CONTENT_TYPE));
        }
        for known in [&tag[..tag.len() - 1], "\"000000000000000b\"", ""] {
            assert_eq!(answer(&[known], 10).status(), 200, "{known}");
        }
    }

    /// Readers of the same text share it; with another one for each of them there is none left.
    #[tokio::test(start_paused = true)]
    async fn the_memory_of_texts_is_bounded() {
        let _alone = ALONE.lock().await;
        let large =
            |byte: u8| text(&HeaderMap::new(), byte.into(), "text/csv", vec![byte; 1 << 20]);
        let all: Vec<_> = [1].repeat(50).into_iter().map(large).collect();
        assert!(all.iter().all(|one| one.status() == 200));
        let others: Vec<_> = (2..30).map(large).collect();
        assert_eq!(others.last().expect("some").status(), 503);
        assert_eq!(text(&HeaderMap::new(), 0, "text/csv", "small").status(), 200);
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        let read = to_bytes(large(30).into_body(), 2 << 20).await.expect("the room of others");
        assert_eq!(read, vec![30; 1 << 20]);
    }

    /// One that is long costs no more memory than one that is short.
    #[tokio::test]
    async fn a_list_is_read_as_the_client_takes_it() {
        let read = Arc::new(AtomicUsize::new(0));
        let paged_of = |pages: usize| {
            let read = Arc::clone(&read);
            paged(("[", "]\n"), 0, move |at| {
                read.fetch_add(1, Ordering::SeqCst);
                let items = if at == 1 { Vec::new() } else { vec![at, at] };
                let next = Some(at + 1).filter(|next| *next < pages);
                ready(if at == 7 { Err("broken") } else { Ok((items, next)) })
            })
        };
        let mut long = paged_of(1_000).await.expect("a list").into_body().into_data_stream();
        let first = long.next().await.expect("a part").expect("its bytes");
        assert_eq!((&first[..], read.load(Ordering::SeqCst)), (&b"[0,0"[..], 1));
        let short = paged_of(1).await.expect("a list");
        assert_eq!(short.body().size_hint().exact(), Some(6), "whoever reads no chunks reads this");
        for (pages, text) in [(1, "[0,0]\n"), (2, "[0,0]\n"), (3, "[0,0,2,2]\n")] {
            let list = paged_of(pages).await.expect("a list");
            let bytes = to_bytes(list.into_body(), 1 << 10).await.expect("a body");
            assert_eq!(bytes, text, "{pages}");
        }
        let broken = to_bytes(paged_of(9).await.expect("a list").into_body(), 1 << 10).await;
        assert!(format!("{broken:?}").contains("GivenUp"), "{broken:?}");
        let empty = |_: ()| ready(Ok::<_, ()>((Vec::<u8>::new(), None)));
        let empty = paged(("[", "]\n"), (), empty).await.expect("a list");
        assert_eq!(to_bytes(empty.into_body(), 10).await.expect("a body"), "[]\n");
        let refused = paged(("[", "]"), (), |()| ready(Err::<(Vec<u8>, _), _>("broken"))).await;
        assert_eq!(refused.err(), Some("broken"));
    }

    #[tokio::test]
    async fn a_body_is_made_in_parts_until_its_end() {
        let mut left = 50_000;
        let body = streamed(move |part| {
            part.extend_from_slice(b"line\n");
            left -= 1;
            Ok(left > 0)
        });
        let bytes = to_bytes(body, 1 << 20).await.expect("a body");
        assert_eq!(bytes.len(), 250_000);
        let empty = to_bytes(streamed(|_| Ok(false)), 1).await.expect("a body");
        assert!(empty.is_empty());
        let broken = to_bytes(streamed(|_| Err(GivenUp)), 1).await;
        assert!(format!("{broken:?}").contains("GivenUp"), "{broken:?}");
    }
}
