//! What a row costs, room by room, on flow logs of versions 2 and 5.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on ends; divan's macros make public items"
)]

use std::io::Read;

use divan::{Bencher, black_box, counter::ItemsCount};
use flowlake_common::{
    codec::Decoder,
    vpc::{Field, Header, parse_line},
};
use flowlake_converter::{
    lake,
    ocsf::{self, Origin, Placement, Rows, milliseconds},
};
use flowlake_tests::corpus::{self, Version};

const LINES: u32 = 50_000;

fn main() {
    divan::main();
}

/// One file of the corpus, unpacked: header and lines.
fn log(version: Version) -> (Header, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    corpus::write(folder.path(), version, 1, LINES).unwrap();
    let mut path = folder.path().to_owned();
    while path.is_dir() {
        path = path.read_dir().unwrap().next().unwrap().unwrap().path();
    }
    let mut text = String::new();
    Decoder::new(std::fs::File::open(path).unwrap(), u64::MAX).unwrap().read_to_string(&mut text).unwrap();
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
        ocsf::map(&record, header, line, placement, &mut rows);
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
        .bench_values(|mut rows| lake::write(&mut rows, Origin::Aws, &["input"], folder.path()).unwrap());
}
