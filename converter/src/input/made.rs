//! Lines made from what is no text: a JSON value, a row of CSV or of Parquet becomes a line behind a header line, and from
//! there on there is one way for all.

use std::{borrow::Cow, fmt::Write, net::IpAddr, ops::Range};

use flowlake_common::vpc::Field;

use super::lines::MAX_LINE;

/// What comes next of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MadeKind {
    /// The names of the columns of the lines after it.
    Header,
    /// A record, or what should be one.
    Line,
    /// What gives no line, and why.
    Bad(String),
}

/// Lines that were made together, and are handed out one by one.
#[derive(Debug, Default)]
pub(super) struct Made {
    text: String,
    rows: Vec<Row>,
    next: usize,
    /// Where the line begins that is being made.
    begin: usize,
    /// The header that was made last.
    header: String,
    /// Events that give no line because they are of another kind, so far.
    others: u64,
}

#[derive(Debug)]
struct Row {
    number: u64,
    kind: MadeKind,
    text: Range<usize>,
}

impl Made {
    /// Forgets what was handed out.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
        (self.next, self.begin) = (0, 0);
    }

    /// The next line: its number in the file, what it is, and its text.
    pub(super) fn next(&mut self) -> Option<(u64, &MadeKind, &str)> {
        let row = self.rows.get(self.next)?;
        self.next += 1;
        Some((row.number, &row.kind, self.text.get(row.text.clone()).unwrap_or_default()))
    }

    /// Bytes of what is not handed out yet, and of what was since it was last forgotten.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether everything was handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.rows.len()
    }

    /// Gives the last line out again.
    pub(super) fn unread(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// A line as it is.
    pub(super) fn line(&mut self, number: u64, line: &str) {
        self.text.push_str(line);
        self.finish(number, MadeKind::Line);
    }

    /// What gives no line; as much of it as is kept.
    pub(super) fn bad(&mut self, number: u64, reason: String, bytes: &[u8]) {
        // What was begun of a line is none.
        self.text.truncate(self.begin);
        self.text.push_str(&String::from_utf8_lossy(bytes.get(..MAX_LINE).unwrap_or(bytes)));
        self.finish(number, MadeKind::Bad(reason));
    }

    /// The header of the lines that follow, unless it is in force.
    pub(super) fn header(&mut self, number: u64, names: impl Iterator<Item = impl AsRef<str>>) {
        for name in names {
            self.word(name.as_ref());
        }
        if self.text.get(self.begin..) == Some(self.header.as_str()) {
            self.text.truncate(self.begin);
            return;
        }
        self.header.clear();
        self.header.push_str(self.text.get(self.begin..).unwrap_or_default());
        self.finish(number, MadeKind::Header);
    }

    /// Appends a value to the line. What is not there is `-`, and what would separate words is percent-encoded, as in the
    /// tags of flow logs.
    pub(super) fn word(&mut self, value: &str) {
        if self.text.len() > self.begin {
            self.text.push(' ');
        }
        if value.is_empty() {
            self.text.push('-');
        } else if value.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            for letter in value.chars() {
                if letter <= ' ' || letter == '\x7f' {
                    // Writing to a String cannot fail.
                    let _ = write!(self.text, "%{:02X}", u32::from(letter));
                } else {
                    self.text.push(letter);
                }
            }
        } else {
            self.text.push_str(value);
        }
    }

    /// Appends a number to the line.
    pub(super) fn number(&mut self, value: i64) {
        self.word(itoa::Buffer::new().format(value));
    }

    /// Appends a number to the line, if there is one.
    pub(super) fn maybe(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.word(itoa::Buffer::new().format(value)),
            None => self.word(""),
        }
    }

    /// Appends an address to the line.
    pub(super) fn address(&mut self, address: IpAddr) {
        self.word("");
        self.text.pop();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{address}");
    }

    /// An event of another kind.
    pub(super) fn other(&mut self) {
        self.others += 1;
    }

    /// How many of these there were.
    pub(super) fn others(&self) -> u64 {
        self.others
    }

    /// Ends the line.
    pub(super) fn finish(&mut self, number: u64, kind: MadeKind) {
        let text = self.begin..self.text.len();
        self.begin = self.text.len();
        self.rows.push(Row { number, kind, text });
    }
}

/// A column's or key's name as a text header has it. Exports write the fields' names in several ways (`log_status`,
/// `logStatus`); what the table does not know keeps its name, in characters that a header may have.
pub(super) fn column_name(name: &str) -> Cow<'_, str> {
    let squash = |name: &str| -> String {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let squashed = squash(name);
    if let Some(field) = Field::all().find(|field| squash(field.name()) == squashed) {
        return Cow::Borrowed(field.name());
    }
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_' || letter == '-';
    if name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    let letters =
        name.chars().map(|letter| if plain(letter.to_ascii_lowercase()) { letter.to_ascii_lowercase() } else { '_' });
    let kept: String = letters.skip_while(|letter| !letter.is_ascii_lowercase()).collect();
    Cow::Owned(if kept.is_empty() { "unnamed".to_owned() } else { kept })
}

/// A number as a flow log prints it: files that went through other hands have `443.0`.
pub(super) fn whole_number(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !whole.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for (name, expected) in [
            ("log_status", "log-status"),
            ("logStatus", "log-status"),
            ("srcAddr", "srcaddr"),
            ("pkt-srcaddr", "pkt-srcaddr"),
            ("@timestamp", "timestamp"),
            ("Some Column", "some_column"),
            ("new-field", "new-field"),
            ("???", "unnamed"),
        ] {
            assert_eq!(column_name(name), expected);
        }
    }

    #[test]
    fn numbers_are_whole_where_they_are() {
        for (number, expected) in
            [("443", "443"), ("443.0", "443"), ("1.5", "1.5"), ("10.0.0.0", "10.0.0.0"), (".0", ".0"), ("-", "-")]
        {
            assert_eq!(whole_number(number), expected);
        }
    }

    #[test]
    fn a_header_is_made_once_and_values_stay_words() {
        let mut made = Made::default();
        for _ in 0..2 {
            made.header(1, ["start", "x"].into_iter());
            made.number(5);
            made.word("a b\n");
            made.finish(1, MadeKind::Line);
        }
        let mut all = Vec::new();
        while let Some((_, kind, text)) = made.next() {
            all.push((kind.clone(), text.to_owned()));
        }
        let line = (MadeKind::Line, "5 a%20b%0A".to_owned());
        assert_eq!(all, [(MadeKind::Header, "start x".to_owned()), line.clone(), line]);
    }
}
