//! Which flows become records: what AWS never records, and what the user does not want to see.
//!
//! Filters act on closed windows, so that what they leave out is counted, and never on packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Action, Closed, Key};
use crate::capture::Direction;

/// The traffic that is recorded, as `aws ec2 create-flow-logs --traffic-type` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficType {
    /// Everything.
    #[default]
    All,
    /// What the firewall let pass.
    Accept,
    /// What the firewall dropped.
    Reject,
}

/// A flow that is meant: everything that is said must hold; what is empty says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowMatch {
    /// Source or destination is in one of these.
    pub networks: Vec<IpNet>,
    /// Source or destination port is one of these.
    pub ports: Vec<u16>,
    /// The protocol is one of these IANA numbers.
    pub protocols: Vec<u8>,
    /// It goes this way.
    pub direction: Option<Direction>,
}

/// Which flows become records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordFilter {
    /// By what the firewall said.
    pub traffic_type: TrafficType,
    /// Whether DHCP, and metadata and time traffic of link-local addresses, are left out, as AWS leaves them out. Source:
    /// AWS VPC User Guide, "Flow log limitations".
    pub aws_exclusions: bool,
    /// When there are any, only these.
    pub include: Vec<FlowMatch>,
    /// Not these, though they be included.
    pub exclude: Vec<FlowMatch>,
}

/// What a filter left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Records.
    pub records: u64,
    /// Their packets.
    pub packets: u64,
}

impl RecordFilter {
    /// Takes the flows out of a closed window that are not to become records, and counts them.
    pub fn apply(&self, closed: &mut Closed) -> LeftOut {
        let mut left_out = LeftOut::default();
        closed.entries.retain(|entry| {
            let keeps = self.keeps(&entry.key);
            if !keeps {
                left_out.records += 1;
                left_out.packets += entry.packets;
            }
            keeps
        });
        left_out
    }

    fn keeps(&self, key: &Key) -> bool {
        let wanted = match self.traffic_type {
            TrafficType::All => true,
            TrafficType::Accept => key.action == Action::Accept,
            TrafficType::Reject => key.action != Action::Accept,
        };
        let included = self.include.is_empty() || self.include.iter().any(|rule| rule.matches(key));
        wanted
            && included
            && !self.exclude.iter().any(|rule| rule.matches(key))
            && !(self.aws_exclusions && is_never_recorded(key))
    }
}

impl FlowMatch {
    fn matches(&self, key: &Key) -> bool {
        let tuple = &key.tuple;
        let networks = self.networks.is_empty() || {
            let (source, destination) = (tuple.source(), tuple.destination());
            self.networks.iter().any(|network| network.contains(&source) || network.contains(&destination))
        };
        let ports = self.ports.is_empty()
            || self.ports.contains(&tuple.source_port)
            || self.ports.contains(&tuple.destination_port);
        networks
            && ports
            && (self.protocols.is_empty() || self.protocols.contains(&tuple.protocol))
            && (self.direction.is_none() || self.direction == key.direction)
    }
}

/// The metadata service and the time service, IPv4 and IPv6.
const LINK_LOCAL_SERVICES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 123)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123)),
];

fn is_never_recorded(key: &Key) -> bool {
    const UDP: u8 = 17;
    let tuple = &key.tuple;
    let ports = (tuple.source_port.min(tuple.destination_port), tuple.source_port.max(tuple.destination_port));
    // Clients and servers of DHCP, and relays, which talk server to server.
    let dhcp = tuple.protocol == UDP && matches!(ports, (67, 67 | 68) | (546, 547) | (547, 547));
    let (source, destination) = (tuple.source(), tuple.destination());
    dhcp || LINK_LOCAL_SERVICES.iter().any(|service| *service == source || *service == destination)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::FiveTuple;

    fn key(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), protocol: u8) -> Key {
        let address = |four: [u8; 4]| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&four);
            bytes
        };
        let tuple = FiveTuple {
            source: address(source),
            destination: address(destination),
            source_port: ports.0,
            destination_port: ports.1,
            protocol,
            ipv6: false,
        };
        Key { tuple, interface: 0, direction: Some(Direction::Egress), action: Action::Accept }
    }

    #[test]
    fn what_aws_never_records_can_be_left_out() {
        let filter = RecordFilter { aws_exclusions: true, ..RecordFilter::default() };
        let host = [10, 0, 0, 1];
        assert!(!filter.keeps(&key([0; 4], [255; 4], (68, 67), 17)));
        assert!(filter.keeps(&key([0; 4], [255; 4], (68, 67), 6)));
        assert!(!filter.keeps(&key(host, [169, 254, 169, 254], (40_000, 80), 6)));
        assert!(!filter.keeps(&key([169, 254, 169, 123], host, (123, 123), 17)));
        assert!(filter.keeps(&key(host, [10, 0, 0, 2], (123, 123), 17)));
        assert!(RecordFilter::default().keeps(&key([0; 4], [255; 4], (68, 67), 17)));
    }

    #[test]
    fn everything_that_a_rule_says_must_hold() {
        let rule = FlowMatch {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            ports: vec![443],
            protocols: vec![6],
            direction: Some(Direction::Egress),
        };
        let meant = key([10, 0, 0, 1], [192, 0, 2, 1], (40_000, 443), 6);
        let include = RecordFilter { include: vec![rule.clone()], ..RecordFilter::default() };
        let exclude = RecordFilter { exclude: vec![rule.clone()], ..RecordFilter::default() };
        let both = RecordFilter { include: vec![rule.clone()], exclude: vec![rule], ..RecordFilter::default() };
        assert_eq!([&include, &exclude, &both].map(|filter| filter.keeps(&meant)), [true, false, false]);
        for other in [
            key([11, 0, 0, 1], [192, 0, 2, 1], (40_000, 443), 6),
            key([10, 0, 0, 1], [192, 0, 2, 1], (40_000, 80), 6),
            key([10, 0, 0, 1], [192, 0, 2, 1], (40_000, 443), 17),
            Key { direction: Some(Direction::Ingress), ..meant },
        ] {
            assert_eq!([&include, &exclude].map(|filter| filter.keeps(&other)), [false, true], "{other:?}");
        }
    }

    #[test]
    fn the_firewalls_word_filters() {
        let seen = key([10, 0, 0, 1], [10, 0, 0, 2], (1, 2), 6);
        let dropped = Key { action: Action::Reject, ..seen };
        for (traffic_type, expected) in [
            (TrafficType::All, [true, true]),
            (TrafficType::Accept, [true, false]),
            (TrafficType::Reject, [false, true]),
        ] {
            let filter = RecordFilter { traffic_type, ..RecordFilter::default() };
            assert_eq!([filter.keeps(&seen), filter.keeps(&dropped)], expected);
        }
    }
}
