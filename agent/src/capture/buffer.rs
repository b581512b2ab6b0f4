//! A bounded window over a byte stream, and what is said when the stream is damaged.

use std::io::{self, Read};

/// A record or block that is longer is not believed: no interface has such packets.
pub(super) const MAX_RECORD: usize = 16 * 1024 * 1024;
/// Bytes asked for at once.
const READ: usize = 1024 * 1024;

/// Where and why a capture cannot be read on. What came before is good.
#[derive(Debug, thiserror::Error)]
#[error("at offset {offset}: {cause}")]
pub struct Damage {
    /// Bytes from the start of the capture (unpacked) to the record that is damaged.
    pub offset: u64,
    /// What is wrong there.
    pub cause: String,
    /// The I/O error below, where there is one.
    #[source]
    pub source: Option<io::Error>,
}

/// The window: `bytes[start..end]` is what was read and not yet consumed.
#[derive(Debug)]
pub(super) struct Buffer<R> {
    reader: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `start` in the stream.
    offset: u64,
}

impl<R: Read> Buffer<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, bytes: vec![0; READ], start: 0, end: 0, offset: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// What is in the window.
    pub(super) fn available(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Reads until `wanted` bytes (at most [`MAX_RECORD`]) are in the window or the stream ends, and gives what is there.
    pub(super) fn fill(&mut self, wanted: usize) -> Result<&[u8], Damage> {
        if self.end - self.start < wanted {
            self.refill(wanted)?;
        }
        Ok(self.available())
    }

    /// Drops bytes from the front of the window.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Drops bytes without holding them, for blocks that nobody wants. False when the stream ends before.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<bool, Damage> {
        while count > 0 {
            if self.start == self.end && self.fill(1)?.is_empty() {
                return Ok(false);
            }
            let step = usize::try_from(count).unwrap_or(usize::MAX).min(self.end - self.start);
            self.consume(step);
            count -= step as u64;
        }
        Ok(true)
    }

    pub(super) fn damage(&self, cause: impl Into<String>) -> Damage {
        Damage { offset: self.offset, cause: cause.into(), source: None }
    }

    #[cold]
    fn refill(&mut self, wanted: usize) -> Result<(), Damage> {
        let wanted = wanted.min(MAX_RECORD);
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        while self.end < wanted {
            match self.reader.read(&mut self.bytes[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was read before the error is still good; the error comes again when the window is empty of records.
                Err(error) => {
                    let offset = self.offset + (self.end as u64);
                    return Err(Damage { offset, cause: format!("cannot be read on: {error}"), source: Some(error) });
                }
            }
        }
        Ok(())
    }
}
