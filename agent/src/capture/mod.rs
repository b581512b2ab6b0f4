//! Where packets come from: capture files, classic pcap and pcapng, and live devices.
//!
//! Owns what a packet is before anyone looks inside it. Does not decode. A file is read without libpcap, so that hostile
//! ones meet no C code.

mod buffer;
mod file;
pub mod live;
mod pcap;
mod pcapng;

pub use buffer::Damage;
pub use file::CaptureFile;

/// Which way a packet crossed its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Into the interface.
    Ingress,
    /// Out of the interface.
    Egress,
}

/// An interface of a capture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name where the file gives one, else its number, such as `interface 0`.
    pub name: String,
    /// Its LINKTYPE_ number.
    pub link_type: u16,
}

/// One captured packet, borrowed from the reader's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Microseconds since the Unix epoch, by the capturing clock.
    pub time_us: i64,
    /// The file's interface that saw it: an index into [`CaptureFile::interfaces`].
    pub interface: usize,
    /// The LINKTYPE_ number of the outermost header.
    pub link_type: u16,
    /// What the capture says of its way; `None` when it says nothing.
    pub direction: Option<Direction>,
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// The length on the wire, link header included. At least as long as `data`, unless the file lies.
    pub wire_length: u32,
}
