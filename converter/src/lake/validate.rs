//! Checks lake files against the column tree and the lake rules, and says what is wrong where.

use std::{fs::File, path::Path};

use anyhow::Context;
use arrow_array::{
    Array, StructArray,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampMillisecondType},
};
use flowlake_common::{
    pages::{PageFile, guarded},
    time,
};
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::Compression,
    column::page::PageReader,
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};

use super::{
    attributes::Attributes,
    partition::{Partition, is_source_name},
};
use crate::ocsf::{ADDED_IN_1_3_0, CLASS_UID, Version, schema};

/// "Collecting data from custom sources": data pages of at most 1 MB unpacked …
const MAX_PAGE: usize = 1_000_000;
/// … and row groups of at most 256 MB packed.
const MAX_ROW_GROUP: i64 = 256_000_000;

/// Rows that are checked at once.
const BATCH: usize = 1024;

/// What a file came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were read.
    pub rows: u64,
    /// What is wrong, and where.
    pub problems: Vec<String>,
    /// The version of OCSF that its columns are of.
    pub version: Version,
}

/// Checks one file: schema, rows sorted by time, partition equals the rows' day, page and group sizes, zstd, not empty, every
/// value readable.
#[must_use]
pub fn validate(path: &Path) -> Report {
    let mut report = Report::default();
    if let Err(error) = guarded(|| check(path, &mut report)) {
        report.problems.push(format!("cannot be read: {error}"));
    }
    report
}

fn check(path: &Path, report: &mut Report) -> anyhow::Result<()> {
    let file = PageFile::open(File::open(path)?)?;
    let metadata = file.metadata();
    if metadata.file_metadata().num_rows() == 0 {
        report.problems.push("no rows: an empty file breaks queries".to_owned());
    }
    let tree = metadata.file_metadata().schema_descr();
    // A file of 1.3.0 has more columns, and says so in its rows.
    let newer = tree.columns().iter().any(|column| column.path().string() == ADDED_IN_1_3_0[0].name);
    let version = if newer { Version::V1_3_0 } else { Version::V1_1_0 };
    report.version = version;
    let same_tree = check_tree(tree, version, report)?;
    check_sizes(&file, report)?;
    if same_tree {
        check_rows(path, &file, version, report)?;
    }
    Ok(())
}

/// Compares the leaves, one by one and in order; after the first difference the rest means nothing.
fn check_tree(found: &SchemaDescriptor, version: Version, report: &mut Report) -> anyhow::Result<bool> {
    let expected = ArrowSchemaConverter::new().convert(&schema(version))?;
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
    // The leaves are the same: what is left to differ is how they are nested, and what may be null.
    let columns = |tree: &SchemaDescriptor| tree.root_schema().get_fields().to_vec();
    for (wanted, there) in columns(&expected).iter().zip(&columns(found)) {
        if wanted != there {
            let name = wanted.name();
            report
                .problems
                .push(format!("column {name}: other nesting, or other fields that may be null, than the tree has"));
            return Ok(false);
        }
    }
    Ok(true)
}

