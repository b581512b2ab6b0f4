//! pcapng: several sections of either byte order, several interfaces of any time resolution.
//!
//! Section and interface blocks are read by pcap-parser; packet blocks, which come once per packet, here, without
//! allocating. The interface's time options are decoded here too, because the library knows neither powers of two nor
//! big-endian offsets. Format: draft-ietf-opsawg-pcapng.

use std::io::Read;

use pcap_parser::{
    InterfaceDescriptionBlock, OptionCode, parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
};

use super::{
    Direction, Interface, Packet,
    buffer::{Buffer, Damage, MAX_RECORD},
};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and length in front of a block's body, length behind it.
const BLOCK_HEADER: usize = 8;
const BLOCK_FRAME: usize = 12;
/// The option of an enhanced packet block whose two lowest bits tell the direction.
const EPB_FLAGS: u16 = 2;
/// More interfaces are not believed, and would let a file take memory without end.
const MAX_INTERFACES: usize = 4096;

#[derive(Debug)]
pub(super) struct PcapngReader<R> {
    buffer: Buffer<R>,
    interfaces: Vec<Interface>,
    clocks: Vec<Clock>,
    /// Index of the section's interface 0.
    section_start: usize,
    big_endian: bool,
    packets_without_interface: u64,
    /// Bytes of the block given out last, still in the buffer.
    given: usize,
}

/// How an interface's timestamps and lengths are meant.
#[derive(Debug, Clone, Copy)]
struct Clock {
    units_per_second: u64,
    offset_seconds: i64,
    snap_length: u32,
}

/// A packet block, decoded; `data` is a range of the block.
struct PacketBlock {
    /// In its section.
    interface: u32,
    /// `None` in a simple packet block, which has no time.
    ticks: Option<u64>,
    wire_length: u32,
    direction: Option<Direction>,
    data: std::ops::Range<usize>,
}

impl<R: Read> PcapngReader<R> {
    pub(super) fn open(buffer: Buffer<R>) -> Result<Self, Damage> {
        let mut reader = Self {
            buffer,
            interfaces: Vec::new(),
            clocks: Vec::new(),
            section_start: 0,
            big_endian: false,
            packets_without_interface: 0,
            given: 0,
        };
        // The caller saw the type of a section header.
        reader.section()?;
        Ok(reader)
    }

    pub(super) fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Damage> {
        loop {
            self.buffer.consume(self.given);
            self.given = 0;
            let Some((kind, length)) = self.block_header()? else {
                return Ok(None);
            };
            match kind {
                SECTION_HEADER => self.section()?,
                INTERFACE_DESCRIPTION => self.interface(length)?,
                ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {
                    self.whole_block(length)?;
                    self.given = length;
                    let packet = self.packet_block(kind, length).map_err(|cause| self.buffer.damage(cause))?;
                    let index = self.section_start + packet.interface as usize;
                    let Some(clock) = self.clocks.get(index) else {
                        self.packets_without_interface += 1;
                        continue;
                    };
                    return Ok(Some(Packet {
                        time_us: packet.ticks.map_or(0, |ticks| clock.microseconds(ticks)),
                        interface: index,
                        link_type: self.interfaces[index].link_type,
                        direction: packet.direction,
                        data: &self.buffer.available()[packet.data],
                        wire_length: packet.wire_length,
                    }));
                }
                // Names, statistics, secrets, comments and what is yet to be invented.
                _ => self.skip_block(length)?,
            }
        }
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    pub(super) fn packets_without_interface(&self) -> u64 {
        self.packets_without_interface
    }

    pub(super) fn source(&self) -> &R {
        self.buffer.reader()
    }

    /// Type and total length of the block that the window stands at; `None` at the end of the file.
    fn block_header(&mut self) -> Result<Option<(u32, usize)>, Damage> {
        let bytes = self.buffer.fill(BLOCK_HEADER)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() < BLOCK_HEADER {
            return Err(self.buffer.damage("cut off inside a block header"));
        }
        let (kind, length) = (word(bytes, 0, self.big_endian), word(bytes, 4, self.big_endian));
        // A section header reads the same in both byte orders, its length does not: section() sees to it.
        if kind != SECTION_HEADER && ((length as usize) < BLOCK_FRAME || !length.is_multiple_of(4)) {
            return Err(self.buffer.damage(format!("a block of type {kind:#x} that claims a length of {length}")));
        }
        Ok(Some((kind, length as usize)))
    }

    /// Brings a whole block into the window.
    fn whole_block(&mut self, length: usize) -> Result<(), Damage> {
        if length > MAX_RECORD {
            return Err(self.buffer.damage(format!("a block that claims {length} bytes")));
        }
        let there = self.buffer.fill(length)?.len();
        if there < length {
            return Err(self.buffer.damage(format!("cut off inside a block: {there} of {length} bytes")));
        }
        let block = self.buffer.available();
        if word(block, length - 4, self.big_endian) as usize != length {
            return Err(self.buffer.damage("a block whose two lengths differ"));
        }
        Ok(())
    }

    fn skip_block(&mut self, length: usize) -> Result<(), Damage> {
        let at = self.buffer.offset();
        if self.buffer.skip(length as u64)? {
            return Ok(());
        }
        Err(Damage { offset: at, cause: "cut off inside a block".to_owned(), source: None })
    }

    fn section(&mut self) -> Result<(), Damage> {
        let bytes = self.buffer.fill(12)?;
        if bytes.len() < 12 {
            return Err(self.buffer.damage("cut off inside a section header"));
        }
        self.big_endian = match (word(bytes, 8, false), word(bytes, 8, true)) {
            (BYTE_ORDER_MAGIC, _) => false,
            (_, BYTE_ORDER_MAGIC) => true,
            _ => return Err(self.buffer.damage("a section header without the byte-order magic")),
        };
        let length = word(bytes, 4, self.big_endian) as usize;
        if length < 28 || !length.is_multiple_of(4) {
            return Err(self.buffer.damage(format!("a section header that claims a length of {length}")));
        }
        self.section_start = self.interfaces.len();
        self.skip_block(length)
    }

    fn interface(&mut self, length: usize) -> Result<(), Damage> {
        self.whole_block(length)?;
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(self.buffer.damage(format!("more than {MAX_INTERFACES} interfaces")));
        }
        let block = &self.buffer.available()[..length];
        let parsed = if self.big_endian {
            parse_interfacedescriptionblock_be(block)
        } else {
            parse_interfacedescriptionblock_le(block)
        };
        let Ok((_, description)) = parsed else {
            return Err(self.buffer.damage("an interface description that cannot be read"));
        };
        let number = self.interfaces.len() - self.section_start;
        let interface = Interface {
            name: match description.if_name() {
                Some(Ok(name)) if !name.is_empty() => name.to_owned(),
                _ => format!("interface {number}"),
            },
            link_type: u16::try_from(description.linktype.0).unwrap_or(u16::MAX),
        };
        let clock = Clock::of(&description, self.big_endian);
        self.interfaces.push(interface);
        self.clocks.push(clock);
        self.buffer.consume(length);
        Ok(())
    }

