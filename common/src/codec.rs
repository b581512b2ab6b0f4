//! Decompression: gzip (any number of members) and zstd (any number of frames), told by content, capped; and of what is
//! packed twice, as when Firehose packs the packed subscriptions of CloudWatch Logs.
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
    inner: Limited<Inner<R>>,
    compression: Compression,
}

/// A reader that fails past a number of bytes.
struct Limited<R> {
    reader: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("unpacks to more than {} bytes", self.limit))
        })?;
        Ok(count)
    }
}

enum Inner<R: Read> {
    None(BufReader<R>),
    Packed(Box<Members<R>>),
    Twice(Box<Members<Limited<Members<R>>>>),
}

/// A decoder of one gzip member or zstd frame.
enum Member<R: Read> {
    Gzip(Box<GzipDecoder<BufReader<R>>>),
    Zstd(ZstdDecoder<BufReader<R>>),
}

impl<R: Read> Member<R> {
    #[expect(clippy::disallowed_methods, reason = "this is the place that decompresses")]
    fn new(compression: Compression, reader: BufReader<R>) -> io::Result<Self> {
        if compression == Compression::Zstd {
            let mut decoder = ZstdDecoder::with_buffer(reader)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            return Ok(Self::Zstd(decoder));
        }
        Ok(Self::Gzip(Box::new(GzipDecoder::new(reader))))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }

