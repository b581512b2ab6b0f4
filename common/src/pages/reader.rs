//! The pages of one column of a row group: found by their headers, unpacked, and counted.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parquet::{
    basic::Compression,
    column::page::{Page, PageIterator, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::{metadata::ColumnChunkMetaData, reader::ChunkReader},
};

use super::{
    MAX_HELD,
    header::{PageHeader, encoding},
};
use crate::codec::Decoder;

/// Bytes that a header is looked for in: first these, and, where statistics hold long texts, these.
const HEADERS: [usize; 2] = [4 * 1024, 4 << 20];

/// Bytes that the columns of a row group hold together.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

/// Bytes that a page holds, given back when it is gone.
#[derive(Debug)]
struct Share(Held, usize);

impl Held {
    fn take(&self, bytes: usize) -> Result<Share> {
        let share = Share(self.clone(), bytes);
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_HELD {
            return Err(error(format!("its pages unpack to more than {} MiB at one time", MAX_HELD >> 20)));
        }
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Self(held, bytes) = self;
        held.0.fetch_sub(*bytes, Ordering::Relaxed);
    }
}

/// A reader of one column's pages.
#[derive(Debug)]
pub(super) struct Pages<R> {
    file: Arc<R>,
    compression: Compression,
    at: u64,
    end: u64,
    held: Held,
    /// A decoder holds a dictionary to the end, and one page of values.
    dictionary: Option<Share>,
    values: Option<Share>,
}

fn error(message: String) -> ParquetError {
    ParquetError::General(message)
}

impl<R: ChunkReader> Pages<R> {
    /// Pages of a column chunk, whose offsets are not negative.
    pub(super) fn new(file: Arc<R>, chunk: &ColumnChunkMetaData, held: Held) -> Result<Self> {
        let compression = chunk.compression();
        if !matches!(
            compression,
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_)
        ) {
            return Err(error(format!("packed with {compression}; gzip, snappy, zstd or nothing can be read")));
        }
        let (at, length) = chunk.byte_range();
        Ok(Self { file, compression, at, end: at.saturating_add(length), held, dictionary: None, values: None })
    }

    fn header(&self) -> Result<(PageHeader, u64)> {
        let left = self.end - self.at;
        for most in HEADERS {
            let length = left.min(most as u64).min(self.file.len().saturating_sub(self.at));
            let bytes = self.file.get_bytes(self.at, usize::try_from(length).unwrap_or(most))?;
            if let Some((header, length)) = PageHeader::parse(&bytes) {
                return Ok((header, length as u64));
            }
        }
        Err(error(format!("at byte {}: no page header", self.at)))
    }

    fn next(&mut self) -> Result<Option<Page>> {
        const INDEX: i32 = 1;
        while self.at < self.end {
            let (header, length) = self.header()?;
            let start = self.at + length;
            let packed = usize::try_from(header.packed_size).ok().filter(|size| *size as u64 <= self.end - start);
            let packed = packed.ok_or_else(|| error(format!("at byte {}: a page longer than its column", self.at)))?;
            if header.page_type != INDEX {
                let page = self.page(&header, start, packed)?;
                self.at = start + packed as u64;
                return Ok(Some(page));
            }
            self.at = start + packed as u64;
        }
        Ok(None)
    }

    fn page(&mut self, header: &PageHeader, start: u64, packed: usize) -> Result<Page> {
        let at = self.at;
        let number = |value: i32| u32::try_from(value).map_err(|_| error(format!("at byte {at}: a negative count")));
        let encoding = |number| encoding(number).ok_or_else(|| error(format!("at byte {at}: encoding {number}")));
        let unpacked = number(header.unpacked_size)? as usize;
        let is_dictionary = header.page_type == 2;
        // What was held before is let go first: the decoder is done with it.
        let slot = if is_dictionary { &mut self.dictionary } else { &mut self.values };
        drop(slot.take());
        let _packed = self.held.take(packed)?;
        *slot = Some(self.held.take(unpacked)?);
        let bytes = self.file.get_bytes(start, packed)?;
        // Of a page of version 2 the levels come first, and are not packed.
        let levels = number(header.definition_bytes)? as usize + number(header.repetition_bytes)? as usize;
        let (levels, is_packed) = if header.page_type == 3 { (levels, header.is_packed) } else { (0, true) };
        if levels > packed || levels > unpacked {
            return Err(error(format!("at byte {at}: levels longer than their page")));
        }
        let buf = if !is_packed || self.compression == Compression::UNCOMPRESSED {
            bytes
        } else {
            let mut whole = bytes.slice(..levels).to_vec();
            if unpacked > levels {
                unpack(self.compression, &bytes[levels..], unpacked - levels, &mut whole)?;
            }
            whole.into()
        };
        if buf.len() != unpacked {
            return Err(error(format!("at byte {at}: a page of {} bytes that says {unpacked}", buf.len())));
        }
        let num_values = number(header.values)?;
        Ok(match header.page_type {
            0 => Page::DataPage {
                buf,
                num_values,
                encoding: encoding(header.encoding)?,
                def_level_encoding: encoding(header.definition_encoding)?,
                rep_level_encoding: encoding(header.repetition_encoding)?,
                statistics: None,
            },
            2 => Page::DictionaryPage {
                buf,
                num_values,
                encoding: encoding(header.encoding)?,
                is_sorted: header.is_sorted,
            },
            3 => Page::DataPageV2 {
                buf,
                num_values,
                encoding: encoding(header.encoding)?,
                num_nulls: number(header.nulls)?,
                num_rows: number(header.rows)?,
                def_levels_byte_len: number(header.definition_bytes)?,
                rep_levels_byte_len: number(header.repetition_bytes)?,
                is_compressed: header.is_packed,
                statistics: None,
            },
            other => return Err(error(format!("at byte {at}: a page of type {other}"))),
        })
    }
}

