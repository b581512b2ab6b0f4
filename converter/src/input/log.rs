//! A flow log file: header first, then records, until its end.

use std::{io::Read, str};

use flowlake_common::vpc::{Header, Record, parse_line};

use super::lines::{Damage, Line, Lines};

/// A file that does not begin with a flow log header.
#[derive(Debug, thiserror::Error)]
#[error("not a VPC flow log: {0}")]
pub struct NotAFlowLog(String);

/// A flow log file behind its first header line.
#[derive(Debug)]
pub struct FlowLog<R> {
    lines: Lines<R>,
    header: Header,
}

/// What comes next in a flow log.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every item is a record, and a box would be an allocation per line"
)]
pub enum Item<'a> {
    /// A record.
    Record {
        /// Its line's number in the file, counted from 1.
        line: u64,
        /// Its line.
        text: &'a str,
        /// The line, read.
        record: Record<'a>,
        /// The header that it was read by.
        header: &'a Header,
    },
    /// A line that is no record.
    Reject(Reject<'a>),
    /// A header line again, as in files that were joined: from here on it counts.
    Header,
}

/// A line that cannot be read, kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject<'a> {
    /// Its number in the file, counted from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// Its bytes; of a line longer than [`super::MAX_LINE`] the first.
    pub bytes: &'a [u8],
}

impl<R: Read> FlowLog<R> {
    /// Reads the header line. An empty stream has none and gives `None`.
    ///
    /// # Errors
    /// When the first line is no header; the inner result when it cannot be read.
    pub fn open(source: R) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        let mut lines = Lines::new(source);
        let header = match lines.next_line()? {
            None => return Ok(Ok(None)),
            Some((_, Line::Whole(line))) => read_header(line),
            Some((_, Line::TooLong(_, length))) => Err(NotAFlowLog(format!("its first line has {length} bytes"))),
            Some((_, Line::CutOff(_))) => Err(NotAFlowLog("cut off inside the header line".to_owned())),
        };
        Ok(header.map(|header| Some(Self { lines, header })))
    }

    /// The header that counts.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The stream below, wherever it stands.
    #[must_use]
    pub fn into_source(self) -> R {
        self.lines.into_reader()
    }

    /// The next record or reject; `None` at the end.
    ///
    /// # Errors
    /// When the stream cannot be read on; everything before was given.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Damage> {
        let Self { lines, header } = self;
        let Some((number, line)) = lines.next_line()? else {
            return Ok(None);
        };
        let reject = |reason: String, bytes| Ok(Some(Item::Reject(Reject { line: number, reason, bytes })));
        match line {
            Line::Whole(bytes) => {
                let text = match str::from_utf8(bytes) {
                    Ok(text) => text,
                    Err(error) => return reject(format!("no UTF-8 text at byte {}", error.valid_up_to()), bytes),
                };
                match parse_line(header, text) {
                    Ok(record) => Ok(Some(Item::Record { line: number, text, record, header })),
                    Err(error) => match Header::parse(text) {
                        Ok(again) => {
                            *header = again;
                            Ok(Some(Item::Header))
                        }
                        Err(_) => reject(error.to_string(), bytes),
                    },
                }
            }
            Line::TooLong(start, length) => {
                reject(format!("a line of {length} bytes; its first {} are kept", start.len()), start)
            }
            Line::CutOff(bytes) => reject("cut off: the file cannot be read on".to_owned(), bytes),
        }
    }
}

fn read_header(line: &[u8]) -> Result<Header, NotAFlowLog> {
    if line.starts_with(b"PAR1") {
        return Err(NotAFlowLog("a Parquet file, which is not read yet".to_owned()));
    }
    let text = str::from_utf8(line).map_err(|_| NotAFlowLog("its first line is no text".to_owned()))?;
    Header::parse(text).map_err(|error| NotAFlowLog(format!("its first line is {error}")))
}
