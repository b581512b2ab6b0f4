//! The same records in every form in which AWS and others deliver them give the same rows: what a file is, its content tells.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field as ColumnField, Schema};
use base64::{Engine, prelude::BASE64_STANDARD};
use flowlake_common::vpc::{Field, Format, Kind, write_header};
use flowlake_tests::traffic;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, GzipLevel},
    file::properties::WriterProperties,
};

use crate::support::{agent, converter, gzip, rows, run, tree, write};

/// Records of all 54 fields: of a replay, and some that say NODATA and SKIPDATA.
struct Records {
    folder: tempfile::TempDir,
    header: String,
    lines: Vec<String>,
    /// The rows that they give.
    rows: Vec<String>,
}

impl Records {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = Vec::new();
        traffic::write(&mut capture, 400, 60).unwrap();
        let capture = write(folder.path(), "c.pcap", &capture);
        let mut replay = agent();
        replay.args([
            "replay",
            "--log-format",
            "all",
            "--local-networks",
            "10.0.0.0/8",
            "--account-id",
            "123456789012",
        ]);
        let text = run(replay.arg(capture)).ended(0).text();
        let mut header = Vec::new();
        write_header(&Format::all_fields(), &mut header);
        let header = String::from_utf8(header).unwrap().trim_end().to_owned();
        let mut lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        for status in ["NODATA", "SKIPDATA"] {
            lines.push(line_of(|field| match field {
                Field::LogStatus => status,
                Field::Version => "11",
                Field::Start | Field::End => "1700000000",
                Field::AccountId => "123456789012",
                Field::InterfaceId => "eni-0a",
                Field::Region => "us-east-1",
                _ => "-",
            }));
        }
        // Every field that the agent never fills.
        lines.push(line_of(|field| match (field, field.info().kind) {
            (Field::Version, _) => "11",
            (Field::Start, _) => "1700000001",
            (Field::End, _) => "1700000031",
            (Field::AccountId, _) => "123456789012",
            (Field::Region, _) => "us-east-1",
            (Field::Action, _) => "REJECT",
            (Field::LogStatus, _) => "OK",
            (Field::Type, _) => "IPv6",
            (Field::FlowDirection, _) => "egress",
            (Field::InstanceTag, _) => "my%2Dapp",
            (_, Kind::Address) => "2001:db8::7",
            (_, Kind::Int32 { .. } | Kind::Int64) => "3",
            (_, Kind::Text) => field.name(),
        }));
        assert!(lines.len() > 60);
        let mut records = Self { folder, header, lines, rows: Vec::new() };
        records.rows = records.convert("base", records.text().as_bytes(), &[]);
        assert_eq!(records.rows.len(), records.lines.len());
        records
    }

    fn text(&self) -> String {
        format!("{}\n{}\n", self.header, self.lines.join("\n"))
    }

    fn convert(&self, name: &str, bytes: &[u8], options: &[&str]) -> Vec<String> {
        // A name that says nothing, or the wrong thing.
        let input = write(self.folder.path(), &format!("{name}/logs.bin"), bytes);
        let lake = self.folder.path().join(name).join("lake");
        let rejects = lake.with_extension("rejects");
        let mut convert = converter();
        convert.arg("convert").arg(input).arg("--lake").arg(&lake).arg("--rejects").arg(rejects).args(options);
        let ran = run(&mut convert);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        rows(&lake)
    }

    #[track_caller]
    fn are_in(&self, name: &str, bytes: &[u8], options: &[&str]) {
        let found = self.convert(name, bytes, options);
        let only = |these: &[String], others: &[String]| these.iter().find(|row| !others.contains(row)).cloned();
        assert_eq!(only(&found, &self.rows), only(&self.rows, &found), "{name}");
        assert_eq!(found.len(), self.rows.len(), "{name}");
    }

    /// Messages of a subscription, some in each.
    fn envelopes(&self) -> Vec<String> {
        let all = self.lines.chunks(20).map(|lines| {
            let events = lines.iter().map(|line| {
                format!(r#"{{"id":"3","timestamp":1700000000000,"message":"{line}"}}"#)
            });
            format!(
                r#"{{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"g","logStream":"eni-1-all","subscriptionFilters":["f"],"logEvents":[{}]}}"#,
                events.collect::<Vec<_>>().join(",")
            )
        });
        let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#;
        std::iter::once(control.to_owned()).chain(all).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.header.split(' ').collect()
    }

    /// One JSON object for each line, its keys named by a function.
    fn objects(&self, name: impl Fn(&str) -> String) -> Vec<String> {
        let object = |line: &String| {
            let pairs = self.names().into_iter().zip(line.split(' ')).map(|(field, value)| {
                let is_number = value.bytes().all(|byte| byte.is_ascii_digit()) && field != "account-id";
                let value = if is_number { value.to_owned() } else { format!("\"{value}\"") };
                format!("\"{}\":{value}", name(field))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        self.lines.iter().map(object).collect()
    }

    /// A Parquet file of another hand: every number a 64-bit one or a floating one.
    fn parquet(&self, floats: bool, dashes: bool, compression: Compression) -> Vec<u8> {
        let names = self.names();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            let values = self.lines.iter().map(|line| line.split(' ').nth(index).filter(|value| *value != "-"));
            let column: ArrayRef = match Field::named(name).unwrap().info().kind {
                Kind::Int32 { .. } | Kind::Int64 if floats => Arc::new(
                    values.map(|value| value.map(|value| value.parse::<f64>().unwrap())).collect::<Float64Array>(),
                ),
                Kind::Int32 { .. } | Kind::Int64 => Arc::new(
                    values.map(|value| value.map(|value| value.parse::<i64>().unwrap())).collect::<Int64Array>(),
                ),
                _ if dashes => Arc::new(values.map(|value| Some(value.unwrap_or("-"))).collect::<StringArray>()),
                _ => Arc::new(values.collect::<StringArray>()),
            };
            fields.push(ColumnField::new(name.replace('-', "_"), column.data_type().clone(), true));
            columns.push(column);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(50));
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }
}

fn line_of<'a>(value: impl Fn(Field) -> &'a str) -> String {
    Format::all_fields().fields().iter().map(|field| value(*field)).collect::<Vec<_>>().join(" ")
}

fn camel(name: &str) -> String {
    let mut begins = false;
    let letters = name.chars().filter_map(|letter| {
        let word_begins = std::mem::replace(&mut begins, letter == '-');
        (letter != '-').then(|| if word_begins { letter.to_ascii_uppercase() } else { letter })
    });
    letters.collect()
}

#[test]
fn text_with_and_without_header_gives_the_same_rows() {
    let records = Records::new();
    let (header, lines) = (&records.header, &records.lines);
    records.are_in("gzip", &gzip(records.text().as_bytes()), &[]);
    records.are_in("zstd", &zstd::encode_all(records.text().as_bytes(), 3).unwrap(), &[]);
    records.are_in("crlf and spaces", records.text().replace('\n', "\r\n").replace(' ', "  ").as_bytes(), &[]);
    let (first, second) = lines.split_at(30);
    let repeated = format!("{header}\n{}\n{header}\n{}", first.join("\n"), second.join("\n"));
    records.are_in("repeated header, no end", repeated.as_bytes(), &[]);
    records.are_in("without header", lines.join("\n").as_bytes(), &[]);
    let members: Vec<u8> =
        lines.chunks(7).flat_map(|lines| gzip(format!("{}\n", lines.join("\n")).as_bytes())).collect();
    records.are_in("Firehose, members", &members, &[]);
    let exported: Vec<String> = lines.iter().map(|line| format!("2023-11-14T22:13:20.000Z {line}")).collect();
    records.are_in("CloudWatch export", &gzip(exported.join("\n").as_bytes()), &[]);

    // Some exporters write milliseconds.
    let names = records.names();
    let is_time: Vec<bool> = names.iter().map(|name| ["start", "end"].contains(name)).collect();
    let in_milliseconds = |line: &String| {
        let words = line.split(' ').zip(&is_time);
        words
            .map(|(word, is_time)| if *is_time { format!("{word}000") } else { word.to_owned() })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let milliseconds: Vec<String> = lines.iter().map(in_milliseconds).collect();
    records.are_in("milliseconds", format!("{header}\n{}", milliseconds.join("\n")).as_bytes(), &[]);

    // Any order, with header, and without it where it is told.
    let turned = |line: &str| line.split(' ').rev().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = lines.iter().map(|line| turned(line)).collect();
    records.are_in("turned", format!("{}\n{}", turned(header), lines.join("\n")).as_bytes(), &[]);
    let format: Vec<String> = turned(header).split(' ').map(|name| format!("${{{name}}}")).collect();
    records.are_in("turned, told", lines.join("\n").as_bytes(), &["--log-format", &format.join(" ")]);
}

#[test]
fn json_in_every_envelope_gives_the_same_rows() {
    let records = Records::new();
    let envelopes = records.envelopes();
    records.are_in("envelopes", envelopes.concat().as_bytes(), &[]);
    records.are_in("envelopes in lines, gzip", &gzip(envelopes.join("\n").as_bytes()), &[]);
    let members: Vec<u8> = envelopes.iter().flat_map(|envelope| gzip(envelope.as_bytes())).collect();
    records.are_in("envelopes, members", &members, &[]);
    let words: Vec<String> =
        envelopes.iter().map(|envelope| BASE64_STANDARD.encode(gzip(envelope.as_bytes()))).collect();
    records.are_in("base64", words.join("\n").as_bytes(), &[]);
    let lambda: Vec<String> = words.iter().map(|word| format!(r#"{{"awslogs":{{"data":"{word}"}}}}"#)).collect();
    records.are_in("Lambda", lambda.join("\n").as_bytes(), &[]);
    let kinesis: Vec<String> = words.iter().map(|word| format!(r#"{{"kinesis":{{"data":"{word}"}}}}"#)).collect();
    records.are_in("Kinesis", format!(r#"{{"Records":[{}]}}"#, kinesis.join(",")).as_bytes(), &[]);
    let messages: Vec<String> = records.lines.iter().map(|line| format!(r#"{{"message":"{line}"}}"#)).collect();
    records.are_in("messages", messages.join("\n").as_bytes(), &[]);
    records.are_in("messages without line ends", messages.concat().as_bytes(), &[]);
    for (name, form) in [("underscores", (|name| name.replace('-', "_")) as fn(&str) -> String), ("camel case", camel)]
    {
        let objects = records.objects(form);
        records.are_in(name, objects.join("\n").as_bytes(), &[]);
        records.are_in(&format!("{name}, an array"), format!("[{}]", objects.join(",\n")).as_bytes(), &[]);
    }
}

#[test]
fn csv_and_parquet_of_any_typing_give_the_same_rows() {
    let records = Records::new();
    let row = |words: Vec<&str>| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(",");
    let names: Vec<String> = records.names().iter().map(|name| name.replace('-', "_")).collect();
    let header = row(names.iter().map(String::as_str).collect());
    let csv = |absent: &str| {
        let lines = records
            .lines
            .iter()
            .map(|line| row(line.split(' ').map(|word| if word == "-" { absent } else { word }).collect()));
        std::iter::once(header.clone()).chain(lines).collect::<Vec<_>>().join("\n")
    };
    records.are_in("CSV of Athena", csv("").as_bytes(), &[]);
    records.are_in("CSV with dashes", csv("-").replace('\n', "\r\n").as_bytes(), &[]);
    let insights: Vec<String> = records.lines.iter().map(|line| format!("2023-11-14 22:13:20.000,{line}")).collect();
    records.are_in("CSV of Logs Insights", format!("@timestamp,@message\n{}", insights.join("\n")).as_bytes(), &[]);
    let gzip = Compression::GZIP(GzipLevel::default());
    records.are_in("Parquet of 64 bits", &records.parquet(false, false, gzip), &[]);
    records.are_in("Parquet with dashes", &records.parquet(false, true, Compression::SNAPPY), &[]);
    records.are_in("Parquet of floats", &records.parquet(true, true, Compression::UNCOMPRESSED), &[]);
}

fn replayed(folder: &Path, capture: &Path, options: &[&str]) -> PathBuf {
    let logs = folder.join(options.join(" "));
    run(agent().args(["replay", "--log-format", "all", "--output"]).arg(&logs).args(options).arg(capture)).ended(0);
    logs
}

/// Transit gateways: with and without header the same rows; addresses, ports, traffic and direction where those of VPC flow
/// logs are, nobody's verdict, and what only they have in `unmapped`.
#[test]
fn transit_gateway_logs_are_rows() {
    let format = Format::transit_gateway();
    let value = |field: Field, no_data: bool| match (field, field.info().kind) {
        (Field::Version, _) => "6".to_owned(),
        (Field::ResourceType, _) => "TransitGateway".to_owned(),
        (Field::AccountId, _) => "123456789012".to_owned(),
        (Field::Region, _) => "us-east-1".to_owned(),
        (Field::Start, _) => "1700000000".to_owned(),
        (Field::End, _) => "1700000059".to_owned(),
        (Field::LogStatus, _) if no_data => "NODATA".to_owned(),
        (Field::TgwId | Field::TgwAttachmentId, _) => field.name().to_owned(),
        _ if no_data => "-".to_owned(),
        (Field::LogStatus, _) => "OK".to_owned(),
        (Field::Type, _) => "IPv4".to_owned(),
        (Field::FlowDirection, _) => "ingress".to_owned(),
        (Field::Srcaddr, _) => "10.0.0.1".to_owned(),
        (_, Kind::Address) => "10.1.0.1".to_owned(),
        (_, Kind::Int32 { .. } | Kind::Int64) => (10 + field as u32).to_string(),
        (_, Kind::Text) => field.name().to_owned(),
    };
    let line = |no_data| format.fields().iter().map(|field| value(*field, no_data)).collect::<Vec<_>>().join(" ");
    let lines = format!("{}\n{}\n", line(false), line(true));
    let mut header = Vec::new();
    write_header(&format, &mut header);
    let folder = tempfile::tempdir().unwrap();
    let found = |name: &str, content: &str| {
        let input = write(folder.path(), name, content.as_bytes());
        let lake = folder.path().join(format!("{name}.lake"));
        run(converter().arg("convert").arg(input).arg("--lake").arg(&lake)).ended(0);
        run(converter().arg("validate").arg(&lake)).ended(0);
        rows(&lake)
    };
    let with_header = found("with", &format!("{}{lines}", String::from_utf8(header).unwrap()));
    assert_eq!(found("without", &lines), with_header);
    let [flow, no_data] = &with_header[..] else {
        panic!("{with_header:?}");
    };
    for part in [
        "version: \"6\", name: \"Amazon VPC\"",
        "src_endpoint: {port: 15, svc_name: \"pkt-src-aws-service\", ip: \"10.0.0.1\"",
        "dst_endpoint: {port: 16, svc_name: \"pkt-dst-aws-service\", ip: \"10.1.0.1\"",
        "direction_id: 1, direction: \"Inbound\"",
        "traffic: {packets: 18, bytes: 19}",
        "activity_name: \"Traffic\", activity_id: 6, action: \"Unknown\", action_id: 0",
        "\"resource_type\" -> \"TransitGateway\", \"tgw_id\" -> \"tgw-id\", \"tgw_attachment_id\" -> \"tgw-attachment-id\"",
        "\"tgw_pair_attachment_id\" -> \"tgw-pair-attachment-id\", \"packets_lost_no_route\" -> ",
        "\"packets_lost_ttl_expired\" -> ",
    ] {
        assert!(flow.contains(part), "'{part}' is not in {flow}");
    }
    for part in ["status_code: \"NODATA\"", "activity_id: 0", "interface_uid: \"tgw-attachment-id\""] {
        assert!(no_data.contains(part), "'{part}' is not in {no_data}");
    }
}

/// One capture written as text and as Parquet, in every layout: the same records.
#[test]
fn text_and_parquet_of_one_capture_are_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    traffic::write(&mut bytes, 20_000, 1500).unwrap();
    let capture = write(folder.path(), "c.pcap", &bytes);
    let lake_of = |logs: &Path| {
        let lake = logs.with_extension("lake");
        run(converter().arg("convert").arg(logs).arg("--lake").arg(&lake)).ended(0);
        rows(&lake)
    };
    let text = replayed(folder.path(), &capture, &["--file-format", "plain-text"]);
    let expected = lake_of(&text);
    assert!(expected.len() > 1500);
    for options in [
        &["--file-format", "parquet"][..],
        &["--file-format", "parquet", "--hive-compatible-partitions", "--per-hour-partition"],
        &["--file-format", "plain-text", "--hive-compatible-partitions"],
        &["--per-hour-partition"],
    ] {
        let logs = replayed(folder.path(), &capture, options);
        assert!(!tree(&logs).is_empty());
        assert_eq!(lake_of(&logs), expected, "{options:?}");
    }
    // A flow log says what it is.
    let parquet = replayed(folder.path(), &capture, &["--file-format", "parquet", "--region", "eu-west-1"]);
    let said = run(converter().arg("inspect").arg(parquet)).ended(0).text();
    assert!(said.contains("VPC flow log, Parquet") && said.contains("fields     54, up to version 11"), "{said}");
}

/// `inspect` says of each file what it is, and what is wrong with it; it converts nothing.
#[test]
fn inspect_says_what_files_are() {
    let folder = tempfile::tempdir().unwrap();
    let default = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";
    let good = "2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1700000000 1700000061 ACCEPT OK";
    let no_data = "2 unknown eni-1 - - - - - - - 1700000100 1700000159 - NODATA";
    let content = format!("{default} new-one\n{good} x\n{no_data} -\n2 nonsense\n{good} x y\n");
    let file = write(folder.path(), "log", &gzip(content.as_bytes()));
    let inspect = |path: &Path| run(converter().arg("inspect").arg(path));
    let said = inspect(&file).ended(1).text();
    for line in [
        "  kind       VPC flow log, text, gzip\n",
        "  fields     15, up to version 2: version account-id",
        "  not known  new-one; they are kept in `unmapped`\n",
        "  versions   2 (2)\n",
        "  records    2: NODATA (1), OK (1)\n",
        "  time       2023-11-14T22:13:20Z to 2023-11-14T22:15:59Z\n",
        "  problems   2 lines cannot be read\n",
        "             line 4: 2 values where the header names 15\n",
        "             line 5: 16 values where the header names 15\n",
    ] {
        assert!(said.contains(line), "'{line}' is not in:\n{said}");
    }
    let cut = write(folder.path(), "cut", &fs::read(&file).unwrap()[..60]);
    assert!(inspect(&cut).ended(1).text().contains("cut off inside the header line"));
    let capture = write(folder.path(), "p", b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0");
    assert!(inspect(&capture).ended(1).text().contains("`flowlake-agent replay` reads it"));
    let empty = write(folder.path(), "e", b"");
    assert!(inspect(&empty).ended(0).text().contains("nothing: no record and no header"));
    inspect(Path::new("/does/not/exist")).ended(1).says("/does/not/exist");
    assert_eq!(tree(folder.path()).len(), 4, "nothing was written");
}
