//! Readers of a spool: each file is claimed by one of them, and done once.
//!
//! A claim is a move into a folder of the reader's own, which it holds a lock on as long as it lives. What a reader left that lives no
//! more is adopted as a whole by another: its folder moves into the other's, so what it had in hand together stays together, whoever is
//! killed. A file that was claimed and not done comes again, also to a reader that lives: whoever delivers it must not mind, see the design's "exactly once".

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{CLAIMS, oldest};

/// What the folders of readers start with, and those that are not locked yet.
const READER: &str = "reader-";
const UNLOCKED: &str = "new-";
/// No file of a spool has such a name.
const LOCK: &str = ".lock";

/// Where the claims are that are held.
type Held = Arc<Mutex<BTreeSet<PathBuf>>>;

/// One of a spool's readers.
#[derive(Debug)]
pub struct Reader {
    spool: PathBuf,
    /// Where it has what it claimed.
    own: PathBuf,
    held: Held,
    /// Locked while it lives; the kernel lets go of it whatever way it ends.
    _lock: File,
}

/// A file that is this reader's, until it is done. Dropped without that, it comes again.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    held: Held,
}

impl Reader {
    /// Opens a spool for reading; it has to be there.
    ///
    /// # Errors
    /// When its folders cannot be made or locked; the message names the spool.
    pub fn open(spool: &Path) -> io::Result<Self> {
        let open = || {
            let claims = spool.join(CLAIMS);
            match fs::create_dir(&claims) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // Locked before it has its name: until then nobody takes it for a dead one's.
            // Its error has a random name in it: the same trouble would be another each time.
            let unlocked = tempfile::Builder::new().prefix(UNLOCKED).tempdir_in(&claims);
            let unlocked = unlocked.map_err(|error| io::Error::from(error.kind()))?;
            let lock = File::create(unlocked.path().join(LOCK))?;
            lock.lock()?;
            let unlocked = unlocked.keep();
            let name = unlocked.file_name().unwrap_or_default().to_string_lossy().replacen(UNLOCKED, READER, 1);
            let own = claims.join(name);
            fs::rename(&unlocked, &own)?;
            Ok(Self { spool: spool.to_owned(), own, held: Held::default(), _lock: lock })
        };
        open().map_err(|error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", spool.display())))
    }

    /// Whether the folder of what it claims is there, or cannot be looked at. Once it is not, as when its disk was unmounted, nothing can be
    /// claimed by this reader.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(fs::metadata(&self.own), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Claims the oldest files that nobody has, `count` of them at most, and no further ones once they have so many bytes. They are added to
    /// `claims`.
    ///
    /// # Errors
    /// When the spool cannot be read, or a file cannot be moved, which stays and does not stop the others: the first of them. What was claimed
    /// is claimed all the same.
    pub fn claim(&self, count: usize, bytes: u64, claims: &mut Vec<Claim>) -> io::Result<()> {
        let (mut claimed, mut failed) = (0, Ok(()));
        for home in oldest(&self.spool, count)?.files {
            if claimed >= bytes {
                break;
            }
            let path = self.own.join(home.file_name().unwrap_or_default());
            // What has its name is claimed; it comes when that is done.
            if !matches!(path.try_exists(), Ok(false)) {
                continue;
            }
            match fs::rename(&home, &path) {
                Ok(()) => {
                    claimed += fs::metadata(&path).map_or(0, |meta| meta.len());
                    claims.push(self.hold(path));
                }
                // Another reader was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    failed = failed.and(Err(io::Error::new(error.kind(), format!("{}: {error}", home.display()))));
                }
            }
        }
        failed
    }

    /// A claim of what is not held.
    fn hold(&self, path: PathBuf) -> Claim {
        lock(&self.held).insert(path.clone());
        Claim { path, held: self.held.clone() }
    }

    /// Claims anew what this reader claimed and nobody holds any more, though it is not done: what could not be read or removed at that
    /// moment. It is added to `claims`.
    ///
    /// # Errors
    /// When the reader's folder cannot be read.
    pub fn reclaim(&self, claims: &mut Vec<Claim>) -> io::Result<()> {
        let mut parts = Vec::new();
        list(&self.own, Path::new(""), &mut parts)?;
        let all = parts.iter().flat_map(|(place, names)| names.iter().map(move |name| self.own.join(place).join(name)));
        let left: Vec<_> = {
            let held = lock(&self.held);
            all.filter(|path| !held.contains(path)).collect()
        };
        claims.extend(left.into_iter().map(|path| self.hold(path)));
        Ok(())
    }

