//! `agent.toml`: as it is written, and as it is meant. Unknown keys and wrong values are refused with file, line and key.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    capture::{
        Direction,
        live::{self, TapSettings},
    },
    decode::{Tunnel, Tunnels},
    emit::Identity,
    flow::{self, FlowMatch, RecordFilter, Rules, TrafficType},
};

/// Where the configuration lies unless said otherwise.
pub const DEFAULT_PATH: &str = "/etc/flowlake/agent.toml";
/// The word for the devices that default routes leave by.
const DEFAULT_ROUTE: &str = "default-route";
/// A configuration of more bytes is none.
const MAX_BYTES: u64 = 1 << 20;

/// What the agent is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// `account-id` of every record.
    pub account_id: String,
    /// `region` of every record.
    pub region: String,
    /// `vpc-id`, `subnet-id`, `instance-id`, `az-id` of every record.
    pub identity: IdentityConfig,
    /// The agent's own folder: crash markers, and the lock.
    pub state: PathBuf,
    /// Where finished files go.
    pub spool: PathBuf,
    /// Windows, tunnels, networks of this side.
    pub rules: Rules,
    /// What is captured.
    pub capture: Vec<CaptureConfig>,
    /// Groups of the firewall's log; empty: every record is ACCEPT.
    pub nflog_groups: Vec<u16>,
    /// Which flows become records.
    pub records: RecordFilter,
}

/// `[identity]`: the counterparts of the cloud's levels.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdentityConfig {
    /// The site, or the group of hosts.
    pub vpc_id: Option<Word>,
    /// The network segment.
    pub subnet_id: Option<Word>,
    /// The host's hybrid activation (`mi-…`) or whatever names it.
    pub instance_id: Option<Word>,
    /// The location.
    pub az_id: Option<Word>,
}

/// One `[[capture]]`.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    /// A name, a pattern with `*` and `?`, or `default-route`.
    pub interface: String,
    /// How they are captured.
    pub tap: TapSettings,
    /// Capture threads of each.
    pub threads: u16,
    /// Their `interface-id`, when it is not made from the machine's.
    pub interface_id: Option<String>,
}

impl CaptureConfig {
    /// Whether a device is meant.
    #[must_use]
    pub fn selects(&self, name: &str, default_route_devices: &[String]) -> bool {
        if self.interface == DEFAULT_ROUTE {
            return default_route_devices.iter().any(|device| device == name);
        }
        matches_pattern(self.interface.as_bytes(), name.as_bytes())
    }

    /// Whether devices may come and go without anybody missing them.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.interface == DEFAULT_ROUTE || self.interface.contains(['*', '?'])
    }
}

/// Why a configuration cannot be used: file, line and key, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

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
    _ if pattern.len() > 64 || pattern.contains(['/', ' ']) => {
        Err(format!("'{}' is no interface", pattern.escape_debug()))
    }
    _ => Ok(pattern),
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
struct Raw {
    account_id: AccountId,
    region: Word,
    interval: Option<Interval>,
    max_flows: Option<MaxFlows>,
    state: Option<PathBuf>,
    spool: Option<PathBuf>,
    #[serde(default)]
    local_networks: Vec<Network>,
    #[serde(default)]
    decapsulate: Vec<TunnelName>,
    #[serde(default)]
    identity: IdentityConfig,
    #[serde(default)]
    capture: Vec<RawCapture>,
    #[serde(default)]
    verdict: RawVerdict,
    #[serde(default)]
    records: RawRecords,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCapture {
    interface: toml::Spanned<Pattern>,
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
    #[serde(default)]
    nflog_groups: Vec<u16>,
    #[serde(default)]
    icmp_prohibited: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRecords {
    traffic_type: Option<RawTrafficType>,
    #[serde(default)]
    aws_exclusions: bool,
    #[serde(default)]
    include: Vec<RawMatch>,
    #[serde(default)]
    exclude: Vec<RawMatch>,
}

#[derive(Debug, Deserialize)]
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

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display();
        let text = read_bounded(path).map_err(|error| ConfigError(format!("{name}: {error}")))?;
        let raw: Raw = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            let written = text.lines().nth(line - 1).unwrap_or_default().trim();
            let key = written.split('=').next().unwrap_or_default().trim();
            let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
            ConfigError(format!("{name}:{line}: {key}{}", error.message()))
        })?;
        raw.meant().map_err(|(offset, message)| ConfigError(format!("{name}:{}: {message}", line_of(&text, offset))))
    }
}

