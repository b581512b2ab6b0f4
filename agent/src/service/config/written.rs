//! `agent.toml` as it is written. Each value is checked as it is read, so that a wrong one is refused with its line.

use std::path::PathBuf;

use flowlake_common::{
    spool::{Limits, WhenFull},
    time,
};
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::{CaptureConfig, Config, IdentityConfig};
use crate::{
    capture::{
        Direction,
        live::{self, TapSettings},
    },
    decode::{Tunnel, Tunnels},
    flow::{self, FlowMatch, RecordFilter, Rules, TrafficType},
};

/// A word that is printed into records and file names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Word(pub String);

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte));
        if text.is_empty() || text == "-" || text.len() > 64 || !plain {
            return Err(format!("'{}' is not 1 to 64 letters, digits and '-_./:'", text.escape_debug()));
        }
        Ok(Self(text))
    }
}

/// Letters of an interface's name (`IFNAMSIZ` less one).
const MAX_NAME: usize = 15;
/// NFLOG groups that libpcap reads at once.
const MAX_GROUPS: usize = 32;

/// A value that is checked as it is read, so that a wrong one is refused with its line.
macro_rules! checked {
    ($name:ident, $raw:literal: $from:ty => $to:ty, $check:expr) => {
        #[derive(Debug, Clone, Deserialize)]
        #[serde(try_from = $raw)]
        struct $name($to);

        impl TryFrom<$from> for $name {
            type Error = String;

            fn try_from(value: $from) -> Result<Self, String> {
                let check: fn($from) -> Result<$to, String> = $check;
                check(value).map(Self)
            }
        }
    };
}

