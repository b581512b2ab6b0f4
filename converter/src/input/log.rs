//! A flow log file: records, and the header by which each of them is read, until its end.

use std::{collections::VecDeque, io::Read, str};

use ::parquet::file::reader::ChunkReader;
use flowlake_common::vpc::{
    Column, Field, Header, Kind, MAX_COLUMNS, Record, default_header, is_plausible, parse_line,
};

use super::{
    csv,
    lines::{Damage, Line},
    made::column_name,
    parquet::Batches,
    rows::{Dialect, Row, Rows},
    sensor::Sensor,
};

/// Lines before the first record that may give none; what has more of them is no flow log.
const MAX_BEFORE: usize = 100;
/// Of messages so many, and bytes: a stream has other logs' too.
const MAX_MESSAGES_BEFORE: (usize, usize) = (100_000, 16 << 20);

/// A file that is no flow log, as far as it can be told.
#[derive(Debug, thiserror::Error)]
#[error("not a flow log: {0}")]
pub struct NotAFlowLog(String);

/// A flow log file whose first line was understood.
#[derive(Debug)]
pub struct FlowLog<R> {
    rows: Rows<R>,
    /// The header of lines that stand in the file; `None` where there is none yet, or none that can be read.
    plain: Option<Header>,
    /// Whether the last header that stood there could not be read: what follows it must not be guessed.
    broken: bool,
    /// Where it comes from.
    headers: Headers,
    /// The header of lines that are made of another form, likewise.
    made: Option<Header>,
    /// The header of lines without one, as whoever converts the file says.
    told: Option<Header>,
    /// The header that was found first.
    first: Header,
    /// Whether this is a file of rejects: only there comments are comments.
    comments: bool,
    /// Whose records its first are.
    sensor: Sensor,
    /// What stood before its first record and gives none; the first of them comes next.
    before: VecDeque<Before>,
    /// The one of these that was given last.
    given: Vec<u8>,
}

/// What stands before a log's first record and is none.
#[derive(Debug)]
struct Before {
    line: u64,
    reason: String,
    bytes: Vec<u8>,
    whole: bool,
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
    /// `told` is the header of lines without one; without it they have to be in a format of AWS's.
    ///
    /// # Errors
    /// When the file is no flow log; the inner result when it cannot be read.
    pub fn open(source: R, told: Option<&Header>) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        Self::behind_header(Rows::of_stream(source), told)
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

