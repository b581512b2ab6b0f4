//! The header line of a flow log file: which column holds which field.
//!
//! A custom format has any fields in any order, so columns are found by their names and never by position. Names that the
//! table does not know are kept: a later version of flow logs stays readable.

use std::collections::HashSet;

use super::{
    field::Field,
    format::{Format, FormatError},
};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// A field of the table.
    Known(Field),
    /// The name at this place of [`Header::unknown`].
    Unknown(usize),
}

/// A header line, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    columns: Vec<Column>,
    unknown: Vec<String>,
    /// What stands between the values of a line.
    separator: char,
}

/// What stands between the values of lines that are made of other forms: there a value may have spaces.
pub const UNIT_SEPARATOR: char = '\x1f';

/// Why a line is no flow log header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Words, but not those of a header.
    #[error("not a flow log header: {0}")]
    NotAHeader(String),
    /// More columns than a hostile file may have.
    #[error("a header of more than {MAX_COLUMNS} columns")]
    TooWide,
    /// A field in two columns.
    #[error("the header names '{0}' twice")]
    Twice(String),
}

/// Columns that a header may have; version 11 has 54 fields.
pub const MAX_COLUMNS: usize = 512;
/// Fields whose names are words that sentences have.
const WORDS: [Field; 9] = [
    Field::Version,
    Field::Protocol,
    Field::Packets,
    Field::Bytes,
    Field::Start,
    Field::End,
    Field::Action,
    Field::Type,
    Field::Region,
];
/// Characters that an unknown field's name may have.
const MAX_NAME: usize = 64;

impl Header {
    /// Reads a header line (without its line end). A line is a header when every word could be a field name and `start`,
    /// without which no record can be placed in time, is among them; or when nearly all of them are known.
    ///
    /// # Errors
    /// [`HeaderError`], saying what it is instead.
    pub fn parse(line: &str) -> Result<Self, HeaderError> {
        Self::read(line, ' ')
    }

    /// As [`Header::parse`], of lines whose values stand between [`UNIT_SEPARATOR`]s.
    ///
    /// # Errors
    /// As those of [`Header::parse`].
    pub fn parse_units(line: &str) -> Result<Self, HeaderError> {
        Self::read(line, UNIT_SEPARATOR)
    }

    /// The header of a log format, for reading: also fields of later versions, which it keeps by their names.
    ///
    /// # Errors
    /// [`FormatError`], naming the word that is wrong.
    pub fn of_format(text: &str) -> Result<Self, FormatError> {
        match Format::parse(text) {
            Ok(format) => return Ok(Self::of(&format)),
            Err(FormatError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
        let mut names = Vec::new();
        for word in text.split_ascii_whitespace() {
            let name = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            names.push(name.ok_or_else(|| FormatError::NotAField(word.to_owned()))?);
        }
        Self::parse(&names.join(" ")).map_err(|error| FormatError::Unreadable(error.to_string()))
    }

    fn read(line: &str, separator: char) -> Result<Self, HeaderError> {
        let mut header = Self { columns: Vec::new(), unknown: Vec::new(), separator };
        // Hostile lines have many words that are no fields.
        let mut unknown = HashSet::new();
        for name in line.split(separator).filter(|name| !name.is_empty()) {
            if header.columns.len() == MAX_COLUMNS {
                return Err(HeaderError::TooWide);
            }
            if !could_be_a_name(name) {
                return Err(HeaderError::NotAHeader(format!("'{}' is no field name", shorten(name))));
            }
            // Columns of Athena and Parquet have `_` where text has `-`; one name in both forms would be one key twice.
            let dashed = name.replace('_', "-");
            let column = match Field::named(&dashed) {
                Some(field) => Column::Known(field),
                None => Column::Unknown(header.unknown.len()),
            };
            let twice = match column {
                Column::Known(_) => header.columns.contains(&column),
                Column::Unknown(_) => !unknown.insert(dashed),
            };
            if twice {
                return Err(HeaderError::Twice(name.to_owned()));
            }
            if matches!(column, Column::Unknown(_)) {
                header.unknown.push(name.to_owned());
            }
            header.columns.push(column);
        }
        if header.has(Field::Start) || header.is_surely_one() {
            return Ok(header);
        }
        let found = shorten(line);
        Err(HeaderError::NotAHeader(if found.is_empty() {
            "an empty line".into()
        } else {
            format!("no field 'start' in '{found}'")
        }))
    }

    /// The header that a format would have, whether it has a `start` or not.
    #[must_use]
    pub fn of(format: &Format) -> Self {
        let columns = format.fields().iter().copied().map(Column::Known).collect();
        Self { columns, unknown: Vec::new(), separator: ' ' }
    }

    /// This header with more columns behind its own, named by their number: of a later version without a header line.
    #[must_use]
    pub fn with_more(mut self, more: usize) -> Self {
        for _ in 0..more {
            self.columns.push(Column::Unknown(self.unknown.len()));
            self.unknown.push(format!("field_{}", self.columns.len()));
        }
        self
    }

    /// What stands between the values of a line.
    #[must_use]
    pub fn separator(&self) -> char {
        self.separator
    }

    /// The values of a line.
    pub(super) fn words<'a>(&self, line: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let separator = self.separator;
        // Runs of spaces separate too: an example of the User Guide has one.
        line.split(separator).filter(move |word| separator != ' ' || !word.is_empty())
    }

    /// The columns, in the file's order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of all columns, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| match column {
            Column::Known(field) => field.name(),
            Column::Unknown(index) => self.unknown[*index].as_str(),
        })
    }

    /// The names that the table does not know, in the file's order.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether words that are a header by their form are no prose either: three fields or more, and hardly a name that is not
    /// known; or two that are no words of any language, and of what is not known hardly a plain word. Later versions may have many
    /// new fields, and AWS's have a hyphen or a digit, but for the oldest.
    #[must_use]
    pub fn is_surely_one(&self) -> bool {
        const FIELDS: usize = 3;
        const NO_WORDS: usize = 2;
        let is_no_word = |column: &&Column| match column {
            Column::Known(field) => !WORDS.contains(field),
            Column::Unknown(_) => false,
        };
        let no_words = self.columns.iter().filter(is_no_word).count();
        let is_plain = |name: &&String| name.bytes().all(|byte| byte.is_ascii_alphabetic());
        let plain = self.unknown.iter().filter(is_plain).count();
        self.known() >= FIELDS
            && (self.unknown.len() * 3 <= self.known() || no_words >= NO_WORDS && plain * 3 <= self.known())
    }

    /// Columns of fields that the table knows.
    #[must_use]
    pub fn known(&self) -> usize {
        self.columns.len() - self.unknown.len()
    }

    /// The version that AWS prints in records of this format: the highest among the fields. A later one where there are fields that
    /// the table does not know.
    #[must_use]
    pub fn version(&self) -> u8 {
        let versions = self.columns.iter().filter_map(|column| match column {
            Column::Known(field) => Some(field.info().version),
            Column::Unknown(_) => None,
        });
        versions.max().unwrap_or_default()
    }

    /// Whether a field has a column.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.columns.contains(&Column::Known(field))
    }
}

