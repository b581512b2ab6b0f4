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

    /// Claims files, `count` at most and about so many bytes, and adds them to `arrivals`; first, and all of it together, what converters had that live no more.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn arrivals(&mut self, count: usize, bytes: u64, arrivals: &mut Vec<Arrival>) -> io::Result<()> {
        if !self.path.is_dir() {
            return Ok(());
        }
        let reader = match &self.reader {
            Some(reader) => reader,
            None => self.reader.insert(Reader::open(&self.path)?),
        };
        let mut claims = Vec::new();
        let adopted = reader.adopt(&mut claims);
        let claimed = if claims.is_empty() { reader.claim(count, bytes, &mut claims) } else { Ok(()) };
        // What is claimed is in hand, whatever else failed: nobody else could take it.
        arrivals.extend(claims.into_iter().map(|claim| arrival(&self.path, claim)));
        adopted.and(claimed)
    }
}

fn arrival(spool: &Path, claim: Claim) -> Arrival {
    let (path, size) = (claim.path().to_owned(), fs::metadata(claim.path()).map_or(0, |meta| meta.len()));
    let name = spool.join(claim.name()).display().to_string();
    Arrival { file: InputFile { path, size }, name, owned: Owned::Claimed(claim) }
}
