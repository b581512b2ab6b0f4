//! The header line of a flow log file: which column holds which field.
//!
//! A custom format has any fields in any order, so columns are found by their names and never by position. Names that the
//! table does not know are kept: a later version of flow logs stays readable.

use super::{field::Field, format::Format};

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
}

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
pub(super) const MAX_COLUMNS: usize = 512;
/// Characters that an unknown field's name may have.
const MAX_NAME: usize = 64;

impl Header {
    /// Reads a header line (without its line end). A line is a header when every word could be a field name and `start`,
    /// without which no record can be placed in time, is among them.
    ///
    /// # Errors
    /// [`HeaderError`], saying what it is instead.
    pub fn parse(line: &str) -> Result<Self, HeaderError> {
        let mut header = Self { columns: Vec::new(), unknown: Vec::new() };
        for name in line.split(' ').filter(|name| !name.is_empty()) {
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
                Column::Unknown(_) => header.unknown.iter().any(|known| known.replace('_', "-") == dashed),
            };
            if twice {
                return Err(HeaderError::Twice(name.to_owned()));
            }
            if matches!(column, Column::Unknown(_)) {
                header.unknown.push(name.to_owned());
            }
            header.columns.push(column);
        }
        if header.has(Field::Start) {
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
        Self { columns: format.fields().iter().copied().map(Column::Known).collect(), unknown: Vec::new() }
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

    /// Whether a field has a column.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.columns.contains(&Column::Known(field))
    }
}

fn could_be_a_name(word: &str) -> bool {
    word.len() <= MAX_NAME
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
        && word.starts_with(|first: char| first.is_ascii_lowercase())
}

/// The start of a text for a message: hostile lines are long and hold control characters.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut start: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
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
