//! Conversion: each input exactly once, whatever the order and overlap; rows where they belong; fields where they belong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flowlake_tests::{
    corpus::{self, Version},
    random::Random,
    traffic,
};

use crate::support::{Ran, agent, converter, gzip, lake_files, repository, rows, run, tree, write};

fn convert(inputs: &[PathBuf], lake: &Path, options: &[&str]) -> Ran {
    let rejects = lake.with_extension("rejects");
    run(converter().arg("convert").args(inputs).arg("--lake").arg(lake).arg("--rejects").arg(rejects).args(options))
}

/// The replay's files converted in one run, split over several, or overlapping: the same rows, each as often as the input
/// has it.
#[test]
fn however_inputs_are_grouped_each_record_is_in_the_lake_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = Vec::new();
    traffic::write(&mut large, 40_000, 4000).unwrap();
    let capture = write(folder.path(), "c.pcap", &large);
    let logs = folder.path().join("logs");
    run(agent().args(["replay", "--output"]).arg(&logs).arg(&capture)).ended(0);
    corpus::write(&logs, Version::V5, 6, 300).unwrap();
    let inputs: Vec<PathBuf> = tree(&logs).into_keys().map(|name| logs.join(name)).collect();
    let in_one = folder.path().join("in one");
    convert(std::slice::from_ref(&logs), &in_one, &[]).ended(0);
    let expected = rows(&in_one);
    assert!(expected.len() > 5000 && inputs.len() > 8);

    let mut random = Random::new(1);
    for round in 0..6 {
        let lake = folder.path().join(format!("round {round}"));
        // A, B; then B, C; then whatever is left: overlaps at every step.
        let mut converted = vec![false; inputs.len()];
        while converted.contains(&false) {
            let some: Vec<usize> = (0..inputs.len()).filter(|_| random.once_in(3)).collect();
            some.iter().for_each(|index| converted[*index] = true);
            let some: Vec<PathBuf> = some.into_iter().map(|index| inputs[index].clone()).collect();
            if !some.is_empty() {
                convert(&some, &lake, &[]).ended(0);
            }
        }
        assert_eq!(rows(&lake), expected, "round {round}");
        // But for the mark by which each lake is known.
        let objects = |lake: &Path| {
            let mut all = tree(lake);
            assert!(all.remove(".flowlake/id").is_some());
            all
        };
        assert!(objects(&lake) == objects(&in_one), "round {round}: the same objects, byte by byte");
    }
    let again = convert(&[logs], &in_one, &[]).ended(0);
    assert!(again.stderr.contains(&format!("{} rows already there", expected.len())), "{}", again.stderr);
    assert_eq!(rows(&in_one), expected);
}

#[test]
fn two_copies_of_a_file_are_one_input_and_equal_lines_are_two_records() {
    let folder = tempfile::tempdir().unwrap();
    let line = "4 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1700000000 1700000001 ACCEPT OK us-east-1\n";
    let content = format!("{HEADER}\n{line}{line}");
    let one = write(folder.path(), "one", content.as_bytes());
    let copy = write(folder.path(), "copy", content.as_bytes());
    let lake = folder.path().join("lake");
    convert(&[one, copy], &lake, &[]).ended(0);
    assert_eq!(rows(&lake).len(), 2);
}

#[test]
fn a_foreign_file_under_an_objects_name_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(folder.path(), "in", format!("{HEADER}\n{}", line("us-east-1", "1700000000")).as_bytes());
    let lake = folder.path().join("lake");
    convert(std::slice::from_ref(&input), &lake, &[]).ended(0);
    let object = lake_files(&lake).remove(0);
    fs::write(&object, b"something else").unwrap();
    convert(&[input], &lake, &[]).ended(1).says("is not a lake file of this input");
    assert_eq!(fs::read(&object).unwrap(), b"something else");
}

const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status region";

fn line(region: &str, start: &str) -> String {
    format!("4 123456789012 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 {start} 1700000001 ACCEPT OK {region}\n")
}