    fn behind_header(mut rows: Rows<R>, told: Option<&Header>) -> Result<Result<Option<Self>, NotAFlowLog>, Damage> {
        let dialect = rows.dialect();
        let no = |why: String| Ok(Err(NotAFlowLog(why)));
        if rows.is_packed_parquet() {
            return no("a Parquet file that was packed again; unpack it first, with gunzip or unzstd".to_owned());
        }
        let (mut comments, mut before, mut kept) = (false, VecDeque::new(), 0);
        // A header that cannot be read: by AWS's order its records would be read wrongly.
        let mut broken = false;
        // A log may be cut at its start, say: what can be read of it is read.
        let (plain, made, headers) = loop {
            let Some((line, row)) = rows.next_row()? else {
                let events = rows.others();
                return match before.pop_front() {
                    Some(Before { line, reason, .. }) => no(not_read(dialect, line, reason)),
                    None if events > 0 => no(format!("{events} {NO_FLOWS}")),
                    None => Ok(Ok(None)),
                };
            };
            let (reason, bytes, whole) = match row {
                Row::Header(names) => match Header::parse_units(names) {
                    Ok(header) => break (None, Some(header), Headers::InFile),
                    Err(error) => (format!("its columns are {error}"), names.as_bytes(), false),
                },
                Row::Made(text) => ("the header before it cannot be read".to_owned(), text.as_bytes(), false),
                Row::Line(Line::Whole(bytes)) => {
                    let is_comment = bytes.starts_with(COMMENT.as_bytes());
                    comments |= is_comment && line == 1;
                    // What CloudWatch Logs leaves in a bucket before it exports is no line of a log.
                    if is_comment && comments || bytes == b"Permission Check Successful" {
                        continue;
                    }
                    match (read_header(bytes), headerless(bytes, told)) {
                        // A word alone is any log's.
                        (Ok(header), _)
                            if header.is_surely_one() || header.unknown().is_empty() && header.columns().len() > 1 =>
                        {
                            break (Some(header), None, Headers::InFile);
                        }
                        (_, Some(_)) if broken && told.is_none() => (UNREADABLE_HEADER.to_owned(), bytes, true),
                        (_, Some((header, headers))) => {
                            rows.unread();
                            break (Some(header), None, headers);
                        }
                        (Err(error), None) if told.is_some() => {
                            (format!("{error}, and not of the format that --log-format gives"), bytes, true)
                        }
                        (Err(error), None) => (format!("{error}; {NO_FORMAT}"), bytes, true),
                        (Ok(_), None) => ("no line of a flow log".to_owned(), bytes, true),
                    }
                }
                Row::Line(Line::TooLong(start, length)) => (format!("a line of {length} bytes"), start, false),
                Row::Line(Line::CutOff(_)) if before.is_empty() => {
                    return no("cut off inside the header line".to_owned());
                }
                Row::Line(Line::CutOff(bytes)) => (CUT_OFF.to_owned(), bytes, false),
                Row::Bad(reason, bytes) => (reason.to_owned(), bytes, false),
            };
            broken |= resembles_a_header(&String::from_utf8_lossy(bytes));
            kept += bytes.len();
            before.push_back(Before { line, reason, bytes: bytes.to_vec(), whole });
            let is_text = dialect == Dialect::Text;
            let too_many = if is_text { before.len() == MAX_BEFORE } else { before.len() == MAX_MESSAGES_BEFORE.0 };
            if (too_many || !is_text && kept > MAX_MESSAGES_BEFORE.1)
                && let Some(Before { line, reason, .. }) = before.pop_front()
            {
                return no(not_read(dialect, line, reason));
            }
        };
        let first = plain.clone().or_else(|| made.clone());
        let Some(first) = first else {
            return no("neither lines nor values".to_owned());
        };
        let (sensor, told, given) = (Sensor::of(&first), told.cloned(), Vec::new());
        let broken = false;
        Ok(Ok(Some(Self { rows, plain, broken, headers, made, told, first, comments, sensor, before, given })))
    }

    /// The header that was found first.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.first
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

