//! `[inputs.NAME]`: where inputs come from, and what is said of their records.

use std::path::PathBuf;

use flowlake_common::vpc::Header;
use serde::Deserialize;
use toml::Spanned;

use super::{Wrong, whole, word};
use crate::{batch::InputSettings, lake::is_source_name, ocsf};

/// `[inputs.NAME]`.
#[derive(Debug, Clone)]
pub struct InputConfig {
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub files: Files,
    /// What is said of its records.
    pub settings: InputSettings,
    /// The lake source of its rows, where it is not the usual one.
    pub source: Option<String>,
}

/// Where the files of an input are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// An agent's spool: files are removed once they are delivered.
    Spool(PathBuf),
    /// A folder of finished files, and the folders in it; they stay.
    Folder(PathBuf),
    /// A file that grows: it stays, and is followed when it is moved.
    Followed(PathBuf),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInput {
    spool: Option<Spanned<PathBuf>>,
    folder: Option<Spanned<PathBuf>>,
    file: Option<Spanned<PathBuf>>,
    origin: Option<RawOrigin>,
    account_id: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    log_format: Option<Spanned<String>>,
    source: Option<Spanned<String>>,
    #[serde(default)]
    verdict: RawVerdict,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawOrigin {
    Aws,
    OnPremises,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawVerdict {
    #[default]
    Records,
    None,
}

impl RawInput {
    pub(super) fn meant(
        self,
        name: String,
        start: usize,
        (version, community_id, lake_region): (ocsf::Version, bool, Option<String>),
    ) -> Result<InputConfig, Wrong> {
        let files = match (self.spool, self.folder, self.file) {
            (Some(spool), None, None) => Files::Spool(whole("spool", spool)?),
            (None, Some(folder), None) => Files::Folder(whole("folder", folder)?),
            (None, None, Some(file)) => Files::Followed(whole("file", file)?),
            _ => return Err((start, format!("inputs.{name}: give one of `spool`, `folder` and `file`"))),
        };
        let origin = match (self.origin, &files) {
            (Some(RawOrigin::OnPremises), _) | (None, Files::Spool(_)) => ocsf::Origin::OnPremises,
            _ => ocsf::Origin::Aws,
        };
        let log_format = match self.log_format {
            Some(format) => {
                let start = format.span().start;
                let read = Header::of_format(format.as_ref());
                Some(read.map_err(|error| (start, format!("log-format: {error}")))?)
            }
            None => None,
        };
        let source = match self.source {
            Some(source) if !is_source_name(source.as_ref()) => {
                let why = format!("source: '{}': 1 to 20 lower-case letters, digits and '_'", source.as_ref());
                return Err((source.span().start, why));
            }
            source => source.map(Spanned::into_inner),
        };
        let settings = InputSettings {
            mapping: ocsf::Mapping { origin, version, judged: self.verdict == RawVerdict::Records, community_id },
            account_id: self.account_id.map(|id| word("account-id", id)).transpose()?,
            region: self.region.map(|region| word("region", region)).transpose()?,
            lake_region,
            log_format,
        };
        Ok(InputConfig { name, files, settings, source })
    }
}
