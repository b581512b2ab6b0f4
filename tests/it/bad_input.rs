//! What is wrong with an input is said, with file, place and cause; what was good before the damage is delivered.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use flowlake_tests::{
    capture::{Interface, Pcap, Pcapng, Seen},
    frame::{ACK, Link, Packet, Transport, ip, v4},
    random::Random,
    traffic,
};

use crate::support::{Summary, agent, column, converter, lake_files, loudly, rows, run, run_with_input, tree, write};

fn seen(count: u64) -> Vec<Seen> {
    let packet = Packet { source: v4(1), destination: v4(2), transport: Transport::Tcp(1, 2, ACK), payload: 100 };
    (0..count).map(|number| Seen::whole(1_700_000_000 + number, Link::Ethernet.frame(&ip(&packet)))).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Cut at every byte, a capture gives the packets before the cut, and says where it was cut unless that is between two.
#[test]
fn a_capture_cut_anywhere_gives_the_packets_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(true);
    pcapng.interface(Interface { link_type: 1, name: "eth0", resolution: None, offset: 0 });
    seen(3).iter().for_each(|seen| pcapng.packet(seen, Some(1)));
    for (whole, kind) in [(Pcap::default().write(1, &seen(3)), "pcap"), (pcapng.finish(), "pcapng")] {
        let mut last = 0;
        for length in (0..whole.len()).rev().step_by(3) {
            let file = write(folder.path(), "cut", &whole[..length]);
            let ran = run(agent().arg("replay").arg(&file));
            let recorded = Summary::of(&ran.stderr).recorded;
            assert!(recorded <= 3 && (last == 0 || recorded <= last), "{kind} cut at {length}: {}", ran.stderr);
            assert_eq!(column(&ran.text(), "packets").iter().sum::<u64>(), recorded);
            if ran.code != 0 {
                assert_eq!(ran.code, 1);
                assert!(ran.stderr.contains("cut: at offset "), "{kind} cut at {length}: {}", ran.stderr);
            }
            last = recorded;
        }
    }
}

#[test]
fn damage_is_named_by_file_offset_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let good = Pcap::default().write(1, &seen(2));
    let mut lying = Pcap::default().write(1, &seen(3));
    // The third record says it has 4 GiB.
    let at = 24 + 2 * (16 + seen(1)[0].frame.len());
    lying[at + 8..at + 12].fill(0xff);
    let packed = gzip(&Pcap::default().write(1, &seen(20_000)));
    let mut zeros = good.clone();
    zeros.extend([0xee; 7]);
    for (name, content, recorded, said) in [
        ("lying", lying, 2, format!("lying: at offset {at}: a record that claims 4294967295 captured bytes")),
        ("tail", zeros, 2, format!("tail: at offset {}: cut off inside a record header", good.len())),
        ("empty", Vec::new(), 0, "empty: at offset 0: empty".to_owned()),
        (
            "garbage",
            b"garbage, no capture at all".to_vec(),
            0,
            "garbage: at offset 0: not a pcap or pcapng capture".to_owned(),
        ),
        ("gz", packed[..packed.len() / 2].to_vec(), u64::MAX, "gz: at offset ".to_owned()),
    ] {
        let file = write(folder.path(), name, &content);
        let ran = run(agent().arg("replay").arg(file)).ended(1).says(&said);
        let summary = Summary::of(&ran.stderr);
        assert!(summary.adds_up());
        if recorded == u64::MAX {
            assert!(summary.recorded > 1000 && summary.recorded < 20_000, "{}", ran.stderr);
        } else {
            assert_eq!(summary.recorded, recorded, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_folder_a_missing_file_and_a_good_one_are_each_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good", &Pcap::default().write(1, &seen(2)));
    let missing = folder.path().join("missing");
    let ran = run(agent().arg("replay").args([folder.path(), &missing, &good])).ended(1);
    let ran = ran.says("a folder; name the capture files in it").says("missing: No such file");
    assert_eq!(Summary::of(&ran.stderr).recorded, 2);
}

#[test]
fn an_unknown_link_type_is_said_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "odd", &Pcap::default().write(147, &seen(2)));
    let ran =
        run(agent().arg("replay").arg(file)).ended(1).says("odd: 2 packets of link type 147, which is not decoded");
    assert_eq!(Summary::of(&ran.stderr).not_recorded["unknown link type"], 2);
}