    fn reader(&mut self) -> &mut BufReader<R> {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    fn into_reader(self) -> BufReader<R> {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

/// Tells whether a first line begins a file, behind a line that has no end.
type Begins = Box<dyn Fn(&[u8], &[u8]) -> bool + Send>;

/// Bytes that a header has at most.
const HEADER: usize = 16 * 1024;

/// gzip members or zstd frames, one after the other.
struct Members<R: Read> {
    compression: Compression,
    /// `None` only inside of [`Members::next`].
    decoder: Option<Member<R>>,
    /// Tells whether a member begins anew, by its first line; `None` joins members byte by byte, as RFC 1952 and RFC 8878 have it.
    begins: Option<Begins>,
    /// The start of a member that was looked at.
    peeked: Vec<u8>,
    /// Why no more could be looked at; it is said behind that.
    failed: Option<io::Error>,
    /// The line that was given out last, as far as it has no end yet, and a header may be as long.
    line: Vec<u8>,
}

impl<R: Read> Members<R> {
    fn new(compression: Compression, reader: BufReader<R>, begins: Option<Begins>) -> io::Result<Self> {
        let decoder = Some(Member::new(compression, reader)?);
        Ok(Self { compression, decoder, begins, peeked: Vec::new(), failed: None, line: Vec::new() })
    }

    /// Reads the first line of a member, or as much of it as a header can have.
    fn peek(&mut self) {
        let Some(decoder) = &mut self.decoder else { return };
        let mut piece = [0; 512];
        while self.peeked.len() < HEADER && !self.peeked.contains(&b'\n') {
            match decoder.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => self.peeked.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
    }

    fn into_source(self) -> Option<R> {
        self.decoder.map(|decoder| decoder.into_reader().into_inner())
    }

    /// Remembers the line that has no end yet.
    fn given(&mut self, bytes: &[u8]) {
        if self.begins.is_none() {
            return;
        }
        let bytes = match memchr::memrchr(b'\n', bytes) {
            Some(end) => {
                self.line.clear();
                &bytes[end + 1..]
            }
            None => bytes,
        };
        let room = HEADER.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Goes on to the next member; false when there is none.
    fn next(&mut self) -> io::Result<bool> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(false);
        };
        // Zeros behind the last member fill a block of a tape or a disk; gzip passes over them.
        let reader = decoder.reader();
        while reader.fill_buf()?.first() == Some(&0) {
            let zeros = reader.buffer().iter().take_while(|byte| **byte == 0).count();
            reader.consume(zeros);
        }
        if reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let Some(decoder) = self.decoder.take() else {
            return Ok(false);
        };
        self.decoder = Some(Member::new(self.compression, decoder.into_reader())?);
        Ok(true)
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.peeked.is_empty() {
                let count = self.peeked.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.peeked[..count]);
                self.peeked.drain(..count);
                self.given(&buffer[..count]);
                return Ok(count);
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let Some(decoder) = &mut self.decoder else {
                break;
            };
            let count = decoder.read(buffer)?;
            if count > 0 {
                self.given(&buffer[..count]);
                return Ok(count);
            }
            if !self.next()? {
                return Ok(0);
            }
            if !self.line.is_empty() && self.begins.is_some() {
                self.peek();
                let line = self.peeked.split(|byte| *byte == b'\n').next().unwrap_or_default();
                if !line.is_empty() && self.begins.as_ref().is_some_and(|begins| begins(&self.line, line)) {
                    self.peeked.insert(0, b'\n');
                }
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
        Self::open(reader, limit, None)
    }

    /// As [`Decoder::new`], for text: where a gzip member's or zstd frame's first line (the second argument of `begins`) begins a file anew behind what the
    /// line before it has so far (the first), that line ends, though it
    /// has no line end. So files that were joined packed read as they would one by one, and a file that was packed in
    /// blocks stays whole.
    ///
    /// # Errors
    /// As those of [`Decoder::new`].
    pub fn lines(reader: R, limit: u64, begins: impl Fn(&[u8], &[u8]) -> bool + Send + 'static) -> io::Result<Self> {
        Self::open(reader, limit, Some(Box::new(begins)))
    }

    fn open(reader: R, limit: u64, begins: Option<Begins>) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let compression = Compression::sniff(reader.fill_buf()?);
        let inner = match compression {
            Compression::None => Inner::None(reader),
            Compression::Gzip | Compression::Zstd => {
                let mut members = Members::new(compression, reader, begins)?;
                members.peek();
                match Compression::sniff(&members.peeked) {
                    Compression::None => Inner::Packed(Box::new(members)),
                    again => {
                        let begins = members.begins.take();
                        let reader = BufReader::with_capacity(BUFFER, Limited { reader: members, left: limit, limit });
                        Inner::Twice(Box::new(Members::new(again, reader, begins)?))
                    }
                }
            }
        };
        Ok(Self { inner: Limited { reader: inner, left: limit, limit }, compression })
    }

    /// What the stream is packed with.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Gives the packed stream back, wherever it stands; `None` when it got lost in an error between two members.
    #[must_use]
    pub fn into_source(self) -> Option<R> {
        match self.inner.reader {
            Inner::None(reader) => Some(reader.into_inner()),
            Inner::Packed(members) => members.into_source(),
            Inner::Twice(members) => members.into_source()?.reader.into_source(),
        }
    }
}

impl<R: Read> Read for Inner<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(reader) => reader.read(buffer),
            Self::Packed(members) => members.read(buffer),
            Self::Twice(members) => members.read(buffer),
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("compression", &self.compression)
            .field("left", &self.inner.left)
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
    fn empty_members_are_passed_over() {
        let members = [gzip(b"one"), gzip(b"").repeat(100_000), gzip(b"two")].concat();
        let mut text = String::new();
        Decoder::lines(&members[..], 100, |_, _| false).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "onetwo");
    }

    #[test]
    fn a_member_that_begins_anew_ends_the_line_before() {
        let members = [gzip(b"one"), gzip(b""), gzip(b"head\nt"), gzip(b"wo"), gzip(b"head")].concat();
        let mut text = String::new();
        let begins = |_: &[u8], line: &[u8]| line == b"head";
        Decoder::lines(&members[..], 100, begins).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\nhead\ntwo\nhead");
        assert_eq!(unpack(&members, 100).unwrap(), b"onehead\ntwohead");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let frames = [frame(b"one"), frame(b""), frame(b"head\nt"), frame(b"wo"), frame(b"head")].concat();
        text.clear();
        Decoder::lines(&frames[..], 100, begins).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\nhead\ntwo\nhead");
    }

    #[test]
    fn what_is_packed_twice_is_unpacked_twice() {
        let envelopes = [gzip(b"one"), gzip(b"head")].concat();
        let begins = |_: &[u8], line: &[u8]| line == b"head";
        for packed in [gzip(&envelopes), zstd::encode_all(&envelopes[..], 1).unwrap()] {
            let mut text = String::new();
            let mut decoder = Decoder::lines(&packed[..], 100, begins).unwrap();
            decoder.read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\nhead");
            assert_eq!(decoder.into_source(), Some(&b""[..]));
        }
        // No more than twice.
        assert!(unpack(&gzip(&gzip(&envelopes)), 100).unwrap().starts_with(&[0x1f, 0x8b]));
        // Nor does it unpack without bound in between.
        let bomb = gzip(&gzip(b"").repeat(1 << 16));
        assert!(unpack(&bomb, 1000).is_err());
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
