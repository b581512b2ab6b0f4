//! Flow logs that nobody here wrote, and programs of others that read ours.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use flowlake_tests::{
    capture::{Pcap, Seen},
    frame::{Packet, Transport, ip, v4},
    traffic,
};

use crate::support::{agent, converter, loudly, python, repository, rows, run, shared, tree, write};

/// Every file is recognised and read: no record is missing, and each line that gives no row stands in `flow_logs.tsv`.
#[test]
fn public_flow_logs_are_recognised_and_read() {
    let Some(folder) = shared("data/vpcflow") else {
        return;
    };
    let explained = fs::read_to_string(repository().join("tests/it/flow_logs.tsv")).unwrap();
    let explained: BTreeMap<&str, (&str, &str)> = explained
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (path, rest) = line.split_once('\t').expect("a path");
            (path, rest.split_once('\t').expect("what is said, and why"))
        })
        .collect();
    let scratch = tempfile::tempdir().unwrap();
    let (mut read, mut total) = (0, 0);
    for (name, mut content) in tree(&folder) {
        if name.starts_with("SEKOIA") {
            // Tests of another program: the log is what they feed it.
            let test: serde_json::Value = serde_json::from_slice(&content).unwrap();
            content = test["input"]["message"].as_str().expect("a message").into();
        }
        let file = write(scratch.path(), &format!("in/{name}"), &content);
        let lake = scratch.path().join("lakes").join(&name);
        let mut convert = converter();
        convert.arg("convert").arg(&file).arg("--lake").arg(&lake).arg("--rejects").arg(lake.with_extension("rejects"));
        let ran = run(convert.args(["--account-id", "123456789012", "--region", "us-east-1"]));
        let found = rows(&lake).len();
        let inspected = run(converter().arg("inspect").arg(&file)).text();
        let kind = inspected.lines().find_map(|line| line.strip_prefix("  kind       ")).expect("a kind").to_owned();
        let rejects = summed(&ran.stderr, "rejected lines");
        loudly(&format!("flow log {name}: {kind}; {found} records, {rejects} rejects"));
        match explained.get(name.as_str()) {
            Some((said, why)) => {
                assert!(ran.code == 1 && ran.stderr.contains(said), "{name}: '{said}' was not said:\n{}", ran.stderr);
                loudly(&format!("    {said}: {why}"));
                assert!(rejects <= 1);
            }
            None => assert_eq!((ran.code, rejects), (0, 0), "{name}: {}", ran.stderr),
        }
        if !kind.starts_with("not a flow log") {
            read += 1;
            total += found;
            assert_eq!(found as u64 + rejects, records_in(&content), "{name}");
        }
    }
    loudly(&format!("public flow logs: {read} read with {total} records"));
    assert!(read >= 22 && total > 70);
}

/// How many records a log has, counted in the simplest way.
fn records_in(content: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(content);
    let count = if content.starts_with(b"PAR1") {
        // The two published inputs have a record each.
        1
    } else if text.starts_with(['{', '[']) {
        let messages = text.matches("\"message\":").count() + text.matches("\"body\":").count();
        // Or an object is a record.
        messages.max(text.matches("\"srcaddr\":").count())
    } else {
        text.lines().filter(|line| !line.is_empty() && !line.contains("start")).count()
    };
    count as u64
}

/// A number of the summary.
fn summed(said: &str, what: &str) -> u64 {
    let line = said.lines().find_map(|line| line.trim_end().strip_suffix(what));
    line.map_or(0, |number| number.trim().parse().expect("a number"))
}

