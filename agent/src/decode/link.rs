//! Link headers: what stands before the IP header, and how long it is.
//!
//! Link types are the LINKTYPE_ numbers of the tcpdump group; files written by old tools hold DLT_ numbers, which differ
//! for raw IP. Below Ethernet any bounded depth of VLAN, backbone-bridge, VN, E and MACsec tags, MPLS and PPPoE is looked through.

use etherparse::{EtherType, Ipv4HeaderSlice, ether_type};

use super::{Dropped, Undecoded, nflog, ppp};
use crate::capture::Direction;

const LINKTYPE_NULL: u16 = 0;
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_PPP: u16 = 9;
const LINKTYPE_PPP_HDLC: u16 = 50;
const LINKTYPE_PPP_ETHER: u16 = 51;
const LINKTYPE_C_HDLC: u16 = 104;
const LINKTYPE_LOOP: u16 = 108;
const LINKTYPE_LINUX_SLL: u16 = 113;
const LINKTYPE_PPP_WITH_DIR: u16 = 204;
const LINKTYPE_MPLS: u16 = 219;
/// The firewall's log.
pub const LINKTYPE_NFLOG: u16 = 239;
const LINKTYPE_LINUX_SLL2: u16 = 276;
const LINKTYPE_IPV4: u16 = 228;
const LINKTYPE_IPV6: u16 = 229;
/// LINKTYPE_RAW, and DLT_RAW on most systems and on OpenBSD.
const LINKTYPES_RAW: [u16; 3] = [101, 12, 14];

const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
/// LLC, SNAP and the EtherType.
const SNAP: usize = 8;
/// The I-TAG (IEEE 802.1ah): its control information and the customer's two addresses.
const BACKBONE_TAG: usize = 18;
const VN_TAG: usize = 6;
/// IEEE 802.1BR.
const EXTENDER_TAG: usize = 8;
/// Version, length, a security group tag as the only option, and the EtherType.
const METADATA_TAG: usize = 8;
const MPLS_LABEL: usize = 4;
const PPPOE_HEADER: usize = 6;
const SLL_HEADER: usize = 16;
const SLL2_HEADER: usize = 20;
/// Below this the type field of an Ethernet frame is a length (IEEE 802.3 clause 3.2.6).
const FIRST_ETHER_TYPE: u16 = 0x0600;
/// LLC and SNAP in front of an EtherType (RFC 1042).
const SNAP_OVER_LLC: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// EtherTypes beside those that etherparse names.
const VLAN_OLD: EtherType = EtherType(0x9200);
const BACKBONE: EtherType = EtherType(0x88e7);
const VN: EtherType = EtherType(0x8926);
const MACSEC: EtherType = EtherType(0x88e5);
const CISCO_METADATA: EtherType = EtherType(0x8909);
const SERVICE_CHAIN: EtherType = EtherType(0x894f);
const FABRIC_PATH: EtherType = EtherType(0x8903);
const E_TAG: EtherType = EtherType(0x893f);
const MPLS: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
const LINK_LAYER_DISCOVERY: EtherType = EtherType(0x88cc);
/// What a frame of the latter begins with (IEEE 802.1AB).
const CHASSIS_ID: u8 = 2;
/// Headers of one frame that are looked through. Frames with more are no traffic of this world.
const MAX_DEPTH: usize = 24;
/// The packet type of a cooked header for what this host sent (if_packet.h).
const PACKET_OUTGOING: u8 = 4;

/// What a link header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Bytes in front of the IP header; within the frame.
    pub(super) header_length: usize,
    pub(super) direction: Option<Direction>,
    /// That the firewall dropped the packet: it came by way of its log.
    pub(super) dropped: Option<Dropped>,
    /// The packet's own time, where the header has a better one than the capture.
    pub(super) time_us: Option<i64>,
}

/// How far a frame may be looked through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Headers.
    pub(super) depth: usize,
    /// Bytes that the frame had on the wire behind those that were captured.
    pub(super) not_captured: usize,
}

impl Reach {
    /// Of a frame.
    fn of(frame: &[u8], wire_length: u32) -> Self {
        let wire_length = usize::try_from(wire_length).unwrap_or(usize::MAX);
        Self { depth: MAX_DEPTH, not_captured: wire_length.saturating_sub(frame.len()) }
    }

