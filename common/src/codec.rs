//! Decompression: gzip (any number of members) and zstd (any number of frames), told by content, capped.
//!
//! The only place that decompresses; clippy.toml bans the decoders elsewhere. Invariant: memory is bounded by the
//! decoders' windows (32 KiB, and 8 MiB for zstd) whatever the input says, and a decoded stream never gets longer than
//! its limit, so a small file cannot keep a process busy for ever.

use std::io::{self, BufRead, BufReader, Read};

type GzipDecoder<R> = flate2::bufread::GzDecoder<R>;
type ZstdDecoder<R> = zstd::stream::read::Decoder<'static, R>;

/// What a stream is packed with, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not packed.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Tells the compression from the first four bytes of a stream (fewer are fine).
    #[must_use]
    pub fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable one in front of it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A decompressing reader.
pub struct Decoder<R: Read> {
    inner: Inner<R>,
    compression: Compression,
    left: u64,
    limit: u64,
}

enum Inner<R: Read> {
    None(BufReader<R>),
    Gzip(Box<Members<R>>),
    Zstd(Box<ZstdDecoder<BufReader<R>>>),
}

/// gzip members, one after the other.
struct Members<R: Read> {
    /// `None` only inside of [`Members::next`].
    decoder: Option<GzipDecoder<BufReader<R>>>,
    /// Whether a member's last line ends with it.
    lines: bool,
    /// The last byte given out.
    last: u8,
}

impl<R: Read> Members<R> {
    #[expect(clippy::disallowed_methods, reason = "this is the place that decompresses")]
    fn new(reader: BufReader<R>, lines: bool) -> Self {
        Self { decoder: Some(GzipDecoder::new(reader)), lines, last: b'\n' }
    }

    /// Goes on to the next member; false when there is none.
    #[expect(clippy::disallowed_methods, reason = "this is the place that decompresses")]
    fn next(&mut self) -> io::Result<bool> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(false);
        };
        if decoder.get_mut().fill_buf()?.is_empty() {
            return Ok(false);
        }
        let Some(decoder) = self.decoder.take() else {
            return Ok(false);
        };
        self.decoder = Some(GzipDecoder::new(decoder.into_inner()));
        Ok(true)
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let (Some(decoder), false) = (&mut self.decoder, buffer.is_empty()) {
            let count = decoder.read(buffer)?;
            if count > 0 {
                self.last = buffer[count - 1];
                return Ok(count);
            }
            if !self.next()? {
                return Ok(0);
            }
            if self.lines && self.last != b'\n' {
                self.last = b'\n';
                buffer[0] = b'\n';
                return Ok(1);
            }
        }
        Ok(0)
    }
}

/// Bytes read at once from the packed stream.
const BUFFER: usize = 256 * 1024;
/// log2 of the largest zstd window accepted: 8 MiB, the most that RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG: u32 = 23;

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `reader` and unpacks what they announce. `limit` is the most bytes given out;
    /// past it reading fails.
    ///
    /// # Errors
    /// When the first bytes cannot be read or the decoder cannot be made.
    pub fn new(reader: R, limit: u64) -> io::Result<Self> {
        Self::open(reader, limit, false)
    }

    /// As [`Decoder::new`], for text: the last line of a gzip member ends with it, though it has no line end, so that files
    /// that were joined packed read as they would one by one.
    ///
    /// # Errors
    /// As those of [`Decoder::new`].
    pub fn lines(reader: R, limit: u64) -> io::Result<Self> {
        Self::open(reader, limit, true)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the place that decompresses")]
    fn open(reader: R, limit: u64, lines: bool) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let compression = Compression::sniff(reader.fill_buf()?);
        let inner = match compression {
            Compression::None => Inner::None(reader),
            Compression::Gzip => Inner::Gzip(Box::new(Members::new(reader, lines))),
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(reader)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Inner::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { inner, compression, left: limit, limit })
    }

    /// What the stream is packed with.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Gives the packed stream back, wherever it stands; `None` when it got lost in an error between two gzip members.
    #[must_use]
    pub fn into_source(self) -> Option<R> {
        match self.inner {
            Inner::None(reader) => Some(reader.into_inner()),
            Inner::Gzip(members) => members.decoder.map(|decoder| decoder.into_inner().into_inner()),
            Inner::Zstd(decoder) => Some(decoder.finish().into_inner()),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.inner {
            Inner::None(reader) => reader.read(buffer)?,
            Inner::Gzip(decoder) => decoder.read(buffer)?,
            Inner::Zstd(decoder) => decoder.read(buffer)?,
        };
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("unpacks to more than {} bytes", self.limit))
        })?;
        Ok(count)
    }
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("compression", &self.compression)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression as Level, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Decoder::new(packed, limit)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn every_member_and_every_frame_is_read() {
        let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(unpack(&members, 100).unwrap(), b"one two");
        let frames = [zstd::encode_all(&b"one "[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()].concat();
        assert_eq!(unpack(&frames, 100).unwrap(), b"one two");
    }

    #[test]
    fn lines_end_with_their_member_when_they_are_lines() {
        let members = [gzip(b"one"), gzip(b""), gzip(b"two\n"), gzip(b"three")].concat();
        let mut text = String::new();
        Decoder::lines(&members[..], 100).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree");
        assert_eq!(unpack(&members, 100).unwrap(), b"onetwo\nthree");
    }

    #[test]
    fn what_is_not_packed_passes() {
        assert_eq!(unpack(b"plain", 100).unwrap(), b"plain");
        assert_eq!(unpack(b"", 100).unwrap(), b"");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert_eq!(unpack(&bomb, 1000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_cut_stream_gives_its_good_part_and_then_an_error() {
        let noise: Vec<u8> = (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let whole = gzip(&noise);
        let mut decoder = Decoder::new(&whole[..whole.len() / 2], u64::MAX).unwrap();
        let mut good = Vec::new();
        let error = decoder.read_to_end(&mut good).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(!good.is_empty() && noise.starts_with(&good));
    }
}
