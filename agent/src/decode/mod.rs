//! From a captured frame to the 5-tuple of its outermost IP header. Pure: bytes in, values out.
//!
//! What cannot be decoded is named ([`Undecoded`]), never guessed. Reads no clock and keeps nothing between packets,
//! except that [`Fragments`] remembers first fragments, by packet time.

mod fragment;
mod ip;
mod link;
mod nflog;
mod ppp;
mod prohibited;
mod tunnel;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use fragment::{FRAGMENTS_LIVE_US, FragmentId, Fragments};
pub use link::LINKTYPE_NFLOG;
pub use prohibited::prohibited;
pub use tunnel::{Tunnel, Tunnels};

use crate::capture::Direction;

/// Addresses, ports and protocol of one direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// Source address, network byte order; IPv4 in the first four bytes, the rest zero.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// Source port; 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port; 0 where the protocol has none.
    pub destination_port: u16,
    /// IANA protocol number: the first header that is not an IPv6 extension header to look through.
    pub protocol: u8,
    /// Whether the addresses are IPv6.
    pub ipv6: bool,
}

impl FiveTuple {
    /// The source address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        address(&self.source, self.ipv6)
    }

    /// The destination address.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        address(&self.destination, self.ipv6)
    }
}

/// What flow records need of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// The 5-tuple, with the packet's own ports.
    pub tuple: FiveTuple,
    /// IP total length; where the header says 0 (segmentation offload, jumbogram) the wire length less the link header.
    pub ip_bytes: u32,
    /// Flags as AWS records them: FIN 1, SYN 2, RST 4, and 16 for SYN with ACK.
    pub tcp_flags: u8,
    /// The direction that a cooked header or the firewall's hook tells.
    pub direction: Option<Direction>,
    /// That the firewall dropped it: it was captured from its log (NFLOG), not on an interface.
    pub dropped: Option<Dropped>,
    /// The packet's own time in microseconds since the epoch, where that is better than the capture's.
    pub time_us: Option<i64>,
    /// Whether the ports are missing though the protocol has some: cut off by the snap length, or a later fragment.
    pub ports_missing: bool,
    /// For a fragment, which datagram it is of and whether it is the first.
    pub fragment: Option<FragmentId>,
}

impl Decoded {
    fn of(tuple: FiveTuple, ip_bytes: u32) -> Self {
        Self {
            tuple,
            ip_bytes,
            tcp_flags: 0,
            direction: None,
            dropped: None,
            time_us: None,
            ports_missing: false,
            fragment: None,
        }
    }
}

/// Where the firewall dropped a packet: the devices that it came in by, or, dropped on its way out, those it was to leave
/// by. Numbers are the kernel's (ifindex), 0 where it names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// The device.
    pub device: u32,
    /// The port, where the device is a bridge.
    pub port: u32,
}

/// Why a packet has no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Undecoded {
    /// No IP packet: ARP, spanning tree, LLDP and the like.
    NotIp,
    /// A link type that is not known here.
    UnknownLinkType,
    /// Captured too short to see addresses and protocol.
    CutOff,
    /// Header lengths or versions that contradict each other.
    Malformed,
}

impl Undecoded {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::NotIp, Self::UnknownLinkType, Self::CutOff, Self::Malformed];

    /// The reason in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not IP",
            Self::UnknownLinkType => "unknown link type",
            Self::CutOff => "captured too short for addresses and protocol",
            Self::Malformed => "malformed headers",
        }
    }
}

/// Decodes one frame of a LINKTYPE_. `wire_length` is the frame's length before it was cut to the snap length. Inside
/// `tunnels` the innermost IP header counts; where that cannot be read, the last one that can.
///
/// # Errors
/// Why it has no 5-tuple.
#[inline]
pub fn decode(link_type: u16, frame: &[u8], wire_length: u32, tunnels: Tunnels) -> Result<Decoded, Undecoded> {
    let link = link::strip(link_type, frame, wire_length)?;
    let (packet, wire_length) = behind(frame, link.header_length, wire_length);
    let mut decoded = tunnel::innermost(packet, wire_length, tunnels)?;
    decoded.direction = link.direction;
    decoded.dropped = link.dropped;
    decoded.time_us = link.time_us;
    Ok(decoded)
}

/// What is behind a header, captured and on the wire.
fn behind(bytes: &[u8], header_length: usize, wire_length: u32) -> (&[u8], u32) {
    let wire_length = wire_length.saturating_sub(u32::try_from(header_length).unwrap_or(u32::MAX));
    (bytes.get(header_length..).unwrap_or_default(), wire_length)
}

/// Whether frames of this LINKTYPE_ are decoded.
#[must_use]
pub fn knows_link_type(link_type: u16) -> bool {
    link::strip(link_type, &[], 0) != Err(Undecoded::UnknownLinkType)
}

fn address(bytes: &[u8; 16], ipv6: bool) -> IpAddr {
    if ipv6 {
        return Ipv6Addr::from(*bytes).into();
    }
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()
}
