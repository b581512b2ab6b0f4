//! What a row costs, room by room, on flow logs of versions 2 and 5.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on ends; divan's macros make public items"
)]

use std::io::{self, Read};

use divan::{Bencher, black_box, counter::ItemsCount};
use flowlake_common::{
    codec::Decoder,
    vpc::{Field, Format, Header, ParquetWriter, parse_line},
};
use flowlake_converter::{
    input::{FlowLog, Item, begins_anew},
    lake,
    ocsf::{self, Mapping, Origin, Placement, Rows, Version as OcsfVersion, milliseconds},
};
use flowlake_tests::corpus::{self, Version};

const LINES: u32 = 50_000;
const MAPPING: Mapping =
    Mapping { origin: Origin::Aws, version: OcsfVersion::V1_1_0, judged: true, community_id: false };

fn main() {
    divan::main();
}

/// One file of the corpus, packed as it is delivered.
fn packed(version: Version) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    corpus::write(folder.path(), version, 1, LINES).unwrap();
    let mut path = folder.path().to_owned();
    while path.is_dir() {
        path = path.read_dir().unwrap().next().unwrap().unwrap().path();
    }
    std::fs::read(path).unwrap()
}

/// The same, unpacked: header and lines.
fn log(version: Version) -> (Header, Vec<String>) {
    let mut text = String::new();
    Decoder::new(&packed(version)[..], u64::MAX).unwrap().read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let header = Header::parse(lines.next().unwrap()).unwrap();
    (header, lines.map(str::to_owned).collect())
}

fn rows(header: &Header, lines: &[String]) -> Rows {
    let mut rows = Rows::default();
    for line in lines {
        let record = parse_line(header, line).unwrap();
        let time = milliseconds(record.int(Field::Start).unwrap());
        let placement = Placement { account: "123456789012", region: "us-east-1", time };
        ocsf::map(&record, header, line, placement, MAPPING, &mut rows);
    }
    rows
}

#[divan::bench(args = [Version::V2, Version::V5])]
fn parse(bencher: Bencher, version: Version) {
    let (header, lines) = log(version);
    bencher.counter(ItemsCount::new(LINES)).bench(|| {
        for line in &lines {
            black_box(parse_line(&header, black_box(line)).unwrap());
        }
    });
}

/// Every record of a log, from the bytes of its file.
fn read_all<R: Read>(mut log: FlowLog<R>) -> u32 {
    let mut records = 0;
    while let Some(item) = log.next_item().unwrap() {
        records += u32::from(matches!(black_box(item), Item::Record { .. }));
    }
    records
}

#[divan::bench(args = [Version::V2, Version::V5])]
fn read_text_gz(bencher: Bencher, version: Version) {
    let packed = packed(version);
    bencher.counter(ItemsCount::new(LINES)).bench(|| {
        let source = Decoder::lines(&packed[..], u64::MAX, |before, line| begins_anew(before, line, None)).unwrap();
        assert_eq!(read_all(FlowLog::open(source, None).unwrap().unwrap().unwrap()), LINES);
    });
}

#[divan::bench(args = [Version::V2, Version::V5])]
fn read_parquet(bencher: Bencher, version: Version) {
    let (header, lines) = log(version);
    let names: Vec<String> = header.names().map(|name| format!("${{{name}}}")).collect();
    let format = Format::parse(&names.join(" ")).unwrap();
    let mut writer = ParquetWriter::new(Vec::new(), format, ("note", String::new())).unwrap();
    for line in &lines {
        writer.write(&parse_line(&header, line).unwrap()).unwrap();
    }
    let file = bytes::Bytes::from(writer.finish().unwrap());
    bencher.counter(ItemsCount::new(LINES)).bench(|| {
        let log = FlowLog::open_parquet(file.clone(), io::empty()).unwrap().unwrap().unwrap();
        assert_eq!(read_all(log), LINES);
    });
}

#[divan::bench(args = [Version::V2, Version::V5])]
fn parse_and_map(bencher: Bencher, version: Version) {
    let (header, lines) = log(version);
    bencher.counter(ItemsCount::new(LINES)).bench(|| rows(&header, &lines));
}

#[divan::bench(args = [Version::V2, Version::V5])]
fn write(bencher: Bencher, version: Version) {
    let (header, lines) = log(version);
    let folder = tempfile::tempdir().unwrap();
    bencher
        .counter(ItemsCount::new(LINES))
        .with_inputs(|| rows(&header, &lines))
        .bench_values(|mut rows| lake::write(&mut rows, MAPPING, &["input".to_owned()], folder.path()).unwrap());
}