fn check_sizes(file: &PageFile<File>, report: &mut Report) -> anyhow::Result<()> {
    for (number, group) in file.metadata().row_groups().iter().enumerate() {
        if group.compressed_size() > MAX_ROW_GROUP {
            let size = group.compressed_size();
            report.problems.push(format!("row group {number} has {size} bytes packed; at most 256 MB"));
        }
        for (index, column) in group.columns().iter().enumerate() {
            let name = column.column_path().string();
            if !matches!(column.compression(), Compression::ZSTD(_)) {
                let packed = column.compression();
                report.problems.push(format!("row group {number}, column {name}: packed with {packed}, not zstd"));
            }
            let mut pages = file.pages(number, index)?;
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

/// Reads every value: what cannot be decoded, or contradicts the columns beside it, fails queries later.
fn check_rows(path: &Path, file: &PageFile<File>, version: Version, report: &mut Report) -> anyhow::Result<()> {
    let whole = path.canonicalize()?;
    let whole = whole.to_string_lossy();
    let partition = Partition::of_path(&whole);
    if partition.is_none() || !lies_in_a_source(&whole) {
        report.problems.push("does not lie in ext/<source>/region=…/accountId=…/eventDay=YYYYMMDD/".to_owned());
    }
    let (mut before, mut row) = (i64::MIN, 0_u64);
    let mut first = [const { None }; 8];
    for group in 0..file.metadata().num_row_groups() {
        // The file's own Arrow types, if it has some, are not asked: engines go by the Parquet types.
        for batch in file.rows(group, BATCH)? {
            let batch = batch?;
            let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
            let time = column("time")?.as_primitive_opt::<Int64Type>().context("column time")?;
            let time_dt =
                column("time_dt")?.as_primitive_opt::<TimestampMillisecondType>().context("column time_dt")?;
            let class = column("class_uid")?.as_primitive_opt::<Int32Type>().context("column class_uid")?;
            let category = column("category_uid")?.as_primitive_opt::<Int32Type>().context("column category_uid")?;
            let activity = column("activity_id")?.as_primitive_opt::<Int32Type>().context("column activity_id")?;
            let kind = column("type_uid")?.as_primitive_opt::<Int64Type>().context("column type_uid")?;
            for name in ["metadata", "cloud", "src_endpoint", "dst_endpoint", "connection_info"] {
                if column(name)?.null_count() > 0 && first[5].is_none() {
                    first[5] = Some(format!("from row {row} on: no {name} in some row"));
                }
            }
            let attributes = Attributes::of(&batch, version)?;
            let unmapped = column("unmapped")?.as_map_opt().context("column unmapped")?;
            for index in 0..batch.num_rows() {
                let value = time.value(index);
                let day = value.div_euclid(1000 * time::DAY) * time::DAY;
                let folder = partition.as_ref().map_or(day, |partition| partition.day);
                let said = [
                    (value < before).then(|| format!("time {value} comes after {before}; rows must be sorted by time")),
                    (folder != day).then(|| {
                        let (day, folder) = (time::day(value.div_euclid(1000)), time::day(folder));
                        format!("time {value} is of {day}, but the partition says eventDay={folder}")
                    }),
                    (time_dt.is_null(index) || time_dt.value(index) != value).then(|| "time_dt is not time".to_owned()),
                    (class.value(index) != CLASS_UID)
                        .then(|| format!("class_uid {} in a lake of one class", class.value(index))),
                    has_a_key_twice(&unmapped.value(index)).then(|| "unmapped has a key twice".to_owned()),
                    None,
                    (category.value(index) != CLASS_UID / 1000
                        || kind.value(index) != i64::from(CLASS_UID * 100) + i64::from(activity.value(index)))
                    .then(|| "category_uid or type_uid does not belong to class_uid and activity_id".to_owned()),
                    attributes.problem(index, partition.as_ref().map(|partition| partition.account.as_str())),
                ];
                for (first, said) in first.iter_mut().zip(said) {
                    *first = first.take().or(said.map(|said| format!("row {row}: {said}")));
                }
                before = value;
                row += 1;
            }
        }
    }
    report.rows = row;
    report.problems.extend(first.into_iter().flatten());
    Ok(())
}

/// Whether the partition's folders lie in `ext/<source>`, with a name that Security Lake takes.
fn lies_in_a_source(path: &str) -> bool {
    let folders: Vec<&str> = path.rsplit('/').skip(4).take(2).collect();
    matches!(folders[..], [source, "ext"] if is_source_name(source))
}

fn has_a_key_twice(entries: &StructArray) -> bool {
    let Some(keys) = entries.column(0).as_string_view_opt() else {
        return false;
    };
    (1..keys.len()).any(|index| (0..index).any(|other| keys.value(other) == keys.value(index)))
}