    /// Columns that are left out, because no field is a list.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        self.rows.left_out()
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
        let Self { rows, plain, broken, headers, made, told, first, comments, sensor, before, given } = self;
        if let Some(Before { line, reason, bytes, whole }) = before.pop_front() {
            *given = bytes;
            return Ok(reject(line, reason, given, first, whole));
        }
        let Some((number, row)) = rows.next_row()? else {
            return Ok(None);
        };
        let is_foreign = |header: &Header| Sensor::of(header) != *sensor;
        let foreign = || format!("of another sensor than the file's first record, which is of a {sensor}");
        let bytes = match row {
            Row::Header(names) => {
                *made = None;
                return Ok(match Header::parse_units(names) {
                    Ok(again) => {
                        *made = Some(again);
                        Some(Item::Header)
                    }
                    Err(error) => reject(number, error.to_string(), names.as_bytes(), first, false),
                });
            }
            Row::Made(text) => {
                let Some(header) = made else {
                    return Ok(reject(number, UNREADABLE_HEADER.to_owned(), text.as_bytes(), first, false));
                };
                if is_foreign(header) {
                    return Ok(reject(number, foreign(), text.as_bytes(), header, true));
                }
                return Ok(match parse_line(header, text) {
                    Ok(record) => Some(Item::Record { line: number, text, record, header }),
                    Err(error) => reject(number, error.to_string(), text.as_bytes(), header, true),
                });
            }
            Row::Line(Line::Whole(bytes)) if *comments && bytes.starts_with(COMMENT.as_bytes()) => {
                return Ok(Some(Item::Comment));
            }
            Row::Line(Line::Whole(bytes)) => bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes),
            Row::Line(Line::TooLong(start, length)) => {
                if resembles_a_header(&String::from_utf8_lossy(start)) {
                    (*plain, *headers, *broken) = (None, Headers::InFile, true);
                }
                let reason = format!("a line of {length} bytes; its first {} are kept", start.len());
                return Ok(reject(number, reason, start, plain.as_ref().unwrap_or(first), false));
            }
            Row::Line(Line::CutOff(bytes)) => {
                return Ok(reject(number, CUT_OFF.to_owned(), bytes, plain.as_ref().unwrap_or(first), false));
            }
            Row::Bad(reason, bytes) => return Ok(reject(number, reason.to_owned(), bytes, first, false)),
        };
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                if resembles_a_header(&String::from_utf8_lossy(bytes)) {
                    (*plain, *headers, *broken) = (None, Headers::InFile, true);
                }
                let reason = format!("no UTF-8 text at byte {}", error.valid_up_to());
                return Ok(reject(number, reason, bytes, plain.as_ref().unwrap_or(first), true));
            }
        };
        let text = if *headers == Headers::InFile && plain.is_some() { text } else { behind_timestamp(text) };
        let mut wrong = UNREADABLE_HEADER.to_owned();
        if let Some(header) = plain
            && !is_foreign(header)
        {
            // Where each line tells its own format, one by which it can be read is not yet its own.
            let is_default = |record: &Record<'_>| match headers {
                Headers::InFile => true,
                Headers::Default => is_plausible(record, header),
                Headers::Given => !is_of_a_default(record, header, text),
            };
            match parse_line(header, text) {
                Ok(record) if is_default(&record) => return Ok(read_by(plain.as_ref(), number, text, record)),
                Ok(_) => NOT_DEFAULT.clone_into(&mut wrong),
                Err(error) => wrong = error.to_string(),
            }
            // A line of an export that was kept with its time.
            let behind = behind_timestamp(text);
            if behind.len() < text.len()
                && let Ok(record) = parse_line(header, behind)
            {
                return Ok(read_by(plain.as_ref(), number, behind, record));
            }
        }
        // A header again, of this file or of one that was joined to it; or a line that tells its own format.
        let parsed = Header::parse(text).ok();
        let is_again = |again: &Header| Some(again) == plain.as_ref() || again.is_surely_one();
        let is_as_long = parsed.as_ref().is_some_and(|header| is_as_long(header, plain.as_ref()));
        if let Some(again) = parsed.filter(is_again) {
            (*plain, *headers, *broken) = (Some(again), Headers::InFile, false);
            return Ok(Some(Item::Header));
        }
        let own = match headers {
            Headers::InFile if plain.is_some() || *broken => None,
            _ => headerless(bytes, told.as_ref()),
        };
        if let Some((other, whose)) = own {
            if is_foreign(&other) {
                return Ok(reject(number, foreign(), bytes, first, true));
            }
            let text = behind_timestamp(text);
            if let Ok(record) = parse_line(&other, text) {
                (*plain, *headers) = (Some(other), whose);
                return Ok(read_by(plain.as_ref(), number, text, record));
            }
        }
        if plain.as_ref().is_some_and(is_foreign) {
            wrong = foreign();
        } else if resembles_a_header(text) || is_as_long {
            // What follows it would be read by the wrong one.
            (*plain, *headers, *broken) = (None, Headers::InFile, true);
            wrong = format!("a header that cannot be read: {wrong}");
        }
        Ok(reject(number, wrong, bytes, plain.as_ref().unwrap_or(first), true))
    }
}

fn read_by<'a>(header: Option<&'a Header>, line: u64, text: &'a str, record: Record<'a>) -> Option<Item<'a>> {
    header.map(|header| Item::Record { line, text, record, header })
}

/// The mark of the byte order, which files begin with that were joined.
const MARK: &str = "\u{feff}";
const NOT_DEFAULT: &str = "none of AWS's own formats; if it has no header line, --log-format tells its format";
const NO_FORMAT: &str = "if its lines have no header and are in a format of your own, say it with --log-format";
const CUT_OFF: &str = "cut off: the file cannot be read on";
const UNREADABLE_HEADER: &str = "the header before it cannot be read";
const NO_FLOWS: &str = "events of Suricata's, none of them a flow: its eve-log needs the types flow or netflow";

fn not_read(dialect: Dialect, line: u64, reason: String) -> String {
    if dialect == Dialect::Text { reason } else { format!("read as {dialect}, line {line}: {reason}") }
}

/// The header of a line that has none above it: the one that was told, or of AWS's formats. Several flow logs may share a stream.
fn headerless(line: &[u8], told: Option<&Header>) -> Option<(Header, Headers)> {
    let line = behind_timestamp(str::from_utf8(line).ok()?);
    if let Some(header) = told
        && parse_line(header, line).is_ok_and(|record| !is_of_a_default(&record, header, line))
    {
        return Some((header.clone(), Headers::Given));
    }
    default_header(line).map(|header| (header, Headers::Default))
}

