//! MessagePack, as far as senders use it, value by value and without a copy:
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>.

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    #[error("it ends before its end")]
    CutShort,
    #[error("it is no map")]
    NoMap,
    /// What is wrong: a key, or the one whose value it is.
    #[error("{0} is of the wrong type, or out of range")]
    WrongType(&'static str),
    #[error("a text is not UTF-8")]
    NoText,
    #[error("something comes behind the map")]
    Trailing,
}

/// A value, or the head of one that has others inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Nil,
    Bool(bool),
    /// Larger ones than this can have are [`Value::Other`].
    Int(i64),
    Text(&'a str),
    /// So many values follow.
    Array(u32),
    /// So many pairs of values follow.
    Map(u32),
    /// Its type, and its bytes.
    Extension(i8, &'a [u8]),
    /// What no message needs: floats, bytes.
    Other,
}

/// What is not read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, or the head of one that has others inside.
    pub(crate) fn next(&mut self) -> Result<Value<'a>, Garbage> {
        let first = self.number::<1>()? as u8;
        Ok(match first {
            0x00..=0x7f => Value::Int(first.into()),
            0x80..=0x8f => Value::Map(u32::from(first & 0x0f)),
            0x90..=0x9f => Value::Array(u32::from(first & 0x0f)),
            0xa0..=0xbf => self.text(u64::from(first & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(first == 0xc3),
            0xc4 => self.skipped::<1>()?,
            0xc5 => self.skipped::<2>()?,
            0xc6 => self.skipped::<4>()?,
            0xc7 => self.sized_extension::<1>()?,
            0xc8 => self.sized_extension::<2>()?,
            0xc9 => self.sized_extension::<4>()?,
            0xca => self.float(4)?,
            0xcb => self.float(8)?,
            0xcc => Value::Int(self.number::<1>()?.cast_signed()),
            0xcd => Value::Int(self.number::<2>()?.cast_signed()),
            0xce => Value::Int(self.number::<4>()?.cast_signed()),
            0xcf => i64::try_from(self.number::<8>()?).map_or(Value::Other, Value::Int),
            0xd0 => Value::Int((self.number::<1>()? as u8).cast_signed().into()),
            0xd1 => Value::Int((self.number::<2>()? as u16).cast_signed().into()),
            0xd2 => Value::Int((self.number::<4>()? as u32).cast_signed().into()),
            0xd3 => Value::Int(self.number::<8>()?.cast_signed()),
            0xd4..=0xd8 => self.extension(1 << (first - 0xd4))?,
            0xd9 => self.sized_text::<1>()?,
            0xda => self.sized_text::<2>()?,
            0xdb => self.sized_text::<4>()?,
            0xdc => Value::Array(self.number::<2>()? as u32),
            0xdd => Value::Array(self.number::<4>()? as u32),
            0xde => Value::Map(self.number::<2>()? as u32),
            0xdf => Value::Map(self.number::<4>()? as u32),
            // The byte that is never used.
            0xc1 => return Err(Garbage::WrongType("a value")),
            0xe0..=0xff => Value::Int(first.cast_signed().into()),
        })
    }

    /// Passes over the next value, with all that is inside.
    pub(crate) fn skip(&mut self) -> Result<(), Garbage> {
        // Each of them has at least one byte, so this ends with the bytes.
        let mut values = 1_u64;
        while values > 0 {
            values -= 1;
            values = values.saturating_add(match self.next()? {
                Value::Array(items) => items.into(),
                Value::Map(pairs) => 2 * u64::from(pairs),
                _ => 0,
            });
        }
        Ok(())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Garbage> {
        let count = usize::try_from(count).map_err(|_| Garbage::CutShort)?;
        let (taken, left) = self.0.split_at_checked(count).ok_or(Garbage::CutShort)?;
        self.0 = left;
        Ok(taken)
    }

    /// A number of so many bytes, without a sign.
    fn number<const N: usize>(&mut self) -> Result<u64, Garbage> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, bytes: u64) -> Result<Value<'a>, Garbage> {
        let bytes = self.take(bytes)?;
        std::str::from_utf8(bytes).map(Value::Text).map_err(|_| Garbage::NoText)
    }

    fn sized_text<const N: usize>(&mut self) -> Result<Value<'a>, Garbage> {
        let bytes = self.number::<N>()?;
        self.text(bytes)
    }

    fn extension(&mut self, bytes: u64) -> Result<Value<'a>, Garbage> {
        let of_type = (self.number::<1>()? as u8).cast_signed();
        Ok(Value::Extension(of_type, self.take(bytes)?))
    }

    fn sized_extension<const N: usize>(&mut self) -> Result<Value<'a>, Garbage> {
        let bytes = self.number::<N>()?;
        self.extension(bytes)
    }

    fn skipped<const N: usize>(&mut self) -> Result<Value<'a>, Garbage> {
        let bytes = self.number::<N>()?;
        self.take(bytes).map(|_| Value::Other)
    }

    fn float(&mut self, bytes: u64) -> Result<Value<'a>, Garbage> {
        self.take(bytes).map(|_| Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(bytes: &[u8]) -> Value<'_> {
        let mut reader = Reader::new(bytes);
        let value = reader.next().unwrap_or_else(|why| panic!("{bytes:02x?}: {why}"));
        assert!(reader.is_at_end(), "{bytes:02x?}");
        value
    }

    #[test]
    fn every_width_of_a_number_is_read() {
        for (bytes, number) in [
            (&[0x7f][..], 127),
            (&[0xff], -1),
            (&[0xe0], -32),
            (&[0xcc, 0xff], 255),
            (&[0xcd, 0xff, 0xfe], 65_534),
            (&[0xce, 0xff, 0, 0, 0], 0xff00_0000),
            (&[0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0x80, 0], -32_768),
            (&[0xd2, 0x80, 0, 0, 0], i32::MIN.into()),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
        ] {
            assert_eq!(one(bytes), Value::Int(number), "{bytes:02x?}");
        }
        assert_eq!(one(&[0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0]), Value::Other);
    }

    #[test]
    fn every_form_of_a_text_and_of_what_is_passed_over_is_read() {
        for bytes in [&b"\xa2hi"[..], b"\xd9\x02hi", b"\xda\x00\x02hi", b"\xdb\x00\x00\x00\x02hi"] {
            assert_eq!(one(bytes), Value::Text("hi"));
        }
        for bytes in
            [&b"\xd5\x05hi"[..], b"\xc7\x02\x05hi", b"\xc8\x00\x02\x05hi", b"\xc9\0\0\0\x02\x05hi"]
        {
            assert_eq!(one(bytes), Value::Extension(5, b"hi"));
        }
        for bytes in [
            &b"\xc4\x02hi"[..],
            b"\xc5\x00\x02hi",
            b"\xc6\0\0\0\x02hi",
            b"\xca\0\0\0\0",
            b"\xcb\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(one(bytes), Value::Other);
        }
        let nested = b"\x82\xa1a\x92\x01\xde\x00\x01\xa1b\xc0\xa1c\xdd\0\0\0\x01\xc2";
        let mut reader = Reader::new(nested);
        assert_eq!((reader.skip(), reader.is_at_end()), (Ok(()), true));
        for end in 0..nested.len() {
            assert_eq!(Reader::new(&nested[..end]).skip(), Err(Garbage::CutShort), "{end}");
        }
        assert_eq!(Reader::new(b"\xa1\xff").next(), Err(Garbage::NoText));
        assert_eq!(Reader::new(b"\xc1").next(), Err(Garbage::WrongType("a value")));
    }

    proptest! {
        /// It ends, and reads nothing twice.
        #[test]
        fn any_bytes_are_passed_over_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1_025)) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_at_end() && reader.skip().is_ok() {}
            prop_assert!(reader.0.len() <= bytes.len());
        }
    }
}
