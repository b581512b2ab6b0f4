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
use tempfile::NamedTempFile;

use crate::input::{COMMENT, Reject};

/// Reasons that are said on standard error, per input; the file has them all.
const SAID: u64 = 5;

/// The rejects of one input. A file is made for the first of them, and gets its name when the input is done.
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

    /// Gives the file its name and says where it is; `None` when there were no rejects.
    pub(super) fn finish(self) -> anyhow::Result<Option<(u64, PathBuf)>> {
        let Some(file) = self.file else {
            return Ok(None);
        };
        let keep = || -> io::Result<PathBuf> {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            // What is there may have been corrected by hand meanwhile, and stays.
            for number in 0.. {
                let again = if number == 0 { String::new() } else { format!(".{number}") };
                let path = self.folder.join(format!("{}{again}.rejects", self.hash));
                match file.persist_noclobber(&path) {
                    Ok(_) => return Ok(path),
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
                    Err(error) => return Err(error.error),
                }
                if fs::read(&path)? == fs::read(file.path())? {
                    return Ok(path);
                }
            }
            unreachable!("numbers do not end")
        };
        let path = keep().with_context(|| format!("--rejects: cannot write in {}", self.folder.display()))?;
        Ok(Some((self.count, path)))
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

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
