//! What is wrong with a log is said with file, line and cause; what was good is delivered.

use std::{fs, path::Path, process::Command, sync::Arc};

use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    types::Int32Type,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use flowlake_tests::random::Random;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, GzipLevel, ZstdLevel},
    file::properties::{WriterProperties, WriterPropertiesBuilder},
};

use crate::support::{converter, gzip, lake_files, rows, run, run_with_input, tree, write};

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
        Self::by(converter(), content, options)
    }

    /// Converts with no more than 400 MiB of memory to be had.
    fn bounded(content: &[u8]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 409600 && exec \"$0\" \"$@\""]).arg(converter().get_program());
        Self::by(shell, content, &["--region", "us-east-1"])
    }

    fn by(mut program: Command, content: &[u8], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), "input", content);
        let ran = run(program
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
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let bad = write(folder.path(), "a", b"no flow log");
    let input = write(folder.path(), "b", format!("{HEADER}\n{}\n", good(1)).as_bytes());
    let lake = folder.path().join("lake");
    let status =
        converter().arg("convert").args([&bad, &input]).arg("--lake").arg(&lake).stderr(full).status().unwrap();
    assert_eq!((status.code(), rows(&lake).len()), (Some(1), 1));
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
    // Packed to a few kilobytes, and more lines than can be held at one time.
    let packed = BASE64_STANDARD.encode(gzip(&[vec![b'a'; 60_000], vec![b'\n']].concat().repeat(500)));
    let data = format!("{{\"kinesis\":{{\"data\":\"{packed}\"}}}}");
    let first = format!("{{\"message\":\"{}\"}}", good(1).replace(" us-east-1", "").replacen('4', "2", 1));
    let envelope = format!("{first}\n{{\"x\":1,\"Records\":[{}]}}", vec![data; 3].join(","));
    for (content, rows, said) in [
        (&long_line[..], 2, "line 3: a line of 10485760 bytes"),
        (&bomb, 1, "line 3: a line of 67108864 bytes"),
        (cut, 4000, "records before are in the lake"),
        (envelope.as_bytes(), 1, "line 2: version: 'aaaa"),
    ] {
        let converted = Converted::bounded(content);
        let Converted { ran, .. } = &converted;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(said), "'{said}' is not in:\n{}", ran.stderr);
        assert!(converted.rows() >= rows, "{}", ran.stderr);
        let rejects = String::from_utf8_lossy(&converted.rejects()).into_owned();
        let is_envelope = content == envelope.as_bytes();
        assert!(is_envelope == rejects.contains("more lines than are taken of one value"));
        assert!(is_envelope || rejects.len() < 70_000);
    }
}

/// A Parquet file of columns, written with settings.
fn parquet(columns: Vec<(&str, ArrayRef)>, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Columns that place a record, for so many rows.
fn placed(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("start", Arc::new(Int64Array::from(vec![1_700_000_000; rows]))),
        ("account_id", Arc::new(StringArray::from(vec!["123456789012"; rows]))),
        ("region", Arc::new(StringArray::from(vec!["us-east-1"; rows]))),
        ("interface_id", Arc::new(StringArray::from(vec!["e"; rows]))),
    ]
}

