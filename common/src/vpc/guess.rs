//! Lines without a header: which of AWS's formats they are in.
//!
//! CloudWatch Logs and Firehose deliver no header. A line tells its format by the number of its words, and must then be a
//! record in every one of them; a custom format has to be told by whoever knows it.

use super::{
    field::Field,
    format::Format,
    header::{Header, MAX_COLUMNS},
    record::{Record, Value},
    text::parse_line,
};

/// Versions at which AWS added fields to VPC flow logs.
const VERSIONS: [u8; 9] = [2, 3, 4, 5, 7, 8, 9, 10, 11];

/// The header that a line would have, if it is a record in a format that AWS delivers by default: the fields of VPC flow logs up
/// to some version, in AWS's order, or those of transit gateways. Of a later version than the table's the rest is kept by number.
#[must_use]
pub fn default_header(line: &str) -> Option<Header> {
    let count = line.split(' ').filter(|word| !word.is_empty()).count();
    let (transit_gateway, all) = (Format::transit_gateway(), Format::all_fields());
    let header = if count == transit_gateway.fields().len() {
        Header::of(&transit_gateway)
    } else if count > all.fields().len() && count <= MAX_COLUMNS {
        Header::of(&all).with_more(count - all.fields().len())
    } else {
        Header::of(&VERSIONS.into_iter().map(Format::up_to).find(|format| format.fields().len() == count)?)
    };
    let record = parse_line(&header, line).ok()?;
    is_plausible(&record, &header).then_some(header)
}

/// Whether a record that was read by a default header can be one of it: the words that have few values have one of them, and its
/// version is none that only other fields have.
#[must_use]
pub fn is_plausible(record: &Record<'_>, header: &Header) -> bool {
    let Some(version) = record.int(Field::Version) else {
        return false;
    };
    // More words than there are fields are those of a version that is not known here.
    let is_later = version > i64::from(header.version());
    if is_later == header.unknown().is_empty() {
        return false;
    }

    let one_of = |field, known: &[&str]| match record.value(field) {
        Value::Text(text) => known.contains(&text),
        _ => true,
    };
    let transit_gateway = record.text(Field::ResourceType).is_some();
    record.int(Field::Start).is_some()
        && record.text(Field::LogStatus).is_some()
        && one_of(Field::LogStatus, &["OK", "NODATA", "SKIPDATA"])
        && one_of(Field::Action, &["ACCEPT", "REJECT"])
        && one_of(Field::Type, &["IPv4", "IPv6", "EFA"])
        && one_of(Field::FlowDirection, &["ingress", "egress"])
        && (!transit_gateway || record.text(Field::ResourceType) == Some("TransitGateway"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS VPC User Guide, "Flow log record examples".
    const RECORD: &str = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

    #[test]
    fn a_default_record_tells_its_format() {
        assert_eq!(default_header(RECORD), Some(Header::of(&Format::default_fields())));
        let nodata = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA";
        assert_eq!(default_header(nodata), Some(Header::of(&Format::default_fields())));
        let version_5 =
            format!("{RECORD} vpc-1 subnet-1 - 2 IPv4 5.6.7.8 1.2.3.4 eu-west-1 euw1-az2 - - - - ingress -");
        assert_eq!(default_header(&version_5).map(|header| header.columns().len()), Some(29));
        let format = Format::transit_gateway();
        let dashes = format.fields().iter().map(|field| match field {
            Field::Version => "6",
            Field::ResourceType => "TransitGateway",
            Field::Start | Field::End => "1418530010",
            Field::LogStatus => "NODATA",
            _ => "-",
        });
        let dashes = dashes.collect::<Vec<_>>().join(" ");
        assert_eq!(default_header(&dashes), Some(Header::of(&Format::transit_gateway())));
        // A version that is not known yet.
        let later = format!("{} {}x y", RECORD.replacen('2', "12", 1), "- ".repeat(40));
        assert_eq!(
            default_header(&later).map(|header| header.unknown().to_vec()),
            Some(vec!["field_55".to_owned(), "field_56".to_owned()])
        );
        assert_eq!(default_header(&later.replacen("12", "11", 1)), None);
    }

    #[test]
    fn what_could_be_a_custom_format_is_not_guessed() {
        for line in [
            RECORD.replace("ACCEPT", "MAYBE"),
            RECORD.replace(" OK", " ACCEPT"),
            RECORD.replace("172.31.16.139", "eni-1"),
            format!("{RECORD} us-east-1"),
            // A field of version 3 in the place of another.
            RECORD.replacen('2', "3", 1).replace("eni-1235b8ca123456789", "vpc-1"),
            "a b c d e f g h i j k l m n".to_owned(),
            String::new(),
        ] {
            assert_eq!(default_header(&line), None, "{line}");
        }
    }
}
