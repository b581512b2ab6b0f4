//! JSON values of a stream, and what else stands there, one after the other and bounded, wherever one line ends and the next begins.
//!
//! Only finds where a value ends: brackets and strings. Whether it is JSON is for the parser to say.

use std::{
    io::{self, Read},
    ops::Range,
};

use super::{json, lines::Damage};

/// Bytes of a value that are taken. A subscription delivers up to 1 MB, a Lambda event has 6 MB at most.
pub(super) const MAX_VALUE: usize = 16 << 20;
/// How a row of `get-query-results` begins, spaces aside.
const ROW: &[u8] = b"[{\"field\":";
/// Bytes asked for at once.
const STEP: usize = 256 * 1024;
/// Empty lines, and spaces before a value, that are looked through.
const MAX_BLANK: usize = 4096;

/// What stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// An object, or a string with its quotes.
    Json(&'a [u8]),
    /// What is no JSON, to the end of its line or to where an object begins: base64 perhaps, or a line.
    Bare(&'a [u8]),
    /// Longer than [`MAX_VALUE`]: how many bytes.
    TooLong(u64),
    /// The stream ended, or could not be read on, inside of it.
    CutOff(&'a [u8]),
}

/// Bytes that are looked at again, because reading begins anew behind the first line of a value that does not end.
const MAX_RESCANNED: u64 = 1 << 30;

/// A reader of values. Of an array at the top, its elements are the values; of an object there that is longer than is held, or
/// does not end, the elements of its lists and its messages are.
#[derive(Debug)]
pub(super) struct Values<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    line: u64,
    /// Where the last value began, in the buffer, and on which line.
    last: (usize, u64),
    rescanned: u64,
    /// Whether a line was cut off and others behind it were whole: then no value goes beyond where an object begins a line.
    by_lines: bool,
    /// Whether it only looks for a list in an object that is entered.
    looks: bool,
    place: Place,
    /// Of an object that is not held, the last key with its quotes; and a value of it with the key, alone.
    key: Vec<u8>,
    alone: Vec<u8>,
    ended: bool,
    failed: Option<io::Error>,
}

/// Inside of what the next value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of nothing, or of arrays.
    Top,
    /// Of an object that is not held: a key comes next, or the value of one.
    Object,
    /// Of a list in such an object.
    List,
}

/// Where a value ends.
#[derive(Debug)]
struct Found {
    /// In the buffer: what is held of it.
    range: Range<usize>,
    /// Bytes before that, which were too many to be held.
    dropped: u64,
    ended_well: bool,
    is_json: bool,
}

/// How far a value was looked at.
#[derive(Debug, Default)]
struct Scan {
    depth: u64,
    /// Which of the innermost open brackets are lists', the last one first.
    lists: u64,
    in_string: bool,
    escaped: bool,
    /// The last byte that is not blank.
    last: u8,
}

