//! Input files: finding them in folders, naming them by their content, opening them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flowlake_common::{
    codec::Decoder,
    hash::HashingReader,
    progress::{Progress, ProgressReader},
};

/// A file's bytes, unpacked; the packed ones are hashed on the way.
pub type Source = Decoder<ProgressReader<HashingReader<File>>>;

/// More unpacked bytes are not believed. AWS closes a file at 75 MB packed.
const MAX_UNPACKED: u64 = 16 << 30;

/// A file to convert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

/// The files that paths name: a file itself; of a folder everything below it, by name, but what is hidden. A file that is
/// named twice is taken once.
///
/// # Errors
/// Per path or folder that cannot be read, a message naming it.
pub fn collect(paths: &[PathBuf]) -> (Vec<InputFile>, Vec<String>) {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        walk(path, true, &mut files, &mut errors);
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file: &InputFile| seen.insert(file.path.clone()));
    (files, errors)
}

fn walk(path: &Path, named: bool, files: &mut Vec<InputFile>, errors: &mut Vec<String>) {
    let mut failed = |error: io::Error| errors.push(format!("{}: {error}", path.display()));
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => return failed(error),
    };
    if meta.is_file() {
        files.push(InputFile { path: path.to_owned(), size: meta.len() });
        return;
    }
    if !meta.is_dir() {
        if named {
            failed(io::Error::other("neither a file nor a folder"));
        }
        return;
    }
    let entries = match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => return failed(error),
    };
    let mut below: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    below.sort();
    for entry in below {
        let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A link to a folder could lead round in circles.
        let linked_folder = entry.is_symlink() && entry.is_dir();
        if !hidden && !linked_folder {
            walk(&entry, false, files, errors);
        }
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

    /// Opens the file, unpacking it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self, progress: &Progress) -> io::Result<Source> {
        let raw = HashingReader::new(File::open(&self.path)?);
        Decoder::new(ProgressReader::new(raw, progress.clone()), MAX_UNPACKED)
    }
}

/// The hash of all bytes of a source that was read, to its end or not: the file may have changed since it was named.
///
/// # Errors
/// When the rest of it cannot be read.
pub fn finish(source: Source) -> io::Result<String> {
    source.into_source().into_inner().finish()
}
