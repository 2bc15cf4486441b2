//! Files that settings name: they are small, and whatever else a name leads to is not read to its end.

use std::fs::File;
use std::io::{Error, Read as _, Result};
use std::path::Path;

use tokio::io::AsyncReadExt as _;

/// The largest file of a setting, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file that a setting of a server names. It must be a regular one, so that reading it again
/// gives its contents again, and waits for nobody.
///
/// # Errors
/// When it cannot be read, is no regular file, or has more than [`FILE_BYTES_MAX`].
pub async fn read(path: &Path) -> Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for its writer.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    checked(bytes)
}

/// The same for a command, which reads it once: from a pipe as well, such as `<(pass show tally)` of a
/// shell.
///
/// # Errors
/// When it cannot be read, or has more than [`FILE_BYTES_MAX`].
pub fn read_once(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    checked(bytes)
}

fn checked(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_no_end_is_not_read_to_it() {
        let zeros = Path::new("/dev/zero");
        let error = read(zeros).await.expect_err("no file").to_string();
        assert_eq!(error, "it is not a regular file");
        assert_eq!(read_once(zeros).expect_err("no end").to_string(), "it is larger than 1 MiB");
        let folder = std::env::temp_dir();
        assert_eq!(
            read(&folder).await.expect_err("a folder").to_string(),
            "it is not a regular file"
        );
        assert!(read_once(&folder).is_err());
    }

    #[tokio::test]
    async fn a_file_of_the_largest_size_is_read() {
        let path = std::env::temp_dir().join(format!("tally-file-{}", crate::random::number()));
        let size = usize::try_from(FILE_BYTES_MAX).expect("it is small");
        for (size, is_read) in [(0, true), (size, true), (size + 1, false)] {
            std::fs::write(&path, vec![b'a'; size]).expect("there is room");
            assert_eq!(read(&path).await.map(|bytes| bytes.len()).ok(), is_read.then_some(size));
            assert_eq!(read_once(&path).map(|bytes| bytes.len()).ok(), is_read.then_some(size));
        }
        std::fs::remove_file(&path).expect("it is there");
    }
}
