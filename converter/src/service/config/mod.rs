//! `converter.toml`: what it means. Unknown keys and wrong values are refused with file, line and key.

mod forward;
mod input;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use flowlake_common::config;
pub use flowlake_common::config::ConfigError;
pub use forward::{ForwardConfig, ForwardTo};
pub use input::{Files, InputConfig};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    aws,
    deliver::S3Url,
    lake::{is_partition_word, is_source_name},
    ocsf,
};

/// Where the configuration lies unless said otherwise.
pub const DEFAULT_PATH: &str = "/etc/flowlake/converter.toml";

/// What the converter is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// The converter's own folder: what is parked, rejected, being written and was seen.
    pub state: PathBuf,
    /// Where the lake is.
    pub lake: LakeConfig,
    /// How AWS is reached.
    pub aws: aws::Settings,
    /// Where inputs come from.
    pub inputs: Vec<InputConfig>,
    /// Where records go beside the lake.
    pub forwards: Vec<ForwardConfig>,
}

/// `[lake]`.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    /// Where it is.
    pub place: Location,
    /// Its Region.
    pub region: Option<String>,
    /// Where the ledger is, if not beside the lake.
    pub ledger: Option<Location>,
    /// Seconds that inputs wait for others to share a lake file with.
    pub wait: u64,
    /// Bytes of inputs after which they wait no longer.
    pub max_bytes: u64,
}

