//! Frames: one IP packet in every kind of link header that the agent knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, PacketBuilder};

/// What a packet is to say.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Source address; both of one family.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What is above IP.
    pub transport: Transport,
    /// Bytes above the transport header.
    pub payload: usize,
}

/// What is above IP.
#[derive(Debug, Clone, Copy)]
pub enum Transport {
    /// TCP with ports and flags (the header's flags byte).
    Tcp(u16, u16, u8),
    /// UDP with ports.
    Udp(u16, u16),
    /// Another protocol, by its number.
    Other(u8),
}

/// TCP flags as the header has them.
pub const FIN: u8 = 1;
/// SYN.
pub const SYN: u8 = 2;
/// RST.
pub const RST: u8 = 4;
/// PSH.
pub const PSH: u8 = 8;
/// ACK.
pub const ACK: u8 = 16;

/// An IPv4 or IPv6 packet, without a link header.
///
/// # Panics
/// When the addresses are of two families.
#[must_use]
#[expect(clippy::panic, clippy::unwrap_used, reason = "for tests; writing to a Vec cannot fail")]
pub fn ip(packet: &Packet) -> Vec<u8> {
    let payload = vec![0x5a; packet.payload];
    let builder = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => PacketBuilder::ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => PacketBuilder::ipv6(source.octets(), destination.octets(), 64),
        _ => panic!("addresses of two families"),
    };
    let mut bytes = Vec::new();
    match packet.transport {
        Transport::Tcp(source, destination, flags) => {
            let mut builder = builder.tcp(source, destination, 1, 1024);
            for (flag, set) in [FIN, SYN, RST, PSH].into_iter().zip([
                etherparse::PacketBuilderStep::fin as fn(_) -> _,
                etherparse::PacketBuilderStep::syn,
                etherparse::PacketBuilderStep::rst,
                etherparse::PacketBuilderStep::psh,
            ]) {
                if flags & flag != 0 {
                    builder = set(builder);
                }
            }
            if flags & ACK != 0 {
                builder = builder.ack(1);
            }
            builder.write(&mut bytes, &payload).unwrap();
        }
        Transport::Udp(source, destination) => builder.udp(source, destination).write(&mut bytes, &payload).unwrap(),
        Transport::Other(number) => builder.write(&mut bytes, IpNumber(number), &payload).unwrap(),
    }
    bytes
}

/// The link headers that the agent knows, with their LINKTYPE_ numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// Ethernet, one 802.1Q tag.
    Vlan,
    /// Ethernet, an 802.1ad and an 802.1Q tag.
    QinQ,
    /// Ethernet in IEEE 802.3 form: length, LLC, SNAP.
    Snap,
    /// No link header.
    Raw,
    /// Linux cooked, version 1.
    Sll,
    /// Linux cooked, version 2.
    Sll2,
    /// BSD loopback of a little-endian host.
    Null,
    /// OpenBSD loopback.
    Loop,
    /// PPP with address and control bytes.
    Ppp,
    /// Cisco HDLC.
    CiscoHdlc,
    /// Ethernet, PPPoE session.
    Pppoe,
    /// Ethernet, two MPLS labels.
    Mpls,
    /// Ethernet, an MPLS label, a control word, and Ethernet with a VLAN tag below.
    Pseudowire,
    /// Ethernet, a MACsec tag without encryption, four VLAN tags.
    Deep,
    /// Netfilter log.
    Nflog,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Ethernet,
        Self::Vlan,
        Self::QinQ,
        Self::Snap,
        Self::Raw,
        Self::Sll,
        Self::Sll2,
        Self::Null,
        Self::Loop,
        Self::Ppp,
        Self::CiscoHdlc,
        Self::Pppoe,
        Self::Mpls,
        Self::Pseudowire,
        Self::Deep,
        Self::Nflog,
    ];

    /// The LINKTYPE_ number.
    #[must_use]
    pub fn link_type(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet | Self::Vlan | Self::QinQ | Self::Snap => 1,
            Self::Pppoe | Self::Mpls | Self::Pseudowire | Self::Deep => 1,
            Self::Ppp => 9,
            Self::CiscoHdlc => 104,
            Self::Loop => 108,
            Self::Nflog => 239,
            Self::Raw => 101,
            Self::Sll => 113,
            Self::Sll2 => 276,
        }
    }

    /// Puts the link header in front of an IP packet. Cooked headers say that it came in.
    #[must_use]
    pub fn frame(self, packet: &[u8]) -> Vec<u8> {
        let ipv6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let kind: u16 = if ipv6 { 0x86dd } else { 0x0800 };
        let point_to_point: [u8; 2] = if ipv6 { [0, 0x57] } else { [0, 0x21] };
        let kind = kind.to_be_bytes();
        let addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let length = u16::try_from(packet.len() + 8).unwrap_or(0).to_be_bytes();
        let header: Vec<u8> = match self {
            Self::Ethernet => [&addresses[..], &kind].concat(),
            Self::Vlan => [&addresses[..], &[0x81, 0, 0, 100], &kind].concat(),
            Self::QinQ => [&addresses[..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 100], &kind].concat(),
            Self::Snap => [&addresses[..], &length, &[0xaa, 0xaa, 3, 0, 0, 0], &kind].concat(),
            Self::Raw => Vec::new(),
            Self::Sll => [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &kind].concat(),
            Self::Sll2 => [&kind[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat(),
            Self::Null => vec![if ipv6 { 30 } else { 2 }, 0, 0, 0],
            Self::Loop => vec![0, 0, 0, if ipv6 { 24 } else { 2 }],
            Self::Ppp => [&[0xff, 3], &point_to_point[..]].concat(),
            Self::CiscoHdlc => [&[0x0f, 0], &kind[..]].concat(),
            Self::Pppoe => {
                let length = u16::try_from(packet.len() + 2).unwrap_or(0).to_be_bytes();
                [&addresses[..], &[0x88, 0x64, 0x11, 0, 0, 9], &length, &point_to_point].concat()
            }
            Self::Mpls => [&addresses[..], &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]].concat(),
            Self::Pseudowire => {
                [&addresses[..], &[0x88, 0x47, 0, 1, 1, 64, 0, 0, 0, 0], &addresses, &[0x81, 0, 0, 7], &kind].concat()
            }
            Self::Deep => {
                let tags = [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x88, 0xa8, 0, 3, 0x91, 0, 0, 4];
                [&addresses[..], &[0x88, 0xe5, 0x20, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 1], &tags, &kind].concat()
            }
            Self::Nflog => {
                let prefix = [10, 0, 10, 0, b'd', b'r', b'o', b'p', b':', 0, 0, 0];
                let length = u16::try_from(packet.len() + 4).unwrap_or(0).to_le_bytes();
                let family = if ipv6 { 10 } else { 2 };
                [&[family, 0, 0, 5, 8, 0, 1, 0][..], &kind, &[1, 0], &prefix, &length, &[9, 0]].concat()
            }
        };
        [header, packet.to_vec()].concat()
    }
}

/// An IPv4 address 10.x.y.z of a number.
#[must_use]
pub fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 | (number & 0x00ff_ffff)).into()
}

/// An IPv6 address 2001:db8::n of a number.
#[must_use]
pub fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number)).into()
}
