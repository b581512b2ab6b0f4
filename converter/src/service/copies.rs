//! Copies of files that are somebody else's and are forwarded: they may change before all have them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flowlake_common::{aside, hash::HashingReader};

use crate::input::InputFile;

/// What the names of copies begin with that are not finished.
const ASIDE: &str = ".new-";

/// The folder of copies, each named by its hash.
#[derive(Debug)]
pub(super) struct Copies {
    folder: PathBuf,
}

impl Copies {
    /// Below the converter's state. What an earlier service left is nobody's: what it was of comes again.
    pub(super) fn of(state: &Path) -> io::Result<Self> {
        let folder = state.join("copies");
        fs::create_dir_all(&folder)?;
        aside::remove_all(&folder, "");
        Ok(Self { folder })
    }

    /// A copy of a file; `None` when it has other bytes than these by now.
    pub(super) fn copy(&self, file: &InputFile, hash: &str) -> io::Result<Option<InputFile>> {
        let path = self.folder.join(hash);
        if !path.exists() {
            let new = tempfile::Builder::new().prefix(ASIDE).tempfile_in(&self.folder)?;
            fs::copy(&file.path, new.path())?;
            if HashingReader::new(File::open(new.path())?).finish()? != hash {
                return Ok(None);
            }
            // A crash leaves nothing that is used again; what the forwards keep is brought to the disk.
            new.as_file().sync_all()?;
            new.persist(&path).map_err(|error| error.error)?;
        }
        Ok(Some(InputFile { size: fs::metadata(&path)?.len(), path }))
    }

    /// Everybody has it.
    pub(super) fn let_go(&self, hash: &str) -> io::Result<()> {
        match fs::remove_file(self.folder.join(hash)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
