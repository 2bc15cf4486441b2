//! Where a list goes on: the texts of its last item, in hex digits, which no client need take apart.

/// The texts as one word of a URL. None has a NUL.
pub(super) fn encode(texts: &[&str]) -> String {
    texts.join("\0").bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The texts, if it is one of this many.
pub(super) fn decode<const N: usize>(cursor: &str) -> Result<[String; N], &'static str> {
    let digits = cursor.as_bytes();
    let number = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let bytes = is_hex.then(|| digits.chunks(2).map(number).collect::<Option<Vec<u8>>>()).flatten();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let texts = text.map(|text| text.split('\0').map(str::to_owned).collect::<Vec<_>>());
    let texts = texts.and_then(|texts| <[String; N]>::try_from(texts).ok());
    texts.ok_or("give what an answer had in next, and the same parameters besides")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_its_texts() {
        let texts = ["", "/ä b", "GET"];
        assert_eq!(decode(&encode(&texts)), Ok(texts.map(str::to_owned)));
        for wrong in ["", "0", "zz", "+1", "ff", "61", "6100620063006400"] {
            assert!(decode::<3>(wrong).is_err(), "{wrong}");
        }
    }
}
