//! `agent.toml`: what it means. Unknown keys and wrong values are refused with file, line and key.

mod written;

use std::path::{Path, PathBuf};

pub use flowlake_common::config::ConfigError;
use flowlake_common::{config, spool::Limits};
use serde::Deserialize;

use self::written::{Raw, Word};
use crate::{
    capture::live::TapSettings,
    emit::Identity,
    flow::{RecordFilter, Rules},
    identity,
};

/// Where the configuration lies unless said otherwise.
pub const DEFAULT_PATH: &str = "/etc/flowlake/agent.toml";
/// The word for the devices that default routes leave by.
const DEFAULT_ROUTE: &str = "default-route";

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
    /// How much of it there may be.
    pub limits: Limits,
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

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        config::read(path, Raw::meant)
    }
}

impl Config {
    /// What every record of an interface says; `name` is the device's, where that is known.
    #[must_use]
    pub fn identity_of(&self, interface_id: &str, name: Option<&str>) -> Identity {
        let word = |word: &Option<Word>| word.as_ref().map(|word| word.0.clone());
        Identity {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            interface_ids: vec![interface_id.to_owned()],
            vpc_id: word(&self.identity.vpc_id),
            subnet_id: word(&self.identity.subnet_id),
            instance_id: word(&self.identity.instance_id),
            az_id: word(&self.identity.az_id),
            instance_tag: identity::host_name().as_deref().map(identity::tag_value),
            interface_tag: name.map(identity::tag_value),
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
    use std::fs;

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
        let shipped = include_str!("../../../../packaging/config/agent.toml");
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
            ("[records]\nexclude = [{ ports = [1], direction = \"up\" }]", "agent.toml:4: direction: unknown variant"),
            ("[[records.exclude]]", "agent.toml:3: [[records.exclude]]: it would mean every flow"),
            ("spool = \"\"", "agent.toml:3: spool: '': a folder's whole path"),
            (
                "[[capture]]\ninterface = \"a-name-that-is-too-long\"",
                "agent.toml:4: interface: 'a-name-that-is-too-long': an",
            ),
            ("[[capture]]\nmirror = true", "agent.toml:3: capture: no `interface`"),
            ("[[capture]]\ninterface = \"nflog:5\"", "agent.toml:4: interface: the firewall's log is no interface"),
            ("local-networks = [\"10.0.0.0/8\"]", "agent.toml:3: local-networks: only a capture with `mirror = true`"),
            (
                "decapsulate = [\"gre\"]\n[verdict]\nnflog-groups = [5]",
                "agent.toml:3: decapsulate: a firewall judges a packet by its outermost header",
            ),
            ("[extra]\na = 1", "agent.toml:3: extra: unknown field"),
            ("[[capture]]\ninterface = \"e\\u0000\"", "agent.toml:4: interface: 'e\\0' is no interface"),
            (
                "[verdict]\nnflog-groups = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33]",
                "agent.toml:4: nflog-groups: 33 groups; at most 32",
            ),
            ("[verdict]\nnflog-groups = [5, 5]", "agent.toml:4: nflog-groups: a group stands twice"),
        ] {
            let error = read(&format!("{REQUIRED}{text}\n")).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(read("region = \"x\"").unwrap_err().to_string(), "agent.toml: missing field `account-id`");
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
