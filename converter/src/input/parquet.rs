//! Parquet flow logs, as AWS delivers them or as somebody wrote them again: columns by name, absent values null or `-`,
//! numbers of any width.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
};

use arrow_array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, LargeBinaryArray, PrimitiveArray,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use flowlake_common::time;
use parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    file::reader::ChunkReader,
};

use super::{
    lines::Damage,
    made::{Made, MadeKind, column_name},
};

/// What a Parquet file begins and ends with.
pub(super) const MAGIC: &[u8] = b"PAR1";
/// Rows that are made into lines at once.
const BATCH: usize = 1024;
/// Columns that a file may have.
const MAX_COLUMNS: usize = 512;

/// A reader of a Parquet file's rows.
pub(super) struct Batches {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    /// Rows that were given.
    rows: u64,
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
        guarded(|| {
            // What Arrow's writers note of their own types does not matter here.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
            Ok((builder.schema().clone(), builder.with_batch_size(BATCH).build()?))
        })
        .and_then(|(schema, reader)| {
            if schema.fields().len() > MAX_COLUMNS {
                return Err(format!("it has more than {MAX_COLUMNS} columns"));
            }
            match schema
                .fields()
                .iter()
                .find(|field| Column::of(&arrow_array::new_empty_array(field.data_type())).is_none())
            {
                Some(field) => Err(format!("its column '{}' is of type {}", field.name(), field.data_type())),
                None => Ok(Self { reader, schema, rows: 0 }),
            }
        })
    }

    /// The header of its lines.
    pub(super) fn header(&self, made: &mut Made) {
        made.header(1, self.schema.fields().iter().map(|field| column_name(field.name())));
    }

    /// Makes lines of the next rows; false at the end.
    pub(super) fn lines(&mut self, made: &mut Made) -> Result<bool, Damage> {
        let Self { reader, rows, .. } = self;
        let batch = guarded(|| reader.next().transpose().map_err(Into::into))
            .map_err(|error| Damage { line: *rows + 1, source: io::Error::new(io::ErrorKind::InvalidData, error) })?;
        let Some(batch) = batch else {
            return Ok(false);
        };
        let columns: Vec<Column> = batch.columns().iter().filter_map(Column::of).collect();
        for row in 0..batch.num_rows() {
            *rows += 1;
            for column in &columns {
                column.word(row, made);
            }
            made.finish(*rows, MadeKind::Line);
        }
        Ok(true)
    }
}

/// The Parquet library gives up on some contradictions of a hostile file by a panic.
fn guarded<T>(read: impl FnOnce() -> Result<T, parquet::errors::ParquetError>) -> Result<T, String> {
    match panic::catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its metadata contradict each other".to_owned()),
    }
}

/// A column's values, of the few types that there are.
enum Column {
    Number(Int64Array),
    Float(Float64Array),
    Text(arrow_array::StringArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
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
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::Binary => Self::Binary(array.as_binary::<i32>().clone()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary::<i64>().clone()),
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

    /// Appends a row's value to the line.
    fn word(&self, row: usize, made: &mut Made) {
        match self {
            Self::Number(array) if array.is_valid(row) => made.number(array.value(row)),
            Self::Float(array) if array.is_valid(row) => made.word(&array.value(row).to_string()),
            Self::Text(array) if array.is_valid(row) => made.word(array.value(row)),
            Self::Binary(array) if array.is_valid(row) => made.word(&String::from_utf8_lossy(array.value(row))),
            Self::LargeBinary(array) if array.is_valid(row) => made.word(&String::from_utf8_lossy(array.value(row))),
            Self::Day(array) if array.is_valid(row) => {
                made.word(&time::format(array.value(row) * time::DAY, "%Y-%m-%d"));
            }
            _ => made.word(""),
        }
    }
}
