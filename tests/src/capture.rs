//! Writing captures: classic pcap and pcapng, in either byte order and any time resolution.

/// A frame with the time it was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// The captured bytes.
    pub frame: Vec<u8>,
    /// The length on the wire.
    pub wire_length: u32,
    /// The interface in a pcapng.
    pub interface: u32,
}

impl Seen {
    /// A frame that was captured whole, at a time in seconds.
    #[must_use]
    pub fn whole(seconds: u64, frame: Vec<u8>) -> Self {
        let wire_length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        Self { time_ns: seconds * 1_000_000_000, frame, wire_length, interface: 0 }
    }
}

/// How a classic pcap is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pcap {
    /// Byte order.
    pub big_endian: bool,
    /// Time in nano- instead of microseconds.
    pub nanoseconds: bool,
}

impl Pcap {
    /// The file.
    #[must_use]
    pub fn write(self, link_type: u16, frames: &[Seen]) -> Vec<u8> {
        let mut out = Words::new(self.big_endian);
        out.word(if self.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
        out.half(2);
        out.half(4);
        for word in [0, 0, 262_144, link_type.into()] {
            out.word(word);
        }
        for seen in frames {
            let (seconds, fraction) = (seen.time_ns / 1_000_000_000, seen.time_ns % 1_000_000_000);
            out.word(low(seconds));
            out.word(low(if self.nanoseconds { fraction } else { fraction / 1000 }));
            out.word(low(seen.frame.len() as u64));
            out.word(seen.wire_length);
            out.bytes.extend_from_slice(&seen.frame);
        }
        out.bytes
    }
}

/// An interface of a pcapng.
#[derive(Debug, Clone, Copy)]
pub struct Interface<'a> {
    /// LINKTYPE_ number.
    pub link_type: u16,
    /// `if_name`; empty writes none.
    pub name: &'a str,
    /// `if_tsresol` as the format has it: a power of ten, or of two with the highest bit set. `None` writes none.
    pub resolution: Option<u8>,
    /// `if_tsoffset` in seconds; 0 writes none.
    pub offset: i64,
}

/// A pcapng in the making.
#[derive(Debug)]
pub struct Pcapng {
    out: Words,
    interfaces: Vec<(u64, i64)>,
}

impl Pcapng {
    /// Starts with an empty section.
    #[must_use]
    pub fn new(big_endian: bool) -> Self {
        let mut file = Self { out: Words::new(big_endian), interfaces: Vec::new() };
        file.section(big_endian);
        file
    }

    /// Starts another section, in its own byte order.
    pub fn section(&mut self, big_endian: bool) {
        self.out.big_endian = big_endian;
        self.interfaces.clear();
        let mut body = Words::new(big_endian);
        body.word(0x1a2b_3c4d);
        body.half(1);
        body.half(0);
        body.word(u32::MAX);
        body.word(u32::MAX);
        self.block(0x0a0d_0d0a, &body.bytes);
    }

    /// Describes an interface.
    pub fn interface(&mut self, interface: Interface<'_>) {
        let resolution = interface.resolution.unwrap_or(6);
        let exponent = u32::from(resolution & 0x7f);
        let units = if resolution & 0x80 == 0 { 10_u64.pow(exponent) } else { 2_u64.pow(exponent) };
        self.interfaces.push((units, interface.offset));
        let mut body = Words::new(self.out.big_endian);
        body.half(interface.link_type);
        body.half(0);
        body.word(0);
        if !interface.name.is_empty() {
            body.option(2, interface.name.as_bytes());
        }
        if let Some(resolution) = interface.resolution {
            body.option(9, &[resolution]);
        }
        if interface.offset != 0 {
            let raw = if body.big_endian { interface.offset.to_be_bytes() } else { interface.offset.to_le_bytes() };
            body.option(14, &raw);
        }
        body.option(0, &[]);
        self.block(1, &body.bytes);
    }

    /// An enhanced packet; `direction` is that of its flags word: 1 in, 2 out.
    pub fn packet(&mut self, seen: &Seen, direction: Option<u32>) {
        let (units, offset) = self.interfaces.get(seen.interface as usize).copied().unwrap_or((1_000_000, 0));
        let nanoseconds = i128::from(seen.time_ns) - i128::from(offset) * 1_000_000_000;
        let ticks = u64::try_from(nanoseconds * i128::from(units) / 1_000_000_000).unwrap_or(0);
        let mut body = Words::new(self.out.big_endian);
        for word in [seen.interface, low(ticks >> 32), low(ticks), low(seen.frame.len() as u64), seen.wire_length] {
            body.word(word);
        }
        body.padded(&seen.frame);
        if let Some(direction) = direction {
            let raw = if body.big_endian { direction.to_be_bytes() } else { direction.to_le_bytes() };
            body.option(1, b"a comment");
            body.option(2, &raw);
            body.option(0, &[]);
        }
        self.block(6, &body.bytes);
    }

    /// A simple packet of interface 0: it has no time.
    pub fn simple_packet(&mut self, frame: &[u8]) {
        let mut body = Words::new(self.out.big_endian);
        body.word(low(frame.len() as u64));
        body.padded(frame);
        self.block(3, &body.bytes);
    }

    /// A block of any type.
    pub fn block(&mut self, kind: u32, body: &[u8]) {
        let length = low(body.len() as u64 + 12);
        self.out.word(kind);
        self.out.word(length);
        self.out.bytes.extend_from_slice(body);
        self.out.word(length);
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out.bytes
    }
}

#[derive(Debug)]
struct Words {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Words {
    fn new(big_endian: bool) -> Self {
        Self { bytes: Vec::new(), big_endian }
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend(if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() });
    }

    fn half(&mut self, half: u16) {
        self.bytes.extend(if self.big_endian { half.to_be_bytes() } else { half.to_le_bytes() });
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.half(code);
        self.half(u16::try_from(value.len()).unwrap_or(0));
        self.padded(value);
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}