#[test]
fn a_packet_of_an_interface_that_was_never_described_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(false);
    pcapng.interface(Interface { link_type: 1, name: "", resolution: None, offset: 0 });
    let mut stray = seen(2);
    stray[1].interface = 9;
    stray.iter().for_each(|seen| pcapng.packet(seen, None));
    let file = write(folder.path(), "stray", &pcapng.finish());
    let ran = run(agent().arg("replay").arg(file)).ended(1).says("1 packets of an interface");
    let summary = Summary::of(&ran.stderr);
    assert!(summary.adds_up() && summary.recorded == 1);
}

/// Bytes of good captures, changed at random: any answer will do, but an answer, and one that adds up.
#[test]
fn captures_with_changed_bytes_never_end_a_replay_badly() {
    let folder = tempfile::tempdir().unwrap();
    let mut pcapng = Pcapng::new(false);
    pcapng.interface(Interface { link_type: 1, name: "eth0", resolution: Some(9), offset: 5 });
    seen(20).iter().for_each(|seen| pcapng.packet(seen, Some(2)));
    let originals = [pcapng.finish(), Pcap::default().write(276, &seen(20)), Pcap::default().write(1, &seen(20))];
    let mut random = Random::new(3);
    for round in 0..150 {
        let mut bytes = originals[round % 3].clone();
        for _ in 0..1 + random.below(8) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        let file = write(folder.path(), "changed", &bytes);
        let ran = run(agent().arg("replay").arg(&file));
        assert!(ran.code == 0 || ran.code == 1, "{}", ran.stderr);
        assert!(Summary::of(&ran.stderr).adds_up(), "{}", ran.stderr);
    }
}

#[test]
fn standard_output_that_is_full_is_an_error_and_one_that_closes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = Vec::new();
    traffic::write(&mut large, 20_000, 5000).unwrap();
    let file = write(folder.path(), "c.pcap", &large);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = agent().arg("replay").arg(&file).stdout(full).stderr(Stdio::piped()).output().unwrap();
    crate::support::Ran::from(ran).ended(1).says("No space left on device");

    let mut child = agent().arg("replay").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    crate::support::Ran::from(child.wait_with_output().unwrap()).ended(0);
}

/// Runs a program with a file system of so many kilobytes mounted at a folder, in a mount namespace of its own; what is in
/// the file system at the end is copied to `kept`. `None` where that is not allowed.
fn on_a_small_disk(kilobytes: u32, disk: &Path, kept: &Path, program: &Command) -> Option<crate::support::Ran> {
    let allowed = Command::new("unshare").args(["-m", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        loudly("SKIPPED: a full disk needs the right to mount one; run as root");
        return None;
    }
    let script = "mount -t tmpfs -o size=$1k tmpfs \"$2\" && disk=$2 kept=$3 && shift 3 && { \"$@\"; code=$?; cp -r \"$disk\" \"$kept\"; exit $code; }";
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", script, "sh", &kilobytes.to_string()]).arg(disk).arg(kept);
    Some(run(shell.arg(program.get_program()).args(program.get_args())))
}

#[test]
fn a_full_disk_keeps_what_was_finished_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = Vec::new();
    traffic::write(&mut large, 30_000, 20_000).unwrap();
    let capture = write(folder.path(), "c.pcap", &large);
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mut replay = agent();
    replay.args(["replay", "--output"]).arg(&disk).arg(&capture);
    let Some(ran) = on_a_small_disk(256, &disk, &folder.path().join("kept"), &replay) else {
        return;
    };
    ran.ended(1).says("No space left on device").says("disk");
    let kept = tree(&folder.path().join("kept"));
    // Five-minute files that were finished are whole, and nothing half-written is left.
    assert!(kept.keys().all(|name| name.ends_with(".log.gz")), "{:?}", kept.keys());

    let logs = folder.path().join("logs");
    run(agent().args(["replay", "--output"]).arg(&logs).arg(&capture)).ended(0);
    let mut convert = converter();
    convert.arg("convert").arg(&logs).arg("--lake").arg(&disk).arg("--rejects").arg(folder.path().join("rejects"));
    let ran = on_a_small_disk(256, &disk, &folder.path().join("kept lake"), &convert).unwrap();
    ran.ended(1).says("No space left on device").says("convert it again");
    let lake = folder.path().join("kept lake");
    for file in lake_files(&lake) {
        run(converter().arg("validate").arg(file)).ended(0);
    }
}

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status region";