/// Appends what is packed. It never gets longer than what was said, and a little.
fn unpack(compression: Compression, packed: &[u8], size: usize, out: &mut Vec<u8>) -> Result<()> {
    out.reserve_exact(size);
    if compression == Compression::SNAPPY {
        if snap::raw::decompress_len(packed).map_err(|why| ParquetError::External(why.into()))? != size {
            return Err(error(format!("a page that does not unpack to {size} bytes, as it says")));
        }
        let before = out.len();
        out.resize(before + size, 0);
        let unpacked = snap::raw::Decoder::new().decompress(packed, &mut out[before..]);
        return unpacked.map(drop).map_err(|why| ParquetError::External(why.into()));
    }
    let unpacked = Decoder::new(packed, size as u64).and_then(|mut decoder| decoder.read_to_end(out));
    unpacked.map(drop).map_err(|why| ParquetError::External(why.into()))
}

impl<R: ChunkReader> Iterator for Pages<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: ChunkReader> PageReader for Pages<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = Self::next(self);
        if page.is_err() {
            // Behind a page that cannot be read nothing can be found.
            self.at = self.end;
        }
        page
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let (header, _) = self.header()?;
        let count = |value: i32| usize::try_from(value).ok();
        Ok(Some(PageMetadata {
            num_rows: count(header.rows).filter(|_| header.page_type == 3),
            num_levels: count(header.values).filter(|_| header.page_type != 2),
            is_dict: header.page_type == 2,
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.get_next_page().map(drop)
    }
}

/// A column of one row group, as the decoders want it.
pub(super) struct Chunk<R>(Option<Pages<R>>);

impl<R> Chunk<R> {
    pub(super) fn new(pages: Pages<R>) -> Self {
        Self(Some(pages))
    }
}

impl<R: ChunkReader + 'static> Iterator for Chunk<R> {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl<R: ChunkReader + 'static> PageIterator for Chunk<R> {}
