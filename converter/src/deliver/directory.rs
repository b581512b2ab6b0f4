//! Objects as files below a local folder.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
};

use flowlake_common::{hash, time};
use tempfile::NamedTempFile;

use super::Object;
use crate::{failure::Failure, lake::recorded_inputs};

/// A folder that objects are files of.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
    /// A folder around it, when that has to be the one that it was, and what its mark says.
    around: Option<(PathBuf, Vec<u8>)>,
}

/// The folder beside a lake's sources that its readers pass over.
pub(super) const BESIDE: &str = ".flowlake";
/// The file in it by which a folder is known, wherever its disk is mounted.
const MARK: &str = "id";
/// What the names of files that are being written start with; readers of lakes pass over them.
const ASIDE: &str = ".new-";

impl Directory {
    /// The folder; it is made with the first object.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, around: None }
    }

    /// A folder that is made if need be, with a mark in it. Once it has not that mark, as when its disk is unmounted, nothing is read and nothing is
    /// written, below it too: what is delivered to a mount point is hidden when the disk is back.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn marked(root: &Path) -> io::Result<Self> {
        let place = root.join(BESIDE).join(MARK);
        let folder = root.join(BESIDE);
        fs::create_dir_all(&folder)?;
        if !place.try_exists()? {
            let other = format!("{} {} {}\n", time::now_us(), process::id(), root.display());
            let file = written(&folder, hash::sha256(other.as_bytes()).as_bytes())?;
            match file.persist_noclobber(&place) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
                _ => sync_folder(&folder)?,
            }
        }
        Ok(Self { root: root.to_owned(), around: Some((root.to_owned(), fs::read(&place)?)) })
    }

    /// A folder below this one.
    #[must_use]
    pub fn below(&self, key: &str) -> Self {
        Self { root: self.path(key), around: self.around.clone() }
    }

    fn is_as_it_was(&self) -> io::Result<()> {
        match &self.around {
            Some((around, mark))
                if unless_missing(fs::read(around.join(BESIDE).join(MARK)))?.as_ref() != Some(mark) =>
            {
                Err(io::Error::other(format!(
                    "{} is not the folder that it was when this began: mount its disk again, or restart to begin anew there",
                    around.display()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Where an object is.
    #[must_use]
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Writes a small object unless one has its name; gives whether it is new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self, key: &str, content: &[u8]) -> Result<bool, Failure> {
        let path = self.path(key);
        let write = || {
            self.is_as_it_was()?;
            let folder = path.parent().unwrap_or(&self.root);
            self.make_durable(folder)?;
            let file = written(folder, content)?;
            match file.persist_noclobber(&path) {
                Ok(_) => sync_folder(folder).map(|()| true),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
            }
        };
        write().map_err(|error| Failure::of_disk(format!("cannot write {}", path.display()), &error))
    }

    /// A small object.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path(key);
        match self.is_as_it_was().and_then(|()| unless_missing(fs::read(&path))) {
            Ok(content) => Ok(content),
            Err(error) => Err(Failure::of_disk(format!("cannot read {}", path.display()), &error)),
        }
    }

    /// Gives a finished file on this file system its name, unless one has it; gives whether it is new.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&self, key: &str, file: &Path) -> Result<bool, Failure> {
        let path = self.path(key);
        let link = || {
            self.is_as_it_was()?;
            let folder = path.parent().unwrap_or(&self.root);
            self.make_durable(folder)?;
            match fs::hard_link(file, &path) {
                Ok(()) => sync_folder(folder).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        };
        link().map_err(|error| Failure::of_disk(format!("cannot publish {}", path.display()), &error))
    }

    /// What a published object says of itself; `None` when there is none.
    ///
    /// # Errors
    /// When it is no lake file, or cannot be read.
    pub fn published(&self, key: &str) -> Result<Option<Object>, Failure> {
        let path = self.path(key);
        let is_there = self.is_as_it_was().and_then(|()| path.try_exists());
        if !is_there.map_err(|error| Failure::of_disk(format!("cannot read {}", path.display()), &error))? {
            return Ok(None);
        }
        match recorded_inputs(&path) {
            Ok((inputs, rows)) => Ok(Some(Object { inputs: Object::digest(&inputs), rows })),
            Err(error) => Err(Failure::refused(format!("{}", path.display()), format!("{error:#}"))),
        }
    }

    /// Makes a folder and its parents, so that they outlive a crash.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        for parent in folder.ancestors().skip(1) {
            sync_folder(parent)?;
            if parent == self.root {
                break;
            }
        }
        Ok(())
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unless_missing(content: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match content {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some),
    }
}

/// A file that has no name yet, on the disk. As lake files are, it is readable for whoever delivers there next, or asks.
fn written(folder: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    Ok(file)
}