    /// Claims all that readers had which live no more, and adds it to `claims`.
    ///
    /// # Errors
    /// As those of [`Reader::claim`].
    pub fn adopt(&self, claims: &mut Vec<Claim>) -> io::Result<()> {
        let mut adopted = Ok(());
        for entry in fs::read_dir(self.spool.join(CLAIMS))? {
            let folder = entry?.path();
            let name = folder.file_name().unwrap_or_default();
            if !name.as_encoded_bytes().starts_with(READER.as_bytes()) || folder == self.own {
                continue;
            }
            match self.adopt_one(&folder, claims) {
                // Somebody else adopted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    adopted = adopted.and(Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display()))));
                }
                Ok(()) => {}
            }
        }
        claims.sort_by(|one, other| one.name().cmp(other.name()));
        adopted
    }

    /// Takes all that a reader had, if it lives no more.
    fn adopt_one(&self, folder: &Path, claims: &mut Vec<Claim>) -> io::Result<()> {
        let _lock = match File::open(folder.join(LOCK)) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => Some(lock),
                Err(TryLockError::WouldBlock) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
            },
            // Somebody removed the lock, which was there before the folder had its name: nobody could ever tell whether its reader lives.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_dir() => None,
            Err(error) => return Err(error),
        };
        // What cannot be listed is not taken.
        let mut parts = Vec::new();
        list(folder, Path::new(folder.file_name().unwrap_or_default()), &mut parts)?;
        // All of it at once, or nothing.
        fs::rename(folder, self.own.join(folder.file_name().unwrap_or_default()))?;
        // The innermost first: what it had adopted lies beside it from now on, or it would lie deeper with each death. Where one cannot be
        // moved, those around it stay where they are, too.
        let mut is_flat = true;
        for (place, names) in parts.iter().rev() {
            let (deep, beside) = (self.own.join(place), self.own.join(place.file_name().unwrap_or_default()));
            is_flat = deep == beside || is_flat && fs::rename(&deep, &beside).is_ok();
            let home = if is_flat { beside } else { deep };
            claims.extend(names.iter().map(|name| self.hold(home.join(name))));
            // It goes with its last file; what stays is empty, and goes when this reader is adopted.
            drop(fs::remove_file(home.join(LOCK)));
            drop(fs::remove_dir(home));
        }
        Ok(())
    }
}

/// The names of the files in a reader's folder, whose place is told, and then of those in folders that it had adopted.
fn list(folder: &Path, place: &Path, parts: &mut Vec<(PathBuf, Vec<OsString>)>) -> io::Result<()> {
    let (mut names, mut inner) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            inner.push(entry.file_name());
        } else if entry.file_name() != LOCK {
            names.push(entry.file_name());
        }
    }
    parts.push((place.to_owned(), names));
    inner.iter().try_for_each(|name| list(&folder.join(name), &place.join(name), parts))
}

impl Claim {
    /// Where the file is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the spool.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Everything in it is where it belongs: removes it. What is gone already is well removed.
    ///
    /// # Errors
    /// When it cannot be removed. It comes again.
    pub fn done(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // A folder that was adopted goes with its last file; the reader's own has its lock.
        if let Some(folder) = self.path.parent() {
            drop(fs::remove_dir(folder));
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.held).remove(&self.path);
    }
}

