//! The hand-over from agent to converter: a folder of finished files that never change.
//!
//! A file is written aside, brought to the disk and only then named, so a reader sees it whole or not at all, and a crash
//! loses what was not yet named and nothing else. One process writes; it removes what an earlier one left half-written. Any number
//! of readers share the files, see [`Reader`]. Names sort by age. Memory does not grow with the number of files.

mod reader;

use std::{
    collections::BinaryHeap,
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{self, BufWriter},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use reader::{Claim, Reader};

use crate::{
    aside::{self, Existing},
    time,
};

/// What the names of unfinished files start with.
const ASIDE: &str = ".flowlake-";
/// The folder in which readers have what they claimed.
const CLAIMS: &str = ".claims";
/// Microseconds between two looks for files that are too old.
const AGE_LOOKED_AT_US: i64 = 60_000_000;
const MIB: u64 = 1 << 20;

/// How much a spool may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its finished files.
    pub max_bytes: u64,
    /// Seconds that a file may wait for its reader.
    pub max_age: i64,
    /// Bytes of its disk that are left to others.
    pub min_free: u64,
    /// What happens beyond the first and the last of them.
    pub when_full: WhenFull,
}

/// What happens when a spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest files are given up.
    DropOldest,
    /// Nothing is written until there is room.
    Pause,
}

impl Default for Limits {
    /// 10 GiB, a week, and 1 GiB that stays free.
    fn default() -> Self {
        Self { max_bytes: 10 << 30, max_age: 7 * time::DAY, min_free: 1 << 30, when_full: WhenFull::DropOldest }
    }
}

/// The folder, as its writer sees it. Clones are the same spool.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    room: Arc<Mutex<Room>>,
    /// Held by whoever makes room.
    making_room: Arc<Mutex<()>>,
}

/// What is known of the room in a spool.
#[derive(Debug)]
struct Room {
    /// Bytes of the finished files, or more: readers take files away and say nothing.
    bytes: u64,
    /// When files were last looked at for their age, by the monotonic clock.
    age_looked_at_us: i64,
}

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Files wait for longer than they may.
    #[error("a file waits for its reader since {} days", .0 / time::DAY)]
    TooOld(i64),
    /// Its files have more bytes than they may.
    #[error("its files have {} MiB", .0 / MIB)]
    TooLarge(u64),
    /// The disk is nearly full.
    #[error("its disk has {} MiB left", .0 / MIB)]
    NoSpace(u64),
}

