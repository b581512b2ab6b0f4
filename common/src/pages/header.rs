//! The header of a page, in Thrift's compact protocol. Source: Apache Parquet, parquet.thrift, `PageHeader`; Apache Thrift,
//! "Thrift compact protocol".
//!
//! Fields that nobody asks for are skipped. A header that names a size twice takes the last, as other readers do.

use parquet::basic::Encoding;

/// What is needed of a page's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PageHeader {
    /// `PageType`: 0 data, 1 index, 2 dictionary, 3 data of version 2.
    pub(super) page_type: i32,
    pub(super) unpacked_size: i32,
    pub(super) packed_size: i32,
    /// Of a data page or a dictionary.
    pub(super) values: i32,
    pub(super) encoding: i32,
    pub(super) definition_encoding: i32,
    pub(super) repetition_encoding: i32,
    pub(super) nulls: i32,
    pub(super) rows: i32,
    pub(super) definition_bytes: i32,
    pub(super) repetition_bytes: i32,
    /// Only of a data page of version 2, whose default it is.
    pub(super) is_packed: bool,
    pub(super) is_sorted: bool,
}

/// Types of fields and elements.
mod kind {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const I8: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const STRUCT: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

/// How deep values may lie in each other; a page header has three levels.
const MAX_DEPTH: u8 = 16;

impl PageHeader {
    /// Reads a header at the start of bytes; how many it has. `None` when it is cut off or none.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut thrift = Thrift { bytes, at: 0, is_footer: false };
        let mut header = Self { is_packed: true, ..Self::default() };
        let mut last = 0;
        while let Some((id, kind)) = thrift.field(&mut last)? {
            match (id, kind) {
                (1, kind::I32) => header.page_type = thrift.int()?,
                (2, kind::I32) => header.unpacked_size = thrift.int()?,
                (3, kind::I32) => header.packed_size = thrift.int()?,
                (5 | 7 | 8, kind::STRUCT) => header.of_kind(id, &mut thrift)?,
                _ => thrift.skip(kind, MAX_DEPTH)?,
            }
        }
        Some((header, thrift.at))
    }

    /// The part that a data page (5), a dictionary (7) or a data page of version 2 (8) has.
    fn of_kind(&mut self, part: i16, thrift: &mut Thrift<'_>) -> Option<()> {
        let mut last = 0;
        while let Some((id, kind)) = thrift.field(&mut last)? {
            match (part, id, kind) {
                (_, 1, kind::I32) => self.values = thrift.int()?,
                (5 | 7, 2, kind::I32) | (8, 4, kind::I32) => self.encoding = thrift.int()?,
                (5, 3, kind::I32) => self.definition_encoding = thrift.int()?,
                (5, 4, kind::I32) => self.repetition_encoding = thrift.int()?,
                (7, 3, kind::TRUE | kind::FALSE) => self.is_sorted = kind == kind::TRUE,
                (8, 2, kind::I32) => self.nulls = thrift.int()?,
                (8, 3, kind::I32) => self.rows = thrift.int()?,
                (8, 5, kind::I32) => self.definition_bytes = thrift.int()?,
                (8, 6, kind::I32) => self.repetition_bytes = thrift.int()?,
                (8, 7, kind::TRUE | kind::FALSE) => self.is_packed = kind == kind::TRUE,
                _ => thrift.skip(kind, MAX_DEPTH)?,
            }
        }
        Some(())
    }
}

/// Whether a footer's values end where its bytes do, each element of a list having at least one. The library takes truth values in
/// lists to have none, so that a list of two billion of them costs an attacker five bytes; no footer has such a list.
pub(super) fn footer_ends(bytes: &[u8]) -> bool {
    Thrift { bytes, at: 0, is_footer: true }.skip(kind::STRUCT, MAX_DEPTH).is_some()
}

/// The encoding with a number of parquet.thrift; `None` for one that no reader knows.
pub(super) fn encoding(number: i32) -> Option<Encoding> {
    Some(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return None,
    })
}

struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
    is_footer: bool,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number in zigzag.
    fn int(&mut self) -> Option<i32> {
        let value = self.varint()?;
        let half = i64::try_from(value >> 1).ok()?;
        i32::try_from(if value & 1 == 1 { -half - 1 } else { half }).ok()
    }

    /// The next field of a struct: number and type; `Some(None)` at the struct's end.
    #[expect(clippy::option_option, reason = "cut off, ended, or a field")]
    fn field(&mut self, last: &mut i16) -> Option<Option<(i16, u8)>> {
        let byte = self.byte()?;
        let kind = byte & 0x0f;
        if kind == kind::STOP {
            return Some(None);
        }
        *last = match byte >> 4 {
            0 => i16::try_from(self.int()?).ok()?,
            step => last.checked_add(i16::from(step))?,
        };
        Some(Some((*last, kind)))
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            kind::TRUE | kind::FALSE => {}
            kind::I8 => drop(self.byte()?),
            kind::I16 | kind::I32 | kind::I64 => drop(self.varint()?),
            kind::DOUBLE => self.pass(8)?,
            kind::UUID => self.pass(16)?,
            kind::BINARY => {
                let length = self.varint()?;
                self.pass(usize::try_from(length).ok()?)?;
            }
            kind::LIST | kind::SET => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                for _ in 0..count {
                    self.skip_element(byte & 0x0f, depth)?;
                }
            }
            kind::MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)?;
                }
            }
            kind::STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// In a list a truth value has a byte of its own; as a field it is its type.
    fn skip_element(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            kind::TRUE | kind::FALSE if self.is_footer => None,
            kind::TRUE | kind::FALSE => self.pass(1),
            _ => self.skip(kind, depth),
        }
    }

    fn pass(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_what_is_not_known_is_passed() {
        // 1: data page; 2: 100 bytes unpacked; 3: 60 packed; 4: a checksum; 5: {7 values, plain, RLE, RLE, {1: "ab"}}; 9: a list.
        let bytes = [
            0x15, 0x00, 0x15, 0xc8, 0x01, 0x15, 0x78, 0x15, 0x04, 0x1c, 0x15, 0x0e, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06,
            0x1c, 0x18, 0x02, b'a', b'b', 0x00, 0x00, 0x49, 0x25, 0x02, 0x04, 0x00,
        ];
        let (header, length) = PageHeader::parse(&[&bytes[..], b"page"].concat()).unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!((header.page_type, header.unpacked_size, header.packed_size, header.values), (0, 100, 60, 7));
        assert_eq!((header.encoding, header.definition_encoding, header.is_packed), (0, 3, true));
        for cut in 0..bytes.len() {
            assert_eq!(PageHeader::parse(&bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn footers_are_as_long_as_they_say() {
        // 1: version 2; 9: a list of two structs.
        assert!(footer_ends(&[0x15, 0x04, 0x89, 0x2c, 0x00, 0x00, 0x00]));
        // A list of two billion truth values, and one of a single one.
        assert!(!footer_ends(&[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]));
        assert!(!footer_ends(&[0x19, 0x11, 0x01, 0x00]));
        assert!(!footer_ends(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]));
    }

    #[test]
    fn hostile_bytes_end() {
        // Structs in structs, and a list of more elements than there are bytes.
        assert_eq!(PageHeader::parse(&[0x1c; 1000]), None);
        assert_eq!(PageHeader::parse(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f]), None);
        assert_eq!(PageHeader::parse(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
