//! Texts that people write into corrections, merges and forgets.

use crate::error::Error;

/// How long an author may be, in bytes.
pub(crate) const AUTHOR_BYTES_MAX: usize = 200;

/// Checks a text that people write.
pub(crate) fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<(), Error> {
    if text.len() > bytes_max {
        let bytes = text.len();
        return Err(Error::invalid(format!("{field}: has {bytes} bytes, more than {bytes_max}")));
    }
    match text.contains('\0') {
        true => Err(Error::invalid(format!("{field}: has a NUL byte"))),
        false => Ok(()),
    }
}
