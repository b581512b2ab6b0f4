//! What a file is, told by its content and never by its name, and its lines: as they stand, or made from what stands there.

use std::{
    fmt,
    io::{self, Read},
};

use super::{
    csv,
    json::{Known, NO_JSON, lines_of_value, lines_of_word},
    lines::{Damage, Line, Lines, MAX_LINE},
    made::{Made, MadeKind},
    parquet::{Batches, MAGIC},
    values::{MAX_VALUE, Value, Values},
    zeek,
};

/// What the records of a file are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Lines of words.
    Text,
    /// Comma-separated values with a header row, as Athena and Logs Insights export.
    Csv,
    /// JSON: a subscription's envelopes, messages, or objects whose keys are the fields.
    Json,
    /// Subscription envelopes, each packed and in base64.
    Base64,
    /// Apache Parquet.
    Parquet,
    /// Zeek's tab-separated values with their header.
    Zeek,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Base64 => "JSON in base64",
            Self::Parquet => "Parquet",
            Self::Zeek => "tab-separated values",
        })
    }
}

/// Bytes that are looked at.
const SNIFFED: usize = 16 * 1024;
/// How gzip begins in base64.
const BASE64_GZIP: &[u8] = b"H4sI";

impl Dialect {
    /// Tells it from the first bytes of what was unpacked.
    fn sniff(start: &[u8]) -> Self {
        let start = start.trim_ascii_start();
        match start.first() {
            Some(b'{' | b'[') => Self::Json,
            _ if start.starts_with(BASE64_GZIP) => Self::Base64,
            _ if zeek::begins_tsv(start) => Self::Zeek,
            // Packed again; see [`Rows::is_packed_parquet`].
            _ if start.starts_with(MAGIC) => Self::Text,
            _ => {
                // A sentence may have a comma, too.
                const LINES: usize = 8;
                let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).take(LINES);
                if lines.any(csv::is_header_row) { Self::Csv } else { Self::Text }
            }
        }
    }
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Row<'a> {
    /// The header of the lines after it, for sure.
    Header(&'a str),
    /// A line of values, made by the header before it.
    Made(&'a str),
    /// A line as it stands.
    Line(Line<'a>),
    /// What gives no line: why, and what stands there.
    Bad(&'a str, &'a [u8]),
}

/// A stream whose first bytes were looked at.
#[derive(Debug)]
pub(super) struct Peeked<R> {
    start: Vec<u8>,
    given: usize,
    /// Why no more could be looked at; it is said behind the first bytes.
    failed: Option<io::Error>,
    reader: R,
}

impl<R: Read> Peeked<R> {
    fn new(mut reader: R) -> Self {
        let mut start = Vec::new();
        let mut piece = [0; 4096];
        let mut failed = None;
        while start.len() < SNIFFED && !start.trim_ascii_start().contains(&b'\n') {
            match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => start.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // A mark of the byte order is none of the text's.
        let given = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { start, given, failed, reader }
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.start[self.given..];
        if !left.is_empty() {
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            self.given += count;
            return Ok(count);
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.reader.read(buffer),
        }
    }
}

/// The rows of a file.
#[derive(Debug)]
pub(super) enum Rows<R> {
    Text(Lines<Peeked<R>>),
    Csv(Lines<Peeked<R>>, Box<csv::Rows>, Made),
    /// JSON values or base64 words.
    Values(Values<Peeked<R>>, Dialect, Made, Box<Known>),
    Zeek(Lines<Peeked<R>>, Box<zeek::Tsv>, Made),
    /// The rows, and the stream, which is not read.
    Parquet(Box<Batches>, Made, R),
}

impl<R: Read> Rows<R> {
    /// Rows of a stream.
    pub(super) fn of_stream(reader: R) -> Self {
        let stream = Peeked::new(reader);
        match Dialect::sniff(&stream.start[stream.given..]) {
            Dialect::Csv => Self::Csv(Lines::new(stream), Box::default(), Made::default()),
            dialect @ (Dialect::Json | Dialect::Base64) => {
                Self::Values(Values::new(stream), dialect, Made::default(), Box::default())
            }
            Dialect::Zeek => Self::Zeek(Lines::new(stream), Box::default(), Made::default()),
            Dialect::Text | Dialect::Parquet => Self::Text(Lines::new(stream)),
        }
    }

    /// Rows of a Parquet file; `reader` is its stream, for whoever hashes it.
    pub(super) fn of_parquet(batches: Batches, reader: R) -> Self {
        let mut made = Made::default();
        batches.header(&mut made);
        Self::Parquet(Box::new(batches), made, reader)
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Text(_) => Dialect::Text,
            Self::Csv(..) => Dialect::Csv,
            Self::Values(_, dialect, ..) => *dialect,
            Self::Zeek(..) => Dialect::Zeek,
            Self::Parquet(..) => Dialect::Parquet,
        }
    }

    /// Whether what was unpacked is a Parquet file: one can only be read where it lies.
    pub(super) fn is_packed_parquet(&self) -> bool {
        matches!(self, Self::Text(lines) if lines.reader().start.starts_with(MAGIC))
    }

    pub(super) fn into_reader(self) -> R {
        match self {
            Self::Text(lines) | Self::Csv(lines, ..) | Self::Zeek(lines, ..) => lines.into_reader().reader,
            Self::Values(values, ..) => values.into_reader().reader,
            Self::Parquet(_, _, reader) => reader,
        }
    }

    /// Gives the last line out again; only right behind a line.
    pub(super) fn unread(&mut self) {
        match self {
            Self::Text(lines) => lines.unread(),
            Self::Csv(_, _, made)
            | Self::Values(_, _, made, _)
            | Self::Zeek(_, _, made)
            | Self::Parquet(_, made, _) => made.unread(),
        }
    }

    /// Columns that are left out, because no field is a list.
    pub(super) fn left_out(&self) -> &[String] {
        if let Self::Parquet(batches, ..) = self { &batches.left_out } else { &[] }
    }

    /// Events of other kinds that were passed over.
    pub(super) fn others(&self) -> u64 {
        if let Self::Values(_, _, made, _) = self { made.others() } else { 0 }
    }

    /// The next row and its number in the file, counted from 1: of a line, of the line on which a JSON value begins, or of a
    /// row of Parquet.
    ///
    /// # Errors
    /// When the file cannot be read on; everything before was given.
    pub(super) fn next_row(&mut self) -> Result<Option<(u64, Row<'_>)>, Damage> {
        match self {
            Self::Text(lines) => Ok(lines.next_line()?.map(|(number, line)| (number, Row::Line(line)))),
            Self::Csv(lines, rows, made) => {
                // A header that names the column of messages gives no line.
                while made.is_empty() {
                    made.clear();
                    let Some((number, line)) = lines.next_line()? else {
                        return Ok(None);
                    };
                    make(number, line, made, |bytes, made| rows.line(number, bytes, made));
                }
                Ok(next_made(made))
            }
            Self::Zeek(lines, tsv, made) => {
                while made.is_empty() {
                    made.clear();
                    let Some((number, line)) = lines.next_line()? else {
                        return Ok(None);
                    };
                    make(number, line, made, |bytes, made| tsv.line(number, bytes, made));
                }
                Ok(next_made(made))
            }
            Self::Values(values, dialect, made, known) => {
                // A value may give no line: a control message.
                while made.is_empty() {
                    made.clear();
                    if !next_value(values, *dialect, made, known)? {
                        return Ok(None);
                    }
                }
                Ok(next_made(made))
            }
            Self::Parquet(batches, made, _) => {
                while made.is_empty() {
                    made.clear();
                    if !batches.lines(made)? {
                        return Ok(None);
                    }
                }
                Ok(next_made(made))
            }
        }
    }
}

/// Makes what the next value gives; false at the end.
fn next_value<R: Read>(
    values: &mut Values<Peeked<R>>,
    dialect: Dialect,
    made: &mut Made,
    known: &mut Known,
) -> Result<bool, Damage> {
    let Some((number, value)) = values.next_value()? else {
        let Some((number, word)) = known.word.take() else {
            return Ok(false);
        };
        make_word(number, &word, made, known);
        return Ok(true);
    };
    let is_word = |bytes: &[u8]| dialect == Dialect::Base64 && is_base64(bytes);
    if !matches!(value, Value::Bare(bytes) if is_word(bytes))
        && let Some((before, word)) = known.word.take()
    {
        // It ends here, and comes first.
        make_word(before, &word, made, known);
    }
    let (reason, kept) = match value {
        Value::Bare(bytes) if is_word(bytes) => {
            // A word may be broken into lines; how gzip begins tells where the next one does.
            let words = bytes.split(|byte| byte.is_ascii_whitespace() || *byte == b',');
            // What comes behind the padding is another word.
            let words = words.flat_map(|word| word.split_inclusive(|byte| *byte == b'='));
            for part in words.filter(|part| !part.is_empty()) {
                let has_ended = |word: &[u8]| word.ends_with(b"=") && part != b"=";
                let goes_on = |word: &[u8]| !part.starts_with(BASE64_GZIP) && !has_ended(word);
                if let Some((_, word)) = known.word.as_mut().filter(|(_, word)| goes_on(word)) {
                    if word.len() + part.len() <= MAX_VALUE {
                        word.extend_from_slice(part);
                    }
                } else if let Some((number, word)) = known.word.replace((number, part.to_vec())) {
                    make_word(number, &word, made, known);
                }
            }
            return Ok(true);
        }
        // A line of a flow log among JSON, perhaps.
        Value::Bare(bytes) => match str::from_utf8(bytes) {
            Ok(line) => {
                made.line(number, line.trim_end());
                return Ok(true);
            }
            Err(_) => ("no UTF-8 text".to_owned(), bytes.get(..MAX_LINE).unwrap_or(bytes).to_vec()),
        },
        Value::Json(bytes) => match lines_of_value(number, bytes, made, known) {
            Ok(()) => return Ok(true),
            Err(reason) => (reason, bytes.get(..MAX_LINE).unwrap_or(bytes).to_vec()),
        },
        Value::TooLong(length) => (format!("a JSON value of {length} bytes"), Vec::new()),
        Value::CutOff(bytes) => {
            ("cut off inside of a JSON value".to_owned(), bytes.get(..MAX_LINE).unwrap_or(bytes).to_vec())
        }
    };
    let is_syntax = reason.starts_with(NO_JSON) || reason.starts_with("cut off");
    let cut = if is_syntax { values.resync() } else { None };
    made.bad(number, reason, kept.get(..cut.unwrap_or(kept.len())).unwrap_or(&kept));
    Ok(true)
}

fn is_base64(words: &[u8]) -> bool {
    words.iter().all(|byte| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=,".contains(byte))
}

fn make_word(number: u64, word: &[u8], made: &mut Made, known: &mut Known) {
    if let Err(reason) = lines_of_word(number, word, made, known) {
        made.bad(number, reason, word);
    }
}

/// Makes what a line gives; of one that gives nothing, why.
fn make(number: u64, line: Line<'_>, made: &mut Made, read: impl FnOnce(&[u8], &mut Made) -> Result<(), String>) {
    let (result, bytes) = match line {
        Line::Whole(bytes) => (read(bytes, made), bytes),
        Line::TooLong(start, length) => (Err(format!("a row of {length} bytes")), start),
        Line::CutOff(bytes) => (Err("cut off inside of a row".to_owned()), bytes),
    };
    if let Err(reason) = result {
        made.bad(number, reason, bytes);
    }
}

fn next_made(made: &mut Made) -> Option<(u64, Row<'_>)> {
    let (number, kind, text) = made.next()?;
    let row = match kind {
        MadeKind::Header => Row::Header(text),
        MadeKind::Bad(reason) => Row::Bad(reason, text.as_bytes()),
        MadeKind::Line | MadeKind::Plain if text.len() > MAX_LINE => {
            Row::Line(Line::TooLong(&text.as_bytes()[..MAX_LINE], text.len() as u64))
        }
        MadeKind::Line => Row::Made(text),
        MadeKind::Plain => Row::Line(Line::Whole(text.as_bytes())),
    };
    Some((number, row))
}
