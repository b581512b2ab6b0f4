//! The text form of records: space-separated, `-` for what is absent, as files in S3 have it.
//!
//! No allocation per line, except for the message of a line that cannot be read.

use std::{io::Write, net::IpAddr};

use super::{
    field::{Field, Kind},
    format::Format,
    header::{Column, Header, shorten},
    record::{Record, Value},
};

/// Why a line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More or fewer words than the header has columns.
    #[error("{found} values where the header names {expected}")]
    Columns {
        /// Columns of the header.
        expected: usize,
        /// Words of the line.
        found: usize,
    },
    /// A number field with something else in it.
    #[error("{field}: '{text}' is not a whole number from 0 to {max}")]
    Number {
        /// The field's name.
        field: &'static str,
        /// What stands there, shortened.
        text: String,
        /// The largest number that could stand there.
        max: i64,
    },
    /// An address field with something else in it.
    #[error("{field}: '{text}' is not an IP address")]
    Address {
        /// The field's name.
        field: &'static str,
        /// What stands there, shortened.
        text: String,
    },
}

/// Reads one line by its header. Values of columns that the table does not know are left to [`unknown_values`].
///
/// # Errors
/// [`LineError`], naming the field.
pub fn parse_line<'a>(header: &Header, line: &'a str) -> Result<Record<'a>, LineError> {
    let mut record = Record::default();
    let mut words = header.words(line);
    for (index, column) in header.columns().iter().enumerate() {
        let Some(word) = words.next() else {
            return Err(LineError::Columns { expected: header.columns().len(), found: index });
        };
        if let Column::Known(field) = column {
            record.set(*field, parse_value(*field, word)?);
        }
    }
    match words.count() {
        0 => Ok(record),
        more => Err(LineError::Columns { expected: header.columns().len(), found: header.columns().len() + more }),
    }
}

/// The columns of a line that the table does not know: name and value, in the header's order, absent ones left out.
pub fn unknown_values<'a>(header: &'a Header, line: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let columns = if header.unknown().is_empty() { &[] } else { header.columns() };
    columns.iter().zip(header.words(line)).filter_map(|(column, word)| match column {
        Column::Unknown(index) if word != "-" => Some((header.unknown()[*index].as_str(), word)),
        _ => None,
    })
}

fn parse_value(field: Field, word: &str) -> Result<Value<'_>, LineError> {
    if word == "-" {
        return Ok(Value::Absent);
    }
    match field.info().kind {
        Kind::Text => Ok(Value::Text(word)),
        Kind::Int32 { max } => parse_number(field, word, i64::from(max)),
        Kind::Int64 => parse_number(field, word, i64::MAX),
        Kind::Address => word
            .parse::<IpAddr>()
            .map(Value::Address)
            .map_err(|_| LineError::Address { field: field.name(), text: shorten(word) }),
    }
}

fn parse_number(field: Field, word: &str, max: i64) -> Result<Value<'static>, LineError> {
    let mut number: i64 = 0;
    let mut good = !word.is_empty();
    for byte in word.bytes() {
        let digit = byte.wrapping_sub(b'0');
        let next = number.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(digit)));
        let (Some(next), true) = (next, digit <= 9) else {
            good = false;
            break;
        };
        number = next;
    }
    if good && number <= max {
        Ok(Value::Int(number))
    } else {
        Err(LineError::Number { field: field.name(), text: shorten(word), max })
    }
}

/// Appends the header line of a format, with its line end.
pub fn write_header(format: &Format, out: &mut Vec<u8>) {
    for (index, field) in format.fields().iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(field.name().as_bytes());
    }
    out.push(b'\n');
}

