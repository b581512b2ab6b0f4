//! Which file is followed, and where it is now: known by its beginning, wherever it was moved to, also packed.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use flowlake_common::{
    codec::{Compression, Decoder},
    hash,
};
use serde::{Deserialize, Serialize};

use crate::input::begins_a_log;

/// Bytes that tell a file from others.
const HEAD: u64 = 1024;
/// Bytes that a header may have.
const MAX_HEADER: u64 = 64 * 1024;
/// A packed copy may unpack to so much.
const MAX_UNPACKED: u64 = 1 << 40;

/// How far a file is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct At {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// The beginning that tells the file.
    pub(super) head: Head,
    /// All before is in pieces.
    pub(super) offset: u64,
    /// Where the piece ends that is being made, if one is.
    pub(super) next: Option<u64>,
    /// When it was last seen to change, in seconds since the epoch.
    pub(super) modified: i64,
    /// Beginnings of the files before it.
    pub(super) done: VecDeque<Head>,
}

/// The beginning of a file: its header and its first line of data, or the first bytes of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Head {
    bytes: u64,
    pub(super) sha256: String,
    /// Whether it is all of the file, whose only line has no end: others may begin so.
    pub(super) is_all: bool,
}

/// A file and those that it may have become by rotation, itself first: `NAME.1`, `NAME-20261125.gz`, `NAME.old`.
pub(super) fn beside(path: &Path) -> io::Result<Vec<PathBuf>> {
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
pub(super) enum Source {
    Plain(PathBuf),
    Packed(PathBuf),
}

impl Source {
    pub(super) fn of(path: PathBuf) -> io::Result<Self> {
        let mut start = Vec::new();
        File::open(&path)?.take(4).read_to_end(&mut start)?;
        Ok(if Compression::sniff(&start) == Compression::None { Self::Plain(path) } else { Self::Packed(path) })
    }

    pub(super) fn path(&self) -> &Path {
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

    pub(super) fn modified(&self) -> io::Result<i64> {
        Ok(fs::metadata(self.path())?.mtime())
    }

    /// What is in it from an offset on.
    pub(super) fn read(&self, offset: u64) -> io::Result<Box<dyn Read>> {
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
    pub(super) fn beginning(path: &Path, done: VecDeque<Head>, is_moved: bool) -> io::Result<Option<Self>> {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut at = Self {
            device: meta.dev(),
            inode: meta.ino(),
            head: Head { bytes: 0, sha256: String::new(), is_all: false },
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
        let end = memchr::memchr(b'\n', &data).map(|end| end + 1);
        let is_all = end.is_none() && is_moved && !data.is_empty() && (data.len() as u64) < HEAD;
        let line = end.or((is_all || data.len() as u64 == HEAD).then_some(data.len()));
        let Some(line) = line else {
            return Ok(None);
        };
        let line = line as u64;
        let mut head = Vec::new();
        source.read(0)?.take(header + line).read_to_end(&mut head)?;
        at.head = Head { bytes: head.len() as u64, sha256: hash::sha256(&head), is_all };
        Ok(Some(at))
    }

    /// The file, where it was moved to a place that nobody looks at, as long as it is open.
    pub(super) fn open(&self, open: Option<&File>) -> Option<Source> {
        let open = open?;
        let source = Source::Plain(PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())));
        let meta = open.metadata().ok()?;
        let is_it = (meta.dev(), meta.ino()) == (self.device, self.inode) && meta.len() >= self.offset;
        (is_it && begins_so(&source, &self.head, true).unwrap_or(false)).then_some(source)
    }

    /// Where the file is now: under its name, moved, copied or packed. Numbers of inodes are given again, and a file may be cut short in its
    /// place, so its beginning and length are looked at, too.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<Source>> {
        let mut other = None;
        for place in beside(path)? {
            let (Ok(meta), Ok(source)) = (fs::metadata(&place), Source::of(place)) else { continue };
            let is_long_enough = source.length()?.is_none_or(|length| length >= self.offset);
            let is_it = (meta.dev(), meta.ino()) == (self.device, self.inode);
            if is_long_enough && begins_so(&source, &self.head, is_it).unwrap_or(false) {
                if is_it {
                    return Ok(Some(source));
                }
                other = Some(source);
            }
        }
        Ok(other)
    }

    /// The length of the file, where it is the same and shorter than what was read of it: a machine that lost its power may have lost its
    /// end, which was delivered.
    pub(super) fn cut_short(&self, path: &Path) -> io::Result<Option<u64>> {
        let Ok(meta) = fs::metadata(path) else { return Ok(None) };
        let is_it = (meta.dev(), meta.ino()) == (self.device, self.inode) && meta.len() < self.offset;
        let begins = is_it && begins_so(&Source::of(path.to_owned())?, &self.head, true)?;
        Ok(begins.then_some(meta.len()))
    }
}

/// Whether a file begins so. What is all of a file has to be all of it, unless it is the same file, which may have grown.
pub(super) fn begins_so(source: &Source, head: &Head, is_it: bool) -> io::Result<bool> {
    let mut bytes = Vec::new();
    source.read(0)?.take(head.bytes + 1).read_to_end(&mut bytes)?;
    let is_longer = bytes.len() as u64 > head.bytes;
    bytes.truncate(usize::try_from(head.bytes).unwrap_or(usize::MAX));
    let begins = bytes.len() as u64 == head.bytes && hash::sha256(&bytes) == head.sha256;
    Ok(begins && !(head.is_all && is_longer && !is_it))
}

/// The header of a log: of Zeek's its lines with `#`, of others the first line when it is one. What lies behind `offset` is no header.
pub(super) fn header(from: &mut dyn Read, offset: u64) -> io::Result<Vec<u8>> {
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
