//! A flow log file while it is written: gzip text with a header line, or Parquet.

use std::{
    fs,
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use tempfile::NamedTempFile;

use super::{FileFormat, Format, ParquetWriter, Record, write_header, write_line};
use crate::hash::Hasher;

/// Bytes of text that are packed at once: packing line by line costs twice as much.
const BLOCK: usize = 64 * 1024;
/// Half the time of the default level 6, for a tenth more size: these files are handed on soon.
const LEVEL: Compression = Compression::new(3);

/// A file that is open.
#[derive(Debug)]
pub struct LogFile {
    content: Content,
    format: Format,
    /// `account-id` and `region` of its first record.
    pub account_id: String,
    /// Likewise.
    pub region: String,
}

#[derive(Debug)]
enum Content {
    Text { out: Box<GzEncoder<Hashed>>, pending: Vec<u8> },
    Parquet(Box<ParquetWriter<Hashed>>),
}

impl LogFile {
    /// Begins a file aside. `serial` tells it from others with the same records: a late window may give the very records that
    /// an earlier file has, and whoever knows files by their content takes each once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(
        aside: NamedTempFile,
        file_format: FileFormat,
        format: &Format,
        serial: u32,
        (account_id, region): (&str, &str),
    ) -> io::Result<Self> {
        // Temporary files are private; what becomes of them is for everybody whom the folder lets in.
        aside.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        let out = Hashed { out: BufWriter::new(aside), hasher: Hasher::default(), written: 0 };
        let content = match file_format {
            FileFormat::PlainText => {
                let mut header = GzBuilder::new().mtime(0);
                if serial > 0 {
                    header = header.comment(serial.to_string());
                }
                let mut pending = Vec::with_capacity(BLOCK + 1024);
                write_header(format, &mut pending);
                Content::Text { out: Box::new(header.write(out, LEVEL)), pending }
            }
            FileFormat::Parquet => {
                let note = ("flowlake.serial", serial.to_string());
                Content::Parquet(Box::new(ParquetWriter::new(out, format.clone(), note)?))
            }
        };
        Ok(Self { content, format: format.clone(), account_id: account_id.to_owned(), region: region.to_owned() })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        match &mut self.content {
            Content::Text { out, pending } => {
                write_line(&self.format, record, pending);
                if pending.len() >= BLOCK {
                    out.write_all(pending)?;
                    pending.clear();
                }
                Ok(())
            }
            Content::Parquet(writer) => Ok(writer.write(record)?),
        }
    }

    /// Bytes of the file so far, about.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Text { out, .. } => out.get_ref().written,
            Content::Parquet(writer) => writer.size() as u64,
        }
    }

    /// Ends the file; gives it with the SHA-256 of its bytes.
    ///
    /// # Errors
    /// When the last of it cannot be written.
    pub fn finish(self) -> io::Result<(NamedTempFile, String)> {
        let hashed = match self.content {
            Content::Text { mut out, pending } => {
                out.write_all(&pending)?;
                out.finish()?
            }
            Content::Parquet(writer) => writer.finish()?,
        };
        let aside = hashed.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((aside, hashed.hasher.finish()))
    }
}

/// A file that hashes and counts what is written.
#[derive(Debug)]
struct Hashed {
    out: BufWriter<NamedTempFile>,
    hasher: Hasher,
    written: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
