//! PPP: the protocol field behind optional address and control bytes (RFC 1661, RFC 1662), and Cisco's HDLC, which shares
//! its link types.

use etherparse::EtherType;

use super::Undecoded;

/// What a PPP frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// IPv4 or IPv6, as its first bits tell.
    Ip,
    /// A stack of MPLS labels (RFC 3032).
    Mpls,
    /// What an EtherType says: Cisco HDLC.
    Ether(EtherType),
    /// A control protocol, compression, encryption.
    Other,
}

const ADDRESS_CONTROL: [u8; 2] = [0xff, 0x03];
/// Cisco HDLC's unicast and multicast addresses, each with a control byte of 0.
const CISCO: [[u8; 2]; 2] = [[0x0f, 0x00], [0x8f, 0x00]];

/// Reads the protocol of the frame at `at`, and where its payload starts.
pub(super) fn protocol(frame: &[u8], mut at: usize) -> Result<(Protocol, usize), Undecoded> {
    let pair = |at: usize| match frame.get(at..at + 2) {
        Some(bytes) => Ok([bytes[0], bytes[1]]),
        None => Err(Undecoded::CutOff),
    };
    let first = pair(at)?;
    if CISCO.contains(&first) {
        return Ok((Protocol::Ether(EtherType(u16::from_be_bytes(pair(at + 2)?))), at + 4));
    }
    if first == ADDRESS_CONTROL {
        at += 2;
    }
    // Compressed to one byte when its lowest bit, which ends the field, is in the first (RFC 1661 section 6.5).
    let (number, length) = match pair(at)? {
        [short, _] if short & 1 == 1 => (u16::from(short), 1),
        long => (u16::from_be_bytes(long), 2),
    };
    let protocol = match number {
        0x0021 | 0x0057 => Protocol::Ip,
        0x0281 | 0x0283 => Protocol::Mpls,
        _ => Protocol::Other,
    };
    Ok((protocol, at + length))
}