impl Config {
    /// What every record of an interface says.
    #[must_use]
    pub fn identity_of(&self, interface_id: &str) -> Identity {
        let word = |word: &Option<Word>| word.as_ref().map(|word| word.0.clone());
        Identity {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            interface_ids: vec![interface_id.to_owned()],
            vpc_id: word(&self.identity.vpc_id),
            subnet_id: word(&self.identity.subnet_id),
            instance_id: word(&self.identity.instance_id),
            az_id: word(&self.identity.az_id),
        }
    }
}

impl Raw {
    /// What is meant; or the place in the text and what is wrong there.
    fn meant(self) -> Result<Config, (usize, String)> {
        let state = self.state.unwrap_or_else(|| PathBuf::from("/var/lib/flowlake/agent"));
        let mut flow = flow::Settings::default();
        flow.interval = self.interval.map_or(flow.interval, |Interval(seconds)| seconds);
        flow.max_flows = self.max_flows.map_or(flow.max_flows, |MaxFlows(flows)| flows);
        let decapsulate: Tunnels = self.decapsulate.into_iter().map(|TunnelName(tunnel)| tunnel).collect();
        let mut capture = Vec::new();
        for raw in self.capture {
            let start = raw.interface.span().start;
            let meant = raw.meant();
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
        Ok(Config {
            account_id: self.account_id.0,
            region: self.region.0,
            identity: self.identity,
            spool: self.spool.unwrap_or_else(|| state.join("spool")),
            state,
            rules: Rules {
                flow,
                decapsulate,
                icmp_prohibited: self.verdict.icmp_prohibited,
                local_networks: networks(self.local_networks),
            },
            capture,
            nflog_groups: self.verdict.nflog_groups,
            records: RecordFilter {
                traffic_type: match self.records.traffic_type {
                    None | Some(RawTrafficType::All) => TrafficType::All,
                    Some(RawTrafficType::Accept) => TrafficType::Accept,
                    Some(RawTrafficType::Reject) => TrafficType::Reject,
                },
                aws_exclusions: self.records.aws_exclusions,
                include: self.records.include.into_iter().map(RawMatch::meant).collect(),
                exclude: self.records.exclude.into_iter().map(RawMatch::meant).collect(),
            },
        })
    }
}

impl RawCapture {
    fn meant(self) -> CaptureConfig {
        let usual = CaptureConfig::of_default_route();
        CaptureConfig {
            interface: self.interface.into_inner().0,
            tap: TapSettings {
                filter: self.filter.map_or(usual.tap.filter, |Filter(filter)| filter),
                snap_length: self.snap_length.map_or(usual.tap.snap_length, |SnapLength(bytes)| bytes),
                ring_bytes: self.ring_mib.map_or(usual.tap.ring_bytes, |RingMib(bytes)| bytes),
                promiscuous: self.promiscuous || self.mirror,
                mirror: self.mirror,
            },
            threads: self.threads.map_or(usual.threads, |Threads(threads)| threads),
            interface_id: self.interface_id.map(|InterfaceId(id)| id),
        }
    }
}

impl CaptureConfig {
    /// What is captured when nothing is said. 256 bytes hold the headers of both ends of a tunnel.
    fn of_default_route() -> Self {
        let tap = TapSettings {
            filter: String::new(),
            snap_length: 256,
            ring_bytes: 32 << 20,
            promiscuous: false,
            mirror: false,
        };
        Self { interface: DEFAULT_ROUTE.to_owned(), tap, threads: 1, interface_id: None }
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

fn read_bounded(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a configuration"));
    }
    fs::read_to_string(path)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// `*` stands for any characters, `?` for one.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| matches_pattern(rest, &name[skipped..])),
        (Some((wanted, rest)), Some((found, others))) if *wanted == b'?' || wanted == found => {
            matches_pattern(rest, others)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|ConfigError(message)| {
            ConfigError(message.replace(&folder.path().display().to_string(), "").replacen('/', "", 1))
        })
    }

