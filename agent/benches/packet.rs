//! What a packet costs, room by room. Divide 1 s by the items per second for the time of one packet.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on ends; divan's macros make public items"
)]

use std::convert::Infallible;

use divan::{Bencher, black_box, counter::ItemsCount};
use flowlake_agent::{
    capture::CaptureFile,
    decode::{self, Fragments, Tunnels},
    emit::{Identity, record},
    flow::{Action, Closed, Key, Part, Seen, Settings, Windows},
};
use flowlake_common::vpc::{Format, write_line};
use flowlake_tests::traffic;

const PACKETS: u64 = 100_000;

fn main() {
    divan::main();
}

/// A capture of many flows: TCP, UDP and ICMP, a tenth IPv6, a tenth VLAN.
fn capture(flows: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    traffic::write(&mut bytes, PACKETS, flows).unwrap();
    bytes
}

/// Its frames, decoded, with their times.
fn decoded(capture: &[u8]) -> Vec<(i64, Key, u32, u8)> {
    let mut file = CaptureFile::open(capture).unwrap();
    let mut all = Vec::new();
    while let Some(packet) = file.next_packet().unwrap() {
        let decoded = decode::decode(packet.link_type, packet.data, packet.wire_length, Tunnels::default()).unwrap();
        let key = Key { tuple: decoded.tuple, interface: 0, direction: None, action: Action::Accept };
        all.push((packet.time_us, key, decoded.ip_bytes, decoded.tcp_flags));
    }
    all
}

#[divan::bench]
fn read_capture(bencher: Bencher) {
    let capture = capture(10_000);
    bencher.counter(ItemsCount::new(PACKETS)).bench(|| {
        let mut file = CaptureFile::open(&capture[..]).unwrap();
        let mut bytes = 0;
        while let Some(packet) = file.next_packet().unwrap() {
            bytes += packet.data.len();
        }
        bytes
    });
}

#[divan::bench]
fn decode_packet(bencher: Bencher) {
    let capture = capture(10_000);
    let mut file = CaptureFile::open(&capture[..]).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = file.next_packet().unwrap() {
        frames.push((packet.data.to_vec(), packet.wire_length));
    }
    bencher.counter(ItemsCount::new(PACKETS)).bench(|| {
        let mut fragments = Fragments::default();
        for (frame, wire_length) in &frames {
            let mut decoded = decode::decode(1, black_box(frame), *wire_length, Tunnels::default()).unwrap();
            fragments.complete(&mut decoded, 0);
            black_box(decoded);
        }
    });
}

/// Table update: 200 flows fit any cache, 100,000 do not.
#[divan::bench(args = [200, 10_000, 100_000])]
fn observe(bencher: Bencher, flows: u64) {
    let packets = decoded(&capture(flows));
    bencher.counter(ItemsCount::new(PACKETS)).bench(|| {
        let mut windows = Windows::new(Settings::default());
        for (time_us, key, bytes, flags) in &packets {
            windows
                .observe(*time_us, *key, Seen { bytes: *bytes, tcp_flags: *flags, ..Seen::default() }, |_| {
                    Ok::<(), Infallible>(())
                })
                .unwrap();
        }
        windows
    });
}

/// Closed windows to text, per record.
#[divan::bench]
fn write_records(bencher: Bencher) {
    let packets = decoded(&capture(10_000));
    let mut closed: Vec<Closed> = Vec::new();
    let mut windows = Windows::new(Settings::default());
    let mut keep = |part: Part| {
        closed.push(part.close());
        Ok::<(), Infallible>(())
    };
    for (time_us, key, bytes, flags) in &packets {
        windows
            .observe(*time_us, *key, Seen { bytes: *bytes, tcp_flags: *flags, ..Seen::default() }, &mut keep)
            .unwrap();
    }
    windows.close_all(keep).unwrap();
    let identity = Identity {
        account_id: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        interface_ids: vec!["eni-00000000000000000".to_owned()],
        ..Identity::default()
    };
    let format = Format::all_fields();
    let records: usize = closed.iter().map(|window| window.entries.len()).sum();
    let mut text = Vec::new();
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        text.clear();
        for window in &closed {
            for entry in &window.entries {
                write_line(&format, &record(&identity, window.start, entry), &mut text);
            }
        }
        text.len()
    });
}
