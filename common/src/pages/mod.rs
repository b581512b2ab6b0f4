//! Parquet files, read with bounded memory.
//!
//! The Parquet library unpacks a page to whatever it unpacks to, and believes a footer of any size. Here its decoders get
//! their pages from us: found by their headers, unpacked by [`crate::codec`], and refused when they are larger than a
//! reader can hold. Knows nothing of what the columns mean.
//!
//! Invariant: what all columns of a row group hold at one time, packed and unpacked, is at most [`MAX_HELD`] bytes, and a
//! batch refers to texts instead of copying them.

mod header;
mod reader;

use std::{
    cell::Cell,
    fmt::Display,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Once},
};

use arrow_schema::{DataType, Field, Fields};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReader, RowGroups},
        parquet_to_arrow_field_levels, parquet_to_arrow_schema_by_columns,
    },
    column::page::{PageIterator, PageReader},
    errors::{ParquetError, Result},
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        reader::ChunkReader,
    },
};

use self::header::footer_ends;
use self::reader::{Chunk, Held, Pages};

/// Bytes of pages that are held at once, packed and unpacked. Writers make pages of about 1 MB.
pub const MAX_HELD: usize = 256 << 20;
/// Bytes that a footer may have. A file of 1,000 row groups and 54 columns has about 8 MB.
const MAX_FOOTER: u64 = 16 << 20;
/// What a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// The footer's length and `PAR1`.
const TAIL: u64 = 8;
/// Columns that may lie in each other. A lake file has four levels.
const MAX_NESTING: usize = 16;

/// A Parquet file whose footer was read.
#[derive(Debug)]
pub struct PageFile<R> {
    file: Arc<R>,
    metadata: Arc<ParquetMetaData>,
    /// The columns that are read.
    mask: ProjectionMask,
}

impl<R: ChunkReader + 'static> PageFile<R> {
    /// Reads the footer.
    ///
    /// # Errors
    /// When the file is none, or its footer is larger than is believed.
    pub fn open(file: R) -> Result<Self> {
        let length = file.len();
        let mut footer = 0;
        if length >= TAIL {
            let tail = file.get_bytes(length - TAIL, 8)?;
            if tail[4..] != *b"PAR1" && tail[4..] != *b"PARE" {
                return Err(ParquetError::General("cut off: it has no footer".to_owned()));
            }
            footer = tail[..4].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            if footer > MAX_FOOTER {
                return Err(ParquetError::General(format!("a footer of {footer} bytes; at most {MAX_FOOTER}")));
            }
            if let Some(start) = (length - TAIL).checked_sub(footer).filter(|_| tail[4..] == *MAGIC) {
                let footer = file.get_bytes(start, usize::try_from(footer).unwrap_or(usize::MAX))?;
                if !footer_ends(&footer) {
                    return Err(ParquetError::General("a footer that does not end where it says".to_owned()));
                }
            }
        }
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file)?;
        for group in metadata.row_groups() {
            for column in group.columns() {
                let dictionary = column.dictionary_page_offset().unwrap_or(0);
                if column.data_page_offset() < 0 || dictionary < 0 || column.compressed_size() < 0 {
                    let name = column.column_path().string();
                    return Err(ParquetError::General(format!("column {name}: a negative offset or size")));
                }
            }
        }
        // Behind another file the footer's places are wrong by its length, and are that file's bytes.
        let before = length.saturating_sub(TAIL + footer).saturating_sub(end_of_data(&metadata));
        let border = MAGIC.len() as u64;
        if before >= border && file.get_bytes(before - border, 2 * MAGIC.len())? == MAGIC.repeat(2) {
            let why = format!("two files in one: the second begins at byte {before}; take them apart there");
            return Err(ParquetError::General(why));
        }
        Ok(Self { file: Arc::new(file), metadata: Arc::new(metadata), mask: ProjectionMask::all() })
    }

    /// Leaves lists and maps out, and says of which columns: one row's may be as long as a page is large, many times over.
    #[must_use]
    pub fn without_lists(mut self) -> (Self, Vec<String>) {
        let schema = self.metadata.file_metadata().schema_descr();
        let leaves = || schema.columns().iter().enumerate();
        let flat = leaves().filter(|(_, leaf)| leaf.max_rep_level() == 0).map(|(index, _)| index);
        let mut lists: Vec<String> =
            leaves().filter(|(_, leaf)| leaf.max_rep_level() > 0).map(|(_, leaf)| leaf.path().string()).collect();
        lists.dedup();
        let mask = ProjectionMask::leaves(schema, flat);
        self.mask = mask;
        (self, lists)
    }

    /// The footer.
    #[must_use]
    pub fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// The pages of a column in a row group, one after the other.
    ///
    /// # Errors
    /// When there is no such row group or column, or its codec is not known.
    pub fn pages(&self, group: usize, column: usize) -> Result<impl PageReader + use<R>> {
        self.group(group)?.pages(column)
    }

    /// The columns as Arrow has them, texts as views.
    ///
    /// # Errors
    /// When a column's type is none that Arrow knows.
    pub fn fields(&self) -> Result<Fields> {
        self.fields_of(self.mask.clone())
    }

    fn fields_of(&self, mask: ProjectionMask) -> Result<Fields> {
        let schema = self.metadata.file_metadata().schema_descr();
        if schema.columns().iter().any(|column| column.path().parts().len() > MAX_NESTING) {
            return Err(ParquetError::General(format!("columns more than {MAX_NESTING} deep in each other")));
        }
        let schema = parquet_to_arrow_schema_by_columns(schema, mask, None)?;
        Ok(schema.fields().iter().map(|field| with_views(field)).collect())
    }

    /// The rows of a row group, texts as views.
    ///
    /// # Errors
    /// When there is no such row group, or a column's type is none that Arrow knows.
    pub fn rows(&self, group: usize, batch: usize) -> Result<ParquetRecordBatchReader> {
        let schema = self.metadata.file_metadata().schema_descr();
        // Arrow wants the types of all columns, those too that are left out.
        let types = self.fields_of(ProjectionMask::all())?;
        let levels = parquet_to_arrow_field_levels(schema, self.mask.clone(), Some(&types))?;
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &self.group(group)?, batch, None)
    }

    fn group(&self, index: usize) -> Result<Group<R>> {
        if index >= self.metadata.num_row_groups() {
            return Err(ParquetError::General(format!("no row group {index}")));
        }
        let (file, metadata) = (Arc::clone(&self.file), Arc::clone(&self.metadata));
        Ok(Group { file, metadata, index, held: Held::default() })
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what reads a hostile file: on some contradictions in it the Parquet library gives up by a panic, and that is no more
/// than a file that cannot be read. The panic says nothing by itself.
///
/// # Errors
/// Why it cannot be read.
pub fn guarded<T, E: Display>(read: impl FnOnce() -> std::result::Result<T, E>) -> std::result::Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let say = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                say(panic);
            }
        }));
    });
    let outside = GUARDED.replace(true);
    let ended = panic::catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(outside);
    match ended {
        Ok(result) => result.map_err(|error| {
            let why = format!("{error:#}");
            why.strip_prefix("Parquet error: ").map(str::to_owned).unwrap_or(why)
        }),
        Err(_) => Err("its metadata contradict each other".to_owned()),
    }
}

