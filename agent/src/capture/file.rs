//! A capture file of either format.

use std::io::Read;

use super::{
    Interface, Packet,
    buffer::{Buffer, Damage},
    pcap::PcapReader,
    pcapng::PcapngReader,
};

/// A capture file, read packet by packet. Memory is bounded by one record of at most 16 MiB.
#[derive(Debug)]
pub struct CaptureFile<R>(Reader<R>);

#[derive(Debug)]
enum Reader<R> {
    Pcap(PcapReader<R>),
    Pcapng(PcapngReader<R>),
}

impl<R: Read> CaptureFile<R> {
    /// Reads the file's header, told by content. `reader` gives the capture unpacked.
    ///
    /// # Errors
    /// When the stream is empty, is no capture, or its header is damaged.
    pub fn open(reader: R) -> Result<Self, Damage> {
        let mut buffer = Buffer::new(reader);
        let start = buffer.fill(4)?;
        if start.is_empty() {
            return Err(buffer.damage("empty: not even a capture header"));
        }
        if start.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            return PcapngReader::open(buffer).map(|reader| Self(Reader::Pcapng(reader)));
        }
        PcapReader::open(buffer).map(|reader| Self(Reader::Pcap(reader)))
    }

    /// The next packet; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read. Every packet before was given; there are none after.
    #[inline]
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Damage> {
        match &mut self.0 {
            Reader::Pcap(reader) => reader.next_packet(),
            Reader::Pcapng(reader) => reader.next_packet(),
        }
    }

    /// The interfaces seen so far; sections of a pcapng append theirs.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        match &self.0 {
            Reader::Pcap(reader) => reader.interfaces(),
            Reader::Pcapng(reader) => reader.interfaces(),
        }
    }

    /// Packets of a pcapng that name an interface which the file never described. Not among those given.
    #[must_use]
    pub fn packets_without_interface(&self) -> u64 {
        match &self.0 {
            Reader::Pcap(_) => 0,
            Reader::Pcapng(reader) => reader.packets_without_interface(),
        }
    }

    /// The stream below.
    #[must_use]
    pub fn source(&self) -> &R {
        match &self.0 {
            Reader::Pcap(reader) => reader.source(),
            Reader::Pcapng(reader) => reader.source(),
        }
    }
}
