//! The Parquet form of records: the text form's fields with `_` for `-` in their names, packed with gzip, as AWS delivers it.
//!
//! Types are the User Guide's (INT_32, INT_64, STRING). What is absent is null in a number's column and `-` in a text's, as in
//! the files that AWS published.

use std::{io::Write, sync::Arc};

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{Int32Builder, Int64Builder, StringBuilder},
};
use arrow_schema::{DataType, Field as ColumnField, Schema, SchemaRef};
use parquet::{
    arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions},
    basic::{Compression, GzipLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};

use super::{
    field::{Field, Kind},
    format::Format,
    record::{Record, Value},
};

/// Rows that are made into columns at once.
const BATCH: usize = 8192;
/// Half the time of the usual level 6, for a tenth more size.
const LEVEL: u32 = 3;

/// Writes records as the rows of a Parquet file.
#[derive(Debug)]
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    format: Format,
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
enum Column {
    Int32(Int32Builder),
    Int64(Int64Builder),
    Text(StringBuilder),
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file with a format's columns. The note makes two files with the same rows different.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, format: Format, note: (&str, String)) -> Result<Self, ParquetError> {
        let columns = format.fields().iter().map(|field| {
            let data_type = match field.info().kind {
                Kind::Int32 { .. } => DataType::Int32,
                Kind::Int64 => DataType::Int64,
                Kind::Address | Kind::Text => DataType::Utf8,
            };
            ColumnField::new(field.name().replace('-', "_"), data_type, true)
        });
        let schema: SchemaRef = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(GzipLevel::try_new(LEVEL)?))
            .set_created_by("flowlake".to_owned())
            .set_key_value_metadata(Some(vec![KeyValue::new(note.0.to_owned(), note.1)]))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options)?;
        let columns = format.fields().iter().map(|field| match field.info().kind {
            Kind::Int32 { .. } => Column::Int32(Int32Builder::new()),
            Kind::Int64 => Column::Int64(Int64Builder::new()),
            Kind::Address | Kind::Text => Column::Text(StringBuilder::new()),
        });
        Ok(Self { writer, schema, columns: columns.collect(), format, rows: 0 })
    }

    /// Adds a record. `version` is the format's, not the record's.
    ///
    /// # Errors
    /// When what is full cannot be written.
    pub fn write(&mut self, record: &Record<'_>) -> Result<(), ParquetError> {
        let version = i64::from(self.format.version());
        for (field, column) in self.format.fields().iter().zip(&mut self.columns) {
            let value = if *field == Field::Version { Value::Int(version) } else { record.value(*field) };
            column.append(value)?;
        }
        self.rows += 1;
        if self.rows == BATCH { self.write_batch() } else { Ok(()) }
    }

    /// Bytes of the file so far, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the rest of it cannot be written.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        self.write_batch()?;
        self.writer.into_inner()
    }

    fn write_batch(&mut self) -> Result<(), ParquetError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        self.writer.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Column {
    fn append(&mut self, value: Value<'_>) -> Result<(), ParquetError> {
        match (self, value) {
            (Self::Int32(numbers), Value::Int(number)) => {
                let number = i32::try_from(number);
                numbers.append_value(number.map_err(|_| ParquetError::General("a number beyond INT_32".to_owned()))?);
            }
            (Self::Int64(numbers), Value::Int(number)) => numbers.append_value(number),
            (Self::Int32(numbers), _) => numbers.append_null(),
            (Self::Int64(numbers), _) => numbers.append_null(),
            (Self::Text(texts), Value::Text(text)) => texts.append_value(text),
            (Self::Text(texts), Value::Address(address)) => texts.append_value(address.to_string()),
            (Self::Text(texts), _) => texts.append_value("-"),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int32(numbers) => Arc::new(numbers.finish()),
            Self::Int64(numbers) => Arc::new(numbers.finish()),
            Self::Text(texts) => Arc::new(texts.finish()),
        }
    }
}