/// Appends a record in a format, with its line end. `version` prints the format's, not the record's.
pub fn write_line(format: &Format, record: &Record<'_>, out: &mut Vec<u8>) {
    for (index, field) in format.fields().iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        match (*field, record.value(*field)) {
            (Field::Version, _) => write_number(i64::from(format.version()), out),
            (_, Value::Absent) => out.push(b'-'),
            (_, Value::Int(number)) => write_number(number, out),
            (_, Value::Address(address)) => write_address(address, out),
            (_, Value::Text(text)) => out.extend_from_slice(text.as_bytes()),
        }
    }
    out.push(b'\n');
}

fn write_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

    fn read(header: &str, line: &str) -> Result<Vec<u8>, LineError> {
        let header = Header::parse(header).unwrap();
        let record = parse_line(&header, line)?;
        let names: Vec<String> = header
            .columns()
            .iter()
            .filter_map(|column| match column {
                Column::Known(field) => Some(format!("${{{}}}", field.name())),
                Column::Unknown(_) => None,
            })
            .collect();
        let mut out = Vec::new();
        write_line(&Format::parse(&names.join(" ")).unwrap(), &record, &mut out);
        Ok(out)
    }

    /// AWS VPC User Guide, "Flow log record examples": accepted, IPv6, no data, skipped.
    #[test]
    fn the_user_guides_examples_read_and_write_back() {
        for line in [
            "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
            "2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK",
            "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA",
            "2 unknown eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA",
        ] {
            assert_eq!(read(DEFAULT, line).unwrap(), format!("{line}\n").as_bytes());
        }
    }

    #[test]
    fn runs_of_spaces_separate() {
        assert_eq!(read("srcport  start", " 22   5 ").unwrap(), b"22 5\n");
    }

    #[test]
    fn columns_of_later_versions_keep_their_names() {
        let header = Header::parse("new-one start new-two srcport").unwrap();
        let line = "a  1 - 22";
        assert_eq!(parse_line(&header, line).unwrap().int(Field::Srcport), Some(22));
        assert_eq!(unknown_values(&header, line).collect::<Vec<_>>(), [("new-one", "a")]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |header: &str, line: &str| read(header, line).unwrap_err().to_string();
        assert_eq!(error("start end", "1"), "1 values where the header names 2");
        assert_eq!(error("start end", "1 2 3"), "3 values where the header names 2");
        assert_eq!(error("start srcport", "1 65536"), "srcport: '65536' is not a whole number from 0 to 65535");
        assert_eq!(error("start srcport", "1 -1"), "srcport: '-1' is not a whole number from 0 to 65535");
        assert_eq!(
            error("start", "99999999999999999999"),
            format!("start: '99999999999999999999' is not a whole number from 0 to {}", i64::MAX)
        );
        assert_eq!(error("start srcaddr", "1 1.2.3"), "srcaddr: '1.2.3' is not an IP address");
    }

    fn arbitrary_value(field: Field) -> BoxedStrategy<String> {
        let value = match field.info().kind {
            Kind::Int32 { max } => (0..=max).prop_map(|number| number.to_string()).boxed(),
            Kind::Int64 => (0..=i64::MAX).prop_map(|number| number.to_string()).boxed(),
            Kind::Address => any::<IpAddr>().prop_map(|address| address.to_string()).boxed(),
            Kind::Text => "[!-~]{1,20}".prop_filter("a dash is absent", |text| text != "-").boxed(),
        };
        if field == Field::Version {
            Just("11".to_owned()).boxed()
        } else {
            prop_oneof![1 => Just("-".to_owned()), 4 => value].boxed()
        }
    }

    proptest! {
        #[test]
        fn text_to_record_to_text_is_the_identity(words in Field::all().map(arbitrary_value).collect::<Vec<_>>()) {
            let names: Vec<&str> = Field::all().map(Field::name).collect();
            let line = words.join(" ");
            prop_assert_eq!(read(&names.join(" "), &line).unwrap(), format!("{line}\n").into_bytes());
        }

        #[test]
        fn no_line_panics(line in ".{0,200}") {
            let _ = read(DEFAULT, &line);
        }
    }
}
