//! Where inputs come from: an agent's spool, folders of finished files, and files that grow.
//!
//! What it gives is complete and does not change. Whoever delivers it says when it is done.

mod folder;
mod followed;
mod spool;

pub use folder::Folder;
pub use followed::{Followed, FollowedStatus, Looked};
pub use spool::SpoolFiles;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

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

/// What cannot be read now, for a person, by what makes it the same as before: the system's words may have random or passing names in them.
pub type Troubles = BTreeMap<String, String>;

/// Whose a file is.
#[derive(Debug)]
pub enum Owned {
    /// Ours: it is removed when it was delivered.
    Claimed(Claim),
    /// Somebody else's: it stays where it is, and is remembered.
    Kept(PathBuf),
}

/// Why a folder cannot be read, when that is so.
fn why_not(folder: &Path) -> Option<String> {
    match fs::metadata(folder) {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("{}: is not there; it is waited for", folder.display()))
        }
        Err(error) => Some(format!("{}: {error}", folder.display())),
    }
}
