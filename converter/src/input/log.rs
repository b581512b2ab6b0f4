//! A flow log file: header first, then records, until its end.

use std::{io::Read, str};

use flowlake_common::vpc::{Column, Header, Record, parse_line};

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
    /// Whether this is a file of rejects: only there comments are comments.
    comments: bool,
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
    /// A comment of a file of rejects.
    Comment,
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
    /// The header that counts there.
    pub header: &'a Header,
    /// Whether the bytes are the whole line. What is not must never be taken for a record.
    pub whole: bool,
}

/// What a comment in a file of rejects starts with: such lines are no input.
pub const COMMENT: &str = "#flowlake: ";

impl<R: Read> FlowLog<R> {
    /// Reads the header line. An empty stream has none and gives `None`.
    ///
    /// # Errors
    /// When the first line is no header; the inner result when it cannot be read.
    pub fn open(source: R) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        let mut lines = Lines::new(source);
        let mut comments = false;
        let mut first = lines.next_line()?;
        if matches!(first, Some((_, Line::Whole(line))) if line.starts_with(COMMENT.as_bytes())) {
            comments = true;
            first = lines.next_line()?;
        }
        let header = match first {
            None => return Ok(Ok(None)),
            Some((_, Line::Whole(line))) => read_header(line),
            Some((_, Line::TooLong(_, length))) => Err(NotAFlowLog(format!("its first line has {length} bytes"))),
            Some((_, Line::CutOff(_))) => Err(NotAFlowLog("cut off inside the header line".to_owned())),
        };
        Ok(header.map(|header| Some(Self { lines, header, comments })))
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
        let Self { lines, header, comments } = self;
        let Some((number, line)) = lines.next_line()? else {
            return Ok(None);
        };
        if *comments && matches!(line, Line::Whole(bytes) if bytes.starts_with(COMMENT.as_bytes())) {
            return Ok(Some(Item::Comment));
        }
        match line {
            Line::Whole(bytes) => {
                let text = match str::from_utf8(bytes) {
                    Ok(text) => text,
                    Err(error) => {
                        return Ok(reject(
                            number,
                            format!("no UTF-8 text at byte {}", error.valid_up_to()),
                            bytes,
                            header,
                            true,
                        ));
                    }
                };
                match parse_line(header, text) {
                    Ok(record) => Ok(Some(Item::Record { line: number, text, record, header })),
                    Err(error) => match Header::parse(text) {
                        Ok(again) if again == *header || is_surely_a_header(&again) => {
                            *header = again;
                            Ok(Some(Item::Header))
                        }
                        _ => Ok(reject(number, error.to_string(), bytes, header, true)),
                    },
                }
            }
            Line::TooLong(start, length) => {
                let reason = format!("a line of {length} bytes; its first {} are kept", start.len());
                Ok(reject(number, reason, start, header, false))
            }
            Line::CutOff(bytes) => {
                Ok(reject(number, "cut off: the file cannot be read on".to_owned(), bytes, header, false))
            }
        }
    }
}

fn reject<'a>(line: u64, reason: String, bytes: &'a [u8], header: &'a Header, whole: bool) -> Option<Item<'a>> {
    Some(Item::Reject(Reject { line, reason, bytes, header, whole }))
}

/// Whether a line can only be the header of a flow log.
#[must_use]
pub fn begins_a_log(line: &[u8]) -> bool {
    read_header(line).is_ok_and(|header| is_surely_a_header(&header))
}

/// In the middle of a file a header says more than the one word without which it is none.
fn is_surely_a_header(header: &Header) -> bool {
    const FIELDS: usize = 3;
    header.columns().iter().filter(|column| matches!(column, Column::Known(_))).count() >= FIELDS
}

fn read_header(line: &[u8]) -> Result<Header, NotAFlowLog> {
    if line.starts_with(b"PAR1") {
        return Err(NotAFlowLog("a Parquet file, which is not read yet".to_owned()));
    }
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let text = str::from_utf8(line).map_err(|_| NotAFlowLog("its first line is no text".to_owned()))?;
    Header::parse(text).map_err(|error| NotAFlowLog(format!("its first line is {error}")))
}
