//! What Security Lake said when a source was registered there: where its rows go, and as which role.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flowlake_common::aside::{self, Existing};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};

/// A custom source of Security Lake, as it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Registration {
    /// The source's name.
    pub source: String,
    /// The Region of the lake.
    pub region: String,
    /// `s3://…`, below which the partitions are: `provider.location` of the API.
    pub location: String,
    /// The ARN of the role that may write there: `provider.roleArn`.
    pub role: String,
    /// The external id that this role is assumed with.
    pub external_id: String,
}

/// The registrations that one converter keeps, each in a file.
#[derive(Debug, Clone)]
pub struct Registrations(PathBuf);

impl Registrations {
    /// Those of a converter's own folder.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self(state.join("security-lake"))
    }

    fn path(&self, source: &str) -> PathBuf {
        self.0.join(format!("{source}.json"))
    }

    /// What was kept of a source.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn find(&self, source: &str) -> io::Result<Option<Registration>> {
        match fs::read(self.path(source)) {
            Ok(content) => Ok(Some(serde_json::from_slice(&content)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What was kept of a source that rows are to go to, in a Region.
    ///
    /// # Errors
    /// When nothing was, it is of another Region, or it cannot be read.
    pub fn get(&self, source: &str, region: &str) -> Result<Registration, Failure> {
        let failed = |kind, why| Failure { kind, what: format!("source {source} of Security Lake"), why };
        match self.find(source) {
            Ok(Some(registration)) if registration.region == region => Ok(registration),
            Ok(Some(other)) => {
                Err(failed(Kind::Unregistered, format!("it is registered in {}, and not in {region}", other.region)))
            }
            Ok(None) => Err(failed(Kind::Unregistered, format!("there is no {}", self.path(source).display()))),
            Err(error) => Err(failed(Kind::Disk, format!("{}: {error}", self.path(source).display()))),
        }
    }

    /// The external id of a registration that is under way, made durable before anybody is told of it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn external_id(&self, source: &str, make: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
        let path = self.0.join(format!("{source}.external-id"));
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.0)?;
                let made = make()?;
                aside::write_durably(&path, ".new-", Existing::Replace, |out| out.write_all(made.as_bytes()))?;
                Ok(made)
            }
            read => read,
        }
    }

    /// Keeps one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, registration: &Registration) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.0)?;
        let path = self.path(&registration.source);
        let text = serde_json::to_vec_pretty(registration)?;
        aside::write_durably(&path, ".new-", Existing::Replace, |out| out.write_all(&text))?;
        Ok(path)
    }
}
