//! A file that grows: what is new in it is cut at line ends into pieces, which are the inputs, and which never change.
//!
//! Which bytes the next piece has is written down before it is made. Whoever is killed makes the same piece again, and the same bytes are
//! the same input; so each line is in one piece, and is delivered once. A file is known by its inode and its beginning, wherever it was
//! moved to, also packed; lines of Zeek's logs and others with a header get the header in each piece.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use flowlake_common::{
    aside::{self, Existing},
    codec::{Compression, Decoder},
    hash, time,
};
use serde::{Deserialize, Serialize};

use crate::input::begins_a_log;

/// Bytes of a piece, before its last line's end.
const MAX_PIECE: u64 = 8 << 20;
/// Pieces that wait at once; more stay in the file.
const MAX_PIECES: usize = 64;
/// Bytes that tell a file from others.
const HEAD: u64 = 1024;
/// Bytes that a header may have.
const MAX_HEADER: u64 = 64 * 1024;
/// A packed copy may unpack to so much.
const MAX_UNPACKED: u64 = 1 << 40;
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
    cut_us: i64,
}

/// How far a file is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct At {
    device: u64,
    inode: u64,
    /// Bytes of the beginning that tell the file, and their SHA-256.
    head: u64,
    head_sha256: String,
    /// All before is in pieces.
    offset: u64,
    /// Where the piece ends that is being made, if one is.
    next: Option<u64>,
    /// When it was last seen to change, in seconds since the epoch.
    modified: i64,
    /// Beginnings of the files before it.
    done: VecDeque<(u64, String)>,
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
            cut_us: i64::MIN / 2,
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
                let Some(first) = At::beginning(&self.path, VecDeque::new(), false)? else {
                    return Ok(looked);
                };
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

    /// Begins with the file that came behind one; false when there is none yet.
    fn go_on(&mut self, at: &At, looked: &mut Looked) -> io::Result<bool> {
        let Some(next) = self.next_after(at)? else { return Ok(false) };
        let mut done = at.done.clone();
        done.push_back((at.head, at.head_sha256.clone()));
        if done.len() > MAX_DONE {
            done.pop_front();
        }
        let Some(first) = At::beginning(&next, done, next != self.path)? else { return Ok(false) };
        if next != self.path {
            looked.messages.push(format!("{}: came and went while nobody looked: it is read, too", next.display()));
        }
        // The same file from its beginning again would be the same again.
        let is_other = (first.device, first.inode, &first.head_sha256) != (at.device, at.inode, &at.head_sha256);
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
                files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
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
        self.keep(At { offset: end, next: None, modified: source.modified()?, ..begun })?;
        Ok(true)
    }

    /// The name of the piece up to a byte.
    fn name_of(&self, at: &At, end: u64) -> String {
        let name = self.path.file_name().and_then(OsStr::to_str).unwrap_or("log");
        format!("{name}.{}.{:020}-{end:020}", at.head_sha256, at.offset)
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
            let is_known = |(head, sha256): &(u64, String)| begins_so(&source, *head, sha256).unwrap_or(true);
            let itself = (at.head, at.head_sha256.clone());
            if meta.mtime() >= at.modified && !at.done.iter().chain([&itself]).any(is_known) {
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

/// A file and those that it may have become by rotation, itself first: `NAME.1`, `NAME-20261125.gz`, `NAME.old`.
fn beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        let rest = file.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        if rest.is_some_and(is_rotation) && fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether what stands behind a log's name says that it was rotated: a number, a date, `old`; packed or not. Another log may begin as its does.
fn is_rotation(rest: &[u8]) -> bool {
    let packed = [b".gz".as_slice(), b".zst"].iter().find_map(|end| rest.strip_suffix(*end));
    let rest = packed.unwrap_or(rest);
    let is_numbered = || {
        rest.iter().any(u8::is_ascii_digit) && rest.iter().all(|byte| byte.is_ascii_digit() || b".-_:TZ".contains(byte))
    };
    rest.is_empty() || matches!(rest, b".old" | b".log") || b".-_".contains(&rest[0]) && is_numbered()
}

/// Where a file's bytes are now.
#[derive(Debug)]
enum Source {
    Plain(PathBuf),
    Packed(PathBuf),
}

impl Source {
    fn of(path: PathBuf) -> io::Result<Self> {
        let mut start = Vec::new();
        File::open(&path)?.take(4).read_to_end(&mut start)?;
        Ok(if Compression::sniff(&start) == Compression::None { Self::Plain(path) } else { Self::Packed(path) })
    }

    fn path(&self) -> &Path {
        let (Self::Plain(path) | Self::Packed(path)) = self;
        path
    }

    /// How long it is, where that is known without reading it.
    fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Self::Plain(path) => Ok(Some(fs::metadata(path)?.len())),
            Self::Packed(_) => Ok(None),
        }
    }

    fn modified(&self) -> io::Result<i64> {
        Ok(fs::metadata(self.path())?.mtime())
    }

    /// What is in it from an offset on.
    fn read(&self, offset: u64) -> io::Result<Box<dyn Read>> {
        let mut file = File::open(self.path())?;
        match self {
            Self::Plain(_) => {
                file.seek(SeekFrom::Start(offset))?;
                Ok(Box::new(BufReader::new(file)))
            }
            Self::Packed(_) => {
                let mut unpacked = Decoder::new(file, MAX_UNPACKED)?;
                io::copy(&mut unpacked.by_ref().take(offset), &mut io::sink())?;
                Ok(Box::new(unpacked))
            }
        }
    }
}

