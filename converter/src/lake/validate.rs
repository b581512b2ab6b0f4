//! Checks lake files against the column tree and the lake rules, and says what is wrong where.

use std::{fs::File, path::Path};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use flowlake_common::time;
use parquet::{
    arrow::{ArrowSchemaConverter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::Compression,
    file::{
        metadata::ParquetMetaData,
        reader::{FileReader, SerializedFileReader},
    },
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};

use super::partition::Partition;
use crate::ocsf::schema;

/// "Collecting data from custom sources": data pages of at most 1 MB unpacked …
const MAX_PAGE: usize = 1_000_000;
/// … and row groups of at most 256 MB packed.
const MAX_ROW_GROUP: i64 = 256_000_000;

/// What a file came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were read.
    pub rows: u64,
    /// What is wrong, and where.
    pub problems: Vec<String>,
}

/// Checks one file: schema, rows sorted by time, partition equals the rows' day, page and group sizes, zstd, not empty.
#[must_use]
pub fn validate(path: &Path) -> Report {
    let mut report = Report::default();
    if let Err(error) = check(path, &mut report) {
        report.problems.push(format!("cannot be read: {error:#}"));
    }
    report
}

fn check(path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let metadata = reader.metadata();
    if metadata.file_metadata().num_rows() == 0 {
        report.problems.push("no rows: an empty file breaks queries".to_owned());
    }
    let same_tree = check_tree(metadata.file_metadata().schema_descr(), report)?;
    check_sizes(metadata, &reader, report)?;
    if same_tree {
        check_rows(path, report)?;
    }
    Ok(())
}

/// Compares the leaves, one by one and in order; after the first difference the rest means nothing.
fn check_tree(found: &SchemaDescriptor, report: &mut Report) -> anyhow::Result<bool> {
    let expected = ArrowSchemaConverter::new().convert(&schema())?;
    let leaf = |column: Option<&std::sync::Arc<ColumnDescriptor>>| match column {
        Some(column) => {
            let kind = column.logical_type_ref().map(|logical| format!(" {logical:?}")).unwrap_or_default();
            format!("{} {}{kind}", column.path().string(), column.physical_type())
        }
        None => "nothing".to_owned(),
    };
    for index in 0..expected.num_columns().max(found.num_columns()) {
        let (wanted, there) = (leaf(expected.columns().get(index)), leaf(found.columns().get(index)));
        if wanted != there {
            let number = index + 1;
            report.problems.push(format!("column {number} of the tree should be {wanted}, but is {there}"));
            return Ok(false);
        }
    }
    Ok(true)
}

fn check_sizes(metadata: &ParquetMetaData, reader: &dyn FileReader, report: &mut Report) -> anyhow::Result<()> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        if group.compressed_size() > MAX_ROW_GROUP {
            let size = group.compressed_size();
            report.problems.push(format!("row group {number} has {size} bytes packed; at most 256 MB"));
        }
        let group_reader = reader.get_row_group(number)?;
        for (index, column) in group.columns().iter().enumerate() {
            let name = column.column_path().string();
            if !matches!(column.compression(), Compression::ZSTD(_)) {
                let packed = column.compression();
                report.problems.push(format!("row group {number}, column {name}: packed with {packed}, not zstd"));
            }
            let mut pages = group_reader.get_column_page_reader(index)?;
            let mut page_number = 0;
            while let Some(page) = pages.get_next_page()? {
                let size = page.buffer().len();
                if size > MAX_PAGE {
                    report.problems.push(format!(
                        "row group {number}, column {name}, page {page_number}: {size} bytes unpacked; at most 1 MB"
                    ));
                }
                page_number += 1;
            }
        }
    }
    Ok(())
}

fn check_rows(path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let partition = Partition::of_path(&path.to_string_lossy());
    if partition.is_none() {
        report.problems.push("does not lie in region=…/accountId=…/eventDay=YYYYMMDD/".to_owned());
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let time_only = ProjectionMask::columns(builder.parquet_schema(), ["time"]);
    let (mut before, mut row) = (i64::MIN, 0_u64);
    let (mut unsorted, mut other_day) = (None, None);
    for batch in builder.with_projection(time_only).build()? {
        let batch = batch?;
        for value in batch.column(0).as_primitive::<Int64Type>().values() {
            if *value < before {
                unsorted.get_or_insert((row, *value, before));
            }
            let day = value.div_euclid(1000 * time::DAY) * time::DAY;
            if partition.as_ref().is_some_and(|partition| partition.day != day) {
                other_day.get_or_insert((row, *value));
            }
            before = *value;
            row += 1;
        }
    }
    report.rows = row;
    if let Some((row, value, before)) = unsorted {
        report.problems.push(format!("row {row}: time {value} comes after {before}; rows must be sorted by time"));
    }
    if let (Some((row, value)), Some(partition)) = (other_day, partition) {
        let (day, folder) = (time::day(value.div_euclid(1000)), time::day(partition.day));
        report.problems.push(format!("row {row}: time {value} is of {day}, but the partition says eventDay={folder}"));
    }
    Ok(())
}
