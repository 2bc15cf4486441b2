//! Which trace of other programs a request belongs to, so that the log can say it.
//!
//! Whoever calls may say it in the header or metadata `traceparent`, as
//! <https://www.w3.org/TR/trace-context/> has it. Nothing is passed on: Tally makes no spans of its own.

use std::future::Future;

tokio::task_local! {
    static TRACE: Option<Trace>;
}

/// The name of the header.
pub const HEADER: &str = "traceparent";

/// Where the ids are in the header, and where its first version ends.
const TRACE_ID: std::ops::Range<usize> = 3..35;
const SPAN_ID: std::ops::Range<usize> = 36..52;
const LENGTH: usize = 55;

/// A trace, and the span of it that called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace_id: [u8; TRACE_ID.end - TRACE_ID.start],
    span_id: [u8; SPAN_ID.end - SPAN_ID.start],
}

// === impl Trace ===

impl Trace {
    /// Reads the header. What is not right is nothing.
    #[must_use]
    pub fn read(header: &[u8]) -> Option<Self> {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let first = header.get(..LENGTH)?;
        let are_right = first.iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => is_hex(byte),
        });
        // A later version may add something, and there is no version ff.
        let is_whole = match &first[..2] {
            b"00" => header.len() == LENGTH,
            b"ff" => false,
            _ => header.get(LENGTH).is_none_or(|byte| *byte == b'-'),
        };
        let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
        if !are_right || !is_whole || is_zero(&first[TRACE_ID]) || is_zero(&first[SPAN_ID]) {
            return None;
        }
        let (trace_id, span_id) = (first[TRACE_ID].try_into(), first[SPAN_ID].try_into());
        Some(Self { trace_id: trace_id.ok()?, span_id: span_id.ok()? })
    }

    /// That of what is being done now.
    #[must_use]
    pub fn current() -> Option<Self> {
        TRACE.try_get().ok().flatten()
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        str::from_utf8(&self.trace_id).unwrap_or_default()
    }

    /// 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        str::from_utf8(&self.span_id).unwrap_or_default()
    }
}

/// Does this as a part of the trace, if there is one.
pub fn within<F: Future>(trace: Option<Trace>, work: F) -> impl Future<Output = F::Output> {
    TRACE.scope(trace, work)
}

/// The same without waiting.
pub fn within_now<T>(trace: Option<Trace>, work: impl FnOnce() -> T) -> T {
    TRACE.sync_scope(trace, work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tasks;

    const RIGHT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(header: &str) -> Option<(String, String)> {
        let trace = Trace::read(header.as_bytes())?;
        Some((trace.trace_id().to_owned(), trace.span_id().to_owned()))
    }

    #[test]
    fn the_header_is_read() {
        let ids = Some(("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into()));
        assert_eq!(read(RIGHT), ids);
        let later = RIGHT.replacen("00-", "cc-", 1);
        assert_eq!(read(&later), ids);
        assert_eq!(read(&format!("{later}-what-comes-later")), ids);
    }

    #[test]
    fn what_is_not_right_is_ignored() {
        let zeros = |id: &str| RIGHT.replace(id, &"0".repeat(id.len()));
        for wrong in [
            String::new(),
            RIGHT[1..].to_owned(),
            RIGHT[..54].to_owned(),
            format!("{RIGHT}-more"),
            format!("{RIGHT} "),
            RIGHT.replacen("00-", "ff-", 1),
            RIGHT.replacen("00-", "cc-", 1) + "more",
            RIGHT.to_uppercase(),
            RIGHT.replacen('-', "_", 1),
            RIGHT.replace("b7ad", "b7\u{e4}"),
            RIGHT.replace("b7ad", "b7ag"),
            zeros("0af7651916cd43dd8448eb211c80319c"),
            zeros("b7ad6b7169203331"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_task_belongs_to_the_trace_that_started_it() {
        let trace = Trace::read(RIGHT.as_bytes());
        let tasks = Tasks::new();
        let (inner, outer) = within(trace, async {
            (tasks.spawn("of it", async { Trace::current() }), Trace::current())
        })
        .await;
        assert_eq!((inner.await.expect("no panic"), outer), (trace, trace));
        assert_eq!((Trace::current(), within_now(trace, Trace::current)), (None, trace));
    }
}
