//! ICMP "administratively prohibited": a firewall on the way says that it refused the packet it quotes.

use super::{Decoded, behind, ip, link};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// The ICMP header, before the packet that it quotes.
const HEADER: usize = 8;

/// The packet that a frame quotes as refused. Communication with network, host, or at all administratively prohibited: RFC
/// 1122 §3.2.2.1 codes 9 and 10, RFC 1812 §5.2.7.1 code 13; RFC 4443 §3.1 code 1.
#[must_use]
pub fn prohibited(link_type: u16, frame: &[u8], wire_length: u32) -> Option<Decoded> {
    let link = link::strip(link_type, frame, wire_length).ok()?;
    let (packet, wire_length) = behind(frame, link.header_length, wire_length);
    let (decoded, upper) = ip::decode(packet, wire_length).ok()?;
    let (kind, code) = (*upper.captured.first()?, *upper.captured.get(1)?);
    let refused = matches!((decoded.tuple.protocol, kind, code), (ICMP, 3, 9 | 10 | 13) | (ICMPV6, 1, 1));
    if !refused || decoded.fragment.is_some() {
        return None;
    }
    let (quoted, wire_length) = behind(upper.captured, HEADER, upper.wire_length);
    ip::decode(quoted, wire_length).ok().map(|(quoted, _)| quoted)
}
