//! The hand-over from agent to converter: a folder of finished files that never change.
//!
//! A file is written aside, brought to the disk and only then named, so a reader sees it whole or not at all, and a crash
//! loses what was not yet named and nothing else. One process writes; it removes what an earlier one left half-written.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use crate::aside::{self, Existing};

/// What the names of unfinished files start with.
const ASIDE: &str = ".flowlake-";

/// The folder, as its writer sees it.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Opens the folder for writing, and makes it if need be. Half-written files of an earlier writer are removed.
    ///
    /// # Errors
    /// When the folder cannot be made; the message names it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(named)?;
        // A probe, so that a folder that cannot be written is known before the first window closes.
        tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder).map_err(named)?;
        aside::remove_all(folder, ASIDE);
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a file and gives it its name. When it returns, the file survives a crash.
    ///
    /// # Errors
    /// When it cannot be written, or a file has that name ([`io::ErrorKind::AlreadyExists`]); the message names the file.
    pub fn put(&self, name: &str, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
        let path = self.folder.join(name);
        aside::write_durably(&path, ASIDE, Existing::Keep, write)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".flowlake-left.tmp"), "half").unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.put("a", |out| out.write_all(b"whole")).unwrap();
        let failed = spool.put("b", |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.unwrap_err().to_string().ends_with("b: the disk is full"));
        let again = spool.put("a", |out| out.write_all(b"other")).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"whole");
    }
}