impl<R: Read> Values<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            line: 1,
            last: (0, 1),
            rescanned: 0,
            by_lines: false,
            looks: false,
            place: Place::Top,
            key: Vec::new(),
            alone: Vec::new(),
            ended: false,
            failed: None,
        }
    }

    pub(super) fn into_reader(self) -> R {
        self.reader
    }

    /// The next value, and the number of the line on which it begins; `None` at the end.
    pub(super) fn next_value(&mut self) -> Result<Option<(u64, Value<'_>)>, Damage> {
        let mut is_value = false;
        loop {
            let first = match self.buffer.get(self.start).copied() {
                Some(b'\n') => {
                    self.line += 1;
                    self.start += 1;
                    continue;
                }
                Some(byte) if byte.is_ascii_whitespace() => {
                    self.start += 1;
                    continue;
                }
                Some(byte) => byte,
                None if self.ended && self.place != Place::Top => {
                    self.place = Place::Top;
                    return Ok(Some((self.line, Value::CutOff(b""))));
                }
                None if self.ended => {
                    return match self.failed.take() {
                        Some(source) => Err(Damage { line: self.line, source }),
                        None => Ok(None),
                    };
                }
                None => {
                    self.refill();
                    continue;
                }
            };
            let line = self.line;
            match (self.place, first) {
                (Place::Object, b':') => is_value = true,
                (Place::Object, b'[') if is_value && json::is_list(&self.key) => self.place = Place::List,
                (Place::Object, b'{' | b'[' | b'"') if is_value && json::is_sought(&self.key) => {
                    if let Some(found) = self.find_end(first) {
                        return Ok(Some((line, self.value_of_key(&found))));
                    }
                    continue;
                }
                (Place::Object, b'"') if !is_value => {
                    self.key.clear();
                    if let Some(found) = self.find_end(first) {
                        self.key.extend_from_slice(&self.buffer[found.range]);
                    }
                    continue;
                }
                (Place::Object, b',') => is_value = false,
                (Place::Object, b'}') => self.place = Place::Top,
                // Of no interest.
                (Place::Object, _) if is_value => {
                    self.find_end(first);
                    continue;
                }
                (Place::Object, _) if self.looks => return Ok(None),
                // No JSON: said as what it is, where it stands.
                (Place::Object, _) => {
                    self.place = Place::Top;
                    continue;
                }
                (Place::List, b']') => (self.place, is_value) = (Place::Object, false),
                (_, b',') | (Place::Top, b']') => {}
                (Place::Top, b'[') if !self.is_row() => {}
                _ => {
                    // None where it enters an object.
                    let Some(found) = self.find_end(first) else { continue };
                    let bytes = &self.buffer[found.range.clone()];
                    return Ok(Some((line, self.value(&found, bytes))));
                }
            }
            self.start += 1;
        }
    }

    /// Whether an array that begins here is a row of names and values, as Logs Insights gives it.
    fn is_row(&mut self) -> bool {
        const SEEN: usize = 64;
        while self.buffer.len() < self.start + SEEN && !self.ended {
            self.refill();
        }
        let seen = self.buffer[self.start..].iter().filter(|byte| !byte.is_ascii_whitespace());
        seen.take(ROW.len()).eq(ROW)
    }

    /// Finds where the value ends that begins here, and stands behind it; `None` where the value is an object that is entered
    /// instead.
    fn find_end(&mut self, first: u8) -> Option<Found> {
        let line = self.line;
        let is_json = first == b'{' || first == b'"' || first == b'[';
        let mut scan = Scan::default();
        // From where on blank bytes are not looked through yet.
        let mut blank = 0;
        // Bytes of a value that is too long are dropped as they come.
        let (mut at, mut dropped) = (self.start, 0_u64);
        let ended_well = loop {
            let Some(byte) = self.buffer.get(at).copied() else {
                let too_long = at - self.start > MAX_VALUE;
                if dropped == 0 && is_json && (self.ended || too_long) && self.place == Place::Top {
                    if self.begins_again(at) {
                        // A line that was cut off, and lines after it that are whole.
                        break false;
                    }
                    if first == b'{' && has_list(&self.buffer[self.start..at]) {
                        (self.place, self.start, self.line) = (Place::Object, self.start + 1, line);
                        return None;
                    }
                }
                if self.ended {
                    break !is_json;
                }
                if too_long {
                    dropped += (at - self.start) as u64;
                    self.start = at;
                }
                let looked_at = at - self.start;
                self.refill();
                at = self.start + looked_at;
                continue;
            };
            let ends_bare = match self.place {
                Place::Top => b"\n{",
                Place::Object => b",}",
                Place::List => b",]",
            };
            let is_new = at - self.start >= blank;
            if is_json && byte == b'\n' && self.by_lines && self.place == Place::Top && dropped == 0 && is_new {
                let behind = &self.buffer[at + 1..];
                let count = behind.iter().take(MAX_BLANK).take_while(|byte| byte.is_ascii_whitespace()).count();
                if count == behind.len() && count < MAX_BLANK && !self.ended {
                    let looked_at = at - self.start;
                    self.refill();
                    at = self.start + looked_at;
                    continue;
                }
                blank = at - self.start + 1 + count;
                if matches!(behind.get(count), Some(b'{' | b'[')) && !scan.goes_on() {
                    at += 1;
                    self.line += 1;
                    break false;
                }
            }
            // At least one byte, or reading would stand still.
            if !is_json && ends_bare.contains(&byte) && (at > self.start || dropped > 0) {
                break true;
            }
            at += 1;
            self.line += u64::from(byte == b'\n');
            if is_json && scan.ends(byte) {
                break true;
            }
        };
        let range = self.start..at;
        (self.last, self.start) = ((range.start, line), at);
        Some(Found { range, dropped, ended_well, is_json })
    }

    fn value<'a>(&self, found: &Found, bytes: &'a [u8]) -> Value<'a> {
        let length = found.dropped + found.range.len() as u64;
        if found.dropped > 0 || found.ended_well && length > MAX_VALUE as u64 {
            Value::TooLong(length)
        } else if !found.ended_well || self.failed.is_some() && found.range.end == self.buffer.len() {
            Value::CutOff(bytes)
        } else if found.is_json {
            Value::Json(bytes)
        } else {
            Value::Bare(bytes)
        }
    }

    /// A value with the key before it, as an object that has no other.
    fn value_of_key(&mut self, found: &Found) -> Value<'_> {
        let value = &self.buffer[found.range.clone()];
        self.alone.clear();
        for part in [b"{", self.key.as_slice(), b":", value, b"}"] {
            self.alone.extend_from_slice(part);
        }
        self.value(found, &self.alone)
    }

    /// Goes back to behind the first line of the value that was given last, if another begins there: that line was cut off, and
    /// took what follows for its own. Gives the line's length.
    pub(super) fn resync(&mut self) -> Option<usize> {
        let (start, line) = self.last;
        let length = memchr::memchr(b'\n', self.buffer.get(start..self.start)?)?;
        if self.place != Place::Top
            || self.rescanned > MAX_RESCANNED
            || !self.buffer.get(start + length + 1..).is_some_and(begins_a_value)
        {
            return None;
        }
        self.by_lines = true;
        self.rescanned += (self.start - start - length) as u64;
        (self.start, self.line) = (start + length + 1, line + 1);
        Some(length)
    }

    /// Whether behind the first line of what was looked at another value begins.
    fn begins_again(&self, at: usize) -> bool {
        let seen = self.buffer.get(self.start..at).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', seen) else { return false };
        let mut scan = Scan::default();
        seen[..end].iter().for_each(|byte| _ = scan.ends(*byte));
        self.rescanned <= MAX_RESCANNED && !scan.goes_on() && begins_a_value(&seen[end + 1..])
    }

    fn refill(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + STEP, 0);
        let count = match self.reader.read(&mut self.buffer[before..]) {
            Ok(0) => {
                self.ended = true;
                0
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => {
                (self.ended, self.failed) = (true, Some(error));
                0
            }
        };
        self.buffer.truncate(before + count);
    }
}