    const REQUIRED: &str = "account-id = \"111122223333\"\nregion = \"eu-central-1\"\n";

    #[test]
    fn two_keys_are_enough() {
        let config = read(REQUIRED).unwrap();
        assert_eq!((config.rules.flow.interval, config.capture[0].threads), (60, 1));
        assert_eq!(config.spool, Path::new("/var/lib/flowlake/agent/spool"));
        assert!(config.capture[0].selects("eth0", &["eth0".to_owned()]));
        assert!(!config.capture[0].selects("eth1", &["eth0".to_owned()]));
    }

    /// What is shipped is read, and so is each of its examples when its `#` is taken away.
    #[test]
    fn the_shipped_configuration_is_read() {
        let shipped = include_str!("../../../packaging/config/agent.toml");
        let defaults = read(shipped).unwrap();
        assert_eq!(defaults.capture[0].tap, CaptureConfig::of_default_route().tap);
        let uncommented = shipped.lines().map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        });
        let text: String = uncommented.map(|line| format!("{line}\n")).collect();
        // A pattern cannot have one id.
        let every_key = read(&text.replace("interface = \"default-route\"", "interface = \"eth0\"")).unwrap();
        assert_eq!(every_key.capture[0].tap, defaults.capture[0].tap);
        assert_eq!((every_key.spool, every_key.rules.flow), (defaults.spool, defaults.rules.flow));
    }

    #[test]
    fn what_is_wrong_is_refused_with_line_and_key() {
        for (text, expected) in [
            ("interval = 61", "agent.toml:3: interval: 61: AWS has windows of 60 and of 600 seconds"),
            ("intervall = 60", "agent.toml:3: intervall: unknown field `intervall`"),
            ("[[capture]]\ninterface = \"any\"", "agent.toml:4: interface: 'any' would count"),
            ("[[capture]]\ninterface = \"eth0\"\nfilter = \"tcp prot 1\"", "agent.toml:5: filter: 'tcp prot 1' is no"),
            ("[[capture]]\ninterface = \"e*\"\ninterface-id = \"eni-f0000000000000000\"", "agent.toml:4: interface-id"),
            ("[[capture]]\ninterface = \"e\"\n[[capture]]\ninterface = \"e\"", "agent.toml:6: interface: 'e'"),
            ("[records]\ntraffic-type = \"SOME\"", "agent.toml:4: traffic-type: unknown variant `SOME`"),
            ("[[records.exclude]]\nports = [70000]", "agent.toml:4: ports: invalid value"),
            ("[[records.exclude]]\nprotocols = [\"tpc\"]", "agent.toml:4: protocols: a protocol is a number"),
            ("decapsulate = [\"gre\", \"gro\"]", "agent.toml:3: decapsulate: 'gro' is not one of gre"),
        ] {
            let error = read(&format!("{REQUIRED}{text}\n")).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(read("region = \"x\"").unwrap_err().to_string().contains("account-id"));
        assert!(read(&REQUIRED.replace("1111", "x")).unwrap_err().to_string().contains("12 digits"));
    }

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("eth*", "eth0", true),
            ("eth?", "eth10", false),
            ("*", "", true),
            ("e*0", "eno10", true),
            ("lo", "lo0", false),
        ] {
            assert_eq!(matches_pattern(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