/// Options, then the record, then the path say whose a row is; partitions follow the lake's rules.
#[test]
fn rows_lie_where_the_options_the_record_or_the_path_say() {
    let v2 = HEADER.strip_suffix(" region").unwrap();
    let record =
        |account: &str| format!("2 {account} eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1700006399 1700006400 ACCEPT OK");
    let with_region = format!("{HEADER}\n{} eu-west-3\n", record("123456789012"));
    let without = format!("{v2}\n{}\n", record("unknown"));
    let path = "AWSLogs/999988887777/vpcflowlogs/ap-south-1/2023/11/14/999988887777_vpcflowlogs_ap-south-1_fl-1_20231115T0000Z_12345678.log";
    let cases: [(&str, &str, &[&str], &str); 6] = [
        ("a.log", &with_region, &[], "flowlake_vpc/region=eu-west-3/accountId=123456789012"),
        (path, &with_region, &[], "flowlake_vpc/region=eu-west-3/accountId=123456789012"),
        (path, &without, &[], "flowlake_vpc/region=ap-south-1/accountId=999988887777"),
        (path, &without, &["--account-id", "1", "--region", "here"], "flowlake_vpc/region=here/accountId=1"),
        (path, &with_region, &["--lake-region", "there"], "flowlake_vpc/region=there/accountId=123456789012"),
        (
            "a.log",
            &with_region,
            &["--origin", "on-premises"],
            "flowlake_agent/region=eu-west-3/accountId=external_123456789012",
        ),
    ];
    for (name, content, options, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let input = write(folder.path(), name, content.as_bytes());
        let lake = folder.path().join("lake");
        convert(&[input], &lake, options).ended(0);
        // 2023-11-14T23:59:59Z: the day is that of the start.
        let expected = format!("ext/{expected}/eventDay=20231114/");
        let files = lake_files(&lake);
        assert_eq!(files.len(), 1);
        assert!(files[0].to_string_lossy().contains(&expected), "{} is not in {expected}", files[0].display());
    }
}

#[test]
fn an_account_or_region_that_nobody_tells_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let v2 = HEADER.strip_suffix(" region").unwrap();
    let good = write(folder.path(), "good", format!("{HEADER}\n{}", line("us-east-1", "1700000000")).as_bytes());
    for (header, option) in
        [(v2.to_owned(), "--region"), (v2.replace("account-id", "vpc-id") + " region", "--account-id")]
    {
        let input = write(folder.path(), "nobody", format!("{header}\n").as_bytes());
        convert(&[input, good.clone()], &lake, &[])
            .ended(64)
            .says("nobody: neither its records nor its path")
            .says(option);
    }
    assert_eq!(rows(&lake).len(), 1, "the rest is done");
}

#[test]
fn joined_files_repeat_their_header_and_unknown_fields_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let other = "start region account-id log-status action brand-new-field srcaddr dstaddr interface-id ecs-task-id";
    let content = format!(
        "{HEADER}\n{}{HEADER}\n{}{other}\n1700000000 us-east-1 123456789012 OK REJECT some-value 192.0.2.1 192.0.2.2 eni-2 -\n",
        line("us-east-1", "1700000000"),
        line("us-east-1", "1700000000"),
    );
    let input = write(folder.path(), "joined", content.as_bytes());
    let lake = folder.path().join("lake");
    convert(&[input], &lake, &[]).ended(0);
    let rows = rows(&lake);
    assert_eq!(rows.len(), 3);
    let odd = rows.iter().find(|row| row.contains("192.0.2.1")).expect("the last record");
    assert!(odd.contains(r#"unmapped: {"brand_new_field" -> "some-value"}"#), "{odd}");
    assert!(odd.contains(r#"activity_name: "Refuse""#));
}

#[test]
fn folders_are_searched_and_hidden_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let content = |start: &str| format!("{HEADER}\n{}", line("us-east-1", start)).into_bytes();
    write(&logs, "a/b/one.log", &content("1700000000"));
    write(&logs, "two", &content("1700000001"));
    write(&logs, ".hidden", &content("1700000002"));
    let lake = folder.path().join("lake");
    convert(&[logs.clone(), logs.clone()], &lake, &[]).ended(0).says("2 inputs");
    assert_eq!(rows(&lake).len(), 2);
    convert(&[folder.path().join("missing")], &lake, &[]).ended(1).says("missing: No such file");
    // Links are followed, also round in circles; the lake itself is no input.
    let linked = folder.path().join("linked");
    fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(folder.path().join("logs"), linked.join("AWSLogs")).unwrap();
    std::os::unix::fs::symlink(&linked, linked.join("round")).unwrap();
    convert(std::slice::from_ref(&linked), &linked.join("lake"), &[]).ended(0).says("2 inputs");
    convert(std::slice::from_ref(&linked), &linked.join("lake"), &[])
        .ended(0)
        .says("2 inputs")
        .says("2 rows already there");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    convert(&[empty], &lake, &[]).ended(1).says("no input file found");
}

#[test]
fn the_demos_cloud_logs_convert_without_rejects() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let ran = convert(&[repository().join("tests/fixtures/demo/cloud")], &lake, &[]).ended(0);
    assert!(ran.stderr.contains(" 0 rejected lines"), "{}", ran.stderr);
    assert!(rows(&lake).len() > 50);
}

/// Many partitions in turn: a file each, not a file for every change.
#[test]
fn interleaved_days_make_a_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let lines = (0..2000).map(|number| line("us-east-1", &(1_600_000_000 + (number % 100) * 86_400).to_string()));
    let content = format!("{HEADER}\n{}", lines.collect::<String>());
    let input = write(folder.path(), "in", content.as_bytes());
    let lake = folder.path().join("lake");
    convert(&[input], &lake, &[]).ended(0);
    assert_eq!((lake_files(&lake).len(), rows(&lake).len()), (100, 2000));
}