/// What Security Lake made of two published inputs, and what OCSF's own examples say of a third: every value that both versions
/// have is the same.
#[test]
fn rows_equal_what_security_lake_made_of_the_same_records() {
    let (Some(folder), Some(mut python)) = (shared("data"), python()) else {
        return;
    };
    let samples = "aws-samples_amazon-security-lake-ocsf-validation/samples/1.0.0-rc.2/VPC_FLOW";
    let examples = "ocsf_examples/mappings/markdown/AWS";
    let scratch = tempfile::tempdir().unwrap();
    python.arg(repository().join("tests/it/flow_logs/gold.py"));
    for (number, (input, gold)) in [
        (format!("{samples}/inputs/vpc_flow-input0.json.parquet"), format!("{samples}/example0.gz.parquet")),
        (format!("{samples}/inputs/vpc_flow-input1.json.parquet"), format!("{samples}/example1.gz.parquet")),
        (
            format!("{examples}/v1.1.0/VPC_Flowlogs/samples/vpcflowlog.raw"),
            format!("{examples}/v1.1.0/VPC_Flowlogs/samples/vpcflowlog.ocsf"),
        ),
        (
            format!("{examples}/v1.0.0-rc.2/VPC_Flowlogs/samples/vpcflowlog.raw"),
            format!("{examples}/v1.0.0-rc.2/VPC_Flowlogs/samples/vpcflowlog.ocsf"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let lake = scratch.path().join(number.to_string());
        let input = folder.join("vpcflow").join(input);
        run(converter().arg("convert").arg(input).arg("--lake").arg(&lake)).ended(0);
        python.arg(lake).arg(folder.join("ocsf").join(gold));
    }
    let said = run(&mut python).ended(0).text();
    loudly(said.trim_end());
    assert_eq!(said.matches("values equal").count(), 4);
}

/// What `replay` writes is read by programs of others, as AWS's own logs are: the flowlogs-reader library, and DuckDB with the
/// columns of the Athena tables that we ship. Their sums are the records' own.
#[test]
fn our_files_are_read_by_programs_of_others() {
    let Some(mut python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    traffic::write(&mut bytes, 20_000, 1500).unwrap();
    let capture = write(folder.path(), "c.pcap", &bytes);
    // Four quiet minutes, and one packet.
    let last = Packet { source: v4(1), destination: v4(2), transport: Transport::Udp(1, 53), payload: 9 };
    let late = Pcap::default().write(101, &[Seen::whole(1_700_000_900, ip(&last))]);
    let late = write(folder.path(), "d.pcap", &late);
    let logs = |name: &str, options: &[&str]| -> PathBuf {
        let logs = folder.path().join(name);
        let mut replay = agent();
        // With NODATA and its dashes.
        replay.args(["replay", "--nodata", "--account-id", "123456789012", "--output"]).arg(&logs).args(options);
        run(replay.arg(&capture).arg(&late)).ended(0);
        logs
    };
    python.arg(repository().join("tests/it/flow_logs/others.py"));
    python.arg(repository().join("packaging/athena"));
    python.arg(logs("default", &["--log-format", "default"]));
    python.arg(logs("all", &["--log-format", "all"]));
    python.arg(logs("parquet", &["--log-format", "all", "--file-format", "parquet", "--hive-compatible-partitions"]));
    let said = run(&mut python).ended(0).text();
    loudly(said.trim_end());
    let packets = |reader: &str| -> u64 {
        let line = said.lines().find_map(|line| line.strip_prefix(reader)).expect("the reader's line");
        line.split_whitespace().next().expect("a number").parse().expect("a number")
    };
    for reader in ["flowlogs-reader, default: ", "DuckDB, default: ", "DuckDB, text: ", "DuckDB, Parquet: "] {
        assert_eq!(packets(reader), 20_001, "{reader}\n{said}");
    }
}

/// The tables that Athena is told have the fields of the one table, in its order.
#[test]
fn athena_tables_have_the_fields_in_their_order() {
    use flowlake_common::vpc::{Format, Kind};
    for (file, format) in [
        ("vpc_flow_logs_text.sql", Format::all_fields()),
        ("vpc_flow_logs_parquet.sql", Format::all_fields()),
        ("vpc_flow_logs_default.sql", Format::default_fields()),
        ("transit_gateway_flow_logs_text.sql", Format::transit_gateway()),
    ] {
        let found = columns(&repository().join("packaging/athena").join(file));
        let expected: Vec<String> = format.fields().iter().map(|field| field.name().replace('-', "_")).collect();
        assert_eq!(found.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected, "{file}");
        for ((name, found), field) in found.iter().zip(format.fields()) {
            let fits = match field.info().kind {
                Kind::Int32 { .. } => ["int", "bigint"].contains(&found.as_str()),
                Kind::Int64 => found == "bigint",
                Kind::Address | Kind::Text => found == "string",
            };
            assert!(fits, "{file}: {name} {found}");
        }
    }
}

/// Names and types of the columns of a CREATE TABLE, one a line, up to the parenthesis that ends them.
fn columns(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().skip_while(|line| !line.starts_with("CREATE EXTERNAL TABLE")).skip(1);
    let lines =
        lines.take_while(|line| !line.trim_start().starts_with(')')).map(|line| line.trim().trim_end_matches(','));
    let column = |line: &str| {
        let (name, kind) = line.trim_start_matches('`').split_once("` ").expect("a name in back-ticks, and a type");
        (name.to_owned(), kind.split_whitespace().next().expect("a type").to_owned())
    };
    lines.filter(|line| line.starts_with('`')).map(column).collect()
}
