//! Deliveries that are odd, cut or joined: no record vanishes, none is read by another's header, and the good part is kept.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::support::{converter, gzip, rows, run, write};

pub(crate) const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

/// A record whose source port is its number.
pub(crate) fn line(number: u32) -> String {
    format!("2 123456789012 eni-1 10.0.0.1 10.0.0.2 {number} 443 6 1 40 1700000000 1700000001 ACCEPT OK")
}

/// The same with addresses and ports the other way round in the line.
fn swapped(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    words.swap(3, 4);
    words.swap(5, 6);
    words.join(" ")
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| line(number) + "\n").collect()
}

fn message(number: u32) -> String {
    format!(r#"{{"message":"{}"}}"#, line(number))
}

/// An object whose keys are the fields, in the swapped order.
fn object(number: u32) -> String {
    let (names, values) = (swapped(HEADER), swapped(&line(number)));
    let pairs = names.split(' ').zip(values.split(' ')).map(|(name, value)| format!(r#""{name}":"{value}""#));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn envelope(messages: &str) -> String {
    format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{messages}]}}"#)
}

/// The source ports of the rows that a file gives, and its exit code. Every row has its ends the right way round.
pub(crate) fn ports(name: &str, content: &[u8], options: &[&str]) -> (Vec<u32>, i32) {
    let folder = tempfile::tempdir().unwrap();
    let input = write(folder.path(), "input", content);
    let lake = folder.path().join("lake");
    let mut convert = converter();
    convert.arg("convert").arg(input).arg("--lake").arg(&lake).arg("--rejects").arg(folder.path().join("rejects"));
    let ran = run(convert.args(["--region", "us-east-1"]).args(options));
    let mut ports: Vec<u32> = rows(&lake)
        .iter()
        .map(|row| {
            assert!(row.contains("dst_endpoint: {port: 443, svc_name: null, ip: \"10.0.0.2\""), "{name}: {row}");
            let port = row.split("src_endpoint: {port: ").nth(1).and_then(|rest| rest.split(',').next());
            port.expect("a port").parse().expect("a number")
        })
        .collect();
    ports.sort_unstable();
    (ports, ran.code)
}

