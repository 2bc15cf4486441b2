//! The messages whose texts may be any bytes, and that count all the same.
//!
//! A proto3 string is UTF-8, and the code that prost generates refuses anything else, and the whole
//! message with it; tonic then ends the stream. Here a text that is not UTF-8 is read as one that
//! counts as `_other`. Both messages are otherwise what is generated for `proto/`.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_varint, int32, message, skip_field, string,
    uint32,
};
use prost::{DecodeError, Message};
use prost_types::Timestamp;

/// One request that was served.
///
/// Decoding never fails. What cannot be read is left out: of bytes that are no such message, all
/// but the method, if that came before what cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AddRequest {
    /// A number of [`Method`](crate::count::v1::Method), or one that is not listed there.
    pub method: i32,
    /// The path without its query. One that is empty, longer than the server takes, not UTF-8, or
    /// that contains a NUL, is counted under `_other`.
    pub path: String,
    /// When the request was served, in whole microseconds; at most 24 hours ahead of the server's
    /// clock. Without it, the time of arrival.
    pub request_timestamp: Option<Timestamp>,
}

/// What a request counts under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Series {
    /// Who served it; may be empty.
    pub service: String,
    /// A name of [`methods`](crate::methods), or the digits of a number that has none; empty for
    /// `METHOD_UNSPECIFIED`.
    pub method: String,
    /// The path. In a batch, one that is empty, longer than the server takes, not UTF-8, or that
    /// contains a NUL, is counted under `_other`.
    pub path: String,
    /// The HTTP status, or the gRPC code; 0 if it is not known.
    pub status: u32,
    /// On whose behalf; may be empty.
    pub customer: String,
}

// === impl AddRequest ===

