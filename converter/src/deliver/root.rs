//! Lakes: a root below which sources lie, and beside them what was promised.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flowlake_common::aside;

use super::{Directory, Lake, Ledger, Registration, Registrations, S3Url, Store, directory::BESIDE};
use crate::aws::Aws;

/// A lake.
#[derive(Debug)]
pub struct Root {
    sources: Sources,
    ledger: Store,
    aside: PathBuf,
}

#[derive(Debug)]
enum Sources {
    Directory(Directory),
    S3(Aws, S3Url),
    SecurityLake(Aws, Registrations, String),
}

impl Root {
    /// A lake in a local folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn directory(root: &Path) -> anyhow::Result<Self> {
        let lake = Directory::marked(root).with_context(|| format!("cannot make {}", root.display()))?;
        let beside = lake.path(BESIDE);
        aside::remove_stale(&beside, "part-");
        let ledger = Store::Directory(lake.below(BESIDE).below("ledger"));
        Ok(Self { sources: Sources::Directory(lake), ledger, aside: beside })
    }

    /// A lake in a bucket; files are written to `aside` first.
    #[must_use]
    pub fn s3(aws: &Aws, url: &S3Url, aside: &Path) -> Self {
        let ledger = Store::s3(aws, url.below(BESIDE).below("ledger"));
        Self { sources: Sources::S3(aws.clone(), url.clone()), ledger, aside: aside.to_owned() }
    }

    /// Security Lake, whose sources are where it said, each written as the role that it said; only lake files may be written there, so the
    /// ledger is elsewhere.
    #[must_use]
    pub fn security_lake(
        aws: &Aws,
        (registrations, region): (Registrations, &str),
        ledger: Store,
        aside: &Path,
    ) -> Self {
        Self {
            sources: Sources::SecurityLake(aws.clone(), registrations, region.to_owned()),
            ledger,
            aside: aside.to_owned(),
        }
    }

    /// The same, with its ledger elsewhere.
    #[must_use]
    pub fn with_ledger(self, ledger: Store) -> Self {
        Self { ledger, ..self }
    }

    /// Opens a source. `kind` says whose rows it has and in which version, once and for ever: all files of a source are one
    /// table.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or the source has rows of another kind.
    pub fn source(&self, name: &str, kind: &str) -> anyhow::Result<Lake> {
        let below = format!("ext/{name}");
        let objects = match &self.sources {
            Sources::Directory(lake) => Store::Directory(lake.below(&below)),
            Sources::S3(aws, url) => Store::s3(aws, url.below(&below)),
            Sources::SecurityLake(aws, registrations, region) => {
                let Registration { location, role, external_id, .. } = registrations.get(name, region)?;
                let url = S3Url::parse(&location).with_context(|| format!("'{location}' is no place in S3"))?;
                Store::s3(&aws.assuming(&role, &external_id), url)
            }
        };
        let ledger = Ledger::new(self.ledger.clone(), name);
        if let Some(other) = ledger.kind(kind)? {
            bail!("the lake's source {name} has {other}, and not {kind}; name another with --source");
        }
        Ok(Lake::new(objects, ledger, &self.aside))
    }
}
