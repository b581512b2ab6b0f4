//! Classic pcap: both byte orders, micro- and nanoseconds.
//!
//! The file header is read by pcap-parser; the 16-byte record header, which comes once per packet, here. Format:
//! draft-ietf-opsawg-pcap.

use std::io::Read;

use pcap_parser::{nom::Err as NomError, parse_pcap_header};

use super::{
    Interface, Packet,
    buffer::{Buffer, Damage, MAX_RECORD},
};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The record header of Alexey Kuznetsov's patched libpcap (magic 0xa1b2cd34), which adds interface, protocol and type.
const PATCHED_RECORD_HEADER: usize = 24;

#[derive(Debug)]
pub(super) struct PcapReader<R> {
    buffer: Buffer<R>,
    interface: [Interface; 1],
    big_endian: bool,
    nanoseconds: bool,
    record_header: usize,
    /// Bytes of the packet given out last, still in the buffer.
    given: usize,
}

impl<R: Read> PcapReader<R> {
    pub(super) fn open(mut buffer: Buffer<R>) -> Result<Self, Damage> {
        let bytes = buffer.fill(FILE_HEADER)?;
        let header = match parse_pcap_header(bytes) {
            Ok((_, header)) => header,
            Err(NomError::Incomplete(_)) => return Err(buffer.damage("cut off inside the pcap file header")),
            Err(_) => return Err(buffer.damage("not a pcap or pcapng capture")),
        };
        // The upper bits say how long the frame check sequence is.
        let link_type = u16::try_from(header.network.0 & 0xffff).unwrap_or(u16::MAX);
        let (big_endian, nanoseconds) = (header.is_bigendian(), header.is_nanosecond_precision());
        let record_header = if header.is_modified_format() { PATCHED_RECORD_HEADER } else { RECORD_HEADER };
        buffer.consume(FILE_HEADER);
        let interface = [Interface { name: "interface 0".to_owned(), link_type }];
        Ok(Self { buffer, interface, big_endian, nanoseconds, record_header, given: 0 })
    }

    #[inline]
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Damage> {
        self.buffer.consume(self.given);
        self.given = 0;
        let bytes = self.buffer.fill(self.record_header)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() < self.record_header {
            return Err(self.buffer.damage("cut off inside a record header"));
        }
        let word = |at: usize| {
            let raw = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
        };
        let (seconds, fraction, captured, wire_length) = (word(0), word(4), word(8), word(12));
        let length = captured as usize;
        if length > MAX_RECORD {
            return Err(self.buffer.damage(format!("a record that claims {captured} captured bytes")));
        }
        let whole = self.record_header + length;
        if self.buffer.fill(whole)?.len() < whole {
            let there = self.buffer.available().len() - self.record_header;
            return Err(self.buffer.damage(format!("cut off inside a packet: {there} of {length} bytes")));
        }
        self.given = whole;
        let fraction_us = if self.nanoseconds { fraction / 1000 } else { fraction };
        Ok(Some(Packet {
            time_us: i64::from(seconds) * 1_000_000 + i64::from(fraction_us),
            interface: 0,
            link_type: self.interface[0].link_type,
            direction: None,
            data: &self.buffer.available()[self.record_header..whole],
            wire_length,
        }))
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interface
    }

    pub(super) fn source(&self) -> &R {
        self.buffer.reader()
    }
}