/// One row group of a file.
struct Group<R> {
    file: Arc<R>,
    metadata: Arc<ParquetMetaData>,
    index: usize,
    /// What its columns hold together.
    held: Held,
}

impl<R: ChunkReader + 'static> Group<R> {
    fn pages(&self, column: usize) -> Result<Pages<R>> {
        let group = self.metadata.row_group(self.index);
        let Some(metadata) = group.columns().get(column) else {
            return Err(ParquetError::General(format!("row group {} has no column {column}", self.index)));
        };
        Pages::new(Arc::clone(&self.file), metadata, self.held.clone())
    }
}

impl<R: ChunkReader + 'static> RowGroups for Group<R> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.index).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(Chunk::new(self.pages(column)?)))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// Where what the footer names ends: the last page, index or filter.
fn end_of_data(metadata: &ParquetMetaData) -> u64 {
    let place = |offset: Option<i64>, length: Option<i32>| {
        u64::try_from(offset.unwrap_or(0)).unwrap_or(0) + u64::try_from(length.unwrap_or(0)).unwrap_or(0)
    };
    let columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let ends = columns.flat_map(|column| {
        let (start, length) = column.byte_range();
        [
            start.saturating_add(length),
            place(column.column_index_offset(), column.column_index_length()),
            place(column.offset_index_offset(), column.offset_index_length()),
            place(column.bloom_filter_offset(), column.bloom_filter_length()),
        ]
    });
    ends.max().unwrap_or(MAGIC.len() as u64)
}

/// A text of a dictionary that 1,024 rows refer to stands in memory once.
fn with_views(field: &Field) -> Field {
    let each = |field: &Arc<Field>| Arc::new(with_views(field));
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(each).collect()),
        DataType::List(element) => DataType::List(each(element)),
        DataType::Map(entries, sorted) => DataType::Map(each(entries), *sorted),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}