    /// Decodes the packet block in the window.
    fn packet_block(&self, kind: u32, length: usize) -> Result<PacketBlock, String> {
        let block = &self.buffer.available()[..length];
        let body = if kind == SIMPLE_PACKET { 12 } else { 28 };
        if length < body + 4 {
            return Err(format!("a packet block of {length} bytes"));
        }
        let at = |offset| word(block, offset, self.big_endian);
        if kind == SIMPLE_PACKET {
            let wire_length = at(8);
            let snap_length = self.clocks.get(self.section_start).map_or(0, |clock| clock.snap_length);
            let limit = if snap_length == 0 { u32::MAX } else { snap_length };
            let captured = (wire_length.min(limit) as usize).min(length - body - 4);
            let data = body..body + captured;
            return Ok(PacketBlock { interface: 0, ticks: None, wire_length, direction: None, data });
        }
        let interface = if kind == ENHANCED_PACKET { at(8) } else { u32::from(half(block, 8, self.big_endian)) };
        let captured = at(20) as usize;
        if captured > length - body - 4 {
            return Err(format!("a packet block of {length} bytes that claims {captured} captured bytes"));
        }
        let options = body + captured.next_multiple_of(4);
        let direction = match kind {
            ENHANCED_PACKET if options + 8 <= length - 4 => direction(&block[options..length - 4], self.big_endian),
            _ => None,
        };
        Ok(PacketBlock {
            interface,
            ticks: Some(u64::from(at(12)) << 32 | u64::from(at(16))),
            wire_length: at(24),
            direction,
            data: body..body + captured,
        })
    }
}

impl Clock {
    fn of(description: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let value = |code: OptionCode| description.options.iter().find(|option| option.code == code);
        let resolution = value(OptionCode::IfTsresol).and_then(|option| option.value.first().copied()).unwrap_or(6);
        let exponent = u32::from(resolution & 0x7f);
        let units_per_second = match resolution & 0x80 {
            0 => 10_u64.checked_pow(exponent),
            _ => 2_u64.checked_pow(exponent),
        };
        let offset = value(OptionCode::IfTsoffset).and_then(|option| <[u8; 8]>::try_from(option.value.get(..8)?).ok());
        let offset_seconds =
            offset.map_or(0, |raw| if big_endian { i64::from_be_bytes(raw) } else { i64::from_le_bytes(raw) });
        // Finer than 64 bits can count: every timestamp is then in the first second.
        Self {
            units_per_second: units_per_second.unwrap_or(u64::MAX),
            offset_seconds,
            snap_length: description.snaplen,
        }
    }

    fn microseconds(self, ticks: u64) -> i64 {
        let seconds = ticks / self.units_per_second;
        let fraction = u128::from(ticks % self.units_per_second) * 1_000_000 / u128::from(self.units_per_second);
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(self.offset_seconds);
        seconds.saturating_mul(1_000_000).saturating_add(i64::try_from(fraction).unwrap_or(0))
    }
}

/// The direction in an enhanced packet block's options, where they have the flags word.
fn direction(mut options: &[u8], big_endian: bool) -> Option<Direction> {
    while options.len() >= 8 {
        let (code, length) = (half(options, 0, big_endian), usize::from(half(options, 2, big_endian)));
        if code == EPB_FLAGS && length == 4 {
            return match word(options, 4, big_endian) & 3 {
                1 => Some(Direction::Ingress),
                2 => Some(Direction::Egress),
                _ => None,
            };
        }
        if code == 0 {
            return None;
        }
        options = options.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let raw = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
}

fn half(bytes: &[u8], at: usize, big_endian: bool) -> u16 {
    let raw = [bytes[at], bytes[at + 1]];
    if big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
}
