//! A folder of finished files. They stay; which of them were delivered is remembered over restarts.
//!
//! What is still being written to is left until it stands still. What grows after it was delivered would be delivered twice, and is
//! said and left. A file is another one when its place, or its beginning, is: numbers of inodes are given again.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use flowlake_common::{hash, time};

use super::{Arrival, Owned, why_not};
use crate::input;

/// Seconds that a file stands still before it is believed to be finished.
const SETTLED: i64 = 5;
/// Files that are remembered; of more, the ledger knows by their content.
const MAX_SEEN: usize = 1 << 20;
/// Bytes that tell a file that grew from another one in its place.
const HEAD: u64 = 1024;

/// A folder that is watched.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// What was delivered of it, by device and inode.
    seen: HashMap<(u64, u64), Seen>,
    log: PathBuf,
    /// What was given and is not done: which file stood there, and how it was.
    out: HashMap<PathBuf, ((u64, u64), Seen)>,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    size: u64,
    /// Nanoseconds since the epoch.
    modified: i128,
    /// SHA-256 of its place and its beginning, shortened.
    head: String,
    /// Whether it was said that it grew.
    has_grown: bool,
}

/// What a look at the folder gives.
#[derive(Debug, Default)]
pub struct Found {
    /// Finished files that are new.
    pub arrivals: Vec<Arrival>,
    /// Files that grew after they were delivered, each said once.
    pub grown: Vec<PathBuf>,
    /// What cannot be read.
    pub errors: Vec<String>,
}

impl Folder {
    /// Watches a folder, which is waited for when it is not there. `log` is where is kept what was delivered.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn open(path: &Path, log: &Path) -> io::Result<Self> {
        let mut seen = HashMap::new();
        match File::open(log) {
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    if let Some((inode, known)) = Seen::of_line(&line?).filter(|_| seen.len() < MAX_SEEN) {
                        seen.insert(inode, known);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { path: path.to_owned(), seen, log: log.to_owned(), out: HashMap::new() })
    }

    /// Looks for finished files, `count` of them at most; but for what is below `not`.
    pub fn look(&mut self, count: usize, not: &[&Path]) -> Found {
        let mut found = Found::default();
        if let Some(why) = why_not(&self.path) {
            found.errors.push(why);
            return found;
        }
        let (files, errors) = input::collect(std::slice::from_ref(&self.path), not);
        found.errors = errors;
        for file in files {
            if found.arrivals.len() == count {
                break;
            }
            let Ok(meta) = fs::metadata(&file.path) else {
                continue;
            };
            let inode = (meta.dev(), meta.ino());
            let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
            let is_as = |seen: &Seen| (seen.size, seen.modified) == (meta.len(), modified);
            if time::now() - meta.mtime() < SETTLED
                || self.out.contains_key(&file.path)
                || self.seen.get(&inode).is_some_and(is_as)
            {
                continue;
            }
            let head = match head_of(&file.path, meta.len()) {
                Ok(head) => head,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    found.errors.push(format!("{}: {error}", file.path.display()));
                    continue;
                }
            };
            if let Some(seen) = self.seen.get_mut(&inode)
                && meta.len() > seen.size
                && head_of(&file.path, seen.size).is_ok_and(|head| head == seen.head)
            {
                // Said once: as it is now it is known, too.
                if !seen.has_grown {
                    found.grown.push(file.path);
                }
                *seen = Seen { size: meta.len(), modified, head, has_grown: true };
                continue;
            }
            self.out.insert(file.path.clone(), (inode, Seen { size: meta.len(), modified, head, has_grown: false }));
            let name = file.path.display().to_string();
            found.arrivals.push(Arrival { owned: Owned::Kept(file.path.clone()), file, name });
        }
        found
    }

    /// A file was delivered, or refused for good: it does not come again.
    ///
    /// # Errors
    /// When that cannot be written down: it is not done then.
    pub fn done(&mut self, path: &Path) -> io::Result<()> {
        let Some((inode, seen)) = self.out.get(path) else {
            return Ok(());
        };
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        log.write_all(seen.to_line(*inode).as_bytes())?;
        log.sync_data()?;
        if let Some((inode, seen)) = self.out.remove(path)
            && self.seen.len() < MAX_SEEN
        {
            self.seen.insert(inode, seen);
        }
        Ok(())
    }

    /// A file is to come again.
    pub fn again(&mut self, path: &Path) {
        self.out.remove(path);
    }
}

impl Seen {
    fn to_line(&self, (device, inode): (u64, u64)) -> String {
        format!("{device} {inode} {} {} {}\n", self.size, self.modified, self.head)
    }

    fn of_line(line: &str) -> Option<((u64, u64), Self)> {
        let mut words = line.split(' ');
        let mut next = || words.next();
        let inode = (next()?.parse().ok()?, next()?.parse().ok()?);
        let (size, modified) = (next()?.parse().ok()?, next()?.parse().ok()?);
        Some((inode, Self { size, modified, head: next()?.to_owned(), has_grown: false }))
    }
}

/// The name of a place and of the first bytes that a file of some size has there.
fn head_of(path: &Path, size: u64) -> io::Result<String> {
    let mut bytes = path.as_os_str().as_encoded_bytes().to_vec();
    File::open(path)?.take(size.min(HEAD)).read_to_end(&mut bytes)?;
    let mut name = hash::sha256(&bytes);
    name.truncate(16);
    Ok(name)
}
