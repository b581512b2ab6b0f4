//! Lines without a header: which of AWS's formats they are in.
//!
//! CloudWatch Logs and Firehose deliver no header. A line tells its format by the number of its words, and must then be a
//! record in every one of them; a custom format has to be told by whoever knows it.

use super::{
    field::Field,
    format::Format,
    header::Header,
    record::{Record, Value},
    text::{parse_line, words},
};

/// Versions at which AWS added fields to VPC flow logs.
const VERSIONS: [u8; 9] = [2, 3, 4, 5, 7, 8, 9, 10, 11];

/// The format of a line, if it is a record in one that AWS delivers by default: the fields of VPC flow logs up to some
/// version, in AWS's order, or those of transit gateways.
#[must_use]
pub fn default_format(line: &str) -> Option<Format> {
    let count = words(line).count();
    let transit_gateway = Format::transit_gateway();
    let format = if count == transit_gateway.fields().len() {
        transit_gateway
    } else {
        VERSIONS.into_iter().map(Format::up_to).find(|format| format.fields().len() == count)?
    };
    let header = Header::of(&format);
    parse_line(&header, line).ok().filter(is_plausible).map(|_| format)
}

/// Whether the words that have few values have one of them.
fn is_plausible(record: &Record<'_>) -> bool {
    let one_of = |field, known: &[&str]| match record.value(field) {
        Value::Text(text) => known.contains(&text),
        _ => true,
    };
    let transit_gateway = record.text(Field::ResourceType).is_some();
    record.int(Field::Version).is_some()
        && record.int(Field::Start).is_some()
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
        assert_eq!(default_format(RECORD), Some(Format::default_fields()));
        let nodata = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA";
        assert_eq!(default_format(nodata), Some(Format::default_fields()));
        let version_5 =
            format!("{RECORD} vpc-1 subnet-1 - 2 IPv4 5.6.7.8 1.2.3.4 eu-west-1 euw1-az2 - - - - ingress -");
        assert_eq!(default_format(&version_5).map(|format| format.fields().len()), Some(29));
        let format = Format::transit_gateway();
        let dashes = format.fields().iter().map(|field| match field {
            Field::Version => "6",
            Field::ResourceType => "TransitGateway",
            Field::Start | Field::End => "1418530010",
            Field::LogStatus => "NODATA",
            _ => "-",
        });
        assert_eq!(default_format(&dashes.collect::<Vec<_>>().join(" ")), Some(Format::transit_gateway()));
    }

    #[test]
    fn what_could_be_a_custom_format_is_not_guessed() {
        for line in [
            RECORD.replace("ACCEPT", "MAYBE"),
            RECORD.replace(" OK", " ACCEPT"),
            RECORD.replace("172.31.16.139", "eni-1"),
            format!("{RECORD} us-east-1"),
            "a b c d e f g h i j k l m n".to_owned(),
            String::new(),
        ] {
            assert_eq!(default_format(&line), None, "{line}");
        }
    }
}
