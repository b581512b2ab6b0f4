//! Tunnels: the innermost IP header where asked for, else the outermost.
//!
//! Looked into by name, each only when it was asked for, to a bounded depth. What a tunnel carries that is no IP, or that was
//! cut off, leaves the header around it as the packet's.

use etherparse::{EtherType, IpNumber, ether_type, ip_number};

use super::{
    Decoded, Undecoded, behind,
    ip::{self, Upper},
    link::{self, Reach},
    ppp,
};

/// A kind of tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// Generic routing encapsulation (RFC 2784, RFC 2890; version 1 of RFC 2637) of IP, Ethernet, PPP or MPLS.
    Gre,
    /// Mirrored Ethernet in GRE: types I, II and III.
    Erspan,
    /// RFC 7348, UDP port 4789, and the Linux kernel's old 8472.
    Vxlan,
    /// RFC 8926, UDP port 6081.
    Geneve,
    /// IP in IP (RFC 2003), 6in4 (RFC 4213) and the like: protocols 4 and 41.
    IpIp,
    /// GTP version 1, user plane (3GPP TS 29.281), UDP port 2152.
    GtpU,
}

impl Tunnel {
    /// All kinds, with the names they have in settings.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Gre, "gre"),
        (Self::Erspan, "erspan"),
        (Self::Vxlan, "vxlan"),
        (Self::Geneve, "geneve"),
        (Self::IpIp, "ipip"),
        (Self::GtpU, "gtp-u"),
    ];

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(tunnel, _)| *tunnel)
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tunnels(u8);

impl Tunnels {
    /// Whether a kind is in it.
    #[must_use]
    pub fn has(self, tunnel: Tunnel) -> bool {
        self.0 & (1 << tunnel as u8) != 0
    }
}

impl FromIterator<Tunnel> for Tunnels {
    fn from_iter<I: IntoIterator<Item = Tunnel>>(tunnels: I) -> Self {
        Self(tunnels.into_iter().fold(0, |set, tunnel| set | 1 << tunnel as u8))
    }
}

/// Tunnels within each other that are looked into.
const MAX_DEPTH: usize = 8;
const DEPTH_BELOW: usize = 8;
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const GENEVE_PORT: u16 = 6081;
const GTP_U_PORT: u16 = 2152;
const UDP_HEADER: usize = 8;
const ERSPAN_I_II: EtherType = EtherType(0x88be);
const ERSPAN_III: EtherType = EtherType(0x22eb);
const GRE_PPP: EtherType = EtherType(0x880b);
const TRANSPARENT_ETHERNET: EtherType = EtherType(0x6558);

/// Decodes what starts with an IP header, and goes into `tunnels`.
#[inline]
pub(super) fn innermost(packet: &[u8], wire_length: u32, tunnels: Tunnels) -> Result<Decoded, Undecoded> {
    let (mut decoded, mut upper) = ip::decode(packet, wire_length)?;
    if tunnels == Tunnels::default() {
        return Ok(decoded);
    }
    for _ in 0..MAX_DEPTH {
        let Some(inner) = inner(&decoded, upper, tunnels) else {
            break;
        };
        let (packet, wire_length) = behind(upper.captured, inner, upper.wire_length);
        let Ok(next) = ip::decode(packet, wire_length) else {
            break;
        };
        (decoded, upper) = next;
        // No packet is longer than the one it is in, whatever it says.
        decoded.ip_bytes = decoded.ip_bytes.min(wire_length);
    }
    Ok(decoded)
}

