//! Link headers: what stands before the IP header, and how long it is.
//!
//! Link types are the LINKTYPE_ numbers of the tcpdump group; files written by old tools hold DLT_ numbers, which differ
//! for raw IP.

use etherparse::{EtherType, ether_type};

use super::Undecoded;
use crate::capture::Direction;

const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_LINUX_SLL: u16 = 113;
const LINKTYPE_LINUX_SLL2: u16 = 276;
/// LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6, and DLT_RAW on most systems and on OpenBSD.
const LINKTYPES_RAW: [u16; 5] = [101, 228, 229, 12, 14];

const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
const SLL_HEADER: usize = 16;
const SLL2_HEADER: usize = 20;
/// Below this the type field of an Ethernet frame is a length (IEEE 802.3 clause 3.2.6).
const FIRST_ETHER_TYPE: u16 = 0x0600;
/// LLC and SNAP in front of an EtherType (RFC 1042).
const SNAP_OVER_LLC: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// Tags that are looked through. Frames with more are no traffic of this world.
const MAX_VLAN_TAGS: usize = 16;
/// The packet type of a cooked header for what this host sent (if_packet.h).
const PACKET_OUTGOING: u8 = 4;

/// What a link header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Bytes in front of the IP header; within the frame.
    pub(super) header_length: usize,
    pub(super) direction: Option<Direction>,
}

/// Finds the IP header of a frame.
#[inline]
pub(super) fn strip(link_type: u16, frame: &[u8]) -> Result<Link, Undecoded> {
    match link_type {
        LINKTYPE_ETHERNET => {
            let ether_type = half(frame, 12)?;
            if ether_type.0 >= FIRST_ETHER_TYPE {
                return ether_payload(frame, ETHERNET_HEADER, ether_type, None);
            }
            match frame.get(ETHERNET_HEADER..ETHERNET_HEADER + 6) {
                Some(llc) if llc == SNAP_OVER_LLC => {
                    ether_payload(frame, ETHERNET_HEADER + 8, half(frame, ETHERNET_HEADER + 6)?, None)
                }
                _ => Err(Undecoded::NotIp),
            }
        }
        LINKTYPE_LINUX_SLL => {
            let protocol = half(frame, 14)?;
            let direction = if frame[1] == PACKET_OUTGOING { Direction::Egress } else { Direction::Ingress };
            ether_payload(frame, SLL_HEADER, protocol, Some(direction))
        }
        LINKTYPE_LINUX_SLL2 => {
            let protocol = half(frame, 0)?;
            let packet_type = *frame.get(10).ok_or(Undecoded::CutOff)?;
            let direction = if packet_type == PACKET_OUTGOING { Direction::Egress } else { Direction::Ingress };
            ether_payload(frame, SLL2_HEADER, protocol, Some(direction))
        }
        raw if LINKTYPES_RAW.contains(&raw) => Ok(Link { header_length: 0, direction: None }),
        _ => Err(Undecoded::UnknownLinkType),
    }
}

/// Looks through VLAN tags, from the byte behind an EtherType on.
fn ether_payload(
    frame: &[u8],
    mut header_length: usize,
    mut ether_type: EtherType,
    direction: Option<Direction>,
) -> Result<Link, Undecoded> {
    for _ in 0..=MAX_VLAN_TAGS {
        match ether_type {
            ether_type::IPV4 | ether_type::IPV6 => {
                return if header_length <= frame.len() {
                    Ok(Link { header_length, direction })
                } else {
                    Err(Undecoded::CutOff)
                };
            }
            ether_type::VLAN_TAGGED_FRAME | ether_type::PROVIDER_BRIDGING | ether_type::VLAN_DOUBLE_TAGGED_FRAME => {
                ether_type = half(frame, header_length + 2)?;
                header_length += VLAN_TAG;
            }
            // MPLS unicast and multicast, PPPoE session, provider backbone bridge.
            EtherType(0x8847 | 0x8848 | 0x8864 | 0x88e7) => return Err(Undecoded::NotYetDecoded),
            _ => return Err(Undecoded::NotIp),
        }
    }
    Err(Undecoded::Malformed)
}

fn half(frame: &[u8], at: usize) -> Result<EtherType, Undecoded> {
    match frame.get(at..at + 2) {
        Some(bytes) => Ok(EtherType(u16::from_be_bytes([bytes[0], bytes[1]]))),
        None => Err(Undecoded::CutOff),
    }
}
