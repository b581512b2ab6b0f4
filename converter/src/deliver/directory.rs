//! A lake in a local folder: `<root>/ext/<source>/region=…/accountId=…/eventDay=…/`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use flowlake_common::aside;

use crate::lake::{Staged, recorded_inputs};

/// A local lake.
#[derive(Debug)]
pub struct Lake {
    source: PathBuf,
    aside: PathBuf,
}

/// What publishing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The object is new.
    Published,
    /// The same input was delivered before.
    AlreadyThere,
    /// The same input was delivered before, but another number of its rows. What is there stays.
    Differs {
        /// Rows of the object.
        there: usize,
        /// The object.
        path: PathBuf,
    },
}

impl Lake {
    /// Opens the lake, making its folders.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(root: &Path, source: &str) -> anyhow::Result<Self> {
        let lake = Self { source: root.join("ext").join(source), aside: root.join(".flowlake") };
        aside::remove_stale(&lake.aside, "part-");
        for folder in [&lake.source, &lake.aside] {
            fs::create_dir_all(folder).with_context(|| format!("--lake: cannot make {}", folder.display()))?;
        }
        Ok(lake)
    }

    /// The folder for files that are not published yet: on the lake's file system, but hidden from its readers.
    #[must_use]
    pub fn aside(&self) -> &Path {
        &self.aside
    }

    /// The folder of the source: what a reader of the lake is pointed at.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Publishes a file under its name, durably, unless it is there already.
    ///
    /// # Errors
    /// When it cannot be, or when something else has its name.
    pub fn publish(&self, staged: Staged) -> anyhow::Result<Delivered> {
        let folder = self.source.join(staged.partition.to_string());
        let path = folder.join(&staged.name);
        let cannot = || format!("cannot publish {}", path.display());
        make_durable_folders(&self.source, &folder).with_context(cannot)?;
        match staged.file.persist_noclobber(&path) {
            Ok(()) => {
                sync_folder(&folder).with_context(cannot)?;
                Ok(Delivered::Published)
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                let ours = staged.name.split('-').next().unwrap_or_default();
                match recorded_inputs(&path) {
                    Ok((inputs, rows)) if inputs == [ours] && rows == staged.rows => Ok(Delivered::AlreadyThere),
                    Ok((inputs, rows)) if inputs == [ours] => Ok(Delivered::Differs { there: rows, path }),
                    _ => bail!("{} is not a lake file of this input; move it away and convert again", path.display()),
                }
            }
            Err(error) => Err(error.error).with_context(cannot),
        }
    }
}

/// Makes a folder below `root`, and its parents, so that they outlive a crash.
fn make_durable_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    for parent in folder.ancestors().skip(1) {
        sync_folder(parent)?;
        if parent == root {
            break;
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
