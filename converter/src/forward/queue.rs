//! What waits to be forwarded: a folder of inputs, which outlives whoever began.
//!
//! An input is a folder of its own, named by its hash, with three files: `input`, its bytes, until it is forwarded; `held`, as long as it
//! may arrive again; and `about`. So an input that arrives again after a crash, as long as the lake does not have it, is not forwarded
//! twice. The service adds and the forwarder takes away: neither needs to know of the other.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use flowlake_common::{
    aside::{self, Existing},
    hash::HashingReader,
    time,
};
use serde::{Deserialize, Serialize};

use crate::input::InputFile;

const INPUT: &str = "input";
const HELD: &str = "held";
const ABOUT: &str = "about";
const SENT: &str = "sent";

/// What the names of folders start with that are not finished.
const ASIDE: &str = ".new-";
/// Seconds after which an input that was forwarded is not expected to arrive again.
const FORGOTTEN_AFTER: i64 = 30 * time::DAY;

/// A queue. The service and the forwarder share it.
#[derive(Debug)]
pub struct Queue {
    folder: PathBuf,
    max_bytes: u64,
    bytes: AtomicU64,
    inputs: AtomicU64,
    /// Held while an input gets its name and while they are counted anew.
    counting: Mutex<()>,
}

/// What is known of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The configuration's input that it came from.
    pub from: String,
    /// Its name for a person, where account and Region may stand in the path.
    pub name: String,
}

/// An input that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its SHA-256.
    pub hash: String,
    /// Its bytes.
    pub file: InputFile,
    /// What is known of it.
    pub about: About,
}

impl Queue {
    /// Opens the queue in a folder, which is made if need be. It takes inputs until they have so many bytes.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (mut bytes, mut inputs) = (0, 0);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(ASIDE.as_bytes())) {
                fs::remove_dir_all(&path)?;
                continue;
            }
            if let Ok(meta) = fs::metadata(path.join(INPUT)) {
                bytes += meta.len();
                inputs += 1;
            } else if fs::metadata(&path).is_ok_and(|meta| time::now() - meta.mtime() > FORGOTTEN_AFTER) {
                fs::remove_dir_all(&path)?;
            }
        }
        let (bytes, inputs) = (bytes.into(), inputs.into());
        Ok(Self { folder: folder.to_owned(), max_bytes, bytes, inputs, counting: Mutex::default() })
    }

    /// Inputs that wait in a queue that nobody has opened.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn count(folder: &Path) -> io::Result<u64> {
        let mut inputs = 0;
        for entry in fs::read_dir(folder)? {
            inputs += u64::from(entry?.path().join(INPUT).exists());
        }
        Ok(inputs)
    }

    /// Inputs that wait, and their bytes.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        (self.inputs.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Whether an input can be added, or was.
    #[must_use]
    pub fn can_take(&self, hash: &str) -> bool {
        self.size().1 < self.max_bytes || self.folder.join(hash).exists()
    }

    /// Adds an input, unless it was. When it returns, the input outlives a crash. The file is ours: nobody changes it in its place.
    ///
    /// # Errors
    /// When it cannot be copied or written, or is not what it was.
    pub fn add(&self, hash: &str, file: &InputFile, about: &About) -> io::Result<()> {
        let own = self.folder.join(hash);
        if own.exists() {
            return Ok(());
        }
        let aside = tempfile::Builder::new().prefix(ASIDE).tempdir_in(&self.folder)?;
        let input = aside.path().join(INPUT);
        // The bytes need no second place, but on another file system, or when they are another user's.
        if fs::hard_link(&file.path, &input).is_err() {
            fs::copy(&file.path, &input)?;
            let copied = File::open(&input)?;
            copied.sync_all()?;
            if HashingReader::new(copied).finish()? != hash {
                return Err(io::Error::other("changed while it was copied"));
            }
        }
        let size = fs::metadata(&input)?.len();
        let mut written = File::create(aside.path().join(ABOUT))?;
        written.write_all(&serde_json::to_vec(about)?)?;
        written.sync_all()?;
        File::create(aside.path().join(HELD))?.sync_all()?;
        File::open(aside.path())?.sync_all()?;
        let counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(aside.path(), &own)?;
        // It has another name now, by which nothing removes it.
        drop(aside.keep());
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.inputs.fetch_add(1, Ordering::Relaxed);
        drop(counting);
        File::open(&self.folder)?.sync_all()
    }

    /// An input is in the lake, and does not arrive again.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn let_go(&self, hash: &str) -> io::Result<()> {
        self.without(hash, HELD, INPUT)
    }

    /// An input was forwarded.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn done(&self, entry: &Entry) -> io::Result<()> {
        self.without(&entry.hash, INPUT, HELD)?;
        // Never less than nothing: each listing counts anew.
        let less = |by: u64| move |now: u64| Some(now.saturating_sub(by));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less(entry.file.size));
        let _ = self.inputs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less(1));
        Ok(())
    }

    /// Writes down how far an input is sent, for whoever goes on after a restart.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, entry: &Entry, sent: &[u8]) -> io::Result<()> {
        let place = self.folder.join(&entry.hash).join(SENT);
        aside::write_durably(&place, ASIDE, Existing::Replace, |out| out.write_all(sent))
    }

    /// How far an input was sent; `None` when nobody wrote it down.
    #[must_use]
    pub fn remembered(&self, entry: &Entry) -> Option<Vec<u8>> {
        fs::read(self.folder.join(&entry.hash).join(SENT)).ok()
    }

    /// Removes one of two files, and everything when the other is not there either. Whoever removes the last sees that.
    fn without(&self, hash: &str, this: &str, other: &str) -> io::Result<()> {
        let own = self.folder.join(hash);
        unless_gone(fs::remove_file(own.join(this)))?;
        if !own.join(other).exists() {
            unless_gone(fs::remove_dir_all(&own))?;
        }
        Ok(())
    }

    /// What waits and is to be sent, `count` at most, the oldest first. What is not to be sent now does not count as waiting.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn oldest(&self, count: usize, is_to_be_sent: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
        let mut all = Vec::new();
        let counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let hash = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path().join(INPUT);
            if let Some(meta) = fs::metadata(&path).ok().filter(|_| !hash.starts_with(ASIDE) && is_to_be_sent(&hash)) {
                all.push((meta.mtime(), meta.mtime_nsec(), hash, InputFile { path, size: meta.len() }));
            }
        }
        self.bytes.store(all.iter().map(|(.., file)| file.size).sum(), Ordering::Relaxed);
        self.inputs.store(all.len() as u64, Ordering::Relaxed);
        drop(counting);
        all.sort();
        all.truncate(count);
        let entry = |(_, _, hash, file): (i64, i64, String, InputFile)| {
            let about = fs::read(self.folder.join(&hash).join(ABOUT)).ok();
            // Of what cannot be read any more nobody is named: it is parked.
            let about = about.and_then(|about| serde_json::from_slice(&about).ok());
            let about = about.unwrap_or_else(|| About { from: String::new(), name: hash.clone() });
            Entry { about, hash, file }
        };
        Ok(all.into_iter().map(entry).collect())
    }
}

fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_forwarded_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::write(&path, "12345").unwrap();
        let (file, about) = (InputFile { path, size: 5 }, About { from: "agent".to_owned(), name: "x.log".to_owned() });
        let queue = Queue::open(&folder.path().join("queue"), 6).unwrap();
        queue.add("a", &file, &about).unwrap();
        queue.add("a", &file, &about).unwrap();
        assert_eq!(queue.size(), (1, 5));
        assert!(queue.can_take("b"));
        queue.add("b", &file, &about).unwrap();
        // Full for others, not for what it has.
        assert!(!queue.can_take("c") && queue.can_take("a"));
        let entries = queue.oldest(9, |_| true).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.hash.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(entries[0].about, about);
        // Forwarded before the lake has it: it arrives again, and is not taken.
        queue.done(&entries[0]).unwrap();
        queue.add("a", &file, &about).unwrap();
        assert_eq!(queue.oldest(9, |_| true).unwrap().len(), 1);
        queue.let_go("a").unwrap();
        assert!(!folder.path().join("queue").join("a").exists());
        // How far it is is remembered as long as it waits.
        queue.add("c", &file, &about).unwrap();
        let entry = queue.oldest(9, |hash| hash == "c").unwrap().remove(0);
        assert_eq!((queue.size(), queue.remembered(&entry)), ((1, 5), None));
        queue.remember(&entry, b"half").unwrap();
        assert_eq!(queue.remembered(&entry).unwrap(), b"half");
        queue.let_go("c").unwrap();
        queue.done(&entry).unwrap();
        assert_eq!(queue.remembered(&entry), None);
        // The lake is faster; the queue outlives its process.
        queue.let_go("b").unwrap();
        fs::create_dir(folder.path().join("queue/.new-left")).unwrap();
        let queue = Queue::open(&folder.path().join("queue"), 6).unwrap();
        assert_eq!(queue.size(), (1, 5));
        let [entry] = &queue.oldest(9, |_| true).unwrap()[..] else { panic!("one entry") };
        assert_eq!(entry.hash, "b");
        queue.done(entry).unwrap();
        assert_eq!((queue.size(), fs::read_dir(folder.path().join("queue")).unwrap().count()), ((0, 0), 0));
    }
}
