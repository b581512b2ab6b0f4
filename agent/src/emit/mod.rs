//! Closed windows become VPC flow log records, as text on a stream or as files named like AWS's.
//!
//! Owns what a record says beside its flow (account, interface …) and where it goes; adds nothing up.

mod directory;
mod quiet;
mod record;
mod room;
mod spool;

pub use directory::{Delivery, LogDirectory};
pub use quiet::QuietWindows;
pub use record::{Gap, Identity, gap_record, record};
pub use room::GivenUp;
pub use spool::{GapSpan, SpoolWriter};

use std::io::{self, Write};

use flowlake_common::vpc::{Format, write_header, write_line};

use crate::flow::Closed;

/// Where records go.
#[derive(Debug)]
pub enum Output<W: Write> {
    /// Text, header line first.
    Stream(TextStream<W>),
    /// Files below `AWSLogs/` in a folder.
    Directory(LogDirectory),
}

/// Records as text on a stream.
#[derive(Debug)]
pub struct TextStream<W: Write> {
    out: W,
    format: Format,
    text: Vec<u8>,
}

impl<W: Write> TextStream<W> {
    /// Writes the header line.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn new(mut out: W, format: Format) -> io::Result<Self> {
        let mut text = Vec::new();
        write_header(&format, &mut text);
        out.write_all(&text)?;
        Ok(Self { out, format, text })
    }

    fn write(&mut self, identity: &Identity, closed: &Closed) -> io::Result<()> {
        for entry in &closed.entries {
            self.text.clear();
            write_line(&self.format, &record(identity, closed.start, entry), &mut self.text);
            self.out.write_all(&self.text)?;
        }
        Ok(())
    }

    fn write_gap(&mut self, identity: &Identity, interface: u16, (gap, start, end): GapSpan) -> io::Result<()> {
        self.text.clear();
        write_line(&self.format, &gap_record(identity, interface, gap, start, end), &mut self.text);
        self.out.write_all(&self.text)
    }
}

impl<W: Write> Output<W> {
    /// Writes the records of a closed window.
    ///
    /// # Errors
    /// When they cannot be written; the message names the file.
    pub fn write(&mut self, identity: &Identity, closed: &Closed) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write(identity, closed),
            Self::Directory(directory) => directory.write(identity, closed),
        }
    }

    /// Writes the record of a time without flows.
    ///
    /// # Errors
    /// When it cannot be written; the message names the file.
    pub fn write_gap(&mut self, identity: &Identity, interface: u16, span: GapSpan) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write_gap(identity, interface, span),
            Self::Directory(directory) => directory.write_gap(identity, interface, span),
        }
    }

    /// Finishes what is open. Records are safe only after this.
    ///
    /// # Errors
    /// When the last of it cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Stream(mut stream) => stream.out.flush(),
            Self::Directory(mut directory) => directory.finish_all(),
        }
    }
}
