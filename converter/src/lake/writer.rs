//! Lake files: Parquet as Security Lake wants it, and as every engine reads it.
//!
//! zstd, pages of at most 1 MB unpacked, one row group far below 256 MB, rows sorted by time. Plain Parquet types, no
//! Arrow schema beside them. The file says which inputs its rows are from.

use std::{
    fs,
    io::{self, BufWriter},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, ensure};
use parquet::{
    arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        reader::{FileReader, SerializedFileReader},
    },
    schema::types::ColumnPath,
};
use tempfile::TempPath;

use crate::ocsf::{Mapping, Rows, Version, batches, schema};

/// The footer key whose value lists the SHA-256 names of the inputs that the rows are from, separated by commas.
const INPUTS: &str = "flowlake.inputs";
/// Half of what Security Lake allows, because the writer looks at a page's size only between batches of values.
const PAGE: usize = 512 * 1024;

/// Writes rows, sorted by time, as a file in the folder `aside`.
///
/// # Errors
/// When there are no rows, or the file cannot be written.
pub fn write(rows: &mut Rows, mapping: Mapping, inputs: &[String], aside: &Path) -> anyhow::Result<TempPath> {
    ensure!(!rows.is_empty(), "a lake file without rows");
    rows.sort();
    let file = tempfile::Builder::new().prefix("part-").suffix(".parquet").tempfile_in(aside)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    let properties = properties(mapping.version, inputs, rows.longest_text())?;
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(BufWriter::new(file), schema(mapping.version), options)?;
    for batch in batches(rows, mapping) {
        writer.write(&batch?)?;
    }
    let file = writer.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// The inputs that a lake file says its rows are from (none for a file that says nothing), and how many rows it has.
///
/// # Errors
/// When it is no Parquet file.
pub fn recorded_inputs(path: &Path) -> anyhow::Result<(Vec<String>, usize)> {
    let reader = SerializedFileReader::new(fs::File::open(path)?).context("not a Parquet file")?;
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let value = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == INPUTS)?.value.as_deref());
    let inputs = value.map(|value| value.split(',').map(str::to_owned).collect()).unwrap_or_default();
    Ok((inputs, usize::try_from(reader.metadata().file_metadata().num_rows())?))
}

fn properties(version: Version, inputs: &[String], longest_text: usize) -> anyhow::Result<WriterProperties> {
    // The sorting column is a leaf, and structs stand before it.
    let leaf = parquet::arrow::ArrowSchemaConverter::new().convert(&schema(version))?;
    let leaf = leaf.columns().iter().position(|column| column.path().string() == "time");
    let leaf = i32::try_from(leaf.context("the tree has no leaf time")?)?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(concat!("flowlake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(INPUTS.to_owned(), inputs.join(","))]))
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: leaf, descending: false, nulls_first: false }]))
        .set_data_page_size_limit(PAGE)
        .set_dictionary_page_size_limit(PAGE)
        // So many values go into a page before its size is looked at: few when texts are long.
        .set_write_batch_size((PAGE / longest_text.max(1)).clamp(1, 1024))
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(Some(128 << 20))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for name in ["time", "time_dt", "start_time_dt", "end_time_dt"] {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page);
    }
    Ok(properties.build())
}
