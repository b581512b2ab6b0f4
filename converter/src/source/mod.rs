//! Where inputs come from: an agent's spool, and folders of finished files.
//!
//! What it gives is complete and does not change. Whoever delivers it says when it is done.

mod folder;
mod spool;

pub use folder::Folder;
pub use spool::SpoolFiles;

use std::{io, path::PathBuf};

use flowlake_common::spool::Claim;

use crate::input::InputFile;

/// A file that arrived.
#[derive(Debug)]
pub struct Arrival {
    /// Where it is now.
    pub file: InputFile,
    /// Its name for a person, where account and Region may stand in the path.
    pub name: String,
    /// What is done with it when it was delivered.
    pub owned: Owned,
}

/// Whose a file is.
#[derive(Debug)]
pub enum Owned {
    /// Ours: it is removed when it was delivered.
    Claimed(Claim),
    /// Somebody else's: it stays, and is remembered.
    Kept(PathBuf),
}

impl Arrival {
    /// Removes it, if it is ours. What is gone already is well removed.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        match &self.owned {
            Owned::Claimed(claim) => match claim.done() {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Owned::Kept(_) => Ok(()),
        }
    }
}
