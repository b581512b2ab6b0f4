//! A file that grows: what is new in it is cut at line ends into pieces, which are the inputs, and which never change.
//!
//! Which bytes the next piece has is written down before it is made. Whoever is killed makes the same piece again, and the same bytes are
//! the same input; so each line is in one piece, and is delivered once. A file is known by its inode and its beginning, wherever it was
//! moved to, also packed; lines of Zeek's logs and others with a header get the header in each piece.

mod file;

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use flowlake_common::{
    aside::{self, Existing},
    time,
};
use serde::{Deserialize, Serialize};

use self::file::{At, Head, Source, begins_so, beside, header};

/// Bytes of a piece, before its last line's end.
const MAX_PIECE: u64 = 8 << 20;
/// Pieces that wait at once; more stay in the file.
const MAX_PIECES: usize = 64;
/// Seconds that a file that was moved stands still before it is taken to be finished.
const SETTLED: i64 = 10;
/// Beginnings of finished files that are remembered.
const MAX_DONE: usize = 64;
/// What names of files that are written aside begin with.
const ASIDE: &str = ".new-";

/// A file that is followed.
#[derive(Debug)]
pub struct Followed {
    path: PathBuf,
    /// Where pieces go.
    pieces: PathBuf,
    /// Where is kept how far it is.
    kept: PathBuf,
    at: Option<At>,
    /// The file, open: it may be moved to any place.
    open: Option<File>,
    /// The file of the name, when it had nothing yet that tells it from others: it may be moved as soon as it has.
    empty: Option<(u64, u64)>,
    cut_us: i64,
    /// Ends of files that were nowhere, since it was opened.
    lost: u64,
}

/// How far a file is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FollowedStatus {
    /// Bytes of the file that are in pieces: of the one that is read now, which may be one that was moved.
    pub read: u64,
    /// Bytes of the file that has the name now.
    pub length: u64,
    /// Pieces that are not delivered yet.
    pub pieces: u64,
    /// Ends of files that were moved or cut short, and were nowhere when they were looked for; since the service began.
    pub lost: u64,
}

/// What a look at the file came to.
#[derive(Debug, Default)]
pub struct Looked {
    /// What a person should know.
    pub messages: Vec<String>,
}

impl Followed {
    /// Follows a file, which may not be there yet.
    ///
    /// # Errors
    /// When the folders cannot be made, or what is kept cannot be read.
    pub fn open(path: &Path, pieces: &Path, kept: &Path) -> io::Result<Self> {
        fs::create_dir_all(pieces)?;
        aside::remove_all(pieces, ASIDE);
        if let Some(folder) = kept.parent() {
            fs::create_dir_all(folder)?;
            aside::remove_all(folder, ASIDE);
        }
        let at = match fs::read(kept) {
            Ok(content) => Some(serde_json::from_slice(&content)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            pieces: pieces.to_owned(),
            kept: kept.to_owned(),
            at,
            open: None,
            empty: None,
            cut_us: i64::MIN / 2,
            lost: 0,
        })
    }

