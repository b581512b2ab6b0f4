//! A lake in a local folder: `<root>/ext/<source>/region=…/accountId=…/eventDay=…/`.

use std::{
    fs::{self, File},
    io::{self, Write},
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
    /// What each input's objects are, a file for each input.
    plans: PathBuf,
}

/// What publishing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The object is new.
    Published,
    /// The same input was delivered before.
    AlreadyThere,
}

impl Lake {
    /// Opens a source of the lake, making its folders. `kind` says whose rows it has and in which version, once and for ever: all
    /// files of a source are one table.
    ///
    /// # Errors
    /// When they cannot be made, or the source has rows of another kind.
    pub fn open(root: &Path, source: &str, kind: &str) -> anyhow::Result<Self> {
        let lake = Self {
            source: root.join("ext").join(source),
            aside: root.join(".flowlake"),
            plans: root.join(".flowlake/inputs").join(source),
        };
        aside::remove_stale(&lake.aside, "part-");
        for folder in [&lake.source, &lake.aside] {
            fs::create_dir_all(folder).with_context(|| format!("--lake: cannot make {}", folder.display()))?;
        }
        let kinds = root.join(".flowlake/sources");
        let there = fs::create_dir_all(&kinds).and_then(|()| keep(&kinds, source, kind));
        let there = there.with_context(|| format!("--lake: cannot write in {}", kinds.display()))?;
        if let Some(other) = there.filter(|there| there != kind) {
            bail!("the lake's source {source} has {other}, and not {kind}; name another with --source");
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

    /// Writes down, once and for ever, what the objects of an input are, before the first is published. The same input with
    /// other options or on another day may have other rows in other places: that would double what is there.
    ///
    /// # Errors
    /// When it was delivered as something else, or the plan cannot be written.
    pub fn settle(&self, input: &str, staged: &[Staged]) -> anyhow::Result<()> {
        let mut plan: Vec<String> =
            staged.iter().map(|file| format!("{}/{} {}\n", file.partition, file.name, file.rows)).collect();
        plan.sort();
        let plan = plan.concat();
        fs::create_dir_all(&self.plans)?;
        let there = keep(&self.plans, input, &plan).context("cannot write down what is to be delivered")?;
        if there.is_some_and(|there| there != plan) {
            bail!(
                "it was delivered before, with other options or other rows, as {} says; nothing was added. Lines that were \
                 rejected then are converted from their own file in --rejects; to deliver all of it anew, remove its \
                 objects and that file",
                self.plans.join(input).display()
            );
        }
        Ok(())
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
                    _ => bail!("{} is not a lake file of this input; move it away and convert again", path.display()),
                }
            }
            Err(error) => Err(error.error).with_context(cannot),
        }
    }
}

/// Writes a small file once and for ever; gives what is there when it was written before.
fn keep(folder: &Path, name: &str, content: &str) -> io::Result<Option<String>> {
    let path = folder.join(name);
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(content.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(&path) {
        Ok(_) => sync_folder(folder).map(|()| None),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(&path).map(Some),
        Err(error) => Err(error.error),
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