fn good(number: u32) -> String {
    format!("4 123456789012 eni-1 10.0.0.1 10.0.0.2 {number} 443 6 1 40 1700000000 1700000001 ACCEPT OK us-east-1")
}

struct Converted {
    folder: tempfile::TempDir,
    ran: crate::support::Ran,
}

impl Converted {
    fn from(content: &[u8], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), "input", content);
        let ran = run(converter()
            .arg("convert")
            .arg(file)
            .arg("--lake")
            .arg(folder.path().join("lake"))
            .arg("--rejects")
            .arg(folder.path().join("rejects"))
            .args(options));
        Self { folder, ran }
    }

    fn rows(&self) -> usize {
        rows(&self.folder.path().join("lake")).len()
    }

    fn rejects(&self) -> Vec<u8> {
        let mut files = tree(&self.folder.path().join("rejects"));
        assert!(files.len() <= 1, "{:?}", files.keys());
        files.pop_first().map(|(_, content)| content).unwrap_or_default()
    }
}

#[test]
fn a_line_that_cannot_be_read_is_counted_reported_and_kept() {
    let bad = ["4 too few", "- - - - - - - - - - - - - - -", "\u{e9}t\u{e9} 1 2"];
    let mut content = format!("{HEADER}\r\n{}\r\n{}\n\n{}\n", good(1), bad[0], good(2)).into_bytes();
    content.extend_from_slice(b"\xff\xfe not UTF-8\n");
    content.extend_from_slice(format!("{}\n{}\n{}", bad[1], bad[2], good(3)).as_bytes());
    let converted = Converted::from(&content, &[]);
    assert_eq!(converted.rows(), 3);
    let Converted { ran, .. } = &converted;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for said in [
        "input, line 3: 3 values where the header names 15",
        "input, line 6: no UTF-8 text at byte 0",
        "input, line 7: no account-id; give --account-id",
        "input: 4 lines could not be converted; they are kept in ",
        "4 rejected lines",
    ] {
        assert!(ran.stderr.contains(said), "'{said}' is not in:\n{}", ran.stderr);
    }
    // Byte by byte, as a flow log that can be converted again.
    let expected = [
        &b"#flowlake: lines of "[..],
        HEADER.as_bytes(),
        b"#flowlake: line 3: 3 values where the header names 15",
        bad[0].as_bytes(),
        b"#flowlake: line 6: no UTF-8 text at byte 0",
        b"\xff\xfe not UTF-8",
        b"#flowlake: line 7: no account-id; give --account-id",
        bad[1].as_bytes(),
        b"#flowlake: line 8: ",
        bad[2].as_bytes(),
    ];
    let kept = converted.rejects();
    let lines: Vec<&[u8]> = kept.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        let same = if expected.starts_with(b"#") { line.starts_with(expected) } else { *line == expected };
        assert!(same, "{}", String::from_utf8_lossy(line));
    }
}