fn could_be_a_name(word: &str) -> bool {
    word.len() <= MAX_NAME
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && word.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// The start of a text for a message: hostile lines are long and hold control characters.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown = text.chars().take(SHOWN).map(|letter| if letter == UNIT_SEPARATOR { ' ' } else { letter });
    let mut start: String = shown.flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let header = Header::parse("end start srcaddr").unwrap();
        assert_eq!(header.columns(), [Field::End, Field::Start, Field::Srcaddr].map(Column::Known));
    }

    #[test]
    fn names_of_later_versions_are_kept() {
        let header = Header::parse("start another-new-field srcaddr some-new-field").unwrap();
        assert_eq!(header.unknown(), ["another-new-field", "some-new-field"]);
        assert_eq!(header.columns()[3], Column::Unknown(1));
    }

    #[test]
    fn a_sentence_is_no_header_and_many_new_fields_are_one() {
        let is_one = |line: &str| Header::parse(line).is_ok_and(|header| header.is_surely_one());
        assert!(is_one("version srcaddr dstaddr start bytes new-a new-b"));
        assert!(is_one("start srcaddr dstaddr a-1 b-1 c_1 d1 e-f g"));
        assert!(!is_one("WARN record lacks srcaddr dstaddr start and end"));
        assert!(!is_one("packets and bytes start at version"));
        assert!(!is_one("start of region"));
    }

    #[test]
    fn a_record_is_no_header() {
        let line = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";
        assert!(matches!(Header::parse(line), Err(HeaderError::NotAHeader(_))));
    }

    #[test]
    fn hostile_headers_are_refused() {
        assert_eq!(Header::parse("start start"), Err(HeaderError::Twice("start".into())));
        assert_eq!(Header::parse("start new new"), Err(HeaderError::Twice("new".into())));
        assert_eq!(Header::parse("start new-one new_one"), Err(HeaderError::Twice("new_one".into())));
        assert_eq!(Header::parse("start az-id az_id"), Err(HeaderError::Twice("az_id".into())));
        assert!(Header::parse("start\taz-id").is_err());
        let wide: Vec<String> = (0..10_000).map(|n| format!("field{n}")).collect();
        assert_eq!(Header::parse(&wide.join(" ")), Err(HeaderError::TooWide));
        assert!(Header::parse("").is_err());
    }
}
