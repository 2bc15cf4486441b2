//! The messages whose path may be any bytes, and that count all the same.
//!
//! A proto3 string is UTF-8, and the code that prost generates refuses anything else, and the whole
//! message with it; tonic then ends the stream. Here a path that is not UTF-8 is read as an empty
//! one. Both messages are otherwise what is generated for `proto/`.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_varint, int32, message, skip_field, string,
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

/// A method and a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A number of [`Method`](crate::count::v1::Method), or one that is not listed there.
    pub method: i32,
    /// The path. In a batch, one that is empty, longer than the server takes, not UTF-8, or that
    /// contains a NUL, is counted under `_other`.
    pub path: String,
}

// === impl AddRequest ===

impl Message for AddRequest {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encode(self.method, &self.path, buf);
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
            2 => merge_path(wire_type, &mut self.path, buf, ctx),
            3 => {
                let time = self.request_timestamp.get_or_insert_default();
                message::merge(wire_type, time, buf, ctx)
            }
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let time = self.request_timestamp.as_ref();
        encoded_len(self.method, &self.path) + time.map_or(0, |time| message::encoded_len(3, time))
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

// === impl Endpoint ===

impl Message for Endpoint {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encode(self.method, &self.path, buf);
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
            2 => merge_path(wire_type, &mut self.path, buf, ctx),
            _ => skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        encoded_len(self.method, &self.path)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn encode(method: i32, path: &String, buf: &mut impl BufMut) {
    if method != 0 {
        int32::encode(1, &method, buf);
    }
    if !path.is_empty() {
        string::encode(2, path, buf);
    }
}

fn encoded_len(method: i32, path: &String) -> usize {
    let method = if method == 0 { 0 } else { int32::encoded_len(1, &method) };
    let path = if path.is_empty() { 0 } else { string::encoded_len(2, path) };
    method + path
}

/// Reads a path; one that is not UTF-8 is read as an empty one.
fn merge_path(
    wire_type: WireType,
    path: &mut String,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<(), DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let Some(len) = usize::try_from(decode_varint(buf)?).ok().filter(|len| *len <= buf.remaining())
    else {
        // Only prost can make its errors: a length without so many bytes is this one.
        return string::merge(wire_type, path, &mut [1].as_slice(), ctx);
    };
    let mut bytes = Vec::with_capacity(len);
    bytes.put(buf.take(len));
    *path = String::from_utf8(bytes).unwrap_or_default();
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
            let mut endpoint = plain;
            endpoint.request_timestamp = None;
            let expected = Endpoint { method, path: request.path };
            assert_eq!(expected.encode_to_vec(), endpoint.encode_to_vec());
            assert_eq!(Endpoint::decode(&*endpoint.encode_to_vec()), Ok(expected));
        }
    }

    #[test]
    fn a_path_that_is_not_utf_8_is_empty_and_the_rest_is_kept() {
        let bytes = sent(b"/a\xffb").encode_to_vec();
        let request = AddRequest::decode(&*bytes).expect("it is read");
        let expected = AddRequest { method: -3, path: String::new(), ..request.clone() };
        assert_eq!(request, expected);
        assert_eq!(request.request_timestamp, Some(Timestamp { seconds: 7, nanos: 8 }));
        let endpoint = Endpoint::decode(&*bytes).expect("it is read");
        assert_eq!(endpoint, Endpoint { method: -3, path: String::new() });
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
        assert!(Endpoint::decode(cut).is_err());
        for bytes in
            [&b"\xff\xff\xff"[..], b"\x12\x05/a", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert_eq!(AddRequest::decode(bytes), Ok(AddRequest::default()));
        }
    }
}
