//! Community ID, version 1: one name for both directions of a flow, the same from every sensor. Source: Corelight, "Community ID
//! Flow Hashing", version 1, seed 0.

use std::net::IpAddr;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use flowlake_common::icmp;
use sha1::{Digest, Sha1};

/// What the second half of a flow's name is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// Source and destination port.
    Of(u16, u16),
    /// ICMP's type and code, as the source sent them.
    Icmp(u8, u8),
    /// The protocol has none.
    None,
}

/// The Community ID of a packet from `source` to `destination`.
#[must_use]
pub(super) fn community_id(protocol: u8, source: IpAddr, destination: IpAddr, ports: Ports) -> String {
    let (mut ports, one_way) = match ports {
        Ports::Of(source, destination) => (Some([source, destination]), false),
        Ports::None => (None, false),
        Ports::Icmp(icmp_type, code) => match icmp::answer(protocol, icmp_type) {
            Some(answer) => (Some([icmp_type.into(), answer.into()]), false),
            None => (Some([icmp_type.into(), code.into()]), true),
        },
    };
    let mut ends = [source, destination].map(|address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    });
    // The smaller end comes first, so that both directions have one name.
    let is_ordered = match ends[0].cmp(&ends[1]) {
        std::cmp::Ordering::Equal => ports.is_none_or(|[source, destination]| source <= destination),
        order => order.is_lt(),
    };
    if !one_way && !is_ordered {
        ends.reverse();
        ports = ports.map(|[source, destination]| [destination, source]);
    }
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    ends.iter().for_each(|end| hash.update(end));
    hash.update([protocol, 0]);
    for port in ports.into_iter().flatten() {
        hash.update(port.to_be_bytes());
    }
    // 20 bytes: 27 characters and one of padding.
    format!("1:{}=", BASE64_STANDARD_NO_PAD.encode(hash.finalize()))
}

/// Whether flow logs have ports for a protocol, and Community ID with them: TCP, UDP, SCTP.
#[must_use]
pub(super) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 132)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand with an independent SHA-1.
    #[test]
    fn both_directions_have_one_name() {
        let [one, two]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let there = community_id(6, one, two, Ports::Of(1234, 80));
        assert_eq!(there, community_id(6, two, one, Ports::Of(80, 1234)));
        assert!(there.starts_with("1:") && there.len() == 30);
        let ping = community_id(1, one, two, Ports::Icmp(8, 0));
        assert_eq!(ping, community_id(1, two, one, Ports::Icmp(0, 0)));
        assert_ne!(community_id(1, one, two, Ports::Icmp(3, 1)), community_id(1, two, one, Ports::Icmp(3, 1)));
        assert_ne!(community_id(47, one, two, Ports::None), community_id(50, one, two, Ports::None));
    }
}