    /// One header less.
    fn less(self) -> Result<Self, Undecoded> {
        Ok(Self { depth: self.depth.checked_sub(1).ok_or(Undecoded::Malformed)?, ..self })
    }

    fn half(self) -> Self {
        Self { depth: self.depth / 2, ..self }
    }
}

/// Finds the IP header of a frame.
#[inline]
pub(super) fn strip(link_type: u16, frame: &[u8], wire_length: u32) -> Result<Link, Undecoded> {
    let reach = Reach::of(frame, wire_length);
    let (mut direction, mut dropped, mut time_us) = (None, None, None);
    let header_length = match link_type {
        LINKTYPE_ETHERNET => ethernet(frame, 0, reach),
        raw if LINKTYPES_RAW.contains(&raw) => Ok(0),
        LINKTYPE_IPV4 => ip(frame, 0, 4),
        LINKTYPE_IPV6 => ip(frame, 0, 6),
        LINKTYPE_LINUX_SLL => {
            let protocol = ether_type_at(frame, 14)?;
            direction = Some(cooked_direction(frame[1]));
            ether_payload(frame, SLL_HEADER, protocol, reach)
        }
        LINKTYPE_LINUX_SLL2 => {
            let protocol = ether_type_at(frame, 0)?;
            direction = Some(cooked_direction(*frame.get(10).ok_or(Undecoded::CutOff)?));
            ether_payload(frame, SLL2_HEADER, protocol, reach)
        }
        LINKTYPE_NULL | LINKTYPE_LOOP => address_family(frame),
        LINKTYPE_PPP | LINKTYPE_PPP_HDLC => point_to_point(frame, 0, reach),
        LINKTYPE_PPP_WITH_DIR => {
            let sent = *frame.first().ok_or(Undecoded::CutOff)? != 0;
            direction = Some(if sent { Direction::Egress } else { Direction::Ingress });
            point_to_point(frame, 1, reach)
        }
        LINKTYPE_PPP_ETHER => point_to_point(frame, PPPOE_HEADER, reach),
        LINKTYPE_C_HDLC => ether_payload(frame, 4, ether_type_at(frame, 2)?, reach),
        LINKTYPE_MPLS => mpls(frame, 0, reach),
        LINKTYPE_NFLOG => {
            let logged = nflog::decode(frame)?;
            (direction, dropped, time_us) = (logged.direction, Some(logged.dropped), logged.time_us);
            Ok(logged.payload)
        }
        _ => return Err(Undecoded::UnknownLinkType),
    }?;
    if header_length > frame.len() {
        return Err(Undecoded::CutOff);
    }
    Ok(Link { header_length, direction, dropped, time_us })
}

/// An Ethernet frame that starts at `start`; also what tunnels and pseudowires carry. Gives where its IP header starts.
pub(super) fn ethernet(frame: &[u8], start: usize, reach: Reach) -> Result<usize, Undecoded> {
    let behind = start + ETHERNET_HEADER;
    ether_payload(frame, behind, ether_type_at(frame, behind - 2)?, reach)
}

/// An IP header that something in front of it announced by its version. What says otherwise of itself no stack would take.
fn ip(frame: &[u8], at: usize, version: u8) -> Result<usize, Undecoded> {
    match frame.get(at).ok_or(Undecoded::CutOff)? >> 4 {
        found if found == version => Ok(at),
        _ => Err(Undecoded::Malformed),
    }
}

