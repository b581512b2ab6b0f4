//! IPv4, IPv6 and its extension headers, and the first bytes of the transport header.

use etherparse::{
    IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, ip_number,
};

use super::{Decoded, FiveTuple, FragmentId, Undecoded};

const IPV4_MIN_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// DCCP (RFC 4340) and UDP-Lite (RFC 3828): ports where UDP has them.
const DCCP: IpNumber = IpNumber(33);
const UDP_LITE: IpNumber = IpNumber(136);

/// What is above an IP header and belongs to the packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upper<'a> {
    /// As much of it as was captured.
    pub(super) captured: &'a [u8],
    /// Its length on the wire.
    pub(super) wire_length: u32,
}

type Packet<'a> = (Decoded, Upper<'a>);

/// Decodes what starts with an IP header. `wire_length` counts from there.
#[inline]
pub(super) fn decode(packet: &[u8], wire_length: u32) -> Result<Packet<'_>, Undecoded> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => ipv4(packet, wire_length),
        Some(6) => ipv6(packet, wire_length),
        Some(_) => Err(Undecoded::Malformed),
        None => Err(Undecoded::CutOff),
    }
}

fn ipv4(packet: &[u8], wire_length: u32) -> Result<Packet<'_>, Undecoded> {
    let header_length = usize::from(packet[0] & 15) * 4;
    if header_length < IPV4_MIN_HEADER {
        return Err(Undecoded::Malformed);
    }
    // Where the snap length cut the options off, all that a flow needs of the header is there.
    let mut fixed = [0; IPV4_MIN_HEADER];
    fixed.copy_from_slice(packet.get(..IPV4_MIN_HEADER).ok_or(Undecoded::CutOff)?);
    fixed[0] = 0x45;
    let header = Ipv4HeaderSlice::from_slice(&fixed).map_err(|_| Undecoded::Malformed)?;
    let ip_bytes = match header.total_len() {
        0 => wire_length,
        short if usize::from(short) < header_length => return Err(Undecoded::Malformed),
        length => u32::from(length),
    };
    let mut source = [0; 16];
    let mut destination = [0; 16];
    source[..4].copy_from_slice(&header.source());
    destination[..4].copy_from_slice(&header.destination());
    let protocol = header.protocol();
    let tuple =
        FiveTuple { source, destination, source_port: 0, destination_port: 0, protocol: protocol.0, ipv6: false };
    let first = header.fragments_offset().value() == 0;
    let fragment = (!first || header.more_fragments()).then(|| FragmentId {
        source,
        destination,
        number: u32::from(header.identification()),
        protocol: protocol.0,
        first,
        header_bytes: if first { 0 } else { u16::try_from(header_length).unwrap_or(u16::MAX) },
    });
    let mut decoded = Decoded { fragment, ..Decoded::of(tuple, ip_bytes) };
    let captured = within(packet, header_length, ip_bytes);
    if first {
        transport(&mut decoded, captured, protocol);
    } else {
        decoded.ports_missing = has_ports(protocol);
    }
    Ok((decoded, upper(packet, captured, ip_bytes)))
}