checked!(AccountId, "String": String => String, |text| {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text);
    }
    Err(format!("'{}': an account id has 12 digits", text.escape_debug()))
});
checked!(InterfaceId, "String": String => String, |text| {
    let digits = text.strip_prefix("eni-").unwrap_or_default();
    if digits.len() == 17 && digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()) {
        return Ok(text);
    }
    Err(format!("'{}': an interface-id is 'eni-' and 17 hexadecimal digits", text.escape_debug()))
});
checked!(Interval, "u32": u32 => u32, |seconds| match seconds {
    60 | 600 => Ok(seconds),
    _ => Err(format!("{seconds}: AWS has windows of 60 and of 600 seconds")),
});
checked!(MaxFlows, "u64": u64 => usize, |flows| match usize::try_from(flows) {
    Ok(flows) if (4096..=100_000_000).contains(&flows) => Ok(flows),
    _ => Err(format!("{flows}: from 4096 to 100000000 flows")),
});
checked!(RingMib, "u32": u32 => u32, |mib| match mib {
    1..=2047 => Ok(mib << 20),
    _ => Err(format!("{mib}: a ring has from 1 to 2047 MiB")),
});
checked!(SnapLength, "u32": u32 => u32, |bytes| match bytes {
    96..=65_535 => Ok(bytes),
    _ => Err(format!("{bytes}: from 96 to 65535 bytes, so that headers are whole")),
});
checked!(Threads, "u16": u16 => u16, |threads| match threads {
    1..=64 => Ok(threads),
    _ => Err(format!("{threads}: from 1 to 64 threads")),
});
checked!(Filter, "String": String => String, |filter| match live::check_filter(&filter) {
    Ok(()) => Ok(filter),
    Err(error) => Err(format!("'{}' is no capture filter: {error}", filter.escape_debug())),
});
checked!(Pattern, "String": String => String, |pattern| match pattern.as_str() {
    "" => Err("an interface's name, a pattern such as 'eth*', or 'default-route'".to_owned()),
    "any" => Err("'any' would count what crosses two interfaces twice; name them, or give a pattern".to_owned()),
    _ if pattern.starts_with("nflog") => {
        Err("the firewall's log is no interface; its groups belong in [verdict], nflog-groups".to_owned())
    }
    _ if pattern.len() > 64 || pattern.contains(|letter: char| letter == '/' || letter.is_whitespace() || letter.is_control()) => {
        Err(format!("'{}' is no interface", pattern.escape_debug()))
    }
    _ if pattern.len() > MAX_NAME && !pattern.contains('*') => {
        Err(format!("'{}': an interface's name has at most {MAX_NAME} letters", pattern.escape_debug()))
    }
    _ => Ok(pattern),
});
checked!(Folder, "PathBuf": PathBuf => PathBuf, |path| {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("'{}': a folder's whole path, from '/' on", path.display()))
});
checked!(SpoolMib, "u64": u64 => u64, |mib| match mib {
    16..=1_000_000_000 => Ok(mib << 20),
    _ => Err(format!("{mib}: a spool has from 16 to 1000000000 MiB")),
});
checked!(FreeMib, "u64": u64 => u64, |mib| match mib {
    0..=1_000_000_000 => Ok(mib << 20),
    _ => Err(format!("{mib}: at most 1000000000 MiB")),
});
checked!(SpoolDays, "i64": i64 => i64, |days| match days {
    1..=3650 => Ok(days * time::DAY),
    _ => Err(format!("{days}: from 1 to 3650 days")),
});
checked!(NflogGroups, "Vec<u16>": Vec<u16> => Vec<u16>, |groups| {
    let mut once = groups.clone();
    once.sort_unstable();
    once.dedup();
    if once.len() < groups.len() {
        return Err("a group stands twice".to_owned());
    }
    if groups.len() > MAX_GROUPS {
        return Err(format!("{} groups; at most {MAX_GROUPS}", groups.len()));
    }
    Ok(groups)
});
checked!(Network, "String": String => IpNet, |text| {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| format!("'{}' is no network like 10.0.0.0/8", text.escape_debug()))
});
checked!(TunnelName, "String": String => Tunnel, |name| {
    Tunnel::named(&name).ok_or_else(|| {
        let known = Tunnel::ALL.map(|(_, known)| known).join(", ");
        format!("'{}' is not one of {known}", name.escape_debug())
    })
});

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawWhenFull {
    DropOldest,
    Pause,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum RawTrafficType {
    All,
    Accept,
    Reject,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDirection {
    Ingress,
    Egress,
}

/// A protocol by its number or by one of the names that people use.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a protocol is a number from 0 to 255, or tcp, udp, icmp, icmpv6, sctp, gre, esp, ah")]
enum Protocol {
    Number(u8),
    Name(ProtocolName),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProtocolName {
    Icmp = 1,
    Tcp = 6,
    Udp = 17,
    Gre = 47,
    Esp = 50,
    Ah = 51,
    Icmpv6 = 58,
    Sctp = 132,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    account_id: AccountId,
    region: Word,
    interval: Option<Interval>,
    max_flows: Option<MaxFlows>,
    state: Option<Folder>,
    spool: Option<Folder>,
    spool_max_mib: Option<SpoolMib>,
    spool_max_days: Option<SpoolDays>,
    spool_min_free_mib: Option<FreeMib>,
    spool_when_full: Option<RawWhenFull>,
    #[serde(default)]
    local_networks: Option<Spanned<Vec<Network>>>,
    #[serde(default)]
    decapsulate: Option<Spanned<Vec<TunnelName>>>,
    #[serde(default)]
    identity: IdentityConfig,
    #[serde(default)]
    capture: Vec<Spanned<RawCapture>>,
    #[serde(default)]
    verdict: RawVerdict,
    #[serde(default)]
    records: RawRecords,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCapture {
    interface: Option<Spanned<Pattern>>,
    filter: Option<Filter>,
    #[serde(default)]
    promiscuous: bool,
    #[serde(default)]
    mirror: bool,
    threads: Option<Threads>,
    ring_mib: Option<RingMib>,
    snap_length: Option<SnapLength>,
    interface_id: Option<InterfaceId>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawVerdict {
    nflog_groups: Option<NflogGroups>,
    #[serde(default)]
    icmp_prohibited: bool,
}

checked!(SomeMatch, "RawMatch": RawMatch => RawMatch, |flows| {
    let RawMatch { networks, ports, protocols, direction } = &flows;
    if networks.is_empty() && ports.is_empty() && protocols.is_empty() && direction.is_none() {
        return Err("it would mean every flow; give networks, ports, protocols or a direction".to_owned());
    }
    Ok(flows)
});

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRecords {
    traffic_type: Option<RawTrafficType>,
    #[serde(default)]
    aws_exclusions: bool,
    #[serde(default)]
    include: Vec<SomeMatch>,
    #[serde(default)]
    exclude: Vec<SomeMatch>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMatch {
    #[serde(default)]
    networks: Vec<Network>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    protocols: Vec<Protocol>,
    direction: Option<RawDirection>,
}

impl Raw {
    /// What is meant; or the place in the text and what is wrong there.
    pub(super) fn meant(self) -> Result<Config, (usize, String)> {
        let state = self.state.map_or_else(|| PathBuf::from("/var/lib/flowlake/agent"), |Folder(path)| path);
        let mut flow = flow::Settings::default();
        flow.interval = self.interval.map_or(flow.interval, |Interval(seconds)| seconds);
        flow.max_flows = self.max_flows.map_or(flow.max_flows, |MaxFlows(flows)| flows);
        let judged = self.verdict.nflog_groups.as_ref().is_some_and(|NflogGroups(groups)| !groups.is_empty());
        let mut decapsulate = Tunnels::default();
        if let Some(tunnels) = self.decapsulate.filter(|tunnels| !tunnels.as_ref().is_empty()) {
            if judged || self.verdict.icmp_prohibited {
                let why =
                    "decapsulate: a firewall judges a packet by its outermost header; not together with [verdict]";
                return Err((tunnels.span().start, why.to_owned()));
            }
            decapsulate = tunnels.into_inner().into_iter().map(|TunnelName(tunnel)| tunnel).collect();
        }
        let mut local_networks = Vec::new();
        if let Some(known) = self.local_networks.filter(|known| !known.as_ref().is_empty()) {
            if !self.capture.iter().any(|raw| raw.as_ref().mirror) {
                let why =
                    "local-networks: only a capture with `mirror = true` asks them; elsewhere the kernel tells the way";
                return Err((known.span().start, why.to_owned()));
            }
            local_networks = networks(known.into_inner());
        }
        let mut capture = Vec::new();
        for raw in self.capture {
            let start = raw.as_ref().interface.as_ref().map_or(raw.span().start, |interface| interface.span().start);
            let Some(meant) = raw.into_inner().meant() else {
                return Err((start, "capture: no `interface`".to_owned()));
            };
            if meant.interface_id.is_some() && meant.is_pattern() {
                return Err((
                    start,
                    "interface-id: several interfaces cannot share one; name the interface".to_owned(),
                ));
            }
            let twice = |other: &CaptureConfig| {
                other.interface == meant.interface
                    || (meant.interface_id.is_some() && other.interface_id == meant.interface_id)
            };
            if capture.iter().any(twice) {
                return Err((start, format!("interface: '{}' or its interface-id stands twice", meant.interface)));
            }
            capture.push(meant);
        }
        if capture.is_empty() {
            capture.push(CaptureConfig::of_default_route());
        }
        let usual = Limits::default();
        Ok(Config {
            account_id: self.account_id.0,
            region: self.region.0,
            identity: self.identity,
            limits: Limits {
                max_bytes: self.spool_max_mib.map_or(usual.max_bytes, |SpoolMib(bytes)| bytes),
                max_age: self.spool_max_days.map_or(usual.max_age, |SpoolDays(seconds)| seconds),
                min_free: self.spool_min_free_mib.map_or(usual.min_free, |FreeMib(bytes)| bytes),
                when_full: match self.spool_when_full {
                    None | Some(RawWhenFull::DropOldest) => WhenFull::DropOldest,
                    Some(RawWhenFull::Pause) => WhenFull::Pause,
                },
            },
            spool: self.spool.map_or_else(|| state.join("spool"), |Folder(path)| path),
            state,
            rules: Rules { flow, decapsulate, icmp_prohibited: self.verdict.icmp_prohibited, local_networks },
            capture,
            nflog_groups: self.verdict.nflog_groups.map(|NflogGroups(groups)| groups).unwrap_or_default(),
            records: RecordFilter {
                traffic_type: match self.records.traffic_type {
                    None | Some(RawTrafficType::All) => TrafficType::All,
                    Some(RawTrafficType::Accept) => TrafficType::Accept,
                    Some(RawTrafficType::Reject) => TrafficType::Reject,
                },
                aws_exclusions: self.records.aws_exclusions,
                include: self.records.include.into_iter().map(|SomeMatch(flows)| flows.meant()).collect(),
                exclude: self.records.exclude.into_iter().map(|SomeMatch(flows)| flows.meant()).collect(),
            },
        })
    }
}

impl RawCapture {
    /// `None` without an interface.
    fn meant(self) -> Option<CaptureConfig> {
        let usual = CaptureConfig::of_default_route();
        Some(CaptureConfig {
            interface: self.interface?.into_inner().0,
            tap: TapSettings {
                filter: self.filter.map_or(usual.tap.filter, |Filter(filter)| filter),
                snap_length: self.snap_length.map_or(usual.tap.snap_length, |SnapLength(bytes)| bytes),
                ring_bytes: self.ring_mib.map_or(usual.tap.ring_bytes, |RingMib(bytes)| bytes),
                promiscuous: self.promiscuous || self.mirror,
                mirror: self.mirror,
            },
            threads: self.threads.map_or(usual.threads, |Threads(threads)| threads),
            interface_id: self.interface_id.map(|InterfaceId(id)| id),
        })
    }
}

impl RawMatch {
    fn meant(self) -> FlowMatch {
        FlowMatch {
            networks: networks(self.networks),
            ports: self.ports,
            protocols: self
                .protocols
                .into_iter()
                .map(|protocol| match protocol {
                    Protocol::Number(number) => number,
                    Protocol::Name(name) => name as u8,
                })
                .collect(),
            direction: self.direction.map(|direction| match direction {
                RawDirection::Ingress => Direction::Ingress,
                RawDirection::Egress => Direction::Egress,
            }),
        }
    }
}

fn networks(networks: Vec<Network>) -> Vec<IpNet> {
    networks.into_iter().map(|Network(network)| network).collect()
}