impl Message for AddRequest {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if self.method != 0 {
            int32::encode(1, &self.method, buf);
        }
        encode_text(2, &self.path, buf);
        if let Some(time) = &self.request_timestamp {
            message::encode(3, time, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => int32::merge(wire_type, &mut self.method, buf, ctx),
            2 => merge_text(wire_type, &mut self.path, "", buf, ctx),
            3 => {
                let time = self.request_timestamp.get_or_insert_default();
                message::merge(wire_type, time, buf, ctx)
            }
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let method = if self.method == 0 { 0 } else { int32::encoded_len(1, &self.method) };
        let time = self.request_timestamp.as_ref().map_or(0, |time| message::encoded_len(3, time));
        method + text_len(2, &self.path) + time
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn decode(mut buf: impl Buf) -> Result<Self, DecodeError> {
        let mut request = Self::default();
        if request.merge(&mut buf).is_err() {
            // The next message begins where this one ends.
            buf.advance(buf.remaining());
            request = Self { method: request.method, ..Self::default() };
        }
        Ok(request)
    }
}

// === impl Series ===

impl Message for Series {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encode_text(1, &self.service, buf);
        encode_text(2, &self.method, buf);
        encode_text(3, &self.path, buf);
        if self.status != 0 {
            uint32::encode(4, &self.status, buf);
        }
        encode_text(5, &self.customer, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => merge_text(wire_type, &mut self.service, NOT_TEXT, buf, ctx),
            2 => merge_text(wire_type, &mut self.method, NOT_TEXT, buf, ctx),
            3 => merge_text(wire_type, &mut self.path, NOT_TEXT, buf, ctx),
            4 => uint32::merge(wire_type, &mut self.status, buf, ctx),
            5 => merge_text(wire_type, &mut self.customer, NOT_TEXT, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let status = if self.status == 0 { 0 } else { uint32::encoded_len(4, &self.status) };
        text_len(1, &self.service)
            + text_len(2, &self.method)
            + text_len(3, &self.path)
            + status
            + text_len(5, &self.customer)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn encode_text(tag: u32, text: &String, buf: &mut impl BufMut) {
    if !text.is_empty() {
        string::encode(tag, text, buf);
    }
}

fn text_len(tag: u32, text: &String) -> usize {
    if text.is_empty() { 0 } else { string::encoded_len(tag, text) }
}

/// What a text of a series is read as that is not UTF-8: no database takes a NUL, and an empty text
/// has a meaning.
const NOT_TEXT: &str = "\0";

/// Reads a text; one that is not UTF-8 is read as `or_else`.
fn merge_text(
    wire_type: WireType,
    text: &mut String,
    or_else: &str,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<(), DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let Some(len) = usize::try_from(decode_varint(buf)?).ok().filter(|len| *len <= buf.remaining())
    else {
        // Only prost can make its errors: a length without so many bytes is this one.
        return string::merge(wire_type, text, &mut [1].as_slice(), ctx);
    };
    let mut bytes = Vec::with_capacity(len);
    bytes.put(buf.take(len));
    *text = String::from_utf8(bytes).unwrap_or_else(|_| or_else.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same fields as prost generates them, with a path of any bytes.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Sent {
        #[prost(int32, tag = "1")]
        method: i32,
        #[prost(bytes = "vec", tag = "2")]
        path: Vec<u8>,
        #[prost(message, optional, tag = "3")]
        request_timestamp: Option<Timestamp>,
        #[prost(string, tag = "900")]
        unknown: String,
    }

    fn sent(path: &[u8]) -> Sent {
        let request_timestamp = Some(Timestamp { seconds: 7, nanos: 8 });
        Sent { method: -3, path: path.to_vec(), request_timestamp, unknown: "x".to_owned() }
    }

    #[test]
    fn a_request_is_read_and_written_as_prost_does() {
        for (method, path, time) in [(-3, "/a", Some(7)), (0, "", None), (100, "/\u{e4}", Some(0))]
        {
            let request_timestamp = time.map(|seconds| Timestamp { seconds, nanos: 0 });
            let request = AddRequest { method, path: path.to_owned(), request_timestamp };
            let path = path.as_bytes().to_vec();
            let plain = Sent { method, path, request_timestamp, unknown: String::new() };
            assert_eq!(request.encode_to_vec(), plain.encode_to_vec());
            assert_eq!(AddRequest::decode(&*plain.encode_to_vec()), Ok(request.clone()));
        }
    }

    /// The fields of a series as prost generates them, with texts of any bytes.
    #[derive(Clone, PartialEq, prost::Message)]
    struct SentSeries {
        #[prost(bytes = "vec", tag = "1")]
        service: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        method: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        path: Vec<u8>,
        #[prost(uint32, tag = "4")]
        status: u32,
        #[prost(bytes = "vec", tag = "5")]
        customer: Vec<u8>,
    }

    fn sent_series([service, method, path, customer]: [&[u8]; 4], status: u32) -> SentSeries {
        let [service, method, path, customer] =
            [service, method, path, customer].map(<[u8]>::to_vec);
        SentSeries { service, method, path, status, customer }
    }

    #[test]
    fn a_series_is_read_and_written_as_prost_does() {
        for (texts, status) in [
            (["shop", "GET", "/\u{e4}", "acme"], 404),
            (["", "", "", ""], 0),
            (["s", "", "/", ""], 1),
        ] {
            let sent = sent_series(texts.map(str::as_bytes), status).encode_to_vec();
            let [service, method, path, customer] = texts.map(str::to_owned);
            let series = Series { service, method, path, status, customer };
            assert_eq!(series.encode_to_vec(), sent);
            assert_eq!(series.encoded_len(), sent.len());
            assert_eq!(Series::decode(&*sent), Ok(series));
        }
        let sent = sent_series([b"shop\xff", b"\xff", b"/a\xffb", b"acme"], 404);
        let series = Series::decode(&*sent.encode_to_vec()).expect("it is read");
        let [service, method, path] = [NOT_TEXT; 3].map(str::to_owned);
        let customer = "acme".to_owned();
        assert_eq!(series, Series { service, method, path, status: 404, customer });
        assert!(Series::decode(&b"\x1a\x05/a"[..]).is_err(), "cut off");
    }

    #[test]
    fn a_path_that_is_not_utf_8_is_empty_and_the_rest_is_kept() {
        let bytes = sent(b"/a\xffb").encode_to_vec();
        let request = AddRequest::decode(&*bytes).expect("it is read");
        let expected = AddRequest { method: -3, path: String::new(), ..request.clone() };
        assert_eq!(request, expected);
        assert_eq!(request.request_timestamp, Some(Timestamp { seconds: 7, nanos: 8 }));
    }

    /// Wherever it is cut off, all of the buffer is taken: the next message follows it.
    #[test]
    fn of_a_request_that_is_cut_off_the_method_is_kept() {
        let bytes = sent(b"/a").encode_to_vec();
        for end in 0..bytes.len() {
            let mut buf = &bytes[..end];
            let request = AddRequest::decode(&mut buf).expect("it never fails");
            assert!(buf.is_empty(), "{end}");
            assert!([0, -3].contains(&request.method), "{end}: {request:?}");
        }
        let cut = &bytes[..bytes.len() - 1];
        let method_only = AddRequest { method: -3, ..AddRequest::default() };
        assert_eq!(AddRequest::decode(cut), Ok(method_only));
        for bytes in
            [&b"\xff\xff\xff"[..], b"\x12\x05/a", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert_eq!(AddRequest::decode(bytes), Ok(AddRequest::default()));
        }
    }
}
