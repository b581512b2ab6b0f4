//! Lakes: a root below which sources lie, and beside them what was promised.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use flowlake_common::aside;

use super::{Bucket, Directory, Lake, Ledger, S3Url, Store};
use crate::aws::{Aws, Role};

/// The folder beside a lake's sources that its readers pass over.
const BESIDE: &str = ".flowlake";

/// Where a source's objects lie, as Security Lake said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What its keys begin with.
    pub location: S3Url,
    /// The role that may write there.
    pub role: Option<Role>,
    /// The Region of the bucket.
    pub region: String,
}

/// A lake.
#[derive(Debug)]
pub struct Root {
    sources: Sources,
    ledger: Store,
    aside: PathBuf,
}

#[derive(Debug)]
enum Sources {
    Directory(PathBuf),
    S3(Aws, S3Url),
    /// Each where Security Lake said.
    Places(Aws, BTreeMap<String, Place>),
}

impl Root {
    /// A lake in a local folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn directory(root: &Path) -> anyhow::Result<Self> {
        let beside = root.join(BESIDE);
        std::fs::create_dir_all(&beside).with_context(|| format!("cannot make {}", beside.display()))?;
        aside::remove_stale(&beside, "part-");
        let ledger = Store::Directory(Directory::new(beside.join("ledger")));
        Ok(Self { sources: Sources::Directory(root.to_owned()), ledger, aside: beside })
    }

    /// A lake in a bucket; files are written to `aside` first.
    #[must_use]
    pub fn s3(aws: &Aws, url: &S3Url, aside: &Path) -> Self {
        let beside = Bucket::new(aws.clone(), aws.s3(None, None), url.below(BESIDE).below("ledger"));
        Self {
            sources: Sources::S3(aws.clone(), url.clone()),
            ledger: Store::S3(Box::new(beside)),
            aside: aside.to_owned(),
        }
    }

    /// Sources in Security Lake. The ledger has to be elsewhere: nothing but their own objects may be there.
    #[must_use]
    pub fn places(aws: &Aws, places: BTreeMap<String, Place>, ledger: Store, aside: &Path) -> Self {
        Self { sources: Sources::Places(aws.clone(), places), ledger, aside: aside.to_owned() }
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
    /// When the ledger cannot be read or written, or the source has rows of another kind, or none is where it should be.
    pub fn source(&self, name: &str, kind: &str) -> anyhow::Result<Lake> {
        let below = format!("ext/{name}");
        let objects = match &self.sources {
            Sources::Directory(root) => Store::Directory(Directory::new(root.join(below))),
            Sources::S3(aws, url) => {
                Store::S3(Box::new(Bucket::new(aws.clone(), aws.s3(None, None), url.below(&below))))
            }
            Sources::Places(aws, places) => {
                let place = places.get(name);
                let Place { location, role, region } = place.with_context(|| {
                    format!("Security Lake has no source {name} that is known here; run flowlake-converter provision")
                })?;
                let client = aws.s3(Some(region), role.as_ref());
                Store::S3(Box::new(Bucket::new(aws.clone(), client, location.clone())))
            }
        };
        let ledger = Ledger::new(self.ledger.clone(), name);
        if let Some(other) = ledger.kind(kind)? {
            bail!("the lake's source {name} has {other}, and not {kind}; name another with --source");
        }
        Ok(Lake::new(objects, ledger, &self.aside))
    }
}