/// What was rejected for want of an option is added with it: from the rejects, because the input was delivered.
#[test]
fn rejected_lines_are_converted_from_their_own_file() {
    let content = format!("{HEADER}\n{}\n{}\n", good(1), good(2).replace("us-east-1", "-"));
    let converted = Converted::from(content.as_bytes(), &[]);
    assert_eq!((converted.rows(), converted.ran.code), (1, 1));
    let Converted { folder, .. } = &converted;
    let (lake, rejects) = (folder.path().join("lake"), folder.path().join("rejects"));
    let convert = |input: &Path| {
        let mut command = converter();
        command.arg("convert").arg(input).arg("--lake").arg(&lake).arg("--rejects").arg(folder.path().join("more"));
        run(command.args(["--region", "us-east-1"]))
    };
    convert(&folder.path().join("input")).ended(1).says("it was delivered before, with other options or other rows");
    assert_eq!(converted.rows(), 1);
    convert(&rejects).ended(0).says("1 new rows");
    assert_eq!(converted.rows(), 2);
    convert(&rejects).ended(0).says("0 new rows").says("1 rows already there");
    assert_eq!(converted.rows(), 2);
}

/// Two files that were joined packed, the first without a line end, with other columns in the second.
#[test]
fn joined_gzip_members_keep_their_own_headers() {
    let other = HEADER.replace("srcaddr dstaddr", "dstaddr srcaddr");
    let joined = [gzip(format!("{HEADER}\n{}", good(1)).as_bytes()), gzip(format!("{other}\n{}", good(2)).as_bytes())];
    let converted = Converted::from(&joined.concat(), &[]);
    assert_eq!((converted.rows(), converted.ran.code), (2, 0), "{}", converted.ran.stderr);
    let rows = rows(&converted.folder.path().join("lake"));
    assert_eq!(
        rows.iter().filter(|row| row.contains(r#"src_endpoint: {port: 1, svc_name: null, ip: "10.0.0.1""#)).count(),
        1
    );
    assert_eq!(
        rows.iter().filter(|row| row.contains(r#"src_endpoint: {port: 2, svc_name: null, ip: "10.0.0.2""#)).count(),
        1
    );
}

#[test]
fn a_word_is_no_header_and_one_name_in_two_forms_is_refused() {
    for word in ["start", "foo start"] {
        let content = format!("{HEADER}\n{}\n{word}\n{}\n", good(1), good(2));
        let converted = Converted::from(content.as_bytes(), &[]);
        assert_eq!((converted.rows(), converted.ran.code), (2, 1));
        assert!(String::from_utf8(converted.rejects()).unwrap().ends_with(&format!("{word}\n")));
    }
    for names in ["new-one new_one", "sublocation-id sublocation_id"] {
        let content = format!("{HEADER} {names}\n{} a b\n", good(1));
        Converted::from(content.as_bytes(), &[]).ran.ended(1).says("twice");
    }
    let marked = [b"\xef\xbb\xbf", HEADER.as_bytes(), b"\n", good(1).as_bytes()].concat();
    assert_eq!(Converted::from(&marked, &[]).rows(), 1, "a byte-order mark");
}

/// With nobody to tell, the work goes on.
#[test]
fn standard_error_that_is_full_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let bad = write(folder.path(), "a", b"no flow log");
    let input = write(folder.path(), "b", format!("{HEADER}\n{}\n", good(1)).as_bytes());
    let lake = folder.path().join("lake");
    let status =
        converter().arg("convert").args([&bad, &input]).arg("--lake").arg(&lake).stderr(full()).status().unwrap();
    assert_eq!((status.code(), rows(&lake).len()), (Some(1), 1));
    let capture = write(folder.path(), "c", &Pcap::default().write(1, &seen(2)));
    let output = agent().arg("replay").arg(capture).stderr(full()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(0), false));
}

/// One bit of a lake file changed: any answer will do, but an answer.
#[test]
fn lake_files_with_changed_bits_never_end_a_validation_badly() {
    let converted = Converted::from(format!("{HEADER}\n{}\n", good(1)).as_bytes(), &[]);
    let file = lake_files(&converted.folder.path().join("lake")).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut random = Random::new(9);
    for _ in 0..150 {
        let mut bytes = whole.clone();
        // Most of a small file is its footer.
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << random.below(8);
        fs::write(&file, &bytes).unwrap();
        let ran = run(converter().arg("validate").arg(&file));
        assert!(ran.code == 0 || ran.code == 1, "byte {at}: {}", ran.stderr);
    }
}

#[test]
fn hostile_logs_take_bounded_memory_and_the_good_part_is_kept() {
    let long_line =
        [HEADER.as_bytes(), b"\n", good(1).as_bytes(), b"\n", &vec![b'x'; 10 << 20], b"\n", good(2).as_bytes()]
            .concat();
    let bomb = gzip(&[HEADER.as_bytes(), b"\n", good(1).as_bytes(), b"\n", &vec![0; 64 << 20]].concat());
    let whole = gzip(format!("{HEADER}\n{}", (0..5000).map(|n| good(n) + "\n").collect::<String>()).as_bytes());
    let cut = &whole[..whole.len() - 100];
    for (content, rows, said) in [
        (&long_line[..], 2, "line 3: a line of 10485760 bytes"),
        (&bomb, 1, "line 3: a line of 67108864 bytes"),
        (cut, 4000, "records before are in the lake"),
    ] {
        let converted = Converted::from(content, &[]);
        let Converted { ran, .. } = &converted;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(said), "'{said}' is not in:\n{}", ran.stderr);
        assert!(converted.rows() >= rows, "{}", ran.stderr);
        assert!(converted.rejects().len() < 70_000);
    }
}

#[test]
fn what_is_no_flow_log_is_said_so() {
    let wide = (0..10_000).map(|number| format!("f{number} ")).collect::<String>();
    for (content, said) in [
        (&b"PAR1 and so on"[..], "a Parquet file, which is not read yet"),
        (b"hello there", "no field 'start' in 'hello there'"),
        (b"\x7fELF\x02\x01\xff\xff", "its first line is no text"),
        (wide.as_bytes(), "a header of more than 512 columns"),
        (good(1).as_bytes(), "its first line is not a flow log header: '4' is no field name"),
    ] {
        let converted = Converted::from(content, &[]);
        assert_eq!((converted.rows(), converted.ran.code), (0, 1));
        converted.ran.says("input: not a VPC flow log: ").says(said);
    }
    let empty = Converted::from(b"", &[]);
    assert_eq!((empty.rows(), empty.ran.code), (0, 0));
}

#[test]
fn what_the_lake_does_not_believe_is_rejected() {
    let line = |start: &str, account: &str, region: &str| {
        format!("{HEADER}\n4 {account} eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 {start} 1700000001 ACCEPT OK {region}\n")
    };
    for (content, said) in [
        (line("-", "123456789012", "us-east-1"), "no start"),
        (line("1262303999", "123456789012", "us-east-1"), "start: 1262303999 is before 2010"),
        (line("99999999999", "123456789012", "us-east-1"), "start: 99999999999 is more than a day ahead"),
        (line("1700000000", "../../etc", "us-east-1"), "account-id: not a word that can stand in a path"),
        (line("1700000000", "123456789012", ".."), "region: not a word that can stand in a path"),
        (line("1700000000", "123456789012", "-"), "no region; give --region"),
        (
            line("1700000000", "123456789012", "x").replace(" 1700000001 ", " 9223372036854775807 "),
            "end: 9223372036854775807",
        ),
    ] {
        let converted = Converted::from(content.as_bytes(), &[]);
        assert_eq!((converted.rows(), converted.ran.code), (0, 1), "{said}");
        converted.ran.says(&format!("line 2: {said}"));
    }
}

#[test]
fn wrong_usage_ends_with_64_and_names_the_option() {
    for (options, said) in [
        (vec!["--source", "Too-Long-And-Not-Lower-Case"], "--source"),
        (vec!["--region", "a/b"], "--region 'a/b'"),
        (vec!["--lake-region", ""], "--lake-region ''"),
        (vec!["--origin", "mars"], "--origin"),
        (vec!["--lake", "s3://bucket"], "--lake"),
    ] {
        run(converter().args(["convert", "x", "--lake", "unused"]).args(options)).ended(64).says(said);
    }
    run(converter().args(["convert", "x"])).ended(64).says("--lake");
    run(&mut converter()).ended(64).says("Usage");
    run_with_input(converter().args(["validate"]), b"").ended(64);
}