fn lock(held: &Held) -> MutexGuard<'_, BTreeSet<PathBuf>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, ffi::OsString, io::Write, thread};

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
    fn a_name_that_comes_again_waits_for_the_first() {
        let (folder, spool) = spool_of(1);
        let reader = Reader::open(folder.path()).unwrap();
        let claim = |reader: &Reader| {
            let mut claims = Vec::new();
            reader.adopt(&mut claims).unwrap();
            reader.claim(9, u64::MAX, &mut claims).unwrap();
            claims
        };
        let first = claim(&reader);
        spool.put("0000", |out| out.write_all(b"y")).unwrap();
        assert!(claim(&reader).is_empty());
        assert_eq!(fs::read(first[0].path()).unwrap(), b"x");
        // It stops no other, and comes when the first is done.
        spool.put("0001", |out| out.write_all(b"0")).unwrap();
        let next = claim(&reader);
        assert_eq!(next.iter().map(Claim::name).collect::<Vec<_>>(), ["0001"]);
        first.iter().chain(&next).for_each(|claim| claim.done().unwrap());
        let [second] = &claim(&reader)[..] else { panic!("the second") };
        assert_eq!(fs::read(second.path()).unwrap(), b"y");
        spool.put("0000", |out| out.write_all(b"x")).unwrap();
        // One that dies has that, and another file; who has the first has them all the same, and from its death on the next.
        let other = Reader::open(folder.path()).unwrap();
        spool.put("0001", |out| out.write_all(b"z")).unwrap();
        assert_eq!(claim(&other).len(), 1 + 1);
        drop(other);
        let mut contents = BTreeSet::new();
        let claims = claim(&reader);
        assert_eq!(claims.len(), 2);
        drop(reader);
        let mut reader = Reader::open(folder.path()).unwrap();
        for _ in 0..3 {
            let claims = claim(&reader);
            assert_eq!(claims.iter().map(Claim::name).collect::<Vec<_>>(), ["0000", "0000", "0001"]);
            // However many die, nothing lies deeper.
            assert!(claims.iter().all(|claim| claim.path().strip_prefix(&reader.own).unwrap().iter().count() <= 2));
            contents = claims.iter().map(|claim| fs::read(claim.path()).unwrap()).collect();
            drop(reader);
            reader = Reader::open(folder.path()).unwrap();
        }
        assert_eq!(contents, BTreeSet::from([b"x".to_vec(), b"y".to_vec(), b"z".to_vec()]));
        claim(&reader).iter().for_each(|claim| claim.done().unwrap());
        assert!(claim(&reader).is_empty());
        assert_eq!(fs::read_dir(&reader.own).unwrap().count(), 1, "only its lock");
        assert_eq!(fs::read_dir(folder.path().join(CLAIMS)).unwrap().count(), 1, "only its folder");
    }

    #[test]
    fn what_is_let_go_of_and_not_done_comes_again() {
        let (folder, _) = spool_of(3);
        let reader = Reader::open(folder.path()).unwrap();
        let reclaim = || {
            let mut claims = Vec::new();
            reader.reclaim(&mut claims).unwrap();
            claims
        };
        let mut claims = Vec::new();
        reader.claim(9, u64::MAX, &mut claims).unwrap();
        assert!(reclaim().is_empty());
        claims.remove(0).done().unwrap();
        drop(claims.remove(0));
        let again = reclaim();
        assert_eq!(again.iter().map(Claim::name).collect::<Vec<_>>(), ["0001"]);
        assert!(reclaim().is_empty());
        again[0].done().unwrap();
        drop((again, claims));
        // Also what it adopted.
        let other = Reader::open(folder.path()).unwrap();
        let spool = Spool::open(folder.path(), Limits::default()).unwrap();
        spool.put("0003", |out| out.write_all(b"x")).unwrap();
        other.claim(9, u64::MAX, &mut Vec::new()).unwrap();
        // Without its lock it is dead, too.
        fs::remove_file(other.own.join(LOCK)).unwrap();
        reader.adopt(&mut Vec::new()).unwrap();
        let mut names: Vec<_> = reclaim().iter().map(|claim| claim.name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["0002", "0003"]);
    }

    #[test]
    fn each_file_is_claimed_by_one_reader() {
        let (folder, spool) = spool_of(300);
        let read = || {
            let reader = Reader::open(folder.path()).unwrap();
            let mut found = Vec::new();
            loop {
                let mut claims = Vec::new();
                reader.claim(7, u64::MAX, &mut claims).unwrap();
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
        let found: Vec<OsString> = thread::scope(|scope| {
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
        });
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (300, 300));
        assert!(spool.oldest(1).unwrap().is_empty());
    }

    #[test]
    fn what_a_reader_left_is_adopted_as_a_whole() {
        let (folder, spool) = spool_of(4);
        let reader = Reader::open(folder.path()).unwrap();
        let claim = |reader: &Reader, count: usize| {
            let mut claims = Vec::new();
            reader.claim(count, u64::MAX, &mut claims).unwrap();
            claims
        };
        let adopt = |reader: &Reader| {
            let mut claims = Vec::new();
            reader.adopt(&mut claims).unwrap();
            claims
        };
        let claims = claim(&reader, 3);
        assert_eq!(claims[0].name(), OsStr::new("0000"));
        claims[0].done().unwrap();
        let other = Reader::open(folder.path()).unwrap();
        assert!(adopt(&other).is_empty());
        let own = reader.own.clone();
        drop(reader);
        let names = |claims: Vec<Claim>| -> Vec<_> { claims.iter().map(|claim| claim.name().to_owned()).collect() };
        assert_eq!(names(adopt(&other)), ["0001", "0002"]);
        assert!(!own.exists() && adopt(&other).is_empty());
        assert_eq!(names(claim(&other, 9)), ["0003"]);
        assert!(spool.oldest(1).unwrap().is_empty());
    }
}