/// Where the IP header inside a tunnel starts, from the byte behind the outer IP header; `None` when there is no tunnel that
/// was asked for, or no IP in it.
fn inner(decoded: &Decoded, upper: Upper<'_>, tunnels: Tunnels) -> Option<usize> {
    // Of a fragmented packet only the first part has the inner header, and the parts must stay one flow.
    if decoded.fragment.is_some() {
        return None;
    }
    let bytes = upper.captured;
    let wire_length = usize::try_from(upper.wire_length).unwrap_or(usize::MAX);
    let reach = Reach { depth: DEPTH_BELOW, not_captured: wire_length.saturating_sub(bytes.len()) };
    match IpNumber(decoded.tuple.protocol) {
        ip_number::IPV4 | ip_number::IPV6 if tunnels.has(Tunnel::IpIp) => Some(0),
        ip_number::GRE => gre(bytes, reach, tunnels),
        ip_number::UDP => {
            let ports = [decoded.tuple.source_port, decoded.tuple.destination_port];
            // VXLAN's and GENEVE's source port is a hash; GTP-U has its port on both sides.
            if VXLAN_PORTS.contains(&ports[1]) && tunnels.has(Tunnel::Vxlan) {
                let valid = bytes.get(UDP_HEADER)? & 0x08 != 0;
                return valid.then(|| link::ethernet(bytes, UDP_HEADER + 8, reach).ok())?;
            }
            if ports[1] == GENEVE_PORT && tunnels.has(Tunnel::Geneve) {
                return geneve(bytes, reach);
            }
            (ports.contains(&GTP_U_PORT) && tunnels.has(Tunnel::GtpU)).then(|| gtp_u(bytes))?
        }
        _ => None,
    }
}

fn gre(bytes: &[u8], reach: Reach, tunnels: Tunnels) -> Option<usize> {
    let flags = bytes.get(..2)?;
    let protocol = ether_type_at(bytes, 2)?;
    let (version, has) = (flags[1] & 7, |bit: u8| usize::from(flags[0] & bit != 0) * 4);
    // Checksum, routing (which shares the checksum's word), key, sequence number; version 1 adds an acknowledgement.
    let checksum = usize::from(flags[0] & 0xc0 != 0) * 4;
    let acknowledgement = usize::from(version == 1 && flags[1] & 0x80 != 0) * 4;
    let at = 4 + checksum + has(0x20) + has(0x10) + acknowledgement;
    match protocol {
        ERSPAN_I_II | ERSPAN_III if tunnels.has(Tunnel::Erspan) => {
            // Type I has neither sequence number nor a header of its own.
            let header = match (protocol, has(0x10)) {
                (ERSPAN_III, _) => 12 + usize::from(bytes.get(at + 11)? & 1) * 8,
                (_, 0) => 0,
                _ => 8,
            };
            link::ethernet(bytes, at + header, reach).ok()
        }
        _ if !tunnels.has(Tunnel::Gre) => None,
        TRANSPARENT_ETHERNET => link::ethernet(bytes, at, reach).ok(),
        GRE_PPP => match ppp::protocol(bytes, at).ok()? {
            (ppp::Protocol::Ip, at) => Some(at),
            _ => None,
        },
        other => link::ether_payload(bytes, at, other, reach).ok(),
    }
}

fn geneve(bytes: &[u8], reach: Reach) -> Option<usize> {
    let options = usize::from(bytes.get(UDP_HEADER)? & 0x3f) * 4;
    let at = UDP_HEADER + 8 + options;
    match ether_type_at(bytes, UDP_HEADER + 2)? {
        TRANSPARENT_ETHERNET => link::ethernet(bytes, at, reach).ok(),
        ether_type::IPV4 | ether_type::IPV6 => Some(at),
        _ => None,
    }
}

/// Only G-PDUs (message 255) of version 1 carry packets. Sequence number, N-PDU number and extension headers are optional.
fn gtp_u(bytes: &[u8]) -> Option<usize> {
    const G_PDU: u8 = 255;
    const MAX_EXTENSIONS: usize = 8;
    let header = bytes.get(UDP_HEADER..UDP_HEADER + 8)?;
    let (flags, message) = (header[0], header[1]);
    if flags >> 5 != 1 || flags & 0x10 == 0 || message != G_PDU {
        return None;
    }
    let mut at = UDP_HEADER + 8;
    if flags & 7 != 0 {
        at += 4;
        let mut next = *bytes.get(at - 1)?;
        for _ in 0..MAX_EXTENSIONS {
            if flags & 4 == 0 || next == 0 {
                break;
            }
            let length = usize::from(*bytes.get(at)?) * 4;
            if length == 0 {
                return None;
            }
            at += length;
            next = *bytes.get(at - 1)?;
        }
    }
    matches!(bytes.get(at)? >> 4, 4 | 6).then_some(at)
}

fn ether_type_at(bytes: &[u8], at: usize) -> Option<EtherType> {
    bytes.get(at..at + 2).map(|raw| EtherType(u16::from_be_bytes([raw[0], raw[1]])))
}
