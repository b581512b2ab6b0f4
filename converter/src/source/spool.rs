//! The files of a spool, claimed: no other converter has them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use flowlake_common::{
    spool::{Claim, Reader},
    time,
};

use super::{Arrival, Owned, Troubles, why_not};
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
    /// and what was let go of here without being done. What cannot be read, or is not there, is added to `troubles`.
    pub fn arrivals(&mut self, count: usize, bytes: u64, arrivals: &mut Vec<Arrival>, troubles: &mut Troubles) {
        let path = self.path.display().to_string();
        if let Some(why) = why_not(&self.path) {
            troubles.insert(why.clone(), why);
            return;
        }
        let mut failed = |what: &str, error: io::Error| {
            let name = if error.to_string().starts_with(&path) { String::new() } else { format!("{path}: ") };
            let message = format!("{name}{error}");
            if !troubles.values().any(|known| *known == message) {
                troubles.insert(format!("{path} {what} {:?}", error.kind()), message);
            }
        };
        if self.reader.as_ref().is_some_and(|reader| !reader.is_there()) {
            self.reader = None;
            failed(
                "other",
                io::Error::other("another folder than before; what is claimed in that one comes again when it is back"),
            );
        }
        let now_us = time::monotonic_us();
        let reader = match &self.reader {
            Some(reader) => reader,
            None => match Reader::open(&self.path) {
                Ok(reader) => {
                    self.reclaimed_us = now_us;
                    self.reader.insert(reader)
                }
                Err(error) => return failed("reader", error),
            },
        };
        let mut claims = Vec::new();
        reader.adopt(&mut claims).unwrap_or_else(|error| failed("adopted", error));
        if now_us - self.reclaimed_us >= RECLAIM_EVERY_US {
            match reader.reclaim(&mut claims) {
                Ok(()) => self.reclaimed_us = now_us,
                Err(error) => failed("reclaimed", error),
            }
        }
        if claims.is_empty() {
            reader.claim(count, bytes, &mut claims).unwrap_or_else(|error| failed("claimed", error));
        }
        // What is claimed is in hand, whatever else failed: nobody else could take it.
        arrivals.extend(claims.into_iter().map(|claim| arrival(&self.path, claim)));
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
        let mut arrivals = |names: &[&str], troubles: usize| {
            let (mut arrivals, mut found) = (Vec::new(), Troubles::new());
            files.arrivals(9, u64::MAX, &mut arrivals, &mut found);
            let names: Vec<_> = names.iter().map(|name| path.join(name).display().to_string()).collect();
            assert_eq!(arrivals.iter().map(|arrival| arrival.name.clone()).collect::<Vec<_>>(), names);
            assert_eq!(found.len(), troubles, "{found:?}");
        };
        arrivals(&[], 1);
        for (name, troubles) in [("one", 0), ("two", 1)] {
            let spool = Spool::open(&path, Limits::default()).unwrap();
            spool.put(name, |out| io::Write::write_all(out, b"x")).unwrap();
            arrivals(&[name], troubles);
            arrivals(&[], 0);
            fs::remove_dir_all(&path).unwrap();
        }
        arrivals(&[], 1);
    }
}
