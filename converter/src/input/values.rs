//! JSON values and base64 words of a stream, one after the other and bounded, wherever one line ends and the next begins.
//!
//! Only finds where a value ends: brackets and strings. Whether it is JSON is for the parser to say.

use std::io::{self, Read};

use super::lines::Damage;

/// Bytes of a value that are taken. A subscription delivers up to 1 MB, a Lambda event has 6 MB at most.
pub(super) const MAX_VALUE: usize = 16 << 20;
/// Bytes asked for at once.
const STEP: usize = 256 * 1024;

/// What stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// An object, or a string with its quotes.
    Json(&'a [u8]),
    /// A word without quotes: base64 perhaps.
    Word(&'a [u8]),
    /// Longer than [`MAX_VALUE`]: how many bytes.
    TooLong(u64),
    /// The stream ended, or could not be read on, inside of it.
    CutOff(&'a [u8]),
}

/// Bytes that are looked at again, because reading begins anew behind the first line of a value that does not end.
const MAX_RESCANNED: u64 = 1 << 30;
/// Keys of an object that may hold everything: its list's elements are the values, if it is longer than is held or does not end.
const LISTS: [&str; 4] = ["events", "Records", "records", "results"];

/// A reader of values. Of an array at the top, its elements are the values.
#[derive(Debug)]
pub(super) struct Values<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    line: u64,
    /// Where the last value began, in the buffer, and on which line.
    last: (usize, u64),
    rescanned: u64,
    /// Whether the elements of an object's list are read.
    in_list: bool,
    ended: bool,
    failed: Option<io::Error>,
}

/// How far a value was looked at.
#[derive(Debug, Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
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
            in_list: false,
            ended: false,
            failed: None,
        }
    }

    pub(super) fn into_reader(self) -> R {
        self.reader
    }

    /// The next value, and the number of the line on which it begins; `None` at the end.
    pub(super) fn next_value(&mut self) -> Result<Option<(u64, Value<'_>)>, Damage> {
        let first = loop {
            match self.buffer.get(self.start).copied() {
                Some(b'\n') => {
                    self.line += 1;
                    self.start += 1;
                }
                Some(byte) if byte.is_ascii_whitespace() || byte == b',' => self.start += 1,
                Some(b']') if self.in_list => {
                    self.in_list = false;
                    self.skip_rest_of_object();
                }
                Some(b'[' | b']') if !self.in_list => self.start += 1,
                Some(byte) => break byte,
                None if self.ended && std::mem::take(&mut self.in_list) => {
                    return Ok(Some((self.line, Value::CutOff(b""))));
                }
                None if self.ended => {
                    return match self.failed.take() {
                        Some(source) => Err(Damage { line: self.line, source }),
                        None => Ok(None),
                    };
                }
                None => self.refill(),
            }
        };
        let line = self.line;
        let is_json = first == b'{' || first == b'"' || first == b'[';
        let mut scan = Scan::default();
        // Bytes of a value that is too long are dropped as they come.
        let (mut at, mut dropped) = (self.start, 0_u64);
        let ended_well = loop {
            let Some(byte) = self.buffer.get(at).copied() else {
                let too_long = at - self.start > MAX_VALUE;
                if dropped == 0 && is_json && (self.ended || too_long) {
                    if self.begins_again(at) {
                        // A line that was cut off, and lines after it that are whole.
                        break false;
                    }
                    if first == b'{' && !self.in_list && self.enters_list(line) {
                        self.in_list = true;
                        return self.next_value();
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
            if !is_json && (byte.is_ascii_whitespace() || byte == b',') {
                break true;
            }
            at += 1;
            self.line += u64::from(byte == b'\n');
            if is_json && scan.ends(byte) {
                break true;
            }
        };
        let value = self.start..at;
        (self.last, self.start) = ((value.start, line), at);
        let length = dropped + value.len() as u64;
        let value = match &self.buffer[value] {
            _ if length > MAX_VALUE as u64 && ended_well => Value::TooLong(length),
            _ if dropped > 0 => Value::TooLong(length),
            bytes if !ended_well || self.failed.is_some() && at == self.buffer.len() => Value::CutOff(bytes),
            bytes if is_json => Value::Json(bytes),
            bytes => Value::Word(bytes),
        };
        Ok(Some((line, value)))
    }

    /// Goes back to behind the first line of the value that was given last, if another begins there: that line was cut off, and
    /// took what follows for its own. Gives the line's length.
    pub(super) fn resync(&mut self) -> Option<usize> {
        let (start, line) = self.last;
        let length = memchr::memchr(b'\n', self.buffer.get(start..self.start)?)?;
        if self.in_list || self.rescanned > MAX_RESCANNED || self.buffer.get(start + length + 1) != Some(&b'{') {
            return None;
        }
        self.rescanned += (self.start - start - length) as u64;
        (self.start, self.line) = (start + length + 1, line + 1);
        Some(length)
    }

    /// Whether behind the first line of what was looked at another value begins. A line that ends with an open bracket or a
    /// comma goes on: it was laid out so.
    fn begins_again(&self, at: usize) -> bool {
        let seen = self.buffer.get(self.start..at).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', seen) else { return false };
        let goes_on = matches!(seen[..end].trim_ascii_end().last(), Some(b'[' | b'{' | b','));
        !self.in_list && self.rescanned <= MAX_RESCANNED && !goes_on && seen.get(end + 1) == Some(&b'{')
    }

    /// Whether an object, which does not end or is longer than is held, begins with a list whose elements are what is sought; stands behind its
    /// bracket then.
    fn enters_list(&mut self, line: u64) -> bool {
        let begin = &self.buffer[self.start..];
        let mut at = 1;
        let mut pass = |wanted: &[u8]| {
            let rest = begin.get(at..).unwrap_or_default();
            let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let found = begin.get(at + blank..).is_some_and(|rest| rest.starts_with(wanted));
            if found {
                at += blank + wanted.len();
            }
            found
        };
        let named =
            pass(b"\"") && LISTS.iter().any(|key| pass(key.as_bytes())) && pass(b"\"") && pass(b":") && pass(b"[");
        if named {
            self.line = line + begin[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.start += at;
        }
        named
    }

    /// Behind the list's bracket: passes over what else the object has, to its end.
    fn skip_rest_of_object(&mut self) {
        self.start += 1;
        let mut scan = Scan { depth: 1, ..Scan::default() };
        loop {
            let Some(byte) = self.buffer.get(self.start).copied() else {
                if self.ended {
                    // Said as a value that was cut off.
                    self.in_list = true;
                    return;
                }
                self.refill();
                continue;
            };
            self.start += 1;
            self.line += u64::from(byte == b'\n');
            if scan.ends(byte) {
                return;
            }
        }
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

impl Scan {
    /// Whether the value ends with this byte.
    fn ends(&mut self, byte: u8) -> bool {
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
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
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
                Value::Word(bytes) => format!("{line} word {}", text(bytes)),
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
        assert_eq!(all(b"H4sI==\r\nnext\n"), ["1 word H4sI==", "2 word next"]);
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
