//! Parquet flow logs, as AWS delivers them or as somebody wrote them again: columns by name, absent values null or `-`,
//! numbers of any width.

use std::{fmt, io, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, Float64Array, Int64Array, PrimitiveArray, StringViewArray,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use flowlake_common::{
    pages::{PageFile, guarded},
    time,
    vpc::Field,
};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReader, errors::ParquetError, file::reader::ChunkReader};

use super::{
    csv::MESSAGES,
    lines::{Damage, MAX_LINE},
    made::{ColumnKind, ColumnNames, Made, MadeKind},
};

/// What a Parquet file begins and ends with.
pub(super) const MAGIC: &[u8] = b"PAR1";
/// Rows that are made into lines at once.
const BATCH: usize = 1024;
/// Columns that a file may have.
const MAX_COLUMNS: usize = 512;

/// Bytes of all lines that are made of a file; more are not believed. A few bytes can say that a value stands there a
/// million times.
const MAX_TEXT: u64 = 8 << 30;

/// Gives the rows of a row group, and how many the footer says there are; `None` behind the last.
type OpenGroup = Box<dyn FnMut(usize) -> Option<(Result<ParquetRecordBatchReader, ParquetError>, u64)>>;

/// A reader of a Parquet file's rows.
pub(super) struct Batches {
    open_group: OpenGroup,
    /// The row group that is read, and its rows.
    group: usize,
    reader: Option<ParquetRecordBatchReader>,
    /// Rows that the group should still have.
    owed: u64,
    /// Columns that are lists or maps, which no field is.
    pub(super) left_out: Vec<String>,
    /// The columns' names, as a header has them.
    names: ColumnNames,
    /// Of a file without the fields, the column in which the lines stand.
    message: Option<usize>,
    /// Rows that were given.
    rows: u64,
    /// Bytes of the lines that were made of them.
    text: u64,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Batches {
    /// Reads the file's columns.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open(file: impl ChunkReader + 'static) -> Result<Self, String> {
        let (file, fields, left_out) = guarded(|| {
            let (file, left_out) = PageFile::open(file)?.without_lists();
            let fields = file.fields()?;
            Ok::<_, ParquetError>((file, fields, left_out))
        })?;
        if fields.len() > MAX_COLUMNS {
            return Err(format!("it has more than {MAX_COLUMNS} columns"));
        }
        let names: Vec<&String> = fields.iter().map(|field| field.name()).collect();
        let names = ColumnNames::of(&names);
        let has_fields = names.all.iter().any(|name| name == Field::Start.name());
        let message = fields.iter().position(|field| MESSAGES.contains(&field.name().as_str()));
        let message = message.filter(|_| !has_fields);
        let open_group: OpenGroup = Box::new(move |group| {
            let there = group < file.metadata().num_row_groups();
            let said = || file.metadata().row_group(group).num_rows().try_into().unwrap_or(0);
            there.then(|| (file.rows(group, BATCH), said()))
        });
        Ok(Self { open_group, group: 0, reader: None, owed: 0, left_out, names, message, rows: 0, text: 0 })
    }

    /// The header of its lines.
    pub(super) fn header(&self, made: &mut Made) {
        if self.message.is_none() {
            made.header(1, self.names.all.iter());
        }
    }

    /// Makes lines of the next rows; false at the end. Of a row group that is damaged the rest is passed over, and said.
    pub(super) fn lines(&mut self, made: &mut Made) -> Result<bool, Damage> {
        let Some(reader) = &mut self.reader else {
            let open_group = &mut self.open_group;
            match guarded(|| Ok::<_, ParquetError>(open_group(self.group))) {
                Ok(None) => return Ok(false),
                Ok(Some((Ok(rows), said))) => (self.reader, self.owed) = (Some(rows), said),
                Ok(Some((Err(why), said))) => {
                    self.owed = said;
                    return self.pass_over_group(&why.to_string(), made);
                }
                Err(why) => return self.pass_over_group(&why, made),
            }
            return Ok(true);
        };
        let batch = match guarded(|| reader.next().transpose().map_err(ParquetError::from)) {
            Ok(Some(batch)) if batch.num_rows() as u64 <= self.owed => batch,
            Ok(None) if self.owed == 0 => {
                (self.reader, self.group) = (None, self.group + 1);
                return Ok(true);
            }
            Ok(Some(_)) => return self.pass_over_group("more rows than the footer says", made),
            Ok(None) => return self.pass_over_group("rows that the footer says are not there", made),
            Err(why) => return self.pass_over_group(&why, made),
        };
        self.owed -= batch.num_rows() as u64;
        let columns: Vec<Column> = batch.columns().iter().map(Column::of).collect();
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let length: usize = columns.iter().map(|column| column.length(row)).sum();
            if length > MAX_LINE {
                made.bad(self.rows, format!("a row of {length} bytes"), b"");
                continue;
            }
            if columns.iter().any(|column| column.is_no_text(row)) {
                made.bad(self.rows, "no UTF-8 text".to_owned(), b"");
                continue;
            }
            if let Some(column) = self.message.and_then(|message| columns.get(message)) {
                column.word(ColumnKind::Unknown, row, made);
                made.finish(self.rows, MadeKind::Plain);
                continue;
            }
            for (kind, column) in self.names.kinds.iter().zip(&columns) {
                column.word(*kind, row, made);
            }
            made.finish(self.rows, MadeKind::Line);
        }
        self.text += made.bytes() as u64;
        if self.text > MAX_TEXT {
            let source =
                io::Error::new(io::ErrorKind::InvalidData, format!("its rows have more than {MAX_TEXT} bytes"));
            return Err(Damage { line: self.rows, source });
        }
        Ok(true)
    }

    /// Goes on with the next row group.
    fn pass_over_group(&mut self, why: &str, made: &mut Made) -> Result<bool, Damage> {
        let (group, owed) = (self.group, self.owed);
        made.bad(self.rows + 1, format!("row group {group} cannot be read, {owed} rows of it are lost: {why}"), b"");
        self.rows = self.rows.saturating_add(owed);
        (self.reader, self.owed, self.group) = (None, 0, group + 1);
        Ok(true)
    }
}

