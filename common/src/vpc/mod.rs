//! VPC flow logs: the fields, formats, records, their text form and the names of their objects.
//!
//! Owns the one table of fields ([`field`]); parser, writer, mapping and documentation are driven by it. Source of all
//! facts: the AWS VPC User Guide, "Flow log records".

mod field;
#[cfg(feature = "parquet")]
mod file;
mod format;
mod guess;
mod header;
mod key;
#[cfg(feature = "parquet")]
mod parquet;
mod record;
mod text;

pub use field::{FIELD_COUNT, Field, FieldInfo, Kind};
#[cfg(feature = "parquet")]
pub use file::LogFile;
pub use format::{Format, FormatError};
pub use guess::{default_header, is_plausible};
pub use header::{Column, Header, HeaderError, MAX_COLUMNS, UNIT_SEPARATOR};
pub use key::{FileFormat, ObjectKey, Origin, Partitions, STAMP_INTERVAL, origin};
#[cfg(feature = "parquet")]
pub use parquet::ParquetWriter;
pub use record::{Record, Value};
pub use text::{LineError, parse_line, unknown_values, write_header, write_line};
