//! Records through their forms and back: over every field, the same record.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use flowlake_common::vpc::{
    Column, Field, Format, Header, Kind, ParquetWriter, Record, Value, parse_line, write_header, write_line,
};
use flowlake_converter::input::{FlowLog, Item};
use proptest::{collection::vec, prelude::*};

/// A value that owns its text.
#[derive(Debug, Clone, PartialEq)]
enum Owned {
    Absent,
    Int(i64),
    Address(std::net::IpAddr),
    Text(String),
}

type Values = BTreeMap<Field, Owned>;

/// Any value that a field can have. `version` is the format's.
fn any_value(field: Field, version: u8) -> BoxedStrategy<Owned> {
    let value = match field.info().kind {
        _ if field == Field::Version => return Just(Owned::Int(version.into())).boxed(),
        Kind::Int32 { max } => {
            prop_oneof![(0..=max), Just(0), Just(max)].prop_map(|number| Owned::Int(number.into())).boxed()
        }
        Kind::Int64 => prop_oneof![(0..=i64::MAX), Just(0), Just(i64::MAX)].prop_map(Owned::Int).boxed(),
        Kind::Address => any::<std::net::IpAddr>().prop_map(Owned::Address).boxed(),
        // Text of flow logs has no spaces: AWS percent-encodes them.
        Kind::Text => {
            "[^\\s\\p{C}]{1,40}".prop_filter("a dash is absent", |text| text != "-").prop_map(Owned::Text).boxed()
        }
    };
    prop_oneof![1 => Just(Owned::Absent), 4 => value].boxed()
}

fn any_values(format: &Format) -> impl Strategy<Value = Values> + use<> {
    let fields: Vec<Field> = format.fields().to_vec();
    let version = format.version();
    fields
        .iter()
        .map(|field| any_value(*field, version))
        .collect::<Vec<_>>()
        .prop_map(move |values| fields.iter().copied().zip(values).collect())
}

fn record(values: &Values) -> Record<'_> {
    let mut record = Record::default();
    for (field, value) in values {
        record.set(
            *field,
            match value {
                Owned::Absent => Value::Absent,
                Owned::Int(number) => Value::Int(*number),
                Owned::Address(address) => Value::Address(*address),
                Owned::Text(text) => Value::Text(text),
            },
        );
    }
    record
}

/// What a record says, of the fields that its header has.
fn values(record: &Record<'_>, header: &Header) -> Values {
    let fields = header.columns().iter().map(|column| match column {
        Column::Known(field) => *field,
        Column::Unknown(name) => panic!("unknown column {name}"),
    });
    let value = |field| match record.value(field) {
        Value::Absent => Owned::Absent,
        Value::Int(number) => Owned::Int(number),
        Value::Address(address) => Owned::Address(address),
        Value::Text(text) => Owned::Text(text.to_owned()),
    };
    fields.map(|field| (field, value(field))).collect()
}

/// The formats with all fields: of VPC flow logs, and of transit gateways.
fn formats() -> [Format; 2] {
    [Format::all_fields(), Format::transit_gateway()]
}

/// Records of a format in any order of its fields.
fn any_records() -> impl Strategy<Value = (Format, Vec<Values>)> {
    let format = (0..2_usize).prop_flat_map(|index| {
        let fields = formats()[index].fields().to_vec();
        Just(fields).prop_shuffle().prop_map(|fields| {
            let names: Vec<String> = fields.iter().map(|field| format!("${{{}}}", field.name())).collect();
            Format::parse(&names.join(" ")).expect("fields of the table")
        })
    });
    format.prop_flat_map(|format| {
        let records = vec(any_values(&format), 1..6);
        (Just(format), records)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_record_is_the_same_after_text((format, records) in any_records()) {
        let mut text = Vec::new();
        write_header(&format, &mut text);
        for values in &records {
            write_line(&format, &record(values), &mut text);
        }
        let text = String::from_utf8(text).expect("text");
        let mut lines = text.lines();
        let header = Header::parse(lines.next().expect("a header")).expect("our own header");
        let read: Vec<Values> =
            lines.map(|line| values(&parse_line(&header, line).expect("our own line"), &header)).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn a_record_is_the_same_after_parquet((format, records) in any_records()) {
        // The text of what could be read as a number stays text.
        let mut writer = ParquetWriter::new(Vec::new(), format, ("note", String::new())).expect("a writer");
        for values in &records {
            writer.write(&record(values)).expect("a row");
        }
        let file = Bytes::from(writer.finish().expect("a file"));
        let log = FlowLog::open_parquet(file, io::empty()).expect("it can be read").expect("a flow log");
        let mut log = log.expect("records");
        let mut read = Vec::new();
        while let Some(item) = log.next_item().expect("a row") {
            match item {
                Item::Record { record, header, .. } => read.push(values(&record, header)),
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(read, records);
    }
}
