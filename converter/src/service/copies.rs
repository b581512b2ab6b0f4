//! Copies of files that are somebody else's and are forwarded: they may change before all have them.
//!
//! A copy outlives its process, with its name beside it: a batch that was planned with it can be ended. There are only as many as leave room
//! for the lake's files.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flowlake_common::{aside, hash::HashingReader};

use crate::{forward::About, input::InputFile};

/// What the names of copies begin with that are not finished, and what those of the files beside them end with, behind a dot.
const ASIDE: &str = ".new-";
const ABOUT: &str = "about";

/// The folder of copies, each named by its hash.
#[derive(Debug)]
pub(super) struct Copies {
    folder: PathBuf,
    /// Bytes that they may have.
    max_bytes: u64,
    /// Bytes of its disk that are left to others.
    min_free: u64,
}

/// What became of a copy.
pub(super) enum Copied {
    /// It is there.
    As(InputFile),
    /// The file has other bytes by now.
    Changed,
    /// There are enough of them.
    NoRoom,
}

impl Copies {
    /// Below the converter's state.
    pub(super) fn of(state: &Path, max_bytes: u64, min_free: u64) -> io::Result<Self> {
        let folder = state.join("copies");
        fs::create_dir_all(&folder)?;
        aside::remove_all(&folder, ASIDE);
        Ok(Self { folder, max_bytes, min_free })
    }

    /// What an earlier service left: it is delivered as it was then.
    pub(super) fn left(&self) -> io::Result<Vec<(InputFile, About)>> {
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some() {
                continue;
            }
            let about = fs::read(path.with_extension(ABOUT)).ok();
            match about.and_then(|about| serde_json::from_slice(&about).ok()) {
                Some(about) => left.push((InputFile { size: fs::metadata(&path)?.len(), path }, about)),
                // Nobody knows whose it was.
                None => fs::remove_file(&path)?,
            }
        }
        Ok(left)
    }

    /// A copy of a file that has a hash.
    pub(super) fn copy(&self, file: &InputFile, hash: &str, about: &About) -> io::Result<Copied> {
        let path = self.folder.join(hash);
        if !path.exists() {
            let mut bytes = 0;
            for entry in fs::read_dir(&self.folder)? {
                let entry = entry?;
                let is_copy = entry.path().extension().is_none();
                bytes += entry.metadata().map_or(0, |meta| if is_copy { meta.len() } else { 0 });
            }
            let disk = rustix::fs::statvfs(&self.folder)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            // One there may always be: without any, nothing would go on.
            let is_enough = bytes + file.size > self.max_bytes || free < file.size.saturating_add(self.min_free);
            if bytes > 0 && is_enough {
                return Ok(Copied::NoRoom);
            }
            let new = tempfile::Builder::new().prefix(ASIDE).tempfile_in(&self.folder)?;
            fs::copy(&file.path, new.path())?;
            if HashingReader::new(File::open(new.path())?).finish()? != hash {
                return Ok(Copied::Changed);
            }
            new.as_file().sync_all()?;
            fs::write(path.with_extension(ABOUT), serde_json::to_vec(about)?)?;
            new.persist(&path).map_err(|error| error.error)?;
        }
        Ok(Copied::As(InputFile { size: fs::metadata(&path)?.len(), path }))
    }

    /// Everybody has it.
    pub(super) fn let_go(&self, hash: &str) -> io::Result<()> {
        let path = self.folder.join(hash);
        for file in [path.with_extension(ABOUT), path] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_as_it_was_and_there_is_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "12345").unwrap();
        let file = InputFile { path: path.clone(), size: 5 };
        let hash = file.sha256().unwrap();
        let about = About { from: "cloud".to_owned(), name: path.display().to_string() };
        let copies = Copies::of(folder.path(), 8, 0).unwrap();
        assert!(matches!(copies.copy(&file, "other", &about).unwrap(), Copied::Changed));
        let Copied::As(copy) = copies.copy(&file, &hash, &about).unwrap() else { panic!("a copy") };
        fs::write(&path, "67890").unwrap();
        let other = file.sha256().unwrap();
        assert!(matches!(copies.copy(&file, &other, &about).unwrap(), Copied::NoRoom));
        // As it was, for whoever comes next.
        let copies = Copies::of(folder.path(), u64::MAX, u64::MAX).unwrap();
        assert_eq!(copies.left().unwrap(), [(copy.clone(), about.clone())]);
        assert_eq!(fs::read(&copy.path).unwrap(), b"12345");
        // Nothing is left of the disk for another; but one there may always be.
        assert!(matches!(copies.copy(&file, &other, &about).unwrap(), Copied::NoRoom));
        copies.let_go(&hash).unwrap();
        assert!(matches!(copies.copy(&file, &other, &about).unwrap(), Copied::As(_)));
        copies.let_go(&other).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("copies")).unwrap().count(), 0);
    }
}
