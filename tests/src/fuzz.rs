//! What the fuzz targets do with bytes: never panic, and keep the counts. The ordinary tests replay the seeds through the
//! same functions, so a finding becomes a test by adding its file.

use std::{
    convert::Infallible,
    io::{self, Read, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use flowlake_agent::{
    capture::CaptureFile,
    decode::{self, Fragments, Tunnel, Tunnels, Undecoded},
    emit::{Identity, record},
    flow::{Action, Counters, Observer, Part, Rules, Settings, Sighting},
};
use flowlake_common::vpc::{Format, Header, parse_line, write_header, write_line};
use flowlake_converter::{
    input::{FlowLog, Item, begins_anew},
    ocsf::{self, Mapping, Origin, Placement, Rows, Version},
};
use ipnet::{IpNet, Ipv4Net};

/// What a target does with its bytes.
pub type Target = fn(&[u8]);

/// The targets, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("decode", decode),
    ("nflog", nflog),
    ("capture", capture),
    ("replay", replay),
    ("log", log),
    ("envelope", envelope),
    ("parquet", parquet),
];

/// The link types that [`decode`] chooses from.
pub const LINK_TYPES: [u16; 14] = [0, 1, 9, 50, 51, 104, 108, 113, 204, 219, 228, 229, 276, 101];

/// A frame behind two bytes that choose its link type and the tunnels to look into.
pub fn decode(bytes: &[u8]) {
    let [link_type, tunnels, frame @ ..] = bytes else {
        return;
    };
    let link_type = LINK_TYPES[usize::from(*link_type) % LINK_TYPES.len()];
    decode_frame(link_type, frame, tunnels_of(*tunnels));
}

/// A frame of LINKTYPE_NFLOG.
pub fn nflog(bytes: &[u8]) {
    decode_frame(239, bytes, Tunnels::default());
}

fn decode_frame(link_type: u16, frame: &[u8], tunnels: Tunnels) {
    let wire_length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let all = decode::decode(link_type, frame, wire_length, tunnels);
    if let Ok(mut decoded) = all {
        Fragments::default().complete(&mut decoded, 0);
        assert!(decoded.tuple.ipv6 || decoded.tuple.source[4..] == [0; 12], "an IPv4 address in four bytes");
    }
}

fn tunnels_of(bits: u8) -> Tunnels {
    let chosen = Tunnel::ALL.into_iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    chosen.map(|(_, (tunnel, _))| tunnel).collect()
}

/// A capture file: every packet it gives lies in it.
pub fn capture(bytes: &[u8]) {
    let Ok(mut file) = CaptureFile::open(bytes) else {
        return;
    };
    let mut captured = 0;
    while let Ok(Some(packet)) = file.next_packet() {
        captured += packet.data.len();
        let interface = packet.interface;
        assert!(interface < file.interfaces().len());
    }
    assert!(captured <= bytes.len());
}

/// A capture through all that a replay does with its packets, with a small flow table, a firewall that drops some, and the text
/// writer: every packet is in a record or counted, and every record reads back.
pub fn replay(bytes: &[u8]) {
    let Ok(mut file) = CaptureFile::open(bytes) else {
        return;
    };
    let format = Format::all_fields();
    let mut header = Vec::new();
    write_header(&format, &mut header);
    let header = Header::parse(std::str::from_utf8(&header).unwrap_or_default().trim_end());
    let Ok(header) = header else {
        unreachable!("our own header");
    };
    let identity = Identity {
        account_id: "0".to_owned(),
        region: "r".to_owned(),
        interface_ids: vec!["eni-0".to_owned()],
        ..Identity::default()
    };
    let (mut accepted, mut rejected, mut line) = (0, 0, Vec::new());
    let mut write = |part: Part| {
        let closed = part.close();
        for entry in &closed.entries {
            if entry.key.action == Action::Reject {
                rejected += entry.packets;
            } else {
                accepted += entry.packets;
            }
            line.clear();
            let written = record(&identity, closed.start, entry);
            write_line(&format, &written, &mut line);
            let text = std::str::from_utf8(&line).unwrap_or_default().trim_end();
            // Before 1970 there are no flow logs: such a record is written, and not read again.
            assert!(closed.start < 0 || parse_line(&header, text).is_ok(), "{text}");
        }
        Ok::<(), Infallible>(())
    };
    let mut observer = Observer::new(Rules {
        flow: Settings { interval: 60, max_flows: 16 },
        decapsulate: tunnels_of(0xff),
        icmp_prohibited: true,
        local_networks: vec![IpNet::from(Ipv4Net::new_assert([10, 0, 0, 0].into(), 8))],
    });
    let (mut seen, mut dropped, mut fragments) = (0, 0, 0);
    while let Ok(Some(packet)) = file.next_packet() {
        let Some(sighting) = observer.decode(&packet) else {
            continue;
        };
        let Ok(()) = observer.mark_prohibited(&packet, &sighting, 0, &mut write);
        let Ok(()) = observer.add(sighting, 0, &mut write);
        let is_drop = sighting.action == Action::Reject;
        (seen, dropped) = (seen + u64::from(!is_drop), dropped + u64::from(is_drop));
        fragments += u64::from(sighting.decoded.fragment.is_some_and(|fragment| !fragment.first));
        // Of every third packet the firewall says that it dropped it.
        if seen % 3 == 0 {
            let drop = Sighting { action: Action::Reject, ..sighting };
            let Ok(_) = observer.observe(drop, 0, &mut write);
            dropped += 1;
        }
    }
    let Ok(()) = observer.windows().close_all(&mut write);
    // What was dropped is in a record; what was seen is in one, but for what was dropped and the fragments of that.
    assert_eq!(rejected, dropped);
    assert!(accepted <= seen && accepted + dropped + fragments >= seen, "{accepted} of {seen}, {dropped} dropped");
    let Counters { packets, recorded, .. } = observer.counters;
    let undecoded: u64 = Undecoded::ALL.iter().map(|reason| observer.counters.count(*reason)).sum();
    assert_eq!(packets, recorded + undecoded);
}

/// A flow log, packed or not: every line is a record or a reject, and every record becomes a row.
pub fn log(bytes: &[u8]) {
    const UNPACKED: u64 = 8 << 20;
    let Ok(source) =
        flowlake_common::codec::Decoder::lines(bytes, UNPACKED, |before, line| begins_anew(before, line, None))
    else {
        return;
    };
    if let Ok(Ok(Some(log))) = FlowLog::open(source, None) {
        read(log);
    }
}

/// Text behind a byte that chooses the envelope in which it travels: JSON as it is, a packed subscription, the same in an event,
/// a message, CSV.
pub fn envelope(bytes: &[u8]) {
    let [kind, text @ ..] = bytes else {
        return;
    };
    let word = || {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = packed.write_all(text).and_then(|()| packed.finish()).unwrap_or_default();
        BASE64_STANDARD.encode(packed)
    };
    let quoted = || String::from_utf8_lossy(text).escape_default().to_string();
    let stream = match kind % 5 {
        0 => [b"{", text].concat(),
        1 => word().into_bytes(),
        2 => format!("{{\"awslogs\":{{\"data\":\"{}\"}}}}", word()).into_bytes(),
        3 => format!("{{\"message\":\"{}\"}}", quoted()).into_bytes(),
        _ => [b"\"start\",", text].concat(),
    };
    if let Ok(Ok(Some(log))) = FlowLog::open(&stream[..], None) {
        read(log);
    }
}

/// A Parquet file.
pub fn parquet(bytes: &[u8]) {
    if let Ok(Ok(Some(log))) = FlowLog::open_parquet(Bytes::copy_from_slice(bytes), io::empty()) {
        read(log);
    }
}

/// Every item is a record or a reject, and every record becomes a row. A small file may say that it has very many.
fn read<R: Read>(mut log: FlowLog<R>) {
    const ITEMS: u32 = 20_000;
    let (mut rows, mut last, mut records) = (Rows::default(), 0, 0);
    for _ in 0..ITEMS {
        let Ok(Some(item)) = log.next_item() else {
            break;
        };
        match item {
            Item::Record { line, text, record, header } => {
                // An envelope has many records on one line.
                assert!(line >= last, "lines come in order");
                last = line;
                records += 1;
                let placement = Placement { account: "0", region: "r", time: 0 };
                let mapping =
                    Mapping { origin: Origin::Aws, version: Version::V1_1_0, judged: true, community_id: true };
                ocsf::map(&record, header, text, placement, mapping, &mut rows);
            }
            Item::Reject(reject) => {
                assert!(reject.line >= last && !reject.reason.is_empty());
                last = reject.line;
            }
            Item::Header | Item::Comment => {}
        }
    }
    assert_eq!(rows.len(), records);
}