/// Whatever would put rows of a delivered input elsewhere is refused: also where no object is in the way.
#[test]
fn a_delivered_input_is_not_delivered_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let other_day = line("us-east-1", "1700100000").replace("123456789012", "unknown");
    let content = format!("{HEADER}\n{}{other_day}", line("us-east-1", "1700000000"));
    let input = write(folder.path(), "in", content.as_bytes());
    let lake = folder.path().join("lake");
    convert(std::slice::from_ref(&input), &lake, &[]).ended(1).says("no account-id");
    let rejects = lake.with_extension("rejects");
    let account = ["--account-id", "123456789012"];
    let other = folder.path().join("other rejects");
    let from_rejects = run(converter()
        .arg("convert")
        .arg(&rejects)
        .arg("--lake")
        .arg(&lake)
        .arg("--rejects")
        .arg(&other)
        .args(account));
    from_rejects.ended(0).says("1 new rows");
    for options in [&account[..], &["--region", "elsewhere"], &["--lake-region", "elsewhere"]] {
        convert(std::slice::from_ref(&input), &lake, options).ended(1).says("it was delivered before");
        assert_eq!(rows(&lake).len(), 2);
    }
    // The rejects folder may be the one that is read.
    convert(&[rejects], &lake, &account).ended(0).says("1 rows already there");
}

/// Also when nothing of it was delivered: its lines are those of the rejects.
#[test]
fn an_input_that_was_rejected_whole_comes_from_its_rejects_only() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(folder.path(), "in", format!("{HEADER}\n{}", line("-", "1700000000")).as_bytes());
    let lake = folder.path().join("lake");
    convert(std::slice::from_ref(&input), &lake, &[]).ended(1).says("no region");
    let region = ["--region", "us-east-1"];
    convert(&[lake.with_extension("rejects")], &lake, &region).ended(0).says("1 new rows");
    convert(&[input], &lake, &region).ended(1).says("it was delivered before");
    assert_eq!(rows(&lake).len(), 1);
}

/// gzip in blocks, as bgzip packs, cuts lines anywhere.
/// What was refused leaves no rejects, and copies of one input leave the same: converted, they would be rows that come twice.
#[test]
fn rejects_are_those_of_what_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let text = "version account-id srcaddr dstaddr start\n2 unknown 10.0.0.1 10.0.0.2 1700000000\n".to_owned();
    let input = write(folder.path(), "input", text.as_bytes());
    let copy = write(folder.path(), "copy", text.as_bytes());
    let (lake, rejects) = (folder.path().join("lake"), folder.path().join("lake.rejects"));
    let with_account = ["--region", "r", "--account-id", "123456789012"];
    convert(std::slice::from_ref(&input), &lake, &with_account).ended(0);
    convert(std::slice::from_ref(&input), &lake, &with_account[..2]).ended(1).says("it was delivered before");
    assert_eq!(tree(&rejects).len(), 0);

    let lake = folder.path().join("other");
    convert(&[input, copy], &lake, &with_account[..2]).ended(1);
    let kept = lake.with_extension("rejects");
    assert_eq!(tree(&kept).len(), 1);
    convert(&[kept], &lake, &with_account).ended(0);
    assert_eq!(rows(&lake).len(), 1);
}

#[test]
fn blocks_of_gzip_are_one_text() {
    let folder = tempfile::tempdir().unwrap();
    let lines = (0..500).map(|number| line("us-east-1", &(1_700_000_000 + number).to_string())).collect::<String>();
    // Logs that were joined before, so that blocks end anywhere in their headers; and fields in an order in which a cut header's end is
    // a header too.
    let lines: Vec<&str> = lines.split_inclusive('\n').collect();
    let text: String = lines.chunks(5).map(|lines| format!("{HEADER}\n{}", lines.concat())).collect();
    let packed: Vec<u8> = text.as_bytes().chunks(777).flat_map(gzip).collect();
    let input = write(folder.path(), "in", &packed);
    let lake = folder.path().join("lake");
    convert(&[input], &lake, &[]).ended(0).says(" 0 rejected lines");
    assert_eq!(rows(&lake).len(), 500);
}