/// Whether an object begins here, or an array, behind empty lines and spaces.
fn begins_a_value(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..MAX_BLANK).unwrap_or(bytes);
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether an object of which this is the beginning has a list whose elements are what is sought.
fn has_list(object: &[u8]) -> bool {
    let mut values = Values::new(object);
    values.ended = true;
    values.buffer.extend_from_slice(object);
    (values.place, values.start, values.looks) = (Place::Object, 1, true);
    while values.place == Place::Object {
        if !matches!(values.next_value(), Ok(Some(_))) {
            return false;
        }
    }
    values.place == Place::List
}

impl Scan {
    /// Whether the value may go on behind a line that ends here with an object or a list that begins the next: it was laid out so. In an
    /// object nothing but a colon stands before another.
    fn goes_on(&self) -> bool {
        match self.last {
            _ if self.in_string => false,
            b'[' | b':' => true,
            b',' => self.lists & 1 == 1,
            _ => false,
        }
    }

    /// Whether the value ends with this byte.
    fn ends(&mut self, byte: u8) -> bool {
        if !byte.is_ascii_whitespace() {
            self.last = byte;
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    self.lists = self.lists << 1 | u64::from(byte == b'[');
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.lists >>= 1;
                }
                _ => {}
            }
        }
        self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<String> {
        let mut values = Values::new(text);
        let mut found = Vec::new();
        while let Some((line, value)) = values.next_value().unwrap() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push(match value {
                Value::Json(bytes) => format!("{line} {}", text(bytes)),
                Value::Bare(bytes) => format!("{line} bare {}", text(bytes)),
                Value::TooLong(length) => format!("{line} long {length}"),
                Value::CutOff(bytes) => format!("{line} cut {}", text(bytes)),
            });
        }
        found
    }

    #[test]
    fn values_are_found_with_and_without_line_ends() {
        assert_eq!(all(br#"{"a":{"b":"}"}}{"c":1}"#), [r#"1 {"a":{"b":"}"}}"#, r#"1 {"c":1}"#]);
        assert_eq!(all(b"[\n{},\n {\n}]"), ["2 {}", "3 {\n}"]);
        assert_eq!(all(br#"["a\"]", "b"]"#), [r#"1 "a\"]""#, "1 \"b\""]);
        assert_eq!(all(b"H4sI==\r\nnext\n"), ["1 bare H4sI==\r", "2 bare next"]);
        assert_eq!(all(b"{}\n{\"a\":"), ["1 {}", "2 cut {\"a\":"]);
        assert!(all(b" \n").is_empty());
    }

    #[test]
    fn an_object_that_is_longer_than_is_held_gives_its_lists_elements() {
        let long = vec![b'x'; MAX_VALUE / 2];
        let element = [&b"\n{\"a\":\""[..], &long, b"\"},"].concat();
        let text =
            [b"{ \"events\" : [", &element.repeat(3)[..], b"\n{\"b\":[2]}], \"next\": [\"]\"]}\n{\"c\":3}"].concat();
        let mut values = Values::new(&text[..]);
        for line in 2..5 {
            assert!(matches!(values.next_value(), Ok(Some((found, Value::Json(_)))) if found == line));
        }
        assert_eq!(values.next_value().unwrap(), Some((5, Value::Json(b"{\"b\":[2]}"))));
        assert_eq!(values.next_value().unwrap(), Some((6, Value::Json(b"{\"c\":3}"))));
        assert_eq!(values.next_value().unwrap(), None);
        // Without its end.
        let mut values = Values::new(&text[..text.len() - 20]);
        let mut last = None;
        while let Some((_, value)) = values.next_value().unwrap() {
            last = Some(matches!(value, Value::CutOff(_)));
        }
        assert_eq!(last, Some(true));
        assert_eq!(all(br#"{"events":[1],"x":2}"#), [r#"1 {"events":[1],"x":2}"#]);
    }

    #[test]
    fn behind_a_line_that_was_cut_off_reading_begins_again() {
        let mut values = Values::new(&b"{\"a\":\"x\n{\"b\":1}\n"[..]);
        assert!(matches!(values.next_value(), Ok(Some((1, Value::CutOff(_) | Value::Json(_))))));
        assert_eq!(values.resync(), Some(7));
        assert_eq!(values.next_value().unwrap(), Some((2, Value::Json(b"{\"b\":1}"))));
        assert_eq!(values.resync(), None);
    }

    #[test]
    fn behind_a_comma_in_an_object_no_other_begins() {
        for (line, expected) in [
            (&br#"{"a":1,"#[..], false),
            (br#"{"a":[1,"#, true),
            (br#"{"a":["{\"",{"b":"]"},"#, true),
            (br#"{"a":"x"#, false),
            (br#"{"a":"#, true),
            (br#"{"#, false),
            (br#"{"a":"x,"#, false),
        ] {
            let mut scan = Scan::default();
            line.iter().for_each(|byte| _ = scan.ends(*byte));
            assert_eq!(scan.goes_on(), expected, "{}", String::from_utf8_lossy(line));
        }
        // More than is held behind it.
        let whole = b"\n{\"b\":\"0123456789\"}".repeat(MAX_VALUE / 10);
        let text = [&br#"{"a":1,"#[..], &whole].concat();
        let mut values = Values::new(&text[..]);
        assert!(matches!(values.next_value(), Ok(Some((1, Value::CutOff(_))))));
        assert_eq!(values.resync(), Some(7));
        let mut count = 0;
        while let Some((_, value)) = values.next_value().unwrap() {
            assert_eq!(value, Value::Json(b"{\"b\":\"0123456789\"}"));
            count += 1;
        }
        assert_eq!(count, MAX_VALUE / 10);
    }

    #[test]
    fn brackets_without_end_are_no_deeper_than_one() {
        for open in ["{", "[", "{\"x\":1,\n", "{\"x\":[", "{\"logEvents\":{"] {
            let all = all(open.repeat(50_000).as_bytes());
            assert!(all.iter().all(|value| !value.contains("long")), "{open}: {}", all.len());
        }
    }

    #[test]
    fn of_many_lines_that_were_cut_off_each_takes_its_own() {
        let text = "{\"a\":\"x\n{\"b\":1}\n".repeat(10_000);
        let mut values = Values::new(text.as_bytes());
        let (mut whole, mut cut) = (0, 0);
        while let Some((_, value)) = values.next_value().unwrap() {
            if value == Value::Json(b"{\"b\":1}") {
                whole += 1;
            } else {
                assert_eq!(values.resync(), Some(7));
                cut += 1;
            }
        }
        assert_eq!((whole, cut), (10_000, 10_000));
        assert!(values.rescanned < 100 * 1024 * 1024, "{}", values.rescanned);
    }

    #[test]
    fn a_value_without_end_takes_no_memory() {
        let mut text = b"{\"a\":\"".to_vec();
        text.resize(3 * MAX_VALUE, b'x');
        text.extend_from_slice(b"\"}{\"b\":2}");
        let mut values = Values::new(&text[..]);
        assert_eq!(values.next_value().unwrap(), Some((1, Value::TooLong(3 * MAX_VALUE as u64 + 2))));
        assert!(values.buffer.capacity() < 3 * MAX_VALUE);
        assert_eq!(values.next_value().unwrap(), Some((1, Value::Json(b"{\"b\":2}"))));
    }
}
