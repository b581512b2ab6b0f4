//! The files of a spool, claimed: no other converter has them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use flowlake_common::{
    spool::{Claim, Reader},
    time,
};

use super::{Arrival, Owned};
use crate::input::InputFile;

/// Microseconds between two looks for what was claimed and let go of, though it is not done.
const RECLAIM_EVERY_US: i64 = 30_000_000;

/// A spool that is read.
#[derive(Debug)]
pub struct SpoolFiles {
    path: PathBuf,
    /// Once the spool is there.
    reader: Option<Reader>,
    reclaimed_us: i64,
}

impl SpoolFiles {
    /// The spool in a folder, which may not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), reader: None, reclaimed_us: 0 }
    }

    /// Claims files, `count` at most and about so many bytes, and adds them to `arrivals`; first, and all of it together, what converters had that live no more,
    /// and what was let go of here without being done.
    ///
    /// # Errors
    /// When the spool cannot be read, or is there no more.
    pub fn arrivals(&mut self, count: usize, bytes: u64, arrivals: &mut Vec<Arrival>) -> io::Result<()> {
        if !self.path.is_dir() {
            return match self.reader {
                // Its agent makes it.
                None => Ok(()),
                Some(_) => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{}: is not there any more; what is claimed of it waits", self.path.display()),
                )),
            };
        }
        // Where somebody made the spool anew, its reader has to be, too.
        if self.reader.as_ref().is_some_and(|reader| !reader.is_there()) {
            self.reader = None;
        }
        let now_us = time::monotonic_us();
        let reader = match &self.reader {
            Some(reader) => reader,
            None => {
                self.reclaimed_us = now_us;
                self.reader.insert(Reader::open(&self.path)?)
            }
        };
        let mut claims = Vec::new();
        let mut taken = reader.adopt(&mut claims);
        if now_us - self.reclaimed_us >= RECLAIM_EVERY_US {
            self.reclaimed_us = now_us;
            taken = taken.and(reader.reclaim(&mut claims));
        }
        if claims.is_empty() {
            taken = taken.and(reader.claim(count, bytes, &mut claims));
        }
        // What is claimed is in hand, whatever else failed: nobody else could take it.
        arrivals.extend(claims.into_iter().map(|claim| arrival(&self.path, claim)));
        taken
    }
}

fn arrival(spool: &Path, claim: Claim) -> Arrival {
    let (path, size) = (claim.path().to_owned(), fs::metadata(claim.path()).map_or(0, |meta| meta.len()));
    let name = spool.join(claim.name()).display().to_string();
    Arrival { file: InputFile { path, size }, name, owned: Owned::Claimed(claim) }
}

#[cfg(test)]
mod tests {
    use flowlake_common::spool::{Limits, Spool};

    use super::*;

    #[test]
    fn a_spool_that_is_made_anew_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut files = SpoolFiles::new(&path);
        let mut arrivals = |names: &[&str]| {
            let mut arrivals = Vec::new();
            files.arrivals(9, u64::MAX, &mut arrivals).unwrap();
            let found: Vec<_> = arrivals.iter().map(|arrival| arrival.name.clone()).collect();
            assert_eq!(found, names.iter().map(|name| path.join(name).display().to_string()).collect::<Vec<_>>());
        };
        arrivals(&[]);
        for name in ["one", "two"] {
            let spool = Spool::open(&path, Limits::default()).unwrap();
            spool.put(name, |out| io::Write::write_all(out, b"x")).unwrap();
            arrivals(&[name]);
            fs::remove_dir_all(&path).unwrap();
        }
    }
}
