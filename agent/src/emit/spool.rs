//! Closed windows as finished files in the spool: gzip text with a header line and every field.

use std::io::{self, BufWriter, Write};

use flate2::{Compression, GzBuilder};
use flowlake_common::{
    spool::Spool,
    time,
    vpc::{Format, write_header, write_line},
};

use super::{Gap, Identity, gap_record, record, room::GivenUp};
use crate::flow::Closed;

/// Half the time of the default level 6, for a tenth more size: these files are handed on soon.
const LEVEL: Compression = Compression::new(3);
/// Bytes of text that are packed at once.
const BLOCK: usize = 64 * 1024;

/// A time without flows, and why: the first second and the last.
pub type GapSpan = (Gap, i64, i64);

/// Writes the records of one interface.
#[derive(Debug)]
pub struct SpoolWriter {
    pub(super) spool: Spool,
    /// Seconds of a window.
    pub(super) interval: i64,
    format: Format,
}

impl SpoolWriter {
    /// Writes into a spool, windows of so many seconds.
    #[must_use]
    pub fn new(spool: Spool, interval: u32) -> Self {
        Self { spool, interval: interval.into(), format: Format::all_fields() }
    }

    /// Writes a window's records as one file. When it returns, they survive a crash. `tell` is told what had to be given up for it.
    ///
    /// # Errors
    /// When the file cannot be written, the message names it; or when the spool is full.
    pub fn write(
        &self,
        identity: &Identity,
        closed: &Closed,
        gaps: &[GapSpan],
        tell: &mut dyn FnMut(GivenUp),
    ) -> io::Result<()> {
        self.make_room(identity, tell)?;
        self.put(identity, "", closed, gaps).map(drop)
    }

    /// Gives the name of the file; its last part starts with `mark`.
    pub(super) fn put(&self, identity: &Identity, mark: &str, closed: &Closed, gaps: &[GapSpan]) -> io::Result<String> {
        let interface = identity.interface_ids.first().map_or("-", String::as_str);
        loop {
            let stamp = time::format(closed.start, "%Y%m%dT%H%M%SZ");
            let name = format!("{stamp}_{interface}_{mark}{:x}.log.gz", time::now_us());
            match self.spool.put(&name, |out| self.text(&name, identity, closed, gaps, out)) {
                // Within a microsecond, or after the clock was set back: the next one is free.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| name),
            }
        }
    }

    /// The file's name stands in its header: no two files are alike, though a window that was opened again may give the same
    /// records twice, and whoever knows files by their content takes each.
    fn text(
        &self,
        name: &str,
        identity: &Identity,
        closed: &Closed,
        gaps: &[GapSpan],
        out: &mut BufWriter<&std::fs::File>,
    ) -> io::Result<()> {
        let mut packed = GzBuilder::new().mtime(0).filename(name).write(out, LEVEL);
        let mut text = Vec::with_capacity(BLOCK + 1024);
        write_header(&self.format, &mut text);
        for entry in &closed.entries {
            write_line(&self.format, &record(identity, closed.start, entry), &mut text);
            if text.len() >= BLOCK {
                packed.write_all(&text)?;
                text.clear();
            }
        }
        for (gap, start, end) in gaps {
            write_line(&self.format, &gap_record(identity, 0, *gap, *start, *end), &mut text);
        }
        packed.write_all(&text)?;
        packed.finish().map(drop)
    }
}