/// Looks through tags and labels, from the byte behind an EtherType on.
pub(super) fn ether_payload(
    frame: &[u8],
    mut at: usize,
    mut ether_type: EtherType,
    mut reach: Reach,
) -> Result<usize, Undecoded> {
    loop {
        reach = reach.less()?;
        let tag = match ether_type {
            ether_type::IPV4 => return ip(frame, at, 4),
            ether_type::IPV6 => return ip(frame, at, 6),
            ether_type::VLAN_TAGGED_FRAME
            | ether_type::PROVIDER_BRIDGING
            | ether_type::VLAN_DOUBLE_TAGGED_FRAME
            | VLAN_OLD => VLAN_TAG,
            BACKBONE => BACKBONE_TAG,
            VN => VN_TAG,
            CISCO_METADATA => METADATA_TAG,
            E_TAG => EXTENDER_TAG,
            MACSEC => security_tag(frame, at)?,
            length if length.0 < FIRST_ETHER_TYPE => match frame.get(at..at + 6) {
                Some(llc) if llc == SNAP_OVER_LLC => SNAP,
                _ => return Err(Undecoded::NotIp),
            },
            MPLS | MPLS_MULTICAST => return mpls(frame, at, reach),
            // Two bytes of forwarding tag and time to live.
            FABRIC_PATH => return ethernet(frame, at + 2, reach),
            SERVICE_CHAIN => return service_header(frame, at, reach),
            PPPOE_SESSION => return point_to_point(frame, at + PPPOE_HEADER, reach),
            _ => return Err(Undecoded::NotIp),
        };
        ether_type = ether_type_at(frame, at + tag - 2)?;
        at += tag;
    }
}

/// A network service header (RFC 8300) of any length.
fn service_header(frame: &[u8], at: usize, reach: Reach) -> Result<usize, Undecoded> {
    const IP: [u8; 2] = [1, 2];
    const ETHERNET: u8 = 3;
    const MPLS: u8 = 5;
    let base = frame.get(at..at + 4).ok_or(Undecoded::CutOff)?;
    let behind = at + usize::from(base[1] & 0x3f) * 4;
    match base[3] {
        ip if IP.contains(&ip) => Ok(behind),
        ETHERNET => ethernet(frame, behind, reach),
        MPLS => mpls(frame, behind, reach),
        _ => Err(Undecoded::NotIp),
    }
}

/// The length of a MACsec tag (IEEE 802.1AE) with the EtherType behind it, where only the integrity is protected.
fn security_tag(frame: &[u8], at: usize) -> Result<usize, Undecoded> {
    const ENCRYPTED_OR_CHANGED: u8 = 0x0c;
    const HAS_CHANNEL: u8 = 0x20;
    let control = *frame.get(at).ok_or(Undecoded::CutOff)?;
    if control & ENCRYPTED_OR_CHANGED != 0 {
        return Err(Undecoded::NotIp);
    }
    Ok(if control & HAS_CHANNEL != 0 { 16 } else { 8 })
}

/// A PPP frame, or Cisco's HDLC under the same link type.
fn point_to_point(frame: &[u8], at: usize, reach: Reach) -> Result<usize, Undecoded> {
    match ppp::protocol(frame, at)? {
        (ppp::Protocol::Ip, at) => Ok(at),
        (ppp::Protocol::Mpls, at) => mpls(frame, at, reach),
        (ppp::Protocol::Ether(ether_type), at) => ether_payload(frame, at, ether_type, reach),
        (ppp::Protocol::Other, _) => Err(Undecoded::NotIp),
    }
}

/// A stack of labels (RFC 3032). What is below its bottom is told by its first four bits: IP, or an Ethernet pseudowire
/// with its control word (RFC 4385), or one without, which may begin with the same bits as IP.
fn mpls(frame: &[u8], mut at: usize, mut reach: Reach) -> Result<usize, Undecoded> {
    loop {
        reach = reach.less()?;
        let bottom = frame.get(at + 2).ok_or(Undecoded::CutOff)? & 1 == 1;
        at += MPLS_LABEL;
        if bottom {
            break;
        }
    }
    match frame.get(at).ok_or(Undecoded::CutOff)? >> 4 {
        // An address may begin like an IP header.
        4 | 6 if !is_ip_packet(frame, at, reach) && is_ethernet_frame(frame, at, reach) => ethernet(frame, at, reach),
        4 | 6 => Ok(at),
        // A control word, and a frame behind it for sure.
        0 if is_ethernet_frame(frame, at + 4, reach) => ethernet(frame, at + 4, reach.half()),
        // Either way only half as deep: a frame of nothing but these would be looked at exponentially often.
        0 => ethernet(frame, at + 4, reach.half()).or_else(|_| ethernet(frame, at, reach.half())),
        _ => ethernet(frame, at, reach),
    }
}

