//! A flow log file: records, and the header by which each of them is read, until its end.

use std::{collections::VecDeque, io::Read, str};

use ::parquet::file::reader::ChunkReader;
use flowlake_common::vpc::{Column, Format, Header, Record, default_format, parse_line};

use super::{
    lines::{Damage, Line},
    parquet::Batches,
    rows::{Dialect, Row, Rows},
    sensor::Sensor,
};

/// Values before the first record that may give none; what has more of them is no flow log.
const MAX_BEFORE: usize = 100;

/// A file that is no flow log, as far as it can be told.
#[derive(Debug, thiserror::Error)]
#[error("not a flow log: {0}")]
pub struct NotAFlowLog(String);

/// A flow log file whose first line was understood.
#[derive(Debug)]
pub struct FlowLog<R> {
    rows: Rows<R>,
    header: Header,
    headers: Headers,
    /// Whether this is a file of rejects: only there comments are comments.
    comments: bool,
    /// Whose records its first are.
    sensor: Sensor,
    /// What stood before its first record and gives none: number, why, and the bytes; the first of them comes next.
    before: VecDeque<(u64, String, Vec<u8>)>,
    /// The one of these that was given last.
    given: Vec<u8>,
}

/// Where the names of the columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Headers {
    /// The file has header lines.
    InFile,
    /// Whoever converts it said so (`--log-format`).
    Given,
    /// Its lines are in one of AWS's default formats. Several flow logs may share a stream: each line tells its own.
    Default,
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
        /// Its number in the file, counted from 1: of its line, of the line on which its JSON value begins, or of its row.
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
    /// A header again, as in files that were joined: from here on it counts.
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
    /// Reads as far as the first record. An empty stream, or one with control messages alone, has none and gives `None`.
    /// `given` is the format of lines without a header; without it they have to be in one of AWS's.
    ///
    /// # Errors
    /// When the file is no flow log; the inner result when it cannot be read.
    pub fn open(source: R, given: Option<&Format>) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        Self::behind_header(Rows::of_stream(source), given)
    }

    /// As [`FlowLog::open`], for a Parquet file, which is read by itself: `source` is only kept for whoever hashes it.
    ///
    /// # Errors
    /// As those of [`FlowLog::open`].
    pub fn open_parquet(
        file: impl ChunkReader + 'static,
        source: R,
    ) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        match Batches::open(file) {
            Ok(batches) => Self::behind_header(Rows::of_parquet(batches, source), None),
            Err(why) => Ok(Err(NotAFlowLog(format!("a Parquet file, but {why}")))),
        }
    }

    fn behind_header(mut rows: Rows<R>, given: Option<&Format>) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        let dialect = rows.dialect();
        let mut comments = false;
        // A log that was cut at its start, say: what can be read of it is read.
        let mut before = VecDeque::new();
        while before.len() < MAX_BEFORE && matches!(dialect, Dialect::Json | Dialect::Base64) {
            match rows.next_row()? {
                Some((number, Row::Bad(reason, bytes))) => {
                    before.push_back((number, reason.to_owned(), bytes.to_vec()));
                }
                Some(_) => {
                    rows.unread();
                    break;
                }
                None => break,
            }
        }
        let mut first = rows.next_row()?;
        if matches!(first, Some((_, Row::Line(Line::Whole(line)))) if line.starts_with(COMMENT.as_bytes())) {
            comments = true;
            first = rows.next_row()?;
        }
        let no = |why: String| Ok(Err(NotAFlowLog(why)));
        let (header, headers) = match first {
            None if !before.is_empty() => {
                let (number, reason, _) = &before[0];
                return no(format!("read as {dialect}, line {number}: {reason}"));
            }
            None => {
                let events = rows.others();
                let none = "events of Suricata's, none of them a flow: its eve-log needs the types flow or netflow";
                return if events > 0 { no(format!("{events} {none}")) } else { Ok(Ok(None)) };
            }
            // What CloudWatch Logs leaves in a bucket before it exports.
            Some((_, Row::Line(Line::Whole(b"Permission Check Successful")))) => return Ok(Ok(None)),
            Some((_, Row::Header(names))) => match Header::parse(names) {
                Ok(header) => (header, Headers::InFile),
                Err(error) => return no(format!("its {dialect} columns are {error}")),
            },
            Some((_, Row::Line(Line::Whole(line)))) => match (read_header(line), headerless(line, given)) {
                (Ok(header), _) => (header, Headers::InFile),
                (Err(_), Some((header, headers))) => {
                    rows.unread();
                    (header, headers)
                }
                (Err(error), None) if given.is_some() => {
                    return no(format!("{error}, and not of the format that --log-format gives"));
                }
                (Err(error), None) => return no(error),
            },
            Some((_, Row::Line(Line::TooLong(_, length)))) => return no(format!("its first line has {length} bytes")),
            Some((_, Row::Line(Line::CutOff(_)))) => return no("cut off inside the header line".to_owned()),
            Some((number, Row::Bad(reason, _))) => return no(format!("read as {dialect}, line {number}: {reason}")),
        };
        let sensor = Sensor::of(&header);
        let given = Vec::new();
        Ok(Ok(Some(Self { rows, header, headers, comments, sensor, before, given })))
    }

    /// The header that counts.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whose records it has.
    #[must_use]
    pub fn sensor(&self) -> Sensor {
        self.sensor
    }

    /// Events of other kinds among its own that were passed over so far.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.rows.others()
    }

    /// What its records are written in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.rows.dialect()
    }

    /// Where the names of its columns come from.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The stream below, wherever it stands.
    #[must_use]
    pub fn into_source(self) -> R {
        self.rows.into_reader()
    }

    /// The next record or reject; `None` at the end.
    ///
    /// # Errors
    /// When the stream cannot be read on; everything before was given.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Damage> {
        let Self { rows, header, headers, comments, sensor, before, given } = self;
        if let Some((number, reason, bytes)) = before.pop_front() {
            *given = bytes;
            return Ok(reject(number, reason, given, header, false));
        }
        let Some((number, row)) = rows.next_row()? else {
            return Ok(None);
        };
        let bytes = match row {
            Row::Header(names) => {
                return Ok(match Header::parse(names) {
                    Ok(again) => {
                        *header = again;
                        Some(Item::Header)
                    }
                    Err(error) => reject(number, error.to_string(), names.as_bytes(), header, false),
                });
            }
            Row::Line(Line::Whole(bytes)) if *comments && bytes.starts_with(COMMENT.as_bytes()) => {
                return Ok(Some(Item::Comment));
            }
            Row::Line(Line::Whole(bytes)) => bytes,
            Row::Line(Line::TooLong(start, length)) => {
                let reason = format!("a line of {length} bytes; its first {} are kept", start.len());
                return Ok(reject(number, reason, start, header, false));
            }
            Row::Line(Line::CutOff(bytes)) => {
                return Ok(reject(number, "cut off: the file cannot be read on".to_owned(), bytes, header, false));
            }
            Row::Bad(reason, bytes) => return Ok(reject(number, reason.to_owned(), bytes, header, false)),
        };
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let reason = format!("no UTF-8 text at byte {}", error.valid_up_to());
                return Ok(reject(number, reason, bytes, header, true));
            }
        };
        // Each sensor has a lake source of its own.
        if Sensor::of(header) != *sensor && Header::parse(text).is_err() {
            let reason = format!("of another sensor than the file's first record, which is of a {sensor}");
            return Ok(reject(number, reason, bytes, header, true));
        }
        let text = if *headers == Headers::InFile { text } else { behind_timestamp(text) };
        let mut result = parse_line(header, text);
        if result.is_err()
            && *headers == Headers::Default
            && let Some(other) = default_format(text)
        {
            *header = Header::of(&other);
            result = parse_line(header, text);
        }
        match result {
            Ok(record) => Ok(Some(Item::Record { line: number, text, record, header })),
            Err(error) => match Header::parse(text) {
                Ok(again) if again == *header || is_surely_a_header(&again) => {
                    (*header, *headers) = (again, Headers::InFile);
                    Ok(Some(Item::Header))
                }
                _ => Ok(reject(number, error.to_string(), bytes, header, true)),
            },
        }
    }
}

/// The header of a line that has none above it: of the format that was given, or of AWS's.
fn headerless(line: &[u8], given: Option<&Format>) -> Option<(Header, Headers)> {
    let line = behind_timestamp(str::from_utf8(line).ok()?);
    match given {
        Some(format) => {
            let header = Header::of(format);
            parse_line(&header, line).is_ok().then_some((header, Headers::Given))
        }
        None => default_format(line).map(|format| (Header::of(&format), Headers::Default)),
    }
}

/// What CloudWatch Logs exports to S3 has the event's time before each line.
fn behind_timestamp(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T' => rest,
        _ => line,
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

fn read_header(line: &[u8]) -> Result<Header, String> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let text = str::from_utf8(line).map_err(|_| "its first line is no text".to_owned())?;
    Header::parse(text).map_err(|error| format!("its first line is {error}"))
}