/// A page that unpacks to more than a reader holds, a text that very many rows refer to, a page that is not what its header
/// says, and a file without its end: memory is bounded (the program gets no more), and what comes before is kept.
#[test]
fn hostile_parquet_takes_bounded_memory_and_the_good_part_is_kept() {
    const MIB: usize = 1 << 20;
    let gzip = || WriterProperties::builder().set_compression(Compression::GZIP(GzipLevel::default()));
    let texts =
        |name: &'static str, texts: Vec<String>| -> (&str, ArrayRef) { (name, Arc::new(StringArray::from(texts))) };

    let zstd = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let large = "x".repeat(300 * MIB);
    let bomb = parquet([placed(1), vec![texts("vpc_id", vec![large])]].concat(), zstd.set_dictionary_enabled(false));
    assert!(bomb.len() < MIB);
    let converted = Converted::bounded(&bomb);
    assert_eq!((converted.rows(), converted.ran.code), (0, 1));
    converted.ran.says("its pages unpack to more than 256 MiB at one time");

    // 500 rows of 1 MiB each.
    let text: ArrayRef = Arc::new(StringArray::from(vec!["y".repeat(MIB)]));
    let repeated = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; 500]), text);
    let many = parquet([placed(500), vec![("vpc_id", Arc::new(repeated) as ArrayRef)]].concat(), gzip());
    assert!(many.len() < MIB);
    let converted = Converted::bounded(&many);
    assert_eq!((converted.rows(), converted.ran.code), (0, 1));
    converted.ran.says("500 rejected lines").says("line 1: a row of 1048598 bytes");

    // A list in the first column, and one in a struct: no field is either.
    let lists = || -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..3000).map(|number| Some(vec![Some(number); 2]))))
    };
    let number: ArrayRef = Arc::new(Int32Array::from(vec![7; 3000]));
    let within = StructArray::try_from(vec![("numbers", lists()), ("number", number)]).unwrap();
    let columns = [vec![("tags", lists())], placed(3000), vec![("within", Arc::new(within) as ArrayRef)]].concat();
    let converted = Converted::bounded(&parquet(columns, gzip().set_max_row_group_row_count(Some(1000))));
    assert_eq!((converted.rows(), converted.ran.code), (3000, 0), "{}", converted.ran.stderr);
    converted.ran.says("left out, because no field is a list: tags.list.item, within.numbers.list.item");

    // The second row group's pages are changed: the others stay.
    let names: Vec<String> = (0..3000).map(|number| format!("vpc-{number}")).collect();
    let groups = gzip().set_max_row_group_row_count(Some(1000)).set_dictionary_enabled(false);
    let mut changed = parquet([placed(3000), vec![texts("vpc_id", names)]].concat(), groups);
    let middle = changed.len() * 2 / 5;
    changed[middle..middle + 200].fill(0);
    let converted = Converted::bounded(&changed);
    assert_eq!((converted.rows(), converted.ran.code), (2000, 1), "{}", converted.ran.stderr);
    let said = &converted.ran.stderr;
    assert!(said.contains("line 1001: row group 1 cannot be read, 1000 rows of it are lost: "), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    // Joined to another, a file's footer would give that one's bytes.
    let two = parquet([placed(2), vec![texts("vpc_id", vec!["a".into(), "b".into()])]].concat(), gzip());
    let joined = Converted::bounded(&[&two[..], &two[..]].concat());
    assert_eq!((joined.rows(), joined.ran.code), (0, 1));
    joined.ran.says(&format!("two files in one: the second begins at byte {}", two.len()));
    Converted::bounded(&crate::support::gzip(&two)).ran.ended(1).says("a Parquet file that was packed again");
    let line = "2 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1700000000 1700000001 ACCEPT OK";
    let exported = parquet(vec![texts("@timestamp", vec!["x".into()]), texts("@message", vec![line.into()])], gzip());
    let exported = Converted::bounded(&exported);
    assert_eq!((exported.rows(), exported.ran.code), (1, 0), "{}", exported.ran.stderr);

    let converted = Converted::bounded(&changed[..changed.len() - 9]);
    assert_eq!((converted.rows(), converted.ran.code), (0, 1));
    converted.ran.says("not a flow log: a Parquet file, but");
    // A footer that says it is longer than anything.
    let mut footer = changed.clone();
    let length = footer.len();
    footer[length - 8..length - 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    Converted::bounded(&footer).ran.ended(1).says("a footer of 2147483647 bytes");
}

#[test]
fn what_is_no_flow_log_is_said_so() {
    let wide = (0..10_000).map(|number| format!("f{number} ")).collect::<String>();
    for (content, said) in [
        (&b"PAR1 and so on"[..], "a Parquet file, but"),
        (b"hello there", "no field 'start' in 'hello there'"),
        (b"\x7fELF\x02\x01\xff\xff", "its first line is no text"),
        (wide.as_bytes(), "a header of more than 512 columns"),
        (good(1).as_bytes(), "its first line is not a flow log header: '4' is no field name"),
    ] {
        let converted = Converted::from(content, &[]);
        assert_eq!((converted.rows(), converted.ran.code), (0, 1));
        converted.ran.says("input: not a flow log: ").says(said);
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