/// Whether a packet stands here, by what its header says of itself: IPv4's checksum, or that what is there is as long as it says.
fn is_ip_packet(frame: &[u8], at: usize, reach: Reach) -> bool {
    const IPV6_HEADER: usize = 40;
    /// The least payload of an Ethernet frame: a shorter packet is padded.
    const PADDED: usize = 46;
    let Some(packet) = frame.get(at..).filter(|packet| !packet.is_empty()) else {
        return false;
    };
    let there = packet.len() + reach.not_captured;
    let two = |at: usize| packet.get(at..at + 2).map(|two| usize::from(two[0]) << 8 | usize::from(two[1]));
    let is_as_long = |length: usize| length == there || length < there && there <= PADDED;
    match packet[0] >> 4 {
        4 => {
            let header = Ipv4HeaderSlice::from_slice(packet).ok();
            header.is_some_and(|header| header.header_checksum() == header.to_header().calc_header_checksum())
                || packet[0] & 15 >= 5 && two(2).is_some_and(is_as_long)
        }
        6 => two(4).is_some_and(|length| is_as_long(length + IPV6_HEADER)),
        _ => false,
    }
}

/// Whether an Ethernet frame stands here, by what it carries.
fn is_ethernet_frame(frame: &[u8], at: usize, reach: Reach) -> bool {
    let mut at = at + ETHERNET_HEADER;
    for _ in 0..MAX_DEPTH {
        match ether_type_at(frame, at - 2) {
            Ok(
                ether_type::VLAN_TAGGED_FRAME
                | ether_type::PROVIDER_BRIDGING
                | ether_type::VLAN_DOUBLE_TAGGED_FRAME
                | VLAN_OLD,
            ) => at += VLAN_TAG,
            Ok(ether_type::IPV4 | ether_type::IPV6) => return is_ip_packet(frame, at, reach),
            // What names what it carries, and begins as it has to: the address of a packet may have the same bytes.
            Ok(PPPOE_SESSION) => {
                let length = |header: &[u8]| usize::from(header[4]) << 8 | usize::from(header[5]);
                let there = (frame.len() + reach.not_captured).saturating_sub(at + PPPOE_HEADER);
                let header = frame.get(at..at + PPPOE_HEADER);
                return header.is_some_and(|header| header[..2] == [0x11, 0] && (2..=there).contains(&length(header)));
            }
            Ok(MPLS | MPLS_MULTICAST) => {
                let mut labels = frame.get(at..).unwrap_or_default().chunks_exact(MPLS_LABEL).take(MAX_DEPTH);
                let bottom = labels.position(|label| label[2] & 1 == 1);
                let below = bottom.and_then(|bottom| frame.get(at + (bottom + 1) * MPLS_LABEL));
                return below.is_some_and(|first| [0, 4, 6].contains(&(first >> 4)));
            }
            Ok(LINK_LAYER_DISCOVERY) => return frame.get(at) == Some(&CHASSIS_ID),
            // Over Ethernet, for IPv4.
            Ok(ether_type::ARP) => return frame.get(at..).is_some_and(|arp| arp.starts_with(&[0, 1, 8, 0])),
            _ => return false,
        }
    }
    false
}

/// BSD loopback: the address family in four bytes, in the capturing host's order or (LOOP) in network order.
fn address_family(frame: &[u8]) -> Result<usize, Undecoded> {
    const IPV4: u32 = 2;
    // NetBSD and OpenBSD, FreeBSD, Darwin, Linux.
    const IPV6: [u32; 4] = [24, 28, 30, 10];
    let word = frame.get(..4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).ok_or(Undecoded::CutOff)?;
    let is_ip = |family: u32| family == IPV4 || IPV6.contains(&family);
    if is_ip(u32::from_be_bytes(word)) || is_ip(u32::from_le_bytes(word)) { Ok(4) } else { Err(Undecoded::NotIp) }
}

fn cooked_direction(packet_type: u8) -> Direction {
    if packet_type == PACKET_OUTGOING { Direction::Egress } else { Direction::Ingress }
}

fn ether_type_at(frame: &[u8], at: usize) -> Result<EtherType, Undecoded> {
    match frame.get(at..at + 2) {
        Some(bytes) => Ok(EtherType(u16::from_be_bytes([bytes[0], bytes[1]]))),
        None => Err(Undecoded::CutOff),
    }
}
