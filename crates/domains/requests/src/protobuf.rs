//! The encoding of protobuf, for messages that are read in place. See the Encoding page of its documentation.

/// The low 32 bits, which are all that count of an int32 or uint32.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "as protobuf has it")]
pub(crate) fn low_half(number: u64) -> u32 {
    number as u32
}

/// The number of a sint64.
#[inline]
pub(crate) fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// The key of a field with a number below 16.
pub(crate) fn take_key(bytes: &mut &[u8]) -> Option<u8> {
    let (key, rest) = bytes.split_first()?;
    *bytes = rest;
    (*key < 0x80).then_some(*key)
}

/// Takes a field with its length.
pub(crate) fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(bytes)?).ok()?;
    let (field, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(field)
}

/// Takes a number of up to 64 bits.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(first.into());
    }
    if let Some((&second, rest)) = rest.split_first()
        && second < 0x80
    {
        *bytes = rest;
        return Some(u64::from(first & 0x7f) | u64::from(second) << 7);
    }
    take_long_varint(bytes)
}

fn take_long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *bytes = &bytes[at + 1..];
            // The tenth byte has room for one bit.
            return (at < 9 || *byte < 2).then_some(number);
        }
    }
    None
}
