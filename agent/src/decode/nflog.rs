//! NFLOG: what the firewall logs to a group, as libpcap captures it (LINKTYPE_NFLOG).
//!
//! A header of four bytes, then attributes of netlink's form: length and type in the capturing host's byte order, padded
//! to four bytes. The packet is the payload attribute. Source: the kernel's nfnetlink_log.h.

use super::{Dropped, Undecoded};
use crate::capture::Direction;

const HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// nftables' family of a device's own hooks.
const NETDEV: u8 = 5;
/// Its hook on the way out, where the packet still has its Ethernet header.
const NETDEV_EGRESS: u8 = 1;
const ETHERNET: usize = 14;
/// What the kernel says of the packet (EtherType).
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PACKET_HEADER: u16 = 1;
const TIMESTAMP: u16 = 3;
const INTERFACE_IN: u16 = 4;
const INTERFACE_OUT: u16 = 5;
/// The port of a bridge that the packet came in by, and the one it goes out by.
const PORT_IN: u16 = 6;
const PORT_OUT: u16 = 7;
const PAYLOAD: u16 = 9;
/// Attributes of one message that are looked at; the kernel writes some twenty.
const MAX_ATTRIBUTES: usize = 64;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logged {
    /// Where the packet's IP header starts.
    pub(super) payload: usize,
    /// Into the host for what was dropped before or in routing, out of it for what was dropped on its way out.
    pub(super) direction: Option<Direction>,
    /// The devices that the kernel names.
    pub(super) dropped: Dropped,
    /// When the kernel took the packet, microseconds since the epoch; it does not always say.
    pub(super) time_us: Option<i64>,
}

/// Reads a message.
pub(super) fn decode(frame: &[u8]) -> Result<Logged, Undecoded> {
    const FAMILIES: [u8; 5] = [2, 7, 10, 1, NETDEV]; // IPv4, bridge, IPv6, and nftables' inet
    let family = *frame.first().ok_or(Undecoded::CutOff)?;
    if !FAMILIES.contains(&family) {
        return Err(Undecoded::NotIp);
    }
    // The attributes are in the capturing host's byte order. The first is a short one, the packet's header.
    let length = frame.get(HEADER..HEADER + 2).ok_or(Undecoded::CutOff)?;
    let half = if length[1] == 0 { u16::from_le_bytes } else { u16::from_be_bytes };
    walk(frame, half)
}

fn walk(frame: &[u8], half: fn([u8; 2]) -> u16) -> Result<Logged, Undecoded> {
    let mut logged = Logged { payload: 0, direction: None, dropped: Dropped::default(), time_us: None };
    // Numbers of devices, in network order; the kernel leaves out what it does not know.
    let mut devices = [0; 4];
    let (mut protocol, mut hook) = (0, 0);
    let mut at = HEADER;
    for _ in 0..MAX_ATTRIBUTES {
        let header = frame.get(at..at + ATTRIBUTE_HEADER).ok_or(Undecoded::CutOff)?;
        let length = usize::from(half([header[0], header[1]]));
        if length < ATTRIBUTE_HEADER {
            return Err(Undecoded::Malformed);
        }
        let kind = half([header[2], header[3]]);
        // The packet is last, and may have been cut off by whoever kept the log.
        let end = if kind == PAYLOAD { frame.len().min(at + length) } else { at + length };
        let value = frame.get(at + ATTRIBUTE_HEADER..end).unwrap_or_default();
        match kind {
            PACKET_HEADER => {
                let &[high, low, number, _] = value else {
                    return Err(Undecoded::Malformed);
                };
                (protocol, hook) = (u16::from_be_bytes([high, low]), number);
                logged.direction = direction(frame[0], hook);
            }
            TIMESTAMP => logged.time_us = time(value),
            kind @ (INTERFACE_IN | INTERFACE_OUT | PORT_IN | PORT_OUT) => {
                devices[usize::from(kind - INTERFACE_IN)] = device(value);
            }
            PAYLOAD => {
                let [device_in, device_out, port_in, port_out] = devices;
                logged.dropped = match logged.direction {
                    Some(Direction::Egress) => Dropped { device: device_out, port: port_out },
                    _ => Dropped { device: device_in, port: port_in },
                };
                let behind = if frame[0] == NETDEV && hook == NETDEV_EGRESS { link_header(value, protocol) } else { 0 };
                return match (protocol, value.get(behind).map(|first| first >> 4)) {
                    (IPV4, Some(4)) | (IPV6, Some(6)) => {
                        Ok(Logged { payload: at + ATTRIBUTE_HEADER + behind, ..logged })
                    }
                    (IPV4 | IPV6, Some(_)) => Err(Undecoded::Malformed),
                    (IPV4 | IPV6, None) => Err(Undecoded::CutOff),
                    _ => Err(Undecoded::NotIp),
                };
            }
            _ => {}
        }
        at += length.next_multiple_of(4);
    }
    Err(Undecoded::Malformed)
}

/// How long the header before a device's outgoing packet is: a tunnel's has none.
fn link_header(packet: &[u8], protocol: u16) -> usize {
    let is_ethernet = packet.get(ETHERNET - 2..ETHERNET) == Some(&protocol.to_be_bytes()[..]);
    if is_ethernet { ETHERNET } else { 0 }
}

fn device(value: &[u8]) -> u32 {
    value.try_into().map_or(0, u32::from_be_bytes)
}

/// The hook's number: prerouting, input, forward, output, postrouting; of a device ingress and egress (netfilter.h).
fn direction(family: u8, hook: u8) -> Option<Direction> {
    match hook {
        1 if family == NETDEV => Some(Direction::Egress),
        0..=2 => Some(Direction::Ingress),
        3 | 4 => Some(Direction::Egress),
        _ => None,
    }
}

/// Seconds and microseconds, eight bytes each, in network order.
fn time(value: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| Some(u64::from_be_bytes(value.get(range)?.try_into().ok()?));
    let seconds = i64::try_from(number(0..8)?).ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(i64::try_from(number(8..16)?).ok()?)
}