/// A folder, or a place in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder.
    Directory(PathBuf),
    /// A bucket and a prefix.
    S3(S3Url),
    /// Security Lake, as its sources are registered.
    SecurityLake,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    state: Option<Spanned<PathBuf>>,
    lake: Spanned<RawLake>,
    #[serde(default)]
    aws: RawAws,
    #[serde(default)]
    inputs: BTreeMap<Spanned<String>, Spanned<input::RawInput>>,
    #[serde(default)]
    forward: BTreeMap<Spanned<String>, Spanned<forward::RawForward>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLake {
    path: Spanned<String>,
    region: Option<Spanned<String>>,
    ledger: Option<Spanned<String>>,
    ocsf_version: Option<Spanned<String>>,
    #[serde(default)]
    community_id: bool,
    batch_seconds: Option<Spanned<u64>>,
    batch_mib: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAws {
    profile: Option<String>,
    region: Option<String>,
    endpoint_url: Option<String>,
    #[serde(default)]
    path_style: bool,
    ca_file: Option<PathBuf>,
    proxy: Option<String>,
    no_proxy: Option<String>,
    timeout_seconds: Option<Spanned<u64>>,
}

/// The place in the text, and what is wrong there.
type Wrong = (usize, String);

impl Raw {
    fn meant(self) -> Result<Config, Wrong> {
        let state = match self.state {
            Some(state) => whole("state", state)?,
            None => PathBuf::from("/var/lib/flowlake/converter"),
        };
        let lake_start = self.lake.span().start;
        let lake = self.lake.into_inner();
        let version = match lake.ocsf_version.as_ref().map(|version| version.as_ref().as_str()) {
            None | Some("1.1.0") => ocsf::Version::V1_1_0,
            Some("1.3.0") => ocsf::Version::V1_3_0,
            Some(other) => {
                let start = lake.ocsf_version.as_ref().map_or(lake_start, |version| version.span().start);
                return Err((start, format!("ocsf-version: '{other}': 1.1.0 or 1.3.0")));
            }
        };
        let lake_region = lake.region.map(|region| word("region", region)).transpose()?;
        let mut inputs = Vec::new();
        for (name, input) in self.inputs {
            let start = name.span().start;
            let name = name.into_inner();
            if !is_source_name(&name) {
                return Err((start, format!("inputs.{name}: a name has 1 to 20 lower-case letters, digits and '_'")));
            }
            let common = (version, lake.community_id, lake_region.clone());
            inputs.push(input.into_inner().meant(name, start, common)?);
        }
        if inputs.is_empty() {
            return Err((0, "no [inputs.NAME]: there would be nothing to convert".to_owned()));
        }
        let mut forwards = Vec::new();
        for (name, forward) in self.forward {
            let start = name.span().start;
            let name = name.into_inner();
            if !is_source_name(&name) {
                return Err((start, format!("forward.{name}: a name has 1 to 20 lower-case letters, digits and '_'")));
            }
            forwards.push(forward.into_inner().meant(name, start, &inputs)?);
        }
        let within = |name, value: Option<Spanned<u64>>, usual, range: std::ops::RangeInclusive<u64>| match value {
            Some(value) if !range.contains(value.as_ref()) => {
                let (from, to) = (range.start(), range.end());
                Err((value.span().start, format!("{name}: {}: from {from} to {to}", value.as_ref())))
            }
            Some(value) => Ok(value.into_inner()),
            None => Ok(usual),
        };
        let path_start = lake.path.span().start;
        let place = match lake.path.as_ref().as_str() {
            "security-lake" => Location::SecurityLake,
            _ => location("path", lake.path)?,
        };
        if place == Location::SecurityLake && lake_region.is_none() {
            return Err((path_start, "path: security-lake: give the lake's `region` too".to_owned()));
        }
        let usual = aws::Settings::default();
        let RawAws { profile, region, endpoint_url, path_style, ca_file, proxy, no_proxy, timeout_seconds } = self.aws;
        let timeout = within("timeout-seconds", timeout_seconds, usual.timeout, 1..=3600)?;
        // The lake's Region is the one that is asked, unless somebody says another.
        let region = region.or_else(|| lake_region.clone());
        Ok(Config {
            state,
            lake: LakeConfig {
                place,
                region: lake_region.clone(),
                ledger: lake.ledger.map(|ledger| location("ledger", ledger)).transpose()?,
                wait: within("batch-seconds", lake.batch_seconds, 300, 0..=86_400)?,
                max_bytes: within("batch-mib", lake.batch_mib, 64, 1..=1024)? << 20,
            },
            aws: aws::Settings { profile, region, endpoint_url, path_style, ca_file, proxy, no_proxy, timeout },
            inputs,
            forwards,
        })
    }
}

fn whole(key: &str, path: Spanned<PathBuf>) -> Result<PathBuf, Wrong> {
    if path.as_ref().is_absolute() {
        return Ok(path.into_inner());
    }
    Err((path.span().start, format!("{key}: '{}': a whole path, from '/' on", path.as_ref().display())))
}

fn word(key: &str, word: Spanned<String>) -> Result<String, Wrong> {
    if is_partition_word(word.as_ref()) {
        return Ok(word.into_inner());
    }
    Err((word.span().start, format!("{key}: '{}': 1 to 64 letters, digits, '-' and '_'", word.as_ref().escape_debug())))
}

fn location(key: &str, text: Spanned<String>) -> Result<Location, Wrong> {
    let start = text.span().start;
    let text = text.into_inner();
    if text.starts_with("s3://") {
        let url = S3Url::parse(&text);
        return url
            .map(Location::S3)
            .ok_or_else(|| (start, format!("{key}: '{text}': s3://bucket or s3://bucket/prefix")));
    }
    let path = PathBuf::from(&text);
    if path.is_absolute() {
        return Ok(Location::Directory(path));
    }
    let more = if key == "path" { ", or security-lake" } else { "" };
    Err((start, format!("{key}: '{}': a whole path, from '/' on, or s3://bucket/prefix{more}", text.escape_debug())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flowlake_common::vpc::Format;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("converter.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path)
            .map_err(|ConfigError(message)| message.replace(&format!("{}/", folder.path().display()), ""))
    }

    const LAKE: &str = "[lake]\npath = \"/srv/lake\"\n";
    const SPOOL: &str = "[inputs.agent]\nspool = \"/var/lib/flowlake/agent/spool\"\n";

    #[test]
    fn a_lake_and_an_input_are_enough() {
        let config = read(&format!("{LAKE}{SPOOL}")).unwrap();
        assert_eq!(config.lake.place, Location::Directory("/srv/lake".into()));
        assert_eq!((config.lake.wait, config.lake.max_bytes), (300, 64 << 20));
        let [input] = &config.inputs[..] else { panic!("one input") };
        assert_eq!((input.settings.mapping.origin, input.settings.mapping.judged), (ocsf::Origin::OnPremises, true));
        let unjudged = read(&format!("{LAKE}{SPOOL}verdict = \"none\"\n")).unwrap();
        assert!(!unjudged.inputs[0].settings.mapping.judged);
    }

    /// What is shipped is read, and so is each of its examples when its `#` is taken away.
    #[test]
    fn the_shipped_configuration_is_read() {
        let shipped = include_str!("../../../../packaging/config/converter.toml");
        let defaults = read(shipped).unwrap();
        let [input] = &defaults.inputs[..] else { panic!("one input") };
        assert_eq!(input.files, Files::Spool("/var/lib/flowlake/agent/spool".into()));
        let uncommented = shipped.lines().map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        });
        let text: String = uncommented.map(|line| format!("{line}\n")).collect();
        let every_key = read(&text).unwrap();
        assert_eq!((every_key.state, every_key.lake.wait), (defaults.state, defaults.lake.wait));
        assert_eq!((every_key.lake.max_bytes, every_key.aws.timeout), (defaults.lake.max_bytes, defaults.aws.timeout));
        assert_eq!((every_key.inputs.len(), every_key.forwards.len()), (3, 3));
        assert_eq!(every_key.forwards[0].format, Format::default_fields());
    }

    #[test]
    fn what_is_wrong_is_refused_with_line_and_key() {
        for (text, expected) in [
            (format!("{LAKE}{SPOOL}verdit = \"none\"\n"), "converter.toml:5: verdit: unknown field"),
            (format!("{LAKE}{SPOOL}verdict = \"some\"\n"), "converter.toml:5: verdict: unknown variant"),
            (LAKE.to_owned(), "converter.toml:1: no [inputs.NAME]"),
            (SPOOL.to_owned(), "converter.toml: missing field `lake`"),
            (format!("[lake]\npath = \"lake\"\n{SPOOL}"), "converter.toml:2: path: 'lake': a whole path"),
            (format!("[lake]\npath = \"security-lake\"\n{SPOOL}"), "converter.toml:2: path: security-lake: give"),
            (format!("{LAKE}batch-seconds = 100000\n{SPOOL}"), "converter.toml:3: batch-seconds: 100000: from 0"),
            (format!("{LAKE}[inputs.a]\norigin = \"aws\"\n"), "converter.toml:3: inputs.a: give one of"),
            (format!("{LAKE}{SPOOL}log-format = \"${{x y\"\n"), "converter.toml:5: log-format: "),
            (format!("{LAKE}{SPOOL}region = \"a/b\"\n"), "converter.toml:5: region: 'a/b'"),
            (format!("{LAKE}{SPOOL}[forward.x]\n"), "converter.toml:5: forward.x: give one of"),
            (
                format!("{LAKE}{SPOOL}[forward.x]\nlog-group = \"a\"\nlog-format = \"${{srcaddr}} ${{start}}\"\n"),
                "converter.toml:5: forward.x: log-format: a log group needs",
            ),
            (format!("{LAKE}{SPOOL}[forward.x]\ns3 = \"b\"\n"), "converter.toml:6: s3: 'b': s3://bucket"),
            (format!("{LAKE}{SPOOL}[forward.x]\nlog-group = \"a:b\"\n"), "converter.toml:6: log-group: 'a:b'"),
            (
                format!("{LAKE}{SPOOL}[forward.x]\nlog-group = \"a\"\nfile-format = \"parquet\"\n"),
                "converter.toml:5: forward.x: file-format",
            ),
            (
                format!("{LAKE}{SPOOL}[forward.x]\nlog-group = \"a\"\ninputs = [\"b\"]\n"),
                "converter.toml:7: inputs: there is no [inputs.b]",
            ),
            (
                format!("{LAKE}[inputs.a]\nfolder = \"/a\"\n[forward.x]\nlog-group = \"a\"\ninputs = [\"a\"]\n"),
                "converter.toml:7: inputs: [inputs.a] is a folder",
            ),
            (
                format!("{LAKE}[inputs.a]\nfolder = \"/a\"\n[forward.x]\nlog-group = \"a\"\n"),
                "converter.toml:5: forward.x: give `inputs`",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
