//! The files of a spool, claimed: no other converter has them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use flowlake_common::spool::{Claim, Reader};

use super::{Arrival, Owned};
use crate::input::InputFile;

/// A spool that is read.
#[derive(Debug)]
pub struct SpoolFiles {
    path: PathBuf,
    /// Once the spool is there.
    reader: Option<Reader>,
}

impl SpoolFiles {
    /// The spool in a folder, which may not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), reader: None }
    }

    /// Claims files, `count` at most and about so many bytes; first, and all of it together, what converters had that live no more.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn arrivals(&mut self, count: usize, bytes: u64) -> io::Result<Vec<Arrival>> {
        if !self.path.is_dir() {
            return Ok(Vec::new());
        }
        let reader = match &self.reader {
            Some(reader) => reader,
            None => self.reader.insert(Reader::open(&self.path)?),
        };
        let mut claims = reader.adopt()?;
        if claims.is_empty() {
            claims = reader.claim(count, bytes)?;
        }
        claims.into_iter().map(|claim| arrival(&self.path, claim)).collect()
    }
}

fn arrival(spool: &Path, claim: Claim) -> io::Result<Arrival> {
    let (path, size) = (claim.path().to_owned(), fs::metadata(claim.path())?.len());
    let name = spool.join(claim.name()).display().to_string();
    Ok(Arrival { file: InputFile { path, size }, name, owned: Owned::Claimed(claim) })
}