    /// Cuts pieces of what is new: of what waited for `wait` seconds, or is as large as a piece, or at the end of a file that was moved.
    ///
    /// # Errors
    /// When something cannot be read or written; it is tried again with the next look.
    pub fn look(&mut self, wait: u64) -> io::Result<Looked> {
        let mut looked = Looked::default();
        let wait_us = i64::try_from(wait).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000);
        let mut is_due = time::monotonic_us().saturating_sub(self.cut_us) >= wait_us;
        loop {
            let Some(at) = self.at.clone() else {
                let Some(first) = self.first()? else { return Ok(looked) };
                self.keep(first)?;
                continue;
            };
            // What was begun is ended first, whatever became of the file since.
            let found = at.find(&self.path)?;
            if let Some(Source::Plain(path)) = &found {
                self.open = Some(File::open(path)?);
            }
            let Some(source) = found.or_else(|| at.open(self.open.as_ref())) else {
                // A new one has its name, and the old one is nowhere.
                if !self.path.exists() {
                    return Ok(looked);
                }
                if let Some(length) = at.cut_short(&self.path)? {
                    looked.messages.push(format!(
                        "{}: lost its end: {length} bytes where {} were read; read on from there",
                        self.path.display(),
                        at.offset
                    ));
                    self.keep(At { offset: length, next: None, ..at })?;
                    continue;
                }
                let message = format!(
                    "{}: was moved or cut short, and no file beside it begins as it did: what came behind byte {} of it is not delivered",
                    self.path.display(),
                    at.offset
                );
                if !self.go_on(&at, &mut looked)? {
                    return Ok(looked);
                }
                self.lost += 1;
                looked.messages.push(message);
                continue;
            };
            let is_current = source.path() == self.path;
            let is_end = !is_current && self.path.exists() && time::now() - source.modified()? >= SETTLED;
            if self.cut(&at, &source, is_due || !is_current, is_end)? {
                is_due = false;
                continue;
            }
            // It was moved, and is cut to its end: the next one, and at last the one that has its name now.
            if !is_end || self.waiting()? >= MAX_PIECES || !self.go_on(&at, &mut looked)? {
                return Ok(looked);
            }
        }
    }

    /// How far it is. What cannot be looked at now counts as nothing.
    #[must_use]
    pub fn status(&self) -> FollowedStatus {
        FollowedStatus {
            read: self.at.as_ref().map_or(0, |at| at.offset),
            length: fs::metadata(&self.path).map_or(0, |meta| meta.len()),
            pieces: self.waiting().map_or(0, |pieces| pieces as u64),
            lost: self.lost,
        }
    }

    /// The first file that there is to read.
    fn first(&mut self) -> io::Result<Option<At>> {
        let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        let now = inode(&self.path);
        if self.empty.is_some() && self.empty != now {
            if let Some(moved) = beside(&self.path)?.into_iter().find(|path| inode(path) == self.empty) {
                if let Some(first) = At::beginning(&moved, VecDeque::new(), true)? {
                    self.empty = None;
                    return Ok(Some(first));
                }
                // Whoever writes may not know yet that it was moved.
                if fs::metadata(&moved).is_ok_and(|meta| time::now() - meta.ctime() < SETTLED) {
                    return Ok(None);
                }
            }
            self.empty = None;
        }
        let first = At::beginning(&self.path, VecDeque::new(), false)?;
        self.empty = if first.is_none() { now } else { None };
        Ok(first)
    }

    /// Begins with the file that came behind one; false when there is none yet.
    fn go_on(&mut self, at: &At, looked: &mut Looked) -> io::Result<bool> {
        let Some(next) = self.next_after(at)? else { return Ok(false) };
        let mut done = at.done.clone();
        done.push_back(at.head.clone());
        if done.len() > MAX_DONE {
            done.pop_front();
        }
        let Some(first) = At::beginning(&next, done, next != self.path)? else { return Ok(false) };
        if next != self.path {
            looked.messages.push(format!("{}: came and went while nobody looked: it is read, too", next.display()));
        }
        // The same file from its beginning again would be the same again.
        let is_other = (first.device, first.inode, &first.head) != (at.device, at.inode, &at.head);
        if is_other {
            self.keep(first)?;
        }
        Ok(is_other)
    }

    /// Pieces that are not delivered yet, claimed or not.
    fn waiting(&self) -> io::Result<usize> {
        fn count(folder: &Path) -> io::Result<usize> {
            let mut files = 0;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // A reader's lock is none, nor what has no name yet.
                let is_piece = !entry.file_name().as_encoded_bytes().starts_with(b".");
                files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { usize::from(is_piece) };
            }
            Ok(files)
        }
        count(&self.pieces)
    }

    /// Makes the next piece; false when there is none to be made now. At a file's end its last line needs no end.
    fn cut(&mut self, at: &At, source: &Source, is_due: bool, is_end: bool) -> io::Result<bool> {
        if at.next.is_none() && self.waiting()? >= MAX_PIECES {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        let most = at.next.map_or(MAX_PIECE, |next| next - at.offset);
        source.read(at.offset)?.take(most).read_to_end(&mut bytes)?;
        let end = match at.next {
            Some(next) if next - at.offset == bytes.len() as u64 => next,
            // The file lost its end before the piece was made, or after.
            Some(next) => {
                let offset = if self.is_made(&self.name_of(at, next))? { next } else { at.offset };
                self.keep(At { next: None, offset, ..at.clone() })?;
                return Ok(true);
            }
            None => {
                let is_full = bytes.len() as u64 == MAX_PIECE;
                let lines = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
                let length = if lines == 0 && is_full || is_end && !is_full { bytes.len() } else { lines };
                if length == 0 || !is_due && !is_full {
                    return Ok(false);
                }
                bytes.truncate(length);
                at.offset + length as u64
            }
        };
        let begun = At { next: Some(end), ..at.clone() };
        if at.next.is_none() {
            self.keep(begun.clone())?;
        }
        let header = if at.offset == 0 { Vec::new() } else { header(&mut source.read(0)?, at.offset)? };
        let place = self.pieces.join(self.name_of(at, end));
        let put = aside::write_durably(&place, ASIDE, Existing::Keep, |out| {
            out.write_all(&header)?;
            out.write_all(&bytes)
        });
        match put {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.cut_us = time::monotonic_us();
        // Its only line may have got an end since: then it is told from others by that.
        let now = if begun.head.is_all { At::beginning(source.path(), VecDeque::new(), true) } else { Ok(None) };
        let head = now.ok().flatten().map_or_else(|| begun.head.clone(), |now| now.head);
        self.keep(At { offset: end, next: None, modified: source.modified()?, head, ..begun })?;
        Ok(true)
    }

    /// The name of the piece up to a byte.
    fn name_of(&self, at: &At, end: u64) -> String {
        // What begins with a dot is no file of a spool.
        let name = self.path.file_name().and_then(OsStr::to_str).map(|name| name.trim_start_matches('.'));
        let name = name.filter(|name| !name.is_empty()).unwrap_or("log");
        format!("{name}.{}.{:020}-{end:020}", at.head.sha256, at.offset)
    }

    /// Whether a piece is there, claimed or not.
    fn is_made(&self, name: &str) -> io::Result<bool> {
        fn find(folder: &Path, name: &str) -> io::Result<bool> {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_name() == name || entry.file_type()?.is_dir() && find(&entry.path(), name)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        find(&self.pieces, name)
    }

    fn keep(&mut self, at: At) -> io::Result<()> {
        let text = serde_json::to_vec(&at)?;
        aside::write_durably(&self.kept, ASIDE, Existing::Replace, |out| out.write_all(&text))?;
        self.at = Some(at);
        Ok(())
    }

    /// What came behind a file: others that were moved after it, the oldest first, and then the one of the name. What was moved with nothing
    /// in it is passed over; what was moved just now may be written to yet, and is waited for.
    fn next_after(&self, at: &At) -> io::Result<Option<PathBuf>> {
        let mut moved = Vec::new();
        for path in beside(&self.path)? {
            if path == self.path {
                continue;
            }
            let (Ok(meta), Ok(source)) = (fs::metadata(&path), Source::of(path.clone())) else { continue };
            let is_known = |head: &Head| begins_so(&source, head, false).unwrap_or(true);
            if meta.mtime() >= at.modified && !at.done.iter().chain([&at.head]).any(is_known) {
                moved.push((meta.mtime(), path));
            }
        }
        moved.sort();
        for (modified, path) in moved {
            if At::beginning(&path, VecDeque::new(), true)?.is_some() {
                return Ok(Some(path));
            }
            if time::now() - modified < SETTLED {
                return Ok(None);
            }
        }
        Ok(self.path.exists().then(|| self.path.clone()))
    }
}