/// Whether a line that a format can read that was told is one of AWS's formats instead: it says the version of that one, where the
/// told one has its own, or in its first column. Where that has a number in the told one, too, the line is what was told.
fn is_of_a_default(record: &Record<'_>, told: &Header, line: &str) -> bool {
    let is_text = |column: &Column| match column {
        Column::Known(field) => field.info().kind == Kind::Text,
        Column::Unknown(_) => true,
    };
    let version = record.int(Field::Version);
    if version == Some(i64::from(told.version())) {
        return false;
    }
    let first = || line.split_ascii_whitespace().next().and_then(|word| word.parse::<i64>().ok());
    let first = if told.columns().first().is_some_and(is_text) { first() } else { None };
    (version.is_some() || first.is_some())
        && default_header(line).is_some_and(|default| {
            let of_default = Some(i64::from(default.version()));
            version == of_default || first == of_default
        })
}

/// Whether a line has names of fields where a record would have values, whatever stands between them. A line of another log has
/// some of these words too: they are few among its others, or no words of their own, as in `action=start`.
fn resembles_a_header(text: &str) -> bool {
    const FIELDS: usize = 5;
    let between = |letter: char| letter.is_whitespace() || ",;|\u{1f}".contains(letter);
    let words = || text.split(between).map(|word| word.trim_matches(['"', '\''])).filter(|word| !word.is_empty());
    let names = words().filter(|word| Field::named(&word.to_ascii_lowercase().replace('_', "-")).is_some()).count();
    names >= FIELDS && names * 3 >= words().take(names * 3 + 1).count()
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

/// Whether a line can only be the first of a flow log: a header, or a record of the format that was told or, without, of one of
/// AWS's.
pub(crate) fn begins_a_log(line: &[u8], told: Option<&Header>) -> bool {
    let line = line.strip_prefix(MARK.as_bytes()).unwrap_or(line);
    read_header(line).is_ok_and(|header| header.is_surely_one())
        || headerless(line, told).is_some()
        || csv::begins_a_log(line.trim_ascii_end())
}

/// Whether a line begins a file anew behind one that has no end: files that were packed and joined. What was packed in blocks goes on: a
/// header may be cut between two of them, and have a header's words on both sides; or a quoted word.
#[must_use]
pub fn begins_anew(before: &[u8], line: &[u8], told: Option<&Header>) -> bool {
    if !begins_a_log(line, told) {
        return false;
    }
    // A value that is open goes on in a line that closes it; a header closes what it opens.
    let is_open = |text: &[u8]| text.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    let is_row = before.trim_ascii_end().ends_with(b",") && !csv::begins_a_log(line.trim_ascii_end());
    if is_open(before) && is_open(line) || is_row {
        return false;
    }
    // Neither is one that has more values than any has.
    if before.iter().filter(|byte| ends_name(byte)).count() > 2 * MAX_COLUMNS {
        return true;
    }
    let whole = [before, line].concat();
    // Two records are not one: they have twice the values.
    let is_record = headerless(&whole, told).is_some();
    let is_mixed = before.contains(&b' ') && !before.contains(&b',') && line.contains(&b',');
    let is_header =
        !is_mixed && begins_a_log(&whole, told) && (is_one_word(before, line) || is_cut_name(before, line, told));
    !(is_record || is_header)
}

/// Whether a header is cut in a name that is not known: what is before is no log by itself, and what is behind begins with no name.
fn is_cut_name(before: &[u8], behind: &[u8], told: Option<&Header>) -> bool {
    !begins_a_log(before, told) && !is_known(behind.split(ends_name).next().unwrap_or_default())
}

/// Whether a name ends with this byte.
fn ends_name(byte: &u8) -> bool {
    b" ,\x1f".contains(byte)
}

/// Whether what is before and behind a cut is one name, or the cut is where a name ends.
fn is_one_word(before: &[u8], behind: &[u8]) -> bool {
    let first = before.rsplit(ends_name).next().unwrap_or_default();
    let second = behind.split(ends_name).next().unwrap_or_default();
    if first.is_empty() {
        // Of names, not of values.
        let mut words = before.split(ends_name).filter(|word| !word.is_empty());
        return words.clone().any(is_known)
            || words.all(|word| word.iter().all(|byte| b"-_\"".contains(byte) || byte.is_ascii_lowercase()));
    }
    second.is_empty() || is_known(&[first, second].concat())
}

/// Whether a word is the name of a field, in any of the ways in which exports have it.
fn is_known(word: &[u8]) -> bool {
    let word = String::from_utf8_lossy(word);
    let word = word.trim_ascii().trim_matches('"');
    Field::named(&column_name(word).replace('_', "-")).is_some()
        || word.strip_prefix('@').is_some_and(|rest| !rest.contains(['@', '"']))
}

/// Whether the records of one header could be read by another.
fn is_as_long(header: &Header, other: Option<&Header>) -> bool {
    const FIELDS: usize = 3;
    header.known() >= FIELDS && other.is_some_and(|other| other.columns().len() == header.columns().len())
}

fn read_header(line: &[u8]) -> Result<Header, String> {
    let text = str::from_utf8(line).map_err(|_| "its first line is no text".to_owned())?;
    Header::parse(text).map_err(|error| format!("its first line is {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_on_and_files_begin_anew() {
        const TEXT: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
        const EXPORT: &str = "\"@timestamp\",\"@message\"";
        let csv = TEXT.replace('-', "_").replace(' ', ",");
        let quoted = format!("\"{}\"", csv.replace(',', "\",\""));
        let anew = |before: &str, line: &str| begins_anew(before.as_bytes(), line.as_bytes(), None);
        let cut_anew = |(before, line)| anew(before, line);
        for header in [TEXT, &csv, &quoted, EXPORT] {
            for cut in 1..header.len() {
                assert!(!cut_anew(header.split_at(cut)), "cut behind {cut}: {header}");
            }
            // A file that is only a header, and others, without an end of their last line.
            for before in [
                TEXT,
                &csv,
                &quoted,
                EXPORT,
                "2 123456789012 eni-1 - - - - - - - 1 2 - NODATA",
                "eni-1 REJECT 1718530010 OK",
            ] {
                assert!(anew(before, header), "{before} | {header}");
            }
        }
        // Inside of JSON.
        assert!(!anew("  \"field\": \"", "@message\","));
        assert!(!anew("  \"field\": \"@", "message\","));
        // Inside of a told record, also of its first value.
        let format =
            Header::of_format("${interface-id} ${srcaddr} ${dstaddr} ${bytes} ${start} ${end} ${action}").unwrap();
        let told = "eni-0a1b2c3d4 110.0.0.1 10.0.0.2 2 1718530010 1718530070 ACCEPT";
        for cut in 1..told.len() {
            let (first, second) = told.as_bytes().split_at(cut);
            assert!(!begins_anew(first, second, Some(&format)), "cut behind {cut}");
        }
        assert!(begins_anew(told.as_bytes(), told.as_bytes(), Some(&format)));
        // A line that was cut off, and another file behind it.
        assert!(anew("REJ", "action srcaddr dstaddr bytes start end"));
        assert!(anew("srca", "srcaddr dstaddr bytes start end action"));
        assert!(anew("ACCEPT ingr", TEXT) && anew("eni-1", "interface-id srcaddr dstaddr bytes start end"));
        assert!(anew("version,account_id,", &csv));
        for before in ["eni-0a1b2c001 ", "ACCEPT ", "vpc-1 subnet-1 "] {
            assert!(anew(before, "interface-id srcaddr dstaddr bytes start end"), "{before}");
        }
        assert!(anew("eni-1,", "interface_id,srcaddr,dstaddr,bytes,start,end"));
        // A quoted value that was cut off, and another file behind it.
        assert!(anew("\"2\",\"123456789012\",\"eni-", &quoted));
        // Names of Athena's other tables.
        let athena = "version,account,interfaceid,sourceaddress,destinationaddress,sourceport,destinationport,protocol,numpackets,numbytes,starttime,endtime,action,logstatus";
        assert!((1..athena.len()).all(|cut| !cut_anew(athena.split_at(cut))));
        // Inside of a row.
        assert!(!anew(
            "2024-06-16 09:26:50.000,",
            "2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 1 1718530010 1718530070 ACCEPT OK"
        ));
    }
}
