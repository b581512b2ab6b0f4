//! Columns and keys: how they are named, and what their values are.

use crate::{
    odd_deliveries::{HEADER, line, ports},
    support::{converter, rows, run, write},
};

/// A record as CSV and as JSON, with columns of these names and values before its own or behind them.
fn with(first: &[(&str, &str)], last: &[(&str, &str)]) -> [String; 2] {
    let own = line(1);
    let own: Vec<(&str, &str)> = HEADER.split(' ').zip(own.split(' ')).collect();
    let all: Vec<_> = first.iter().chain(&own).chain(last).collect();
    let names: Vec<_> = all.iter().map(|(name, _)| name.replace('-', "_")).collect();
    let values: Vec<_> = all.iter().map(|(_, value)| *value).collect();
    let value = |value: &str| if value.is_empty() { "null".to_owned() } else { format!("\"{value}\"") };
    let pairs: Vec<_> = names.iter().zip(&values).map(|(name, it)| format!("\"{name}\":{}", value(it))).collect();
    [format!("{}\n{}\n", names.join(","), values.join(",")), format!("{{{}}}\n", pairs.join(","))]
}

/// A field is what is called so, whatever else is called like it, before it or behind it, with a value or without.
#[test]
fn a_field_is_the_column_that_is_called_so() {
    let others: [&[(&str, &str)]; 6] = [
        &[("account", "999999999999"), ("start_time", "2024-06-16"), ("numBytes", "9")],
        &[("account", ""), ("startTime", ""), ("sourceAddress", ""), ("numBytes", ""), ("sourcePort", "")],
        &[("@start", "2024-06-16"), ("src_addr", "10.9.9.9"), ("dstPort", "9")],
        &[("srcAddr", ""), ("_start", ""), ("DSTPORT", "")],
        &[("src_port", "1"), ("src_port", "2"), ("src_port_2", "3")],
        &[("log_status_", "x")],
    ];
    for other in others {
        for [csv, json] in [with(other, &[]), with(&[], other), with(&other[..1], &other[1..])] {
            assert_eq!(ports(&csv, csv.as_bytes(), &[]), (vec![1], 0), "{csv}");
            assert_eq!(ports(&json, json.as_bytes(), &[]), (vec![1], 0), "{json}");
        }
    }
    // The same name twice: the first; another name has the value where its own has none.
    let [csv, json] = with(&[], &[("start", "x"), ("srcaddr", "10.9.9.9")]);
    assert_eq!(ports("twice", csv.as_bytes(), &[]), (vec![1], 0));
    assert_eq!(ports("twice", json.as_bytes(), &[]), (vec![1], 0));
    let [_, json] = with(&[], &[("startTime", "1700000000"), ("sourceAddress", "10.0.0.1")]);
    for blank in ["\"start\":\"1700000000\"", "\"srcaddr\":\"10.0.0.1\""] {
        let name = blank.split(':').next().unwrap_or_default();
        let json = json.replace(blank, &format!("{name}:null"));
        assert_eq!(ports(&json, json.as_bytes(), &[]), (vec![1], 0), "{json}");
    }
}

/// No tag is taken for another's, and what is not known keeps its name.
#[test]
fn names_stay_whose_they_are() {
    let tags = [
        ("instance_tag", "A"),
        ("instanceTag", "B"),
        ("instance_tag_2", "C"),
        ("mine", "D"),
        ("mine", "E"),
        ("mine_2", "F"),
    ];
    for content in with(&[], &tags) {
        let folder = tempfile::tempdir().unwrap();
        let input = write(folder.path(), "input", content.as_bytes());
        let lake = folder.path().join("lake");
        run(converter().args(["convert", "--region", "us-east-1"]).arg(input).arg("--lake").arg(&lake)).ended(0);
        let row = rows(&lake).concat();
        for (name, value) in [
            ("instance_tag", "A"),
            ("instancetag", "B"),
            ("instance_tag_2", "C"),
            ("mine", "D"),
            ("mine_3", "E"),
            ("mine_2", "F"),
        ] {
            assert!(row.contains(&format!("\"{name}\" -> \"{value}\"")), "{name} is not {value}: {row}");
        }
    }
}

/// What has more columns than are read is said to have them, and none of its rows is taken for a header.
#[test]
fn too_many_columns_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let columns: String = (0..2000).map(|number| format!(",f{number}")).collect();
    let [csv, _] = with(&[], &[]);
    let csv = csv.replacen('\n', &format!("{columns}\n"), 1);
    let input = write(folder.path(), "input", csv.as_bytes());
    let told = run(converter().arg("inspect").arg(input)).text();
    assert!(told.contains("line 1: more than 1024 values"), "{told}");
}

#[test]
fn csv_with_spaces_behind_commas_is_read() {
    let exported = format!("\"@timestamp\", \"@message\"\n\"2024-06-16 09:26:50.000\", \"{}\"\n", line(1));
    assert_eq!(ports("Logs Insights", exported.as_bytes(), &[]), (vec![1], 0));
    assert_eq!(ports("its header has none", exported.replacen(", ", ",", 1).as_bytes(), &[]), (vec![1], 0));
    let folder = tempfile::tempdir().unwrap();
    let header = HEADER.replace(' ', ", ");
    let row = |mine: &str| format!("{}, {mine}\n", line(1).replace(' ', ", "));
    let text = format!("{header}, my_column\n{}{}", row("\"x \"\"y\"\"\""), row("-"));
    let input = write(folder.path(), "input", text.as_bytes());
    let lake = folder.path().join("lake");
    run(converter().args(["convert", "--region", "us-east-1"]).arg(input).arg("--lake").arg(&lake)).ended(0);
    let rows = rows(&lake);
    let mine: Vec<bool> = rows.iter().map(|row| row.contains("my_column")).collect();
    assert_eq!(mine.iter().filter(|mine| **mine).count(), 1, "{rows:?}");
    assert!(rows.iter().any(|row| row.contains("my_column -> \"x \\\"y\\\"\"") || row.contains("x \"y\"")), "{rows:?}");
}

/// Values are what they were: with spaces, with zeros behind a point where they are no numbers, and an account that stood as a number.
#[test]
fn values_are_not_altered() {
    let folder = tempfile::tempdir().unwrap();
    let names = HEADER.replace(' ', ",");
    let csv = format!("{names},release,name,instance_tag\n{},7.0,\"a b, %20\",1.0\n", line(1).replace(' ', ","));
    let json = r#"{"version":2,"account_id":12345678901,"interface_id":"eni-1","start":1700000000,"region":"us-east-1","srcport":1.0}"#;
    let all = |content: &str| {
        let input = write(folder.path(), &content.len().to_string(), content.as_bytes());
        let lake = input.with_extension("lake");
        run(converter().arg("convert").arg(input).arg("--lake").arg(&lake).args(["--region", "us-east-1"])).ended(0);
        rows(&lake).concat()
    };
    let row = all(&csv);
    for part in [r#""release" -> "7.0""#, r#""name" -> "a b, %20""#, r#""instance_tag" -> "1.0""#] {
        assert!(row.contains(part), "{part} is not in {row}");
    }
    assert!(all(json).contains("accountId=012345678901/"));
}
