//! Parquet flow logs, as AWS delivers them or as somebody wrote them again: columns by name, absent values null or `-`,
//! numbers of any width.

use std::io;

use arrow_array::{
    Array, ArrayRef, BinaryViewArray, Float64Array, Int64Array, PrimitiveArray, StringViewArray,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Fields, TimeUnit};
use flowlake_common::{
    pages::{PageFile, guarded},
    time,
};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReader, errors::ParquetError, file::reader::ChunkReader};

use super::{
    lines::{Damage, MAX_LINE},
    made::{Made, MadeKind, column_name},
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

/// Gives the rows of a row group; `None` behind the last.
type OpenGroup = Box<dyn FnMut(usize) -> Result<Option<ParquetRecordBatchReader>, ParquetError>>;

/// A reader of a Parquet file's rows.
pub(super) struct Batches {
    open_group: OpenGroup,
    /// The row group that is read, and its rows.
    group: usize,
    reader: Option<ParquetRecordBatchReader>,
    fields: Fields,
    /// Rows that were given.
    rows: u64,
    /// Bytes of the lines that were made of them.
    text: u64,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Batches {
    /// Reads the file's columns.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn open(file: impl ChunkReader + 'static) -> Result<Self, String> {
        let (file, fields) = guarded(|| {
            let file = PageFile::open(file)?;
            let fields = file.fields()?;
            Ok::<_, ParquetError>((file, fields))
        })?;
        if fields.len() > MAX_COLUMNS {
            return Err(format!("it has more than {MAX_COLUMNS} columns"));
        }
        let unknown = |data_type| Column::of(&arrow_array::new_empty_array(data_type)).is_none();
        if let Some(field) = fields.iter().find(|field| unknown(field.data_type())) {
            return Err(format!("its column '{}' is of type {}", field.name(), field.data_type()));
        }
        let columns = fields.clone();
        let open_group: OpenGroup = Box::new(move |group| {
            let there = group < file.metadata().num_row_groups();
            there.then(|| file.rows(group, &columns, BATCH)).transpose()
        });
        Ok(Self { open_group, group: 0, reader: None, fields, rows: 0, text: 0 })
    }

    /// The header of its lines.
    pub(super) fn header(&self, made: &mut Made) {
        made.header(1, self.fields.iter().map(|field| column_name(field.name())));
    }

    /// Makes lines of the next rows; false at the end.
    pub(super) fn lines(&mut self, made: &mut Made) -> Result<bool, Damage> {
        let damage = |line: u64, why: String| Damage { line, source: io::Error::new(io::ErrorKind::InvalidData, why) };
        let batch = loop {
            let Self { reader, open_group, group, .. } = self;
            let next = match reader {
                Some(reader) => guarded(|| reader.next().transpose().map_err(ParquetError::from)),
                None => match guarded(|| open_group(*group)) {
                    Ok(None) => return Ok(false),
                    Ok(Some(rows)) => {
                        *reader = Some(rows);
                        continue;
                    }
                    Err(why) => Err(why),
                },
            };
            match next.map_err(|why| damage(self.rows + 1, why))? {
                Some(batch) => break batch,
                None => (self.reader, self.group) = (None, self.group + 1),
            }
        };
        let columns: Vec<Column> = batch.columns().iter().filter_map(Column::of).collect();
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let length: usize = columns.iter().map(|column| column.length(row)).sum();
            if length > MAX_LINE {
                made.bad(self.rows, format!("a row of {length} bytes"), b"");
                continue;
            }
            for column in &columns {
                column.word(row, made);
            }
            made.finish(self.rows, MadeKind::Line);
        }
        self.text += made.bytes() as u64;
        if self.text > MAX_TEXT {
            return Err(damage(self.rows, format!("its rows have more than {MAX_TEXT} bytes")));
        }
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
    Absent,
}

impl Column {
    /// `None` for a type that no flow log has.
    fn of(array: &ArrayRef) -> Option<Self> {
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
        Some(match array.data_type() {
            DataType::Int8 => Self::Number(number::<Int8Type>(array)),
            DataType::Int16 => Self::Number(number::<Int16Type>(array)),
            DataType::Int32 => Self::Number(number::<Int32Type>(array)),
            DataType::Int64 => Self::Number(number::<Int64Type>(array)),
            DataType::UInt8 => Self::Number(number::<UInt8Type>(array)),
            DataType::UInt16 => Self::Number(number::<UInt16Type>(array)),
            DataType::UInt32 => Self::Number(number::<UInt32Type>(array)),
            // No field is that large; what is will be out of its range.
            DataType::UInt64 => Self::Number(
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
            _ => return None,
        })
    }

    /// Bytes of a row's value, where there is no bound to them.
    fn length(&self, row: usize) -> usize {
        match self {
            Self::Text(array) => array.value(row).len(),
            Self::Binary(array) => array.value(row).len(),
            Self::Number(_) | Self::Float(_) | Self::Day(_) | Self::Absent => 0,
        }
    }

    /// Appends a row's value to the line.
    fn word(&self, row: usize, made: &mut Made) {
        match self {
            Self::Number(array) if array.is_valid(row) => made.number(array.value(row)),
            Self::Float(array) if array.is_valid(row) => made.word(&array.value(row).to_string()),
            Self::Text(array) if array.is_valid(row) => made.word(array.value(row)),
            Self::Binary(array) if array.is_valid(row) => made.word(&String::from_utf8_lossy(array.value(row))),
            Self::Day(array) if array.is_valid(row) => {
                made.word(&time::format(array.value(row) * time::DAY, "%Y-%m-%d"));
            }
            _ => made.word(""),
        }
    }
}