#[test]
fn odd_files_are_read_whole() {
    let words = |text: &str| BASE64_STANDARD.encode(gzip(text.as_bytes()));
    let (one, two) = (message(1), message(2));
    let both = format!("{one},{two}");
    let wrapped: String = words(&envelope(&both))
        .as_bytes()
        .chunks(76)
        .map(|part| format!("{}\n", String::from_utf8_lossy(part)))
        .collect();
    let zstd_of = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let zstd = |text: String| zstd_of(text.as_bytes());
    let pretty =
        format!("{{\n  \"events\": [\n    {one},\n    {two}\n  ],\n  \"searchedLogStreams\": [ {{ \"a\": 1 }} ]\n}}\n");
    let pair = |number| {
        let pairs = HEADER
            .split(' ')
            .zip(line(number).split(' ').map(str::to_owned).collect::<Vec<_>>())
            .map(|(name, value)| format!(r#"{{"field":"{name}","value":"{value}"}}"#))
            .collect::<Vec<_>>();
        format!("[{}]", pairs.join(","))
    };
    let camel = "version,accountId,interfaceId,srcAddr,dstAddr,srcPort,dstPort,protocol,packets,bytes,startTime,endTime,action,logStatus";
    let csv = |number| line(number).replace(' ', ",");
    for (name, content) in [
        ("a message with an empty list", format!(r#"{{"message":"{}","records":[]}}{two}"#, line(1)).into_bytes()),
        (
            "fields and an empty message",
            [object(1), object(2)].concat().replace("{\"version\"", "{\"message\":\"\",\"version\"").into_bytes(),
        ),
        (
            "fields and an empty list",
            [object(1), object(2)].concat().replace("{\"version\"", "{\"events\":[],\"version\"").into_bytes(),
        ),
        ("objects and messages in turn", format!("{}\n{two}\n", object(1)).into_bytes()),
        ("messages and objects in turn", format!("{one}\n{}\n", object(2)).into_bytes()),
        ("the write test of an export", format!("Permission Check Successful\n{}", lines(1..3)).into_bytes()),
        ("the bytes' order marked, JSON", format!("\u{feff}{one}{two}").into_bytes()),
        ("the bytes' order marked, no header", format!("\u{feff}{}", lines(1..3)).into_bytes()),
        ("an empty gzip member first", [gzip(b"\n"), gzip(format!("{one}{two}").as_bytes())].concat()),
        ("gzip members of bare lines", [gzip(line(1).as_bytes()), gzip(line(2).as_bytes())].concat()),
        ("zeros behind gzip", [gzip(lines(1..3).as_bytes()), vec![0; 512]].concat()),
        (
            "zstd frames, the second swapped",
            [zstd(format!("{HEADER}\n{}", line(1))), zstd(format!("{}\n{}", swapped(HEADER), swapped(&line(2))))]
                .concat(),
        ),
        ("base64 in lines", wrapped.into_bytes()),
        ("base64 without padding", words(&envelope(&both)).trim_end_matches('=').as_bytes().to_vec()),
        ("two envelopes in one word", words(&format!("{}{}", envelope(&one), envelope(&two))).into_bytes()),
        ("what the command line prints", pretty.into_bytes()),
        (
            "Logs Insights, results",
            format!(r#"{{"results":[{},{}],"status":"Complete"}}"#, pair(1), pair(2)).into_bytes(),
        ),
        ("Logs Insights, CSV of fields", format!("{camel}\n{}\n{}\n", csv(1), csv(2)).into_bytes()),
        (
            "joined CSV",
            format!(
                "{camel}\n{}\n{}\n{}\n",
                csv(1),
                swapped(HEADER).replace(' ', ","),
                swapped(&line(2)).replace(' ', ",")
            )
            .into_bytes(),
        ),
        (
            "messages under two keys",
            format!(r#"{{"body":"{}","message":"{}","@message":"{}"}}"#, line(1), line(2), line(1)).into_bytes(),
        ),
        (
            "a subscription beside a message",
            format!(r#"{{"message":"{}","data":"{}"}}"#, line(1), words(&envelope(&two))).into_bytes(),
        ),
        (
            "a field under two names, the first null",
            [object(1), object(2)].concat().replace("{\"version\"", "{\"srcAddr\":null,\"version\"").into_bytes(),
        ),
        ("Logs Insights, results alone", format!("[{},\n {}]", pair(1), pair(2)).into_bytes()),
        ("Logs Insights, rows alone", format!("{}\n{}\n", pair(1), pair(2)).into_bytes()),
        ("a line among JSON", format!("{one}\n{}\n", line(2)).into_bytes()),
        (
            "envelopes packed by Firehose again",
            gzip(&[gzip(envelope(&one).as_bytes()), gzip(envelope(&two).as_bytes())].concat()),
        ),
        ("lines packed again", zstd_of(&gzip(lines(1..3).as_bytes()))),
        ("two base64 words on a line", format!("{} {}\n", words(&envelope(&one)), words(&envelope(&two))).into_bytes()),
        (
            "CSV with row numbers, and with a space behind each comma",
            format!(",{camel}\n0,{}\n1,{}\n", csv(1), csv(2).replace(',', ", ")).into_bytes(),
        ),
        (
            "CSV of the table that Athena's guide had first",
            format!(
                "\"version\",\"account\",\"interfaceid\",\"sourceaddress\",\"destinationaddress\",\"sourceport\",\"destinationport\",\"protocol\",\"numpackets\",\"numbytes\",\"starttime\",\"endtime\",\"action\",\"logstatus\"\n{}\n{}\n",
                csv(1),
                csv(2)
            )
            .into_bytes(),
        ),
        (
            "base64 words without line ends",
            [words(&envelope(&one)), words(&format!("{} ", envelope(&two))), words(&format!("{}  ", envelope("")))]
                .concat()
                .into_bytes(),
        ),
        ("what the Kinesis command prints", format!(r#"{{"Records":[{{"Data":"{}"}}]}}"#, words(&envelope(&both))).into_bytes()),
        ("a list twice", format!(r#"{{"logEvents":[{one}],"logEvents":[{two}]}}"#).into_bytes()),
        ("a message twice", format!(r#"{{"message":"{}","message":"{}"}}"#, line(1), line(2)).into_bytes()),
        ("two lists", format!(r#"{{"Records":[{one}],"nextToken":"x","events":[{two}]}}"#).into_bytes()),
        (
            "a record beside a list",
            object(1).replace('}', &format!(r#","events":[{}]}}{two}"#, object(1))).into_bytes(),
        ),
        (
            "joined, the bytes' order marked in the second",
            format!("{HEADER}\n{}\n\u{feff}{}\n{}\n", line(1), swapped(HEADER), swapped(&line(2))).into_bytes(),
        ),
        (
            "an export with a header",
            format!("{HEADER}\n2023-11-14T22:13:20.000Z {}\n{}\n", line(1), line(2)).into_bytes(),
        ),
        ("a blank line", format!("{HEADER}\n{}\n   \n{}\n", line(1), line(2)).into_bytes()),
    ] {
        assert_eq!(ports(name, &content, &[]), (vec![1, 2], 0), "{name}");
    }
    let later = format!("{} x\n{} y\n", line(1), line(2));
    let format: Vec<String> = HEADER.split(' ').chain(["new-field"]).map(|name| format!("${{{name}}}")).collect();
    assert_eq!(ports("a later version, told", later.as_bytes(), &["--log-format", &format.join(" ")]), (vec![1, 2], 0));
    // Told a format, a stream has lines of AWS's own too.
    let told = HEADER.replace("packets", "pkt-srcaddr").replace(' ', "} ${");
    let of_told = line(1).replacen('2', "3", 1).replace(" 6 1 40 ", " 6 10.0.0.1 40 ");
    let format = format!("${{{told}}}");
    let mixed = format!("{of_told}\n{}\n", line(2));
    let turned = format!("{}\n{of_told}\n", line(2));
    for mixed in [mixed, turned] {
        assert_eq!(
            ports("two formats, one of them told", mixed.as_bytes(), &["--log-format", &format]),
            (vec![1, 2], 0)
        );
    }
    // Also one that has no version, whose first column reads AWS's as text.
    let told = HEADER.replacen("version", "az-id", 1).replace("srcport dstport", "dstport srcport");
    let of_told = line(1).replacen('2', "use1-az1", 1).replace(" 1 443 ", " 443 1 ");
    let mixed = format!("{of_told}\n{}\n", line(2));
    let turned = format!("{}\n{of_told}\n", line(2));
    for mixed in [mixed, turned] {
        let format = format!("${{{}}}", told.replace(' ', "} ${"));
        assert_eq!(ports("no version is told", mixed.as_bytes(), &["--log-format", &format]), (vec![1, 2], 0));
    }
    let spaced = format!("{of_told}\n {}\n", line(2));
    let format = format!("${{{}}}", told.replace(' ', "} ${"));
    assert_eq!(ports("with a space before", spaced.as_bytes(), &["--log-format", &format]), (vec![1, 2], 0));
    // One whose version stands elsewhere.
    let told = HEADER.replacen("version", "az-id", 1).replace("srcport dstport protocol", "dstport srcport version");
    let of_told = line(1).replacen('2', "use1-az1", 1).replace(" 1 443 6 ", " 443 1 4 ");
    let mixed = format!("{}\n{of_told}\n", line(2));
    let format = format!("${{{}}}", told.replace(' ', "} ${"));
    assert_eq!(ports("a version elsewhere", mixed.as_bytes(), &["--log-format", &format]), (vec![1, 2], 0));
    let odd = format!("${{{}}}", swapped(HEADER).replace(' ', "} ${"));
    let members = [gzip(swapped(&line(1)).as_bytes()), gzip(swapped(&line(2)).as_bytes())].concat();
    assert_eq!(ports("gzip members without a line end, told", &members, &["--log-format", &odd]), (vec![1, 2], 0));
}

/// A format without a time: it is said what it is, and what it lacks.
#[test]
fn a_format_without_start_is_a_flow_log_that_cannot_be_placed() {
    let folder = tempfile::tempdir().unwrap();
    let content = "instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr\ni-1 eni-1 10.0.0.1 10.0.0.2 10.0.0.1 10.0.0.2\n";
    let input = write(folder.path(), "input", content.as_bytes());
    let said = run(converter().arg("inspect").arg(&input)).ended(0).text();
    assert!(said.contains("VPC flow log, text") && said.contains("1: - (1)"), "{said}");
    let options = ["--account-id", "123456789012", "--region", "us-east-1"];
    run(converter().arg("convert").arg(&input).arg("--lake").arg(folder.path().join("lake")).args(options))
        .ended(64)
        .says("its records have no start");
    let untold = write(folder.path(), "untold", b"5 1718530010 1718530070 10.0.0.1 10.0.0.2 443 6 ACCEPT OK\n");
    let said = run(converter().arg("inspect").arg(untold)).ended(1).text();
    assert!(said.contains("--log-format"), "{said}");
}

/// Headers of later versions, of Athena and of search engines; and words that are none.
#[test]
fn a_header_may_have_many_names_that_are_not_known() {
    let of_header = |header: &str, line: &str| format!("{header}\n{line}\n");
    let text = of_header(
        "version srcaddr dstaddr srcport dstport start account-id new-a new-b new-c",
        "12 10.0.0.1 10.0.0.2 1 443 1718530010 123456789012 a b c",
    );
    assert_eq!(ports("version 12", text.as_bytes(), &[]), (vec![1], 0));
    let text = format!("{HEADER}\n{}\n{}", line(1), text.replace(" 1 ", " 2 "));
    assert_eq!(ports("version 12 behind another", text.as_bytes(), &[]), (vec![1, 2], 0));
    for header in [
        r#""start","srcaddr","dstaddr","srcport","dstport","account_id","_col3""#,
        r#""start", "srcaddr", "dstaddr", "srcport", "dstport", "account_id", "$path""#,
    ] {
        let text = of_header(header, r#""1718530010", "10.0.0.1","10.0.0.2","1","443","123456789012","77""#);
        assert_eq!(ports(header, text.as_bytes(), &[]), (vec![1], 0));
    }
    let text = of_header(r#""_index","_id","message""#, &format!(r#""logs","1","{}""#, line(1)));
    assert_eq!(ports("a search engine's export", text.as_bytes(), &[]), (vec![1], 0));
    let text = format!("{{\"message\":\"start\"}}\n{{\"message\":\"{}\"}}\n", line(1));
    assert_eq!(ports("a word", text.as_bytes(), &[]), (vec![1], 1));
}

/// OCSF has no flow of which an end is identified by nothing: of formats that say so little the records that do are read.
#[test]
fn a_record_that_identifies_nothing_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--account-id", "123456789012", "--region", "us-east-1"];
    let convert = |name: &str, content: &str| {
        let input = write(folder.path(), name, content.as_bytes());
        run(converter()
            .arg("convert")
            .arg(input)
            .arg("--lake")
            .arg(folder.path().join(name).with_extension("lake"))
            .arg("--rejects")
            .arg(folder.path().join("rejects"))
            .args(options))
    };
    convert("no-ends", "srcaddr start end bytes\n10.0.0.1 1718530010 1718530070 40\n")
        .ended(1)
        .says("1 rejected lines")
        .says("neither destination address nor interface-id");
    // The first line's fields are not all that others have.
    let growing = r#"{"account_id":"123456789012","start":1718530010,"log_status":"NODATA"}
{"account_id":"123456789012","start":1718530010,"srcaddr":"10.0.0.1","dstaddr":"10.0.0.2","log_status":"OK"}"#;
    convert("growing", growing).ended(1).says("1 new rows").says("1 rejected lines");
    let some = "srcaddr dstaddr start log-status\n10.0.0.1 10.0.0.2 1718530010 OK\n- - 1718530010 NODATA\n";
    convert("some", some).ended(1).says("neither source address nor interface-id").says("1 new rows");
    let lake = folder.path().join("some.lake");
    run(converter().arg("validate").arg(lake)).ended(0);
    convert("instance", "instance-id start log-status\ni-1 1718530010 NODATA\n").ended(0);
    run(converter().arg("validate").arg(folder.path().join("instance.lake"))).ended(0);
}

/// More than is held at once: every list of it, and what stands beside them.
#[test]
fn of_a_large_object_everything_is_read() {
    let padding = format!(r#"{{"message":"{}","x":"{}"}},"#, line(7), "x".repeat(1 << 20)).repeat(17);
    let padding = padding.trim_end_matches(',');
    let large = format!(
        r#"{{"messageType":"DATA_MESSAGE","other":[{{"a":"}}"}}],"message":"{}","logEvents":[{padding}],"x":-1,"events":[{},3,{}],"awslogs":{{"data":"{}"}}, "z" : null }}{}"#,
        line(1),
        message(2),
        message(3),
        BASE64_STANDARD.encode(gzip(envelope(&message(4)).as_bytes())),
        message(5)
    );
    let expected = [vec![1, 2, 3, 4, 5], vec![7; 17]].concat();
    assert_eq!(ports("a large object", large.as_bytes(), &[]), (expected, 1));
}

/// A subscription that was cut off in its packing: the events before are read.
#[test]
fn of_what_is_packed_and_cut_off_the_good_part_is_kept() {
    let many: Vec<String> = (1..400).map(message).collect();
    let plain: String = lines(1..400);
    for text in [envelope(&many.join(",")), plain] {
        let packed = gzip(text.as_bytes());
        let word = BASE64_STANDARD.encode(&packed[..packed.len() * 3 / 4]);
        let (found, code) = ports("cut off in its packing", format!(r#"{{"data":"{word}"}}"#).as_bytes(), &[]);
        assert!(code == 1 && found.len() > 100 && found.len() < 399, "{}", found.len());
        assert!(found.iter().zip(1..).all(|(found, expected)| *found == expected));
    }
}

#[test]
fn of_odd_files_the_good_part_is_kept_and_nothing_is_guessed() {
    let [one, two, three] = [1, 2, 3].map(message);
    let both = format!("{one},{two}");
    let broken_header = format!("{} {}", swapped(HEADER), "x".repeat(70));
    for (name, content, expected) in [
        ("a bad first line", format!("garbage\n{}", lines(1..3)), vec![1, 2]),
        ("a long first line", format!("{}\n{HEADER}\n{}", "x".repeat(1 << 20), lines(1..3)), vec![1, 2]),
        (
            "a bad event between",
            envelope(&format!(r#"{one},{{"message":null}},{two},{{"x":1}},{{"message":"{{"}},{three}"#)),
            vec![1, 2, 3],
        ),
        // Lines of other logs, in which names of fields are words.
        (
            "another log's line between",
            [
                envelope(&one),
                envelope(r#"{"message":"level=info msg=\"request\" action=start type=http region=eu-west-1 bytes=7 version=2"}"#),
                envelope(r#"{"message":"checking protocol version before start"}"#),
                envelope(&two),
            ]
            .concat(),
            vec![1, 2],
        ),
        (
            "another log's line first",
            [
                envelope(r#"{"message":"checking protocol version before start"}"#),
                envelope(r#"{"message":"date=2024-06-16 srcip=10.0.0.1 type=\"traffic\" action=\"start\" protocol=6 bytes=1 start=1"}"#),
                envelope(&both),
            ]
            .concat(),
            vec![1, 2],
        ),
        (
            "another log's many lines first",
            [envelope(&[r#"{"message":"START RequestId: 1"}"#; 300].join(",")), envelope(&both)].concat(),
            vec![1, 2],
        ),
        // Two flow logs in one stream: the other is in a format that nobody told.
        (
            "a custom format among default lines",
            format!("{}\n{}\n{}\n", line(1), line(3).replace("ACCEPT OK", "egress REJECT"), line(2)),
            vec![1, 2],
        ),
        ("a version that a format does not have", format!("{}\n{}\n", line(1), line(2).replacen('2', "3", 1)), vec![1]),
        ("a sentence with names of fields", format!("{}\nWARN record lacks srcaddr dstaddr start and end\n{}", line(1), line(2)), vec![1, 2]),
        ("a sentence first", format!("failed to start service\n{}", lines(1..3)), vec![1, 2]),
        (
            "a sentence of as many words between",
            format!("{}\na job that somebody wanted did not start again because it was too late\n{}\n", line(1), line(2)),
            vec![1, 2],
        ),
        ("a sentence with a comma first", format!("Starting up, please wait\n{}", lines(1..3)), vec![1, 2]),
        (
            "a sentence with a comma, then a header",
            format!("level=info, msg=x\n{}\n{}\n", HEADER, line(1)),
            vec![1],
        ),
        ("a bad event first", envelope(&format!(r#"{{"message":"hello"}},{one},{two}"#)), vec![1, 2]),
        ("a line that was cut off", format!("{one}\n{{\"message\":\"2 12\n{two}\n{three}\n"), vec![1, 2, 3]),
        ("a first line that was cut off", format!("{{\"message\":{{\n{one}\n{two}\n"), vec![1, 2]),
        // Read by the header before it, or by AWS's order, these would have their ends swapped.
        (
            "a header that cannot be read",
            format!("{HEADER}\n{}{broken_header}\n{}\n", lines(1..3), swapped(&line(3))),
            vec![1, 2],
        ),
        (
            "a header with tabs",
            format!("{HEADER}\n{}\n{}\n{}\n", line(1), swapped(HEADER).replace(' ', "\t"), swapped(&line(2))),
            vec![1],
        ),
        (
            "a header of CSV with a misspelt name",
            format!("{HEADER}\n{}\n{}\n{}\n", line(1), swapped(HEADER).replace("start", "strat"), swapped(&line(2)))
                .replace(' ', ","),
            vec![1],
        ),
        ("a list that does not end", format!(r#"{{"events":[{one},{two}"#), vec![1, 2]),
        (
            "a first header that cannot be read",
            format!("{}\n{}\n", swapped(HEADER).to_uppercase(), swapped(&line(1))),
            vec![],
        ),
        (
            "a first header too long to be read, then a good one",
            format!("{} {}\n{}\n{HEADER}\n{}\n", swapped(HEADER), "x".repeat(1 << 20), swapped(&line(1)), line(2)),
            vec![2],
        ),
        (
            "joined without a line end",
            format!("{HEADER}\n{}\n{}{}\n{}\n", line(1), line(2), swapped(HEADER), swapped(&line(3))),
            vec![1],
        ),
    ] {
        assert_eq!(ports(name, content.as_bytes(), &[]), (expected, 1), "{name}");
    }
}

/// A header that a block of gzip ends in, anywhere, is one header; files that end without a line end and were joined are two.
#[test]
fn a_header_in_two_blocks_is_one() {
    let header = swapped(HEADER).replacen("version account-id interface-id", "version interface-id account-id", 1);
    let one = swapped(&line(1)).replacen("123456789012 eni-1", "eni-1 123456789012", 1);
    let two = one.replacen(" 1 ", " 2 ", 1);
    for cut in (1..header.len()).step_by(3) {
        let (before, after) = header.split_at(cut);
        let first = gzip(format!("{HEADER}\n{}\n{before}", line(7)).as_bytes());
        let packed = [first, gzip(format!("{after}\n{one}\n{two}\n").as_bytes())].concat();
        let (found, code) = ports("a header in two blocks", &packed, &[]);
        assert_eq!((found.len(), code), (3, 0), "cut behind {cut} bytes: {found:?}");
    }
    let joined =
        [gzip(format!("{HEADER}\n{}", line(7)).as_bytes()), gzip(format!("{header}\n{one}").as_bytes())].concat();
    assert_eq!(ports("two files", &joined, &[]).0.len(), 2);
}

/// A JSON line that is cut takes none of those behind it, however they begin.
#[test]
fn behind_a_cut_line_others_are_found() {
    let cut = r#"{"message":"2 1"#;
    let array = |one, two| format!("[{},{}]", message(one), message(two));
    for (name, text, expected) in [
        ("an empty line", format!("{}\n{cut}\n\n{}\n{}\n", message(1), message(2), message(3)), vec![1, 2, 3]),
        ("CRLF", format!("{}\r\n{cut}\r\n\r\n{}\r\n", message(1), message(2)), vec![1, 2]),
        ("a space", format!("{}\n{cut}\n {}\n {}\n", message(1), message(2), message(3)), vec![1, 2, 3]),
        (
            "arrays",
            format!("{}\n[{},{cut}\n{}\n{}\n", array(1, 2), message(3), array(5, 6), array(7, 8)),
            vec![1, 2, 3, 5, 6, 7, 8],
        ),
        ("an array", format!("{{\"a\":1,\n[\n{},\n{}\n]\n", message(1), message(2)), vec![1, 2]),
    ] {
        assert_eq!(ports(name, text.as_bytes(), &[]), (expected, 1), "{name}");
    }
    // Each blank byte is looked at once: a second here was minutes.
    let blank = "\n".repeat(1 << 20);
    let text = format!("{}\n{{\"a\":\"x\n{}\n{{\"c\":1,{blank}\"d\":1}}\n{}\n", message(1), message(2), message(3));
    assert_eq!(ports("a million empty lines", text.as_bytes(), &[]).0, [1, 2, 3]);
    let pieces = format!("{}{{}},", "\n".repeat(4000)).repeat(250);
    let text = format!("{}\n{{\"a\":\"x\n{}\n{{\"c\":[{pieces}1]}}\n{}\n", message(1), message(2), message(3));
    assert_eq!(ports("many runs of them", text.as_bytes(), &[]).0, [1, 2, 3]);
}

#[test]
fn what_is_no_text_takes_nothing_with_it() {
    let content = envelope(&format!("{},{},{}", message(1), message(2), message(3)));
    let mut bytes = content.clone().into_bytes();
    let place = content.find(" 2 443").expect("the second") - 1;
    bytes[place] = 0xff;
    let packed = BASE64_STANDARD.encode(gzip(&bytes));
    for content in [bytes, packed.into_bytes()] {
        assert_eq!(ports("a byte that is no text", &content, &[]), (vec![1, 3], 1));
    }
    let cut_off = "{\"message\":\"2 12\n";
    let content = format!("{}\n{}{}\n", message(1), cut_off.repeat(100), message(2));
    assert_eq!(ports("many lines that were cut off", content.as_bytes(), &[]), (vec![1, 2], 1));
}
