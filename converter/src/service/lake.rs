//! The lake that the configuration names, and the way there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use flowlake_common::aside;

use super::config::{Config, Location};
use crate::{
    aws::Aws,
    deliver::{Directory, Registrations, Root, Store},
};

/// The lake, and the way to AWS where it is needed.
pub(super) fn open(config: &Config) -> anyhow::Result<(Root, Option<Aws>)> {
    let is_remote = |location: &Location| !matches!(location, Location::Directory(_));
    let needs_aws = is_remote(&config.lake.place) || config.lake.ledger.as_ref().is_some_and(is_remote);
    let aws = if needs_aws { Some(Aws::new(config.aws.clone())?) } else { None };
    let folder = aside_folder(&config.state)?;
    let ledger = match &config.lake.ledger {
        Some(Location::S3(url)) => Some(Store::s3(aws.as_ref().context("no way to AWS")?, url.clone())),
        Some(Location::Directory(folder)) => Some(ledger_in(folder)?),
        Some(Location::SecurityLake) | None => None,
    };
    let root = match &config.lake.place {
        Location::Directory(folder) => Root::directory(folder)?,
        Location::S3(url) => Root::s3(aws.as_ref().context("no way to AWS")?, url, &folder),
        Location::SecurityLake => {
            let own = ledger_in(&config.state.join("ledger"))?;
            let region = config.lake.region.as_deref().context("no Region")?;
            let registered = (Registrations::of(&config.state), region);
            Root::security_lake(aws.as_ref().context("no way to AWS")?, registered, own, &folder)
        }
    };
    let root = match ledger {
        Some(ledger) => root.with_ledger(ledger),
        None => root,
    };
    Ok((root, aws))
}

fn ledger_in(folder: &Path) -> anyhow::Result<Store> {
    let folder = Directory::marked(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(Store::Directory(folder))
}

/// The folder for files not yet published. What a killed process left there is nobody's.
fn aside_folder(state: &Path) -> anyhow::Result<PathBuf> {
    let folder = state.join("aside");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    aside::remove_stale(&folder, "part-");
    Ok(folder)
}
