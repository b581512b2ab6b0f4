//! CSV as Athena and Logs Insights export it: a header row, quoted or not, then a row a line.

use std::borrow::Cow;

use csv_core::{ReadRecordResult, Reader};

use flowlake_common::vpc::{Field, Kind};

use super::made::{ColumnKind, ColumnNames, Made, MadeKind, column_name};

/// Columns that a row may have.
const MAX_COLUMNS: usize = 1024;
/// Columns that hold the whole line of a flow log.
pub(super) const MESSAGES: [&str; 2] = ["@message", "message"];

/// Makes lines of rows.
#[derive(Debug)]
pub(super) struct Rows {
    reader: Reader,
    /// What was read, one value behind the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    header: Option<Columns>,
    /// Whether the header has spaces behind its commas.
    is_spaced: bool,
}

#[derive(Debug)]
enum Columns {
    /// A value for each name.
    Fields(ColumnNames),
    /// In this column stands the line.
    Message(usize),
    /// The last header could not be read: what follows it must not be guessed.
    Broken,
}

/// Whether a first line is the header row of a CSV file.
pub(super) fn begins_csv(line: &[u8]) -> bool {
    line.contains(&b',')
        && !line.contains(&b'{')
        && line.first().is_some_and(|first| b"\"@,_$".contains(first) || first.is_ascii_alphabetic())
}

/// Whether a line can only be the header row of a flow log in CSV, or two of them in one.
pub(super) fn is_header_row(line: &[u8]) -> bool {
    header_row(line).is_some()
}

/// Whether a line can only be one header row.
pub(super) fn begins_a_log(line: &[u8]) -> bool {
    header_row(line).is_some_and(|(rows, is_whole)| is_whole && !rows.names_twice())
}

/// A header row, and whether all of it could be split.
fn header_row(line: &[u8]) -> Option<(Rows, bool)> {
    let mut rows = Rows::default();
    let is_whole = begins_csv(line).then(|| rows.split(line).is_ok())?;
    rows.is_a_header().then_some((rows, is_whole))
}

/// A name, or a field's value, without what a space behind the comma leaves on it.
fn bare(name: &str) -> &str {
    name.trim_ascii().trim_matches('"')
}

/// Any value without that, where the header has spaces too: behind one, quotes are taken for its own.
fn unspaced(value: &str, is_spaced: bool) -> Cow<'_, str> {
    let Some(bare) = value.strip_prefix(' ').filter(|_| is_spaced).map(str::trim_ascii) else {
        return Cow::Borrowed(value);
    };
    match bare.strip_prefix('"').and_then(|bare| bare.strip_suffix('"')) {
        Some(quoted) if quoted.contains("\"\"") => Cow::Owned(quoted.replace("\"\"", "\"")),
        Some(quoted) => Cow::Borrowed(quoted),
        None => Cow::Borrowed(bare),
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            values: Vec::new(),
            ends: vec![0; MAX_COLUMNS],
            count: 0,
            header: None,
            is_spaced: false,
        }
    }
}

impl Rows {
    /// Makes the line of a row, or the header of the first. What is wrong with it is returned.
    pub(super) fn line(&mut self, number: u64, line: &[u8], made: &mut Made) -> Result<(), String> {
        if let Err(reason) = self.split(line) {
            // No other row is taken for the header.
            self.header.get_or_insert(Columns::Broken);
            return Err(reason);
        }
        if self.header.is_none() || self.is_a_header() {
            return self.take_header(number, made);
        }
        if self.resembles_a_header() {
            self.header = Some(Columns::Broken);
            return Err("a header that cannot be read".to_owned());
        }
        match &self.header {
            None => {}
            Some(Columns::Broken) => return Err("the header before it cannot be read".to_owned()),
            Some(Columns::Message(column)) if *column >= self.count => {
                return Err(format!("{} values where the message is number {}", self.count, column + 1));
            }
            Some(Columns::Message(column)) => made.line(number, &unspaced(self.value(*column)?, true)),
            Some(Columns::Fields(names)) => {
                if names.all.len() != self.count {
                    return Err(format!("{} values where the header names {}", self.count, names.all.len()));
                }
                for column in 0..self.count {
                    self.value(column)?;
                }
                for (column, kind) in names.kinds.iter().enumerate() {
                    let value = self.value(column)?;
                    // Some put a space behind the comma. No field's value has one.
                    match kind {
                        ColumnKind::Unknown => made.word(&unspaced(value, self.is_spaced)),
                        kind => made.numeric(*kind, bare(value)),
                    }
                }
                made.finish(number, MadeKind::Line);
            }
        }
        Ok(())
    }

