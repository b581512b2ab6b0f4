//! Lines that cannot be converted are kept, byte by byte, in a file named by their input's hash.
//!
//! The file is a flow log itself: header, then the lines, each behind a comment that says its number and reason. Corrected,
//! or with the option that was missing, it can be converted.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use flowlake_common::vpc::{Header, UNIT_SEPARATOR};
use tempfile::{NamedTempFile, TempPath};

use crate::input::{COMMENT, Reject};

/// Reasons that are said on standard error, per input; the file has them all.
const SAID: u64 = 5;

/// The rejects of one input. A file is made for the first of them.
pub(super) struct Rejects<'a> {
    folder: &'a Path,
    input: &'a str,
    hash: &'a str,
    file: Option<BufWriter<NamedTempFile>>,
    count: u64,
    /// The header that was written last.
    header: Option<Header>,
}

impl<'a> Rejects<'a> {
    pub(super) fn new(folder: &'a Path, input: &'a str, hash: &'a str) -> Self {
        Self { folder, input, hash, file: None, count: 0, header: None }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Keeps a line; gives the message to say for the first few.
    pub(super) fn keep(&mut self, reject: &Reject<'_>) -> anyhow::Result<Option<String>> {
        self.count += 1;
        self.write(reject).with_context(|| format!("--rejects: cannot write in {}", self.folder.display()))?;
        let Reject { line, reason, .. } = reject;
        Ok((self.count <= SAID).then(|| format!("{}, line {line}: {reason}", self.input)))
    }

    /// Ends the file; `None` when there were no rejects.
    pub(super) fn finish(self) -> anyhow::Result<Option<RejectsFile>> {
        let Self { folder, input, hash, file, count, header: _ } = self;
        let Some(file) = file else {
            return Ok(None);
        };
        let to_disk = |file: BufWriter<NamedTempFile>| -> io::Result<TempPath> {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            Ok(file.into_temp_path())
        };
        let file = to_disk(file).with_context(|| format!("--rejects: cannot write in {}", folder.display()))?;
        Ok(Some(RejectsFile { folder: folder.to_owned(), input: input.to_owned(), hash: hash.to_owned(), file, count }))
    }

    fn write(&mut self, reject: &Reject<'_>) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                fs::create_dir_all(self.folder)?;
                let aside = tempfile::Builder::new().prefix(".flowlake-").tempfile_in(self.folder)?;
                let file = none.insert(BufWriter::new(aside));
                writeln!(file, "{COMMENT}lines of {} that could not be converted", one_line(self.input))?;
                file
            }
        };
        if self.header.as_ref() != Some(reject.header) {
            self.header = Some(reject.header.clone());
            let names: Vec<&str> = reject.header.names().collect();
            writeln!(file, "{}", names.join(" "))?;
        }
        writeln!(file, "{COMMENT}line {}: {}", reject.line, one_line(&reject.reason))?;
        // What looks like a comment would be none of the lines that are converted.
        let whole = reject.whole && !reject.bytes.starts_with(COMMENT.as_bytes());
        if whole && reject.header.separator() == ' ' {
            file.write_all(reject.bytes)?;
            // It may be a header, or become one: what follows has its own again.
            if memchr::memmem::find(reject.bytes, b"start").is_some() {
                self.header = None;
            }
        } else if whole {
            // Values that were made into a line: as one of text has them, what would separate them percent-encoded.
            for byte in reject.bytes {
                match *byte {
                    byte if char::from(byte) == UNIT_SEPARATOR => file.write_all(b" ")?,
                    byte if byte <= b' ' => write!(file, "%{byte:02X}")?,
                    byte => file.write_all(&[byte])?,
                }
            }
        } else {
            write!(file, "{COMMENT}as far as it was read: ")?;
            // A JSON value may have several lines, and none of them may be taken for a record.
            for piece in reject.bytes.split_inclusive(|byte| b"\r\n".contains(byte)) {
                file.write_all(piece.trim_ascii_end())?;
            }
        }
        file.write_all(b"\n")
    }
}

/// The rejects of an input that was read. They get their name when it is certain that its rows are delivered: of what is refused, or was
/// delivered otherwise, they would be rows that come twice.
#[derive(Debug)]
pub struct RejectsFile {
    folder: PathBuf,
    input: String,
    hash: String,
    /// Gone when dropped.
    file: TempPath,
    count: u64,
}

impl RejectsFile {
    /// Gives the file its name; gives what to say of it.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn keep(&self) -> anyhow::Result<String> {
        let Self { folder, input, hash, file, count } = self;
        let keep = || -> io::Result<PathBuf> {
            let mut number = 0_u32;
            loop {
                let again = if number == 0 { String::new() } else { format!(".{number}") };
                let path = folder.join(format!("{hash}{again}.rejects"));
                match fs::hard_link(file, &path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    linked => return linked.map(|()| path),
                }
                // What is there may have been corrected by hand meanwhile, and stays; but a copy of the input has the same rejects.
                if lines_of(&path)? == lines_of(file)? {
                    return Ok(path);
                }
                number += 1;
            }
        };
        let path = keep().with_context(|| format!("--rejects: cannot write in {}", folder.display()))?;
        Ok(format!(
            "{input}: {count} lines could not be converted; they are kept in {}; the lines there that are no comments can be \
             corrected and converted",
            path.display()
        ))
    }
}

/// A file of rejects without its first line, which says where the input was.
fn lines_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = fs::read(path)?;
    let first = memchr::memchr(b'\n', &text).map_or(text.len(), |end| end + 1);
    text.drain(..first);
    Ok(text)
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
