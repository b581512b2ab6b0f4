//! Readers of a spool: each file is claimed by one of them, and done once.
//!
//! A claim is a move into a folder of the reader's own, which it holds a lock on as long as it lives. What a reader left that lives no
//! more is given back by whoever opens the spool next, or looks for files. A file that was claimed and not done comes again: whoever
//! delivers it must not mind, see the design's "exactly once".

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{CLAIMS, oldest};

/// What the folders of readers start with, and those that are not locked yet.
const READER: &str = "reader-";
const UNLOCKED: &str = "new-";
const LOCK: &str = "lock";

/// One of a spool's readers.
#[derive(Debug)]
pub struct Reader {
    spool: PathBuf,
    /// Where it has what it claimed.
    own: PathBuf,
    /// Locked while it lives; the kernel lets go of it whatever way it ends.
    _lock: File,
}

/// A file that is this reader's. Dropped without [`Claim::done`], it goes back.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    home: PathBuf,
    is_done: bool,
}

impl Reader {
    /// Opens a spool for reading; it has to be there. What dead readers had claimed is given back.
    ///
    /// # Errors
    /// When its folders cannot be made or locked; the message names the spool.
    pub fn open(spool: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", spool.display()));
        let open = || {
            let claims = spool.join(CLAIMS);
            match fs::create_dir(&claims) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Locked before it has its name: until then nobody takes it for a dead one's.
            let unlocked = tempfile::Builder::new().prefix(UNLOCKED).tempdir_in(&claims)?;
            let lock = File::create(unlocked.path().join(LOCK))?;
            lock.lock()?;
            let unlocked = unlocked.keep();
            let name = unlocked.file_name().unwrap_or_default().to_string_lossy().replacen(UNLOCKED, READER, 1);
            let own = claims.join(name);
            fs::rename(&unlocked, &own)?;
            Ok(Self { spool: spool.to_owned(), own, _lock: lock })
        };
        let reader = open().map_err(named)?;
        reader.recover().map_err(named)?;
        Ok(reader)
    }

    /// Claims the oldest files that nobody has, `count` of them at most.
    ///
    /// # Errors
    /// When the spool cannot be read, or a file cannot be moved.
    pub fn claim(&self, count: usize) -> io::Result<Vec<Claim>> {
        let mut claims = Vec::new();
        for home in oldest(&self.spool, count)?.files {
            let path = self.own.join(home.file_name().unwrap_or_default());
            match fs::rename(&home, &path) {
                Ok(()) => claims.push(Claim { path, home, is_done: false }),
                // Another reader was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(claims)
    }

    /// Gives back what dead readers had claimed.
    ///
    /// # Errors
    /// When the claims cannot be read, or a file cannot be moved.
    pub fn recover(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.spool.join(CLAIMS))? {
            let folder = entry?.path();
            let is_readers =
                folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(READER.as_bytes()));
            if !is_readers || folder == self.own {
                continue;
            }
            let lock = match File::open(folder.join(LOCK)) {
                Ok(lock) => lock,
                // Somebody else gives it back.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match lock.try_lock() {
                Ok(()) => self.give_back(&folder)?,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Under the folder's lock.
    fn give_back(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                put_back(&entry.path(), &self.spool.join(entry.file_name()))?;
            }
        }
        fs::remove_file(folder.join(LOCK))?;
        fs::remove_dir(folder)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Where that fails, the next reader does it.
        let _ = self.give_back(&self.own);
    }
}

impl Claim {
    /// Where the file is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the spool.
    #[must_use]
    pub fn name(&self) -> &Path {
        self.home.file_name().map_or(Path::new(""), Path::new)
    }

    /// Everything in it is where it belongs: removes it.
    ///
    /// # Errors
    /// When it cannot be removed. It comes again then.
    pub fn done(mut self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_done {
            // Where that fails, it is given back with all that its reader leaves.
            let _ = put_back(&self.path, &self.home);
        }
    }
}

/// A name is given once only, so nothing is there; and if there were, it would stay.
fn put_back(path: &Path, home: &Path) -> io::Result<()> {
    fs::hard_link(path, home)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, io::Write, thread};

    use super::*;
    use crate::spool::{Limits, Spool};

    fn spool_of(count: usize) -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), Limits::default()).unwrap();
        for number in 0..count {
            spool.put(&format!("{number:04}"), |out| out.write_all(b"x")).unwrap();
        }
        (folder, spool)
    }

    #[test]
    fn each_file_is_claimed_by_one_reader() {
        let (folder, spool) = spool_of(300);
        let read = || {
            let reader = Reader::open(folder.path()).unwrap();
            let mut found = Vec::new();
            loop {
                let claims = reader.claim(7).unwrap();
                if claims.is_empty() {
                    return found;
                }
                for claim in claims {
                    assert_eq!(fs::read(claim.path()).unwrap(), b"x");
                    found.push(claim.name().to_owned());
                    claim.done().unwrap();
                }
            }
        };
        let found: Vec<PathBuf> = thread::scope(|scope| {
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
        });
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (300, 300));
        assert!(spool.oldest(1).unwrap().is_empty());
    }

    #[test]
    fn what_was_not_done_comes_again() {
        let (folder, spool) = spool_of(4);
        let reader = Reader::open(folder.path()).unwrap();
        let mut claims = reader.claim(3).unwrap();
        assert_eq!(claims[0].name(), Path::new("0000"));
        claims.remove(0).done().unwrap();
        drop(claims.remove(0));
        assert_eq!(spool.oldest(9).unwrap().len(), 2);
        // A reader that was killed drops nothing, and its lock is let go.
        std::mem::forget(claims);
        let Reader { spool: _, own, _lock: lock } = &reader;
        assert!(own.join("0002").exists());
        lock.unlock().unwrap();
        let other = Reader::open(folder.path()).unwrap();
        let names: Vec<PathBuf> = other.claim(9).unwrap().iter().map(|claim| claim.name().to_owned()).collect();
        assert_eq!(names, ["0001", "0002", "0003"].map(PathBuf::from));
        assert!(!own.exists());
    }
}
