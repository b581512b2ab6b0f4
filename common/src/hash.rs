//! SHA-256 as the names of inputs and files use it: lower-case hexadecimal.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// A SHA-256 in progress.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The 64 hexadecimal digits of all that was added.
    #[must_use]
    pub fn finish(self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0.finalize() {
            for nibble in [byte >> 4, byte & 15] {
                hex.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        hex
    }
}

/// The 64 hexadecimal digits of one byte string's SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// A reader that hashes and counts what passes through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    read: u64,
    failed: bool,
}

impl<R: Read> HashingReader<R> {
    /// Wraps `inner`; nothing has passed yet.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default(), read: 0, failed: false }
    }

    /// Bytes that passed so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Reads what is left, so that the hash is that of the whole input, and gives the hash.
    ///
    /// # Errors
    /// When the rest cannot be read, or a read failed before: what was missed then is in no hash.
    pub fn finish(mut self) -> io::Result<String> {
        if self.failed {
            return Err(io::Error::other("a read failed"));
        }
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.inner.read(buffer) {
            Ok(count) => count,
            Err(error) => {
                self.failed |= error.kind() != io::ErrorKind::Interrupted;
                return Err(error);
            }
        };
        self.hasher.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_standards_example() {
        assert_eq!(sha256(b"abc"), ABC);
    }

    #[test]
    fn a_reader_left_half_way_still_gives_the_whole_hash() {
        let mut reader = HashingReader::new(&b"abc"[..]);
        let mut one = [0];
        reader.read_exact(&mut one).unwrap();
        assert_eq!(reader.bytes_read(), 1);
        assert_eq!(reader.finish().unwrap(), ABC);
    }

    /// Fails once, then goes on: what was missed then is in no hash.
    struct FailsOnce(bool);

    impl Read for FailsOnce {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) { Ok(0) } else { Err(io::Error::other("broken")) }
        }
    }

    #[test]
    fn a_read_that_failed_leaves_no_hash() {
        let mut reader = HashingReader::new(FailsOnce(false));
        assert!(reader.read(&mut [0]).is_err());
        assert!(reader.finish().is_err());
    }
}