impl At {
    /// The beginning of a file; `None` when it is not there, or has nothing yet. Of one that was moved the only line may have no end.
    fn beginning(path: &Path, done: VecDeque<(u64, String)>, is_moved: bool) -> io::Result<Option<Self>> {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut at = Self {
            device: meta.dev(),
            inode: meta.ino(),
            head: 0,
            head_sha256: String::new(),
            offset: 0,
            next: None,
            modified: meta.mtime(),
            done,
        };
        let source = Source::of(path.to_owned())?;
        let header = header(&mut source.read(0)?, MAX_HEADER)?.len() as u64;
        // A header alone tells no file from others; its first line of data does.
        let mut data = Vec::new();
        source.read(header)?.take(HEAD).read_to_end(&mut data)?;
        let is_all = data.len() as u64 == HEAD || is_moved && !data.is_empty();
        let line = memchr::memchr(b'\n', &data).map(|end| end + 1).or(is_all.then_some(data.len()));
        let Some(line) = line else {
            return Ok(None);
        };
        let line = line as u64;
        at.look_at_head(&source, header + line)?;
        Ok(Some(at))
    }

    /// Takes so many bytes of the beginning to tell the file by.
    fn look_at_head(&mut self, source: &Source, bytes: u64) -> io::Result<()> {
        let mut head = Vec::new();
        source.read(0)?.take(bytes).read_to_end(&mut head)?;
        (self.head, self.head_sha256) = (head.len() as u64, hash::sha256(&head));
        Ok(())
    }

    /// The file, where it was moved to a place that nobody looks at, as long as it is open.
    fn open(&self, open: Option<&File>) -> Option<Source> {
        let open = open?;
        let source = Source::Plain(PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())));
        let meta = open.metadata().ok()?;
        let is_it = (meta.dev(), meta.ino()) == (self.device, self.inode) && meta.len() >= self.offset;
        (is_it && begins_so(&source, self.head, &self.head_sha256).unwrap_or(false)).then_some(source)
    }

    /// Where the file is now: under its name, moved, copied or packed. Numbers of inodes are given again, and a file may be cut short in its
    /// place, so its beginning and length are looked at, too.
    fn find(&self, path: &Path) -> io::Result<Option<Source>> {
        let mut other = None;
        for place in beside(path)? {
            let (Ok(meta), Ok(source)) = (fs::metadata(&place), Source::of(place)) else { continue };
            let is_long_enough = source.length()?.is_none_or(|length| length >= self.offset);
            if is_long_enough && begins_so(&source, self.head, &self.head_sha256).unwrap_or(false) {
                if (meta.dev(), meta.ino()) == (self.device, self.inode) {
                    return Ok(Some(source));
                }
                other = Some(source);
            }
        }
        Ok(other)
    }
}

impl At {
    /// The length of the file, where it is the same and shorter than what was read of it: a machine that lost its power may have lost its
    /// end, which was delivered.
    fn cut_short(&self, path: &Path) -> io::Result<Option<u64>> {
        let Ok(meta) = fs::metadata(path) else { return Ok(None) };
        let is_it = (meta.dev(), meta.ino()) == (self.device, self.inode) && meta.len() < self.offset;
        let begins = is_it && begins_so(&Source::of(path.to_owned())?, self.head, &self.head_sha256)?;
        Ok(begins.then_some(meta.len()))
    }
}

fn begins_so(source: &Source, bytes: u64, sha256: &str) -> io::Result<bool> {
    let mut head = Vec::new();
    source.read(0)?.take(bytes).read_to_end(&mut head)?;
    Ok(head.len() as u64 == bytes && hash::sha256(&head) == sha256)
}

/// The header of a log: of Zeek's its lines with `#`, of others the first line when it is one. What lies behind `offset` is no header.
fn header(from: &mut dyn Read, offset: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_HEADER.min(offset)).read_to_end(&mut bytes)?;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.ends_with(b"\n"));
    let comments: usize = lines.clone().take_while(|line| line.starts_with(b"#")).map(<[u8]>::len).sum();
    let first = lines.next().unwrap_or_default();
    let is_header = first.first().is_some_and(u8::is_ascii_alphabetic) && begins_a_log(first.trim_ascii_end(), None);
    bytes.truncate(if comments > 0 {
        comments
    } else if is_header {
        first.len()
    } else {
        0
    });
    Ok(bytes)
}