/// A column's values, of the few types that there are.
enum Column {
    Number(Int64Array),
    Float(Float64Array),
    Text(StringViewArray),
    Binary(BinaryViewArray),
    /// Days since the epoch.
    Day(Int64Array),
    /// Of a type that no field has: as it is written.
    Other(ArrayRef),
    Absent,
}

impl Column {
    fn of(array: &ArrayRef) -> Self {
        fn number<T: ArrowPrimitiveType>(array: &ArrayRef) -> Int64Array
        where
            i64: From<T::Native>,
        {
            array.as_primitive::<T>().unary(i64::from)
        }
        fn seconds<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, in_a_second: i64) -> Int64Array {
            let array: &PrimitiveArray<T> = array.as_primitive();
            array.unary(|time| time.div_euclid(in_a_second))
        }
        match array.data_type() {
            DataType::Int8 => Self::Number(number::<Int8Type>(array)),
            DataType::Int16 => Self::Number(number::<Int16Type>(array)),
            DataType::Int32 => Self::Number(number::<Int32Type>(array)),
            DataType::Int64 => Self::Number(number::<Int64Type>(array)),
            DataType::UInt8 => Self::Number(number::<UInt8Type>(array)),
            DataType::UInt16 => Self::Number(number::<UInt16Type>(array)),
            DataType::UInt32 => Self::Number(number::<UInt32Type>(array)),
            // No field is that large; what is will be out of its range.
            DataType::UInt64 if largest(array) <= Some(i64::MAX.unsigned_abs()) => Self::Number(
                array.as_primitive::<UInt64Type>().unary(|number| i64::try_from(number).unwrap_or(i64::MAX)),
            ),
            DataType::Float32 => Self::Float(array.as_primitive::<Float32Type>().unary(f64::from)),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>().clone()),
            DataType::Utf8View => Self::Text(array.as_string_view().clone()),
            DataType::BinaryView => Self::Binary(array.as_binary_view().clone()),
            DataType::Timestamp(TimeUnit::Second, _) => Self::Number(seconds::<TimestampSecondType>(array, 1)),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Self::Number(seconds::<TimestampMillisecondType>(array, 1000))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Number(seconds::<TimestampMicrosecondType>(array, 1_000_000))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Self::Number(seconds::<TimestampNanosecondType>(array, 1_000_000_000))
            }
            DataType::Date32 => Self::Day(number::<Date32Type>(array)),
            DataType::Null => Self::Absent,
            _ => Self::Other(Arc::clone(array)),
        }
    }

    /// Bytes of a row's value, where there is no bound to them.
    fn length(&self, row: usize) -> usize {
        match self {
            Self::Text(array) => array.value(row).len(),
            Self::Binary(array) => array.value(row).len(),
            Self::Number(_) | Self::Float(_) | Self::Day(_) | Self::Other(_) | Self::Absent => 0,
        }
    }

    /// Whether a row's bytes, which should be text, are none.
    fn is_no_text(&self, row: usize) -> bool {
        matches!(self, Self::Binary(array) if array.is_valid(row) && str::from_utf8(array.value(row)).is_err())
    }

    /// Appends a row's value to the line.
    fn word(&self, kind: ColumnKind, row: usize, made: &mut Made) {
        match self {
            Self::Number(array) if array.is_valid(row) => {
                made.numeric(kind, itoa::Buffer::new().format(array.value(row)));
            }
            Self::Float(array) if array.is_valid(row) && !array.value(row).is_nan() => {
                made.numeric(kind, &array.value(row).to_string());
            }
            Self::Text(array) if array.is_valid(row) => made.text(kind, array.value(row)),
            Self::Binary(array) if array.is_valid(row) => made.word(&String::from_utf8_lossy(array.value(row))),
            Self::Day(array) if array.is_valid(row) => {
                made.word(&time::format(array.value(row) * time::DAY, "%Y-%m-%d"));
            }
            Self::Other(array) if array.is_valid(row) => {
                let mut written = Bounded(String::new());
                let options = FormatOptions::default();
                if let Ok(formatter) = ArrayFormatter::try_new(array.as_ref(), &options) {
                    // What is longer than a line makes the row one that is not taken.
                    let _ = formatter.value(row).write(&mut written);
                }
                made.text(kind, &written.0);
            }
            _ => made.word(""),
        }
    }
}

fn largest(array: &ArrayRef) -> Option<u64> {
    array.as_primitive::<UInt64Type>().iter().flatten().max()
}

/// Text of a value, no longer than a line and a little.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().take(MAX_LINE + 1 - self.0.len().min(MAX_LINE)));
        if self.0.len() > MAX_LINE { Err(fmt::Error) } else { Ok(()) }
    }
}
