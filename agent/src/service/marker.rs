//! Crash markers: for each interface that is captured, a durable note of what is written.
//!
//! A marker that is there at the start was left by a run that ended suddenly: what it did not write is lost.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use flowlake_common::aside::{self, Existing};

const ASIDE: &str = ".flowlake-";

/// The folder of markers.
#[derive(Debug, Clone)]
pub(super) struct Markers {
    folder: PathBuf,
}

impl Markers {
    pub(super) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("open");
        fs::create_dir_all(&folder)?;
        aside::remove_all(&folder, ASIDE);
        Ok(Self { folder })
    }

    /// What an earlier run left: interface-id, and the first second that it did not write. A marker that cannot be read is
    /// given as an error with its path.
    pub(super) fn left(&self) -> io::Result<Vec<Result<(String, i64), PathBuf>>> {
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            let since = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            left.push(id.zip(since).ok_or(path));
        }
        left.sort();
        Ok(left)
    }

    /// Notes durably that everything of an interface before a second is written.
    pub(super) fn write(&self, id: &str, written_until: i64) -> io::Result<()> {
        let path = self.path(id);
        aside::write_durably(&path, ASIDE, Existing::Replace, |out| writeln!(out, "{written_until}"))
    }

    /// Everything is written: nothing is lost when the next run begins.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.path(id))
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }
}
