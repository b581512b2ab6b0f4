//! Seeds for the fuzz targets: a small input of each kind, for a fuzzer to start from.

use std::{fs, io, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flowlake_common::vpc::{Field, Format, ParquetWriter, Record, Value};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, GzipLevel, ZstdLevel},
    file::properties::{WriterProperties, WriterVersion},
};

use crate::{
    capture::{Interface, Pcap, Pcapng, Seen},
    frame::{ACK, FIN, Link, Packet, SYN, Transport, ip, v4, v6},
    fuzz::LINK_TYPES,
};

/// Writes `<target>/<name>` below a folder.
///
/// # Errors
/// When a file cannot be written.
pub fn write(root: &Path) -> io::Result<()> {
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(root.join(target))?;
        fs::write(root.join(target).join(name), bytes)
    };
    let packets = [
        Packet { source: v4(1), destination: v4(2), transport: Transport::Tcp(1, 2, SYN | ACK), payload: 3 },
        Packet { source: v6(1), destination: v6(2), transport: Transport::Udp(3, 4789), payload: 60 },
        Packet { source: v4(1), destination: v4(2), transport: Transport::Other(47), payload: 40 },
    ];
    for link in Link::ALL {
        let frames: Vec<Vec<u8>> = packets.iter().map(|packet| link.frame(&ip(packet))).collect();
        let name = format!("{link:?}").to_lowercase();
        let number =
            u8::try_from(LINK_TYPES.iter().position(|known| *known == link.link_type()).unwrap_or(0)).unwrap_or(0);
        let target = if link == Link::Nflog { "nflog" } else { "decode" };
        for (index, frame) in frames.iter().enumerate() {
            let bytes = if link == Link::Nflog { frame.clone() } else { [&[number, 0xff], &frame[..]].concat() };
            keep(target, &format!("{name}-{index}"), &bytes)?;
        }
        let seen: Vec<Seen> = (0..).zip(&frames).map(|(time, frame)| Seen::whole(100 * time, frame.clone())).collect();
        keep("replay", &format!("{name}.pcap"), &Pcap::default().write(link.link_type(), &seen))?;
    }
    for big_endian in [false, true] {
        let mut pcapng = Pcapng::new(big_endian);
        pcapng.interface(Interface { link_type: 101, name: "eth0", resolution: Some(9), offset: -7 });
        let close = Packet { transport: Transport::Tcp(1, 2, FIN | ACK), ..packets[0] };
        pcapng.packet(&Seen::whole(1_700_000_000, ip(&close)), Some(2));
        pcapng.simple_packet(&ip(&packets[1]));
        pcapng.block(0x0bad, b"unknown!");
        let bytes = pcapng.finish();
        keep("capture", &format!("{big_endian}.pcapng"), &bytes)?;
        keep("replay", &format!("{big_endian}.pcapng"), &bytes)?;
        for nanoseconds in [false, true] {
            let seen = [Seen::whole(1_700_000_000, ip(&close))];
            let bytes = Pcap { big_endian, nanoseconds }.write(101, &seen);
            keep("capture", &format!("{big_endian}-{nanoseconds}.pcap"), &bytes)?;
        }
    }
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status new-field";
    let line = "2 123456789012 eni-1 10.0.0.1 2001:db8::1 1 443 6 1 40 1700000000 1700000001 ACCEPT OK x";
    let no_data = "2 unknown eni-1 - - - - - - - 1700000000 1700000059 - NODATA -";
    keep("log", "plain", format!("{header}\n{line}\r\n{no_data}\n").as_bytes())?;
    keep("log", "odd", format!("{header}\nnot a record\n\nstart tcp-flags\n1 2\n{line}").as_bytes())?;
    let version_2 = line.strip_suffix(" x").unwrap_or(line);
    keep("log", "headerless", format!("{version_2}\r\n2023-11-14T22:13:20.000Z {version_2}").as_bytes())?;
    let envelope = format!(
        "{{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{{\"id\":\"1\",\"timestamp\":1,\"message\":\"{version_2}\"}}]}}"
    );
    let object = "{\"version\":2,\"accountId\":\"123456789012\",\"srcaddr\":\"10.0.0.1\",\"srcport\":443.0,\"start\":1700000000,\"end\":null}";
    for (kind, name, text) in [
        (0, "subscription", envelope.strip_prefix('{').unwrap_or_default()),
        (0, "objects", &format!("{}{object}", object.strip_prefix('{').unwrap_or_default())),
        (1, "packed", envelope.as_str()),
        (2, "event", envelope.as_str()),
        (3, "message", version_2),
        (4, "csv", "\"end\",\"log_status\"\n\"1700000000\",\"1700000001\",\"OK\"\n"),
    ] {
        keep("envelope", name, &[&[kind], text.as_bytes()].concat())?;
    }
    keep("log", "control", b"{\"messageType\":\"CONTROL_MESSAGE\",\"logEvents\":[]}")?;
    parquet(keep)
}

/// Our own file, and small ones of every codec and page version.
fn parquet(keep: impl Fn(&str, &str, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut record = Record::default();
    record.set(Field::AccountId, Value::Text("123456789012"));
    record.set(Field::Start, Value::Int(1_700_000_000));
    record.set(Field::Srcaddr, Value::Address([10, 0, 0, 1].into()));
    let written = || {
        let mut writer = ParquetWriter::new(Vec::new(), Format::default_fields(), ("note", String::new()))?;
        writer.write(&record)?;
        writer.finish()
    };
    keep("parquet", "ours", &written().map_err(io::Error::other)?)?;
    let starts: ArrayRef = Arc::new(Int64Array::from_iter((0..40).map(|number| Some(number).filter(|it| it % 7 > 0))));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..40).map(|number| format!("eni-{}", number % 3))));
    let batch = RecordBatch::try_from_iter([("start", starts), ("interface_id", texts)]).map_err(io::Error::other)?;
    for (name, codec, version) in [
        ("plain", Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0),
        ("snappy", Compression::SNAPPY, WriterVersion::PARQUET_1_0),
        ("gzip-2", Compression::GZIP(GzipLevel::default()), WriterVersion::PARQUET_2_0),
        ("zstd-2", Compression::ZSTD(ZstdLevel::default()), WriterVersion::PARQUET_2_0),
    ] {
        let properties = WriterProperties::builder().set_compression(codec).set_writer_version(version).build();
        let written = || {
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            writer.into_inner()
        };
        keep("parquet", name, &written().map_err(io::Error::other)?)?;
    }
    Ok(())
}