    /// Whether a row can only be a header again: files that were joined.
    fn is_a_header(&self) -> bool {
        const FIELDS: usize = 3;
        let names = || (0..self.count).filter_map(|column| self.value(column).ok()).map(|name| column_name(bare(name)));
        let is_message = |name: &str| MESSAGES.iter().any(|message| column_name(message) == name);
        // A column of row numbers has no name; Athena has `_col0` and `$path`.
        let could_be = |value: &str| {
            let value = bare(value);
            value.is_empty() || value.starts_with(|first: char| first.is_ascii_alphabetic() || "@_$".contains(first))
        };
        let all = (0..self.count).all(|column| self.value(column).is_ok_and(could_be));
        let places = all && names().any(|name| name == Field::Start.name() || is_message(&name));
        let known = names().filter(|name| Field::named(name).is_some() || is_message(name));
        let has_message =
            (0..self.count).any(|column| self.value(column).is_ok_and(|name| MESSAGES.contains(&bare(name))));
        places && (has_message || known.take(FIELDS).count() >= FIELDS.min(self.count))
    }

    /// Whether a field stands in it twice by the same name: two headers in one line.
    fn names_twice(&self) -> bool {
        let names = (0..self.count).filter_map(|column| self.value(column).ok()).map(bare);
        let mut known: Vec<_> = names.filter(|name| Field::named(&column_name(name)).is_some()).collect();
        let all = known.len();
        known.sort_unstable();
        known.dedup();
        known.len() < all
    }

    /// Whether a row has names of fields where the header has it that numbers and addresses are.
    fn resembles_a_header(&self) -> bool {
        const FIELDS: usize = 3;
        let is_text = |column: usize| match &self.header {
            Some(Columns::Fields(names)) if names.all.len() == self.count => {
                Field::named(&names.all[column]).is_none_or(|field| field.info().kind == Kind::Text)
            }
            _ => false,
        };
        let names = (0..self.count).filter(|column| !is_text(*column)).filter_map(|column| self.value(column).ok());
        names.filter(|name| Field::named(&name.replace('_', "-")).is_some()).take(FIELDS).count() == FIELDS
    }

    fn take_header(&mut self, number: u64, made: &mut Made) -> Result<(), String> {
        self.is_spaced = (0..self.count).any(|column| self.value(column).is_ok_and(|name| name.starts_with(' ')));
        let names = (0..self.count).map(|column| self.value(column).map(bare));
        let names: Vec<&str> = names.collect::<Result<_, _>>()?;
        let columns = match names.iter().position(|name| MESSAGES.contains(name)) {
            Some(column) => Columns::Message(column),
            None => Columns::Fields(ColumnNames::of(&names)),
        };
        if let Columns::Fields(names) = &columns {
            made.header(number, names.all.iter());
        }
        self.header = Some(columns);
        Ok(())
    }

    /// Splits a line into its values.
    fn split(&mut self, line: &[u8]) -> Result<(), String> {
        self.reader.reset();
        self.values.resize(line.len() + 1, 0);
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            let (result, taken, given, values) =
                self.reader.read_record(&line[read..], &mut self.values[written..], &mut self.ends[ended..]);
            (read, written, ended) = (read + taken, written + given, ended + values);
            self.count = ended;
            match result {
                // The line's end is the record's; told by an empty input.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull => return Err("a value longer than its line".to_owned()),
                ReadRecordResult::OutputEndsFull => return Err(format!("more than {MAX_COLUMNS} values")),
            }
        }
        Ok(())
    }

    fn value(&self, column: usize) -> Result<&str, String> {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        str::from_utf8(&self.values[start..self.ends[column]]).map_err(|_| "no UTF-8 text".to_owned())
    }
}