fn ipv6(packet: &[u8], wire_length: u32) -> Result<Packet<'_>, Undecoded> {
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Undecoded::CutOff)?;
    let ip_bytes = match header.payload_length() {
        // RFC 8200 section 4.7: a packet may really have no payload.
        0 if header.next_header() == ip_number::IPV6_NO_NEXT_HEADER => 40,
        0 => wire_length,
        length => u32::from(length) + 40,
    };
    let (source, destination) = (header.source(), header.destination());
    let mut fragment = None;
    let mut next = header.next_header();
    let mut rest = within(packet, IPV6_HEADER, ip_bytes);
    // An extension header that goes beyond what was captured was cut off; one that goes beyond the packet is none.
    let beyond = if packet.len() < usize::try_from(ip_bytes).unwrap_or(usize::MAX) {
        Undecoded::CutOff
    } else {
        Undecoded::Malformed
    };
    let mut first = true;
    // Each extension header is eight bytes or more, so what was captured bounds the chain. A fixed bound would let a long
    // chain hide a flow.
    loop {
        match next {
            ip_number::IPV6_HEADER_HOP_BY_HOP | ip_number::IPV6_ROUTE_HEADER | ip_number::IPV6_DESTINATION_OPTIONS => {
                let extension = Ipv6RawExtHeaderSlice::from_slice(rest).map_err(|_| beyond)?;
                next = extension.next_header();
                rest = &rest[extension.slice().len()..];
            }
            ip_number::IPV6_FRAGMENTATION_HEADER => {
                let extension = Ipv6FragmentHeaderSlice::from_slice(rest).map_err(|_| beyond)?;
                next = extension.next_header();
                rest = &rest[extension.slice().len()..];
                first = extension.fragment_offset().value() == 0;
                // An atomic fragment (RFC 6946) is a whole packet.
                if !first || extension.more_fragments() {
                    // The protocol is no part of an IPv6 datagram's identity (RFC 8200 section 4.5).
                    let number = extension.identification();
                    // A later fragment is its headers and a piece; the first has the fragment header more than the datagram.
                    let headers = packet.len().min(usize::try_from(ip_bytes).unwrap_or(usize::MAX)) - rest.len();
                    let more = if first { extension.slice().len() } else { headers };
                    let header_bytes = u16::try_from(more).unwrap_or(u16::MAX);
                    fragment = Some(FragmentId { source, destination, number, protocol: 0, first, header_bytes });
                }
                if !first {
                    break;
                }
            }
            _ => break,
        }
    }
    let tuple = FiveTuple { source, destination, source_port: 0, destination_port: 0, protocol: next.0, ipv6: true };
    let mut decoded = Decoded { fragment, ..Decoded::of(tuple, ip_bytes) };
    if first {
        transport(&mut decoded, rest, next);
    } else {
        // What follows another extension header, only the first fragment tells.
        let is_known = !matches!(
            next,
            ip_number::IPV6_HEADER_HOP_BY_HOP | ip_number::IPV6_ROUTE_HEADER | ip_number::IPV6_DESTINATION_OPTIONS
        );
        decoded.ports_missing = has_ports(next) || !is_known;
    }
    Ok((decoded, upper(packet, rest, ip_bytes)))
}

/// What was captured behind the header and belongs to the IP packet: not the padding of a short Ethernet frame.
fn within(packet: &[u8], header_length: usize, ip_bytes: u32) -> &[u8] {
    let end = packet.len().min(usize::try_from(ip_bytes).unwrap_or(usize::MAX));
    packet.get(header_length..end).unwrap_or_default()
}

/// What is behind the headers: as captured, and as long as it was on the wire.
fn upper<'a>(packet: &[u8], captured: &'a [u8], ip_bytes: u32) -> Upper<'a> {
    // Headers end where the captured rest starts, whether they were IPv6's many or IPv4's one.
    let whole = packet.len().min(usize::try_from(ip_bytes).unwrap_or(usize::MAX));
    let headers = u32::try_from(whole.saturating_sub(captured.len())).unwrap_or(u32::MAX);
    Upper { captured, wire_length: ip_bytes.saturating_sub(headers) }
}

fn has_ports(protocol: IpNumber) -> bool {
    matches!(protocol, ip_number::TCP | ip_number::UDP | ip_number::SCTP | DCCP | UDP_LITE)
}

fn transport(decoded: &mut Decoded, segment: &[u8], protocol: IpNumber) {
    if !has_ports(protocol) {
        return;
    }
    let Some(ports) = segment.get(..4) else {
        decoded.ports_missing = true;
        return;
    };
    decoded.tuple.source_port = u16::from_be_bytes([ports[0], ports[1]]);
    decoded.tuple.destination_port = u16::from_be_bytes([ports[2], ports[3]]);
    if protocol == ip_number::TCP
        && let Some(flags) = segment.get(13)
    {
        decoded.tcp_flags = recorded_flags(*flags);
    }
}

/// The flags that flow logs record of one segment: FIN 1, SYN 2, RST 4, and ACK 16 only together with SYN.
/// AWS VPC User Guide, "Flow log records", tcp-flags.
fn recorded_flags(flags: u8) -> u8 {
    const SYN_ACK: u8 = 2 | 16;
    if flags & SYN_ACK == SYN_ACK { flags & (1 | 2 | 4 | 16) } else { flags & (1 | 2 | 4) }
}