impl Spool {
    /// Opens the folder for writing, and makes it if need be, so that its group may read and claim. Half-written files of an
    /// earlier writer are removed.
    ///
    /// # Errors
    /// When the folder cannot be made or read; the message names it.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        if !folder.is_dir() {
            fs::create_dir_all(folder).map_err(named)?;
            fs::set_permissions(folder, Permissions::from_mode(0o2770)).map_err(named)?;
        }
        // A probe, so that a folder that cannot be written is known before the first window closes.
        tempfile::Builder::new().prefix(ASIDE).tempfile_in(folder).map_err(named)?;
        aside::remove_all(folder, ASIDE);
        let bytes = oldest(folder, 0).map_err(named)?.bytes;
        let room = Arc::new(Mutex::new(Room { bytes, age_looked_at_us: i64::MIN / 2 }));
        Ok(Self { folder: folder.to_owned(), limits, room, making_room: Arc::default() })
    }

    /// Writes a file and gives it its name. When it returns, the file survives a crash.
    ///
    /// # Errors
    /// When it cannot be written, or a file has that name ([`io::ErrorKind::AlreadyExists`]); the message names the file.
    pub fn put(&self, name: &str, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
        let path = self.folder.join(name);
        aside::write_durably(&path, ASIDE, Existing::Keep, write)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        // A reader may have taken it by now.
        self.room().bytes += fs::metadata(&path).map_or(0, |meta| meta.len());
        Ok(())
    }

    /// What is done when there is no room.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.limits.when_full
    }

    /// Whoever makes room makes it alone, as long as this is held.
    pub fn make_room(&self) -> MutexGuard<'_, ()> {
        self.making_room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there is no room, if there is none.
    ///
    /// # Errors
    /// When the folder or its disk cannot be looked at.
    pub fn full(&self) -> io::Result<Option<Full>> {
        let mut room = self.room();
        let now_us = time::monotonic_us();
        if now_us >= room.age_looked_at_us + AGE_LOOKED_AT_US {
            let first = oldest(&self.folder, 1)?.files.pop();
            let age = first.and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| age(&meta));
            if age > self.limits.max_age {
                return Ok(Some(Full::TooOld(age)));
            }
            room.age_looked_at_us = now_us;
        }
        if room.bytes > self.limits.max_bytes {
            room.bytes = oldest(&self.folder, 0)?.bytes;
        }
        if room.bytes > self.limits.max_bytes {
            return Ok(Some(Full::TooLarge(room.bytes)));
        }
        let disk = rustix::fs::statvfs(&self.folder)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok((free < self.limits.min_free).then_some(Full::NoSpace(free)))
    }

    /// The finished files that wait longest, the oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn oldest(&self, count: usize) -> io::Result<Vec<PathBuf>> {
        Ok(oldest(&self.folder, count)?.files)
    }

    /// Gives a finished file up; false when a reader took it meanwhile.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn give_up(&self, path: &Path) -> io::Result<bool> {
        let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
        match fs::remove_file(path) {
            Ok(()) => {
                let mut room = self.room();
                room.bytes = room.bytes.saturating_sub(bytes);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Seconds since a file was written.
fn age(meta: &fs::Metadata) -> i64 {
    (time::now() - meta.mtime()).max(0)
}

/// Files of a folder, and the bytes of all.
struct Oldest {
    files: Vec<PathBuf>,
    bytes: u64,
}

/// The first finished files by name, in order, and the bytes of all.
fn oldest(folder: &Path, count: usize) -> io::Result<Oldest> {
    let mut first: BinaryHeap<OsString> = BinaryHeap::new();
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Gone meanwhile, or no file.
        let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_file) else {
            continue;
        };
        bytes += meta.len();
        first.push(name);
        if first.len() > count {
            first.pop();
        }
    }
    Ok(Oldest { files: first.into_sorted_vec().iter().map(|name| folder.join(name)).collect(), bytes })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != CLAIMS).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".flowlake-left.tmp"), "half").unwrap();
        let spool = Spool::open(folder.path(), Limits::default()).unwrap();
        spool.put("a", |out| out.write_all(b"whole")).unwrap();
        let failed = spool.put("b", |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.unwrap_err().to_string().ends_with("b: the disk is full"));
        let again = spool.put("a", |out| out.write_all(b"other")).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(folder.path()), ["a"]);
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"whole");
    }

    #[test]
    fn a_spool_says_when_it_is_full_and_what_is_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { max_bytes: 10, min_free: 0, ..Limits::default() };
        let spool = Spool::open(folder.path(), limits).unwrap();
        for name in ["2", "1", "3"] {
            spool.put(name, |out| out.write_all(b"12345")).unwrap();
        }
        assert_eq!(spool.full().unwrap(), Some(Full::TooLarge(15)));
        let oldest = spool.oldest(2).unwrap();
        assert_eq!(oldest, ["1", "2"].map(|name| folder.path().join(name)));
        assert!(spool.give_up(&oldest[0]).unwrap());
        assert!(!spool.give_up(&oldest[0]).unwrap());
        assert_eq!(spool.full().unwrap(), None);
        // What readers took is noticed.
        spool.put("4", |out| out.write_all(b"12345")).unwrap();
        fs::remove_file(&oldest[1]).unwrap();
        assert_eq!(spool.full().unwrap(), None);
        let of_disk = Limits { min_free: u64::MAX, ..Limits::default() };
        let spool = Spool::open(folder.path(), of_disk).unwrap();
        assert!(matches!(spool.full().unwrap(), Some(Full::NoSpace(_))));
        let impatient = Limits { max_age: -1, ..Limits::default() };
        let spool = Spool::open(folder.path(), impatient).unwrap();
        // A second may have begun since.
        assert!(matches!(spool.full().unwrap(), Some(Full::TooOld(0..=60))));
    }
}
