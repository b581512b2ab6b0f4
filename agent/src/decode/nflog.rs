//! NFLOG: what the firewall logs to a group, as libpcap captures it (LINKTYPE_NFLOG).
//!
//! A header of four bytes, then attributes of netlink's form: length and type in the capturing host's byte order, padded
//! to four bytes. The packet is the payload attribute. Source: the kernel's nfnetlink_log.h.

use super::Undecoded;

const HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
const PAYLOAD: u16 = 9;
/// Attributes of one message that are looked at; the kernel writes some twenty.
const MAX_ATTRIBUTES: usize = 64;

/// Where the logged packet's IP header starts. The family tells whether there is one.
pub(super) fn payload(frame: &[u8]) -> Result<usize, Undecoded> {
    const FAMILIES: [u8; 4] = [2, 7, 10, 1]; // IPv4, bridge, IPv6, and nftables' inet
    let family = *frame.first().ok_or(Undecoded::CutOff)?;
    if !FAMILIES.contains(&family) {
        return Err(Undecoded::NotIp);
    }
    // An attribute is shorter than 2^16, so a length that only makes sense the other way round shows the order.
    walk(frame, u16::from_le_bytes).or_else(|_| walk(frame, u16::from_be_bytes))
}

fn walk(frame: &[u8], half: fn([u8; 2]) -> u16) -> Result<usize, Undecoded> {
    let mut at = HEADER;
    for _ in 0..MAX_ATTRIBUTES {
        let header = frame.get(at..at + ATTRIBUTE_HEADER).ok_or(Undecoded::CutOff)?;
        let length = usize::from(half([header[0], header[1]]));
        if length < ATTRIBUTE_HEADER {
            return Err(Undecoded::Malformed);
        }
        if half([header[2], header[3]]) == PAYLOAD {
            return Ok(at + ATTRIBUTE_HEADER);
        }
        at += length.next_multiple_of(4);
    }
    Err(Undecoded::Malformed)
}
