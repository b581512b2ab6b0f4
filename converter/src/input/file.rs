//! Input files: finding them in folders, naming them by their content, opening them.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    lines::Damage,
    log::{FlowLog, NotAFlowLog, begins_anew},
    parquet::MAGIC,
};
use flowlake_common::{
    codec::Decoder,
    hash::HashingReader,
    progress::{Progress, ProgressReader},
    vpc::Header,
};

/// A flow log, or why it is none; the outer error is that it cannot be read.
type Opened = Result<Result<Option<FlowLog<Source>>, NotAFlowLog>, Damage>;

/// A file's bytes, unpacked; the packed ones are hashed on the way.
pub type Source = Decoder<ProgressReader<HashingReader<File>>>;

/// More unpacked bytes are not believed. AWS closes a file at 75 MB packed, which is a gigabyte or two of text.
const MAX_UNPACKED: u64 = 8 << 30;

/// A file to convert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

/// The files that paths name: a file itself; of a folder everything below it, by name, links followed, but what is hidden
/// and what is in `not` (folders, unless they are named themselves). A file that is named twice is taken once. The messages name what cannot be read.
#[must_use]
pub fn collect(paths: &[PathBuf], not: &[&Path]) -> (Vec<InputFile>, Vec<String>) {
    let mut walk = Walk { files: Vec::new(), errors: Vec::new(), seen: HashSet::new() };
    let identity = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let named: Vec<_> = paths.iter().filter_map(|path| identity(path)).collect();
    walk.seen.extend(not.iter().filter_map(|folder| identity(folder)).filter(|folder| !named.contains(folder)));
    for path in paths {
        walk.path(path);
    }
    (walk.files, walk.errors)
}

struct Walk {
    files: Vec<InputFile>,
    errors: Vec<String>,
    /// Files and folders met, by device and inode: links may lead round in circles.
    seen: HashSet<(u64, u64)>,
}

impl Walk {
    fn path(&mut self, path: &Path) {
        if let Err(error) = self.try_path(path) {
            self.errors.push(format!("{}: {error}", path.display()));
        }
    }

    fn try_path(&mut self, path: &Path) -> io::Result<()> {
        let meta = fs::metadata(path)?;
        if !self.seen.insert((meta.dev(), meta.ino())) {
            return Ok(());
        }
        if meta.is_file() {
            self.files.push(InputFile { path: path.to_owned(), size: meta.len() });
            return Ok(());
        }
        if !meta.is_dir() {
            return Err(io::Error::other("neither a file nor a folder"));
        }
        let mut below = Vec::new();
        for entry in fs::read_dir(path)? {
            below.push(entry?.path());
        }
        below.sort();
        for entry in below {
            let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden {
                self.path(&entry);
            }
        }
        Ok(())
    }
}

impl InputFile {
    /// The SHA-256 of the file's bytes as they are: its name in the lake.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn sha256(&self) -> io::Result<String> {
        HashingReader::new(File::open(&self.path)?).finish()
    }

    /// Opens the file as a flow log, unpacking it. `told` is the header of lines without one.
    ///
    /// # Errors
    /// When it cannot be opened; then as those of [`FlowLog::open`].
    pub fn open(&self, told: Option<&Header>, progress: &Progress) -> io::Result<Opened> {
        let file = File::open(&self.path)?;
        let mut magic = [0; MAGIC.len()];
        let is_parquet = file.read_at(&mut magic, 0)? == magic.len() && magic == *MAGIC;
        let raw = ProgressReader::new(HashingReader::new(file), progress.clone());
        let format = told.cloned();
        let source = Decoder::lines(raw, MAX_UNPACKED, move |before, line| begins_anew(before, line, format.as_ref()))?;
        if is_parquet {
            Ok(FlowLog::open_parquet(File::open(&self.path)?, source))
        } else {
            Ok(FlowLog::open(source, told))
        }
    }
}

/// The hash of all bytes of a source that was read, to its end or not: the file may have changed since it was named.
///
/// # Errors
/// When the rest of it cannot be read.
pub fn finish(source: Source) -> io::Result<String> {
    let source = source.into_source().ok_or_else(|| io::Error::other("a read failed"))?;
    source.into_inner().finish()
}
