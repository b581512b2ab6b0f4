//! CSV as Athena and Logs Insights export it: a header row, quoted or not, then a row a line.

use csv_core::{ReadRecordResult, Reader};

use super::made::{Made, MadeKind, column_name, whole_number};

/// Columns that a row may have.
const MAX_COLUMNS: usize = 1024;
/// Columns that hold the whole line of a flow log.
const MESSAGES: [&str; 2] = ["@message", "message"];

/// Makes lines of rows.
#[derive(Debug)]
pub(super) struct Rows {
    reader: Reader,
    /// What was read, one value behind the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    header: Option<Columns>,
}

#[derive(Debug)]
enum Columns {
    /// A value for each name.
    Fields(Vec<String>),
    /// In this column stands the line.
    Message(usize),
}

/// Whether a first line is the header row of a CSV file.
pub(super) fn begins_csv(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.contains(&b',')
        && !line.contains(&b'{')
        && line.first().is_some_and(|first| b"\"@".contains(first) || first.is_ascii_alphabetic())
}

impl Default for Rows {
    fn default() -> Self {
        Self { reader: Reader::new(), values: Vec::new(), ends: vec![0; MAX_COLUMNS], count: 0, header: None }
    }
}

impl Rows {
    /// Makes the line of a row, or the header of the first. What is wrong with it is returned.
    pub(super) fn line(&mut self, number: u64, line: &[u8], made: &mut Made) -> Result<(), String> {
        self.split(line)?;
        match &self.header {
            None => {
                let names: Vec<&str> = (0..self.count).map(|column| self.value(column)).collect::<Result<_, _>>()?;
                let message = names.iter().position(|name| MESSAGES.contains(name));
                let columns = match message {
                    Some(column) => Columns::Message(column),
                    None => Columns::Fields(names.iter().map(|name| column_name(name).into_owned()).collect()),
                };
                if let Columns::Fields(names) = &columns {
                    made.header(number, names.iter());
                }
                self.header = Some(columns);
            }
            Some(Columns::Message(column)) if *column >= self.count => {
                return Err(format!("{} values where the message is number {}", self.count, column + 1));
            }
            Some(Columns::Message(column)) => made.line(number, self.value(*column)?),
            Some(Columns::Fields(names)) => {
                if names.len() != self.count {
                    return Err(format!("{} values where the header names {}", self.count, names.len()));
                }
                for column in 0..self.count {
                    self.value(column)?;
                }
                for column in 0..self.count {
                    made.word(whole_number(self.value(column)?));
                }
                made.finish(number, MadeKind::Line);
            }
        }
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
            match result {
                // The line's end is the record's; told by an empty input.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull => return Err("a value longer than its line".to_owned()),
                ReadRecordResult::OutputEndsFull => return Err(format!("more than {MAX_COLUMNS} values")),
            }
        }
        self.count = ended;
        Ok(())
    }

    fn value(&self, column: usize) -> Result<&str, String> {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        str::from_utf8(&self.values[start..self.ends[column]]).map_err(|_| "no UTF-8 text".to_owned())
    }
}
