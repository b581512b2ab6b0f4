//! Other programs read what we write: DuckDB maps the same logs by itself, and the OCSF schema judges every event.

use std::{collections::BTreeSet, path::Path};

use flowlake_common::vpc::Format;
use flowlake_tests::corpus::{self, Version};

use crate::support::{agent, converter, lake_files, loudly, python, repository, run, shared, write};

#[test]
fn rows_equal_an_independent_mapping_by_duckdb() {
    for (version, name) in [(Version::V2, "v2"), (Version::V5, "v5")] {
        let Some(mut python) = python() else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let (logs, lake) = (folder.path().join("logs"), folder.path().join("lake"));
        corpus::write(&logs, version, 12, 2000).unwrap();
        run(converter().arg("convert").arg(&logs).arg("--lake").arg(&lake)).ended(0);
        python
            .arg(repository().join("tests/it/sql/compare.py"))
            .arg(name)
            .arg(&logs)
            .arg(lake.join("ext/flowlake_vpc"));
        let ran = run(&mut python);
        assert_eq!(ran.code, 0, "{}\n{}", ran.text(), ran.stderr);
        loudly(&format!("{name}: {}", ran.text().trim()));
    }
}

/// The demo's lake, event by event, by the schema that the OCSF server publishes.
#[test]
fn every_event_of_the_demos_lake_is_valid_ocsf() {
    let Some(validator) = shared("tools/validate_ocsf.py") else {
        return;
    };
    let Some(mut python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (flows, lake) = (folder.path().join("flows"), folder.path().join("lake"));
    let fixtures = repository().join("tests/fixtures/demo");
    run(agent().args(["replay", "--log-format", "all", "--output"]).arg(&flows).arg(fixtures.join("onprem.pcap.gz")))
        .ended(0);
    run(converter().args(["convert", "--origin", "on-premises"]).arg(&flows).arg("--lake").arg(&lake)).ended(0);
    run(converter().arg("convert").arg(fixtures.join("cloud")).arg("--lake").arg(&lake)).ended(0);
    let ran = run(python.arg(validator).args(lake_files(&lake)));
    assert_eq!(ran.code, 0, "{}\n{}", ran.text(), ran.stderr);
    let text = ran.text();
    let summary = text.lines().last().expect("a count");
    assert!(summary.ends_with(" valid, 0 invalid"), "{summary}");
    loudly(&format!("OCSF schema: {summary}"));
}

/// Rows of every source at both OCSF versions, NODATA and SKIPDATA of each kind of flow log among them, by the schema that the
/// OCSF server publishes.
#[test]
fn every_event_of_every_source_is_valid_ocsf_in_both_versions() {
    let Some(validator) = shared("tools/validate_ocsf.py") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    corpus::write(&logs, Version::V5, 2, 300).unwrap();
    let tgw: Vec<&str> = Format::transit_gateway().fields().iter().map(|field| field.name()).collect();
    let of_tgw = |values: &[(&str, &str)]| -> String {
        let value = |name: &&str| values.iter().find(|(known, _)| known == name).map_or("-", |(_, value)| *value);
        tgw.iter().map(value).collect::<Vec<_>>().join(" ")
    };
    let always = [
        ("version", "6"),
        ("resource-type", "TransitGateway"),
        ("account-id", "123456789012"),
        ("tgw-id", "tgw-1"),
        ("start", "1700000000"),
        ("end", "1700000059"),
        ("region", "us-east-1"),
    ];
    let ends =
        [("srcaddr", "10.0.0.1"), ("dstaddr", "2001:db8::1"), ("packets", "1"), ("bytes", "40"), ("log-status", "OK")];
    let lines: Vec<String> = [&ends[..], &[("log-status", "NODATA")], &[("log-status", "SKIPDATA")]]
        .iter()
        .map(|more| of_tgw(&[&always[..], more].concat()))
        .collect();
    write(&logs, "tgw", format!("{}\n{}\n", tgw.join(" "), lines.join("\n")).as_bytes());
    let zeek = r#"{"ts":1700000000.5,"id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"10.0.0.2","id.resp_p":2,"proto":"tcp","conn_state":"SF","local_orig":true,"local_resp":true,"history":"ShFf","orig_pkts":2,"orig_ip_bytes":80,"resp_pkts":2,"resp_ip_bytes":80}"#;
    write(&logs, "zeek", zeek.as_bytes());
    let eve = r#"{"timestamp":"2023-11-14T22:20:00.000000+0000","event_type":"flow","src_ip":"fe80::1","dest_ip":"ff02::1","proto":"IPv6-ICMP","icmp_type":135,"icmp_code":0,"flow":{"pkts_toserver":1,"pkts_toclient":0,"bytes_toserver":86,"bytes_toclient":0,"start":"2023-11-14T22:13:20.250000+0000","state":"new","action":"drop"}}"#;
    write(&logs, "eve", eve.as_bytes());
    let flows = folder.path().join("flows");
    let capture = repository().join("tests/fixtures/demo/onprem.pcap.gz");
    run(agent().args(["replay", "--nodata", "--log-format", "all", "--output"]).arg(&flows).arg(capture)).ended(0);
    for version in ["1.1.0", "1.3.0"] {
        let Some(mut python) = python() else {
            return;
        };
        let lake = folder.path().join(version);
        let convert = |input: &Path, origin: &str| {
            let mut convert = converter();
            convert.arg("convert").arg(input).arg("--lake").arg(&lake).args([
                "--origin",
                origin,
                "--ocsf-version",
                version,
            ]);
            run(convert.args(["--account-id", "123456789012", "--region", "us-east-1", "--community-id"])).ended(0);
        };
        convert(&logs, "aws");
        convert(&flows, "on-premises");
        run(converter().arg("validate").arg(&lake)).ended(0);
        let sources: BTreeSet<String> = lake_files(&lake)
            .iter()
            .map(|path| {
                path.ancestors().nth(4).and_then(Path::file_name).expect("a source").to_string_lossy().into_owned()
            })
            .collect();
        assert_eq!(sources.len(), 4, "{sources:?}");
        let ran = run(python.arg(&validator).args(lake_files(&lake)));
        assert_eq!(ran.code, 0, "{}\n{}", ran.text(), ran.stderr);
        let text = ran.text();
        let summary = text.lines().last().expect("a count");
        assert!(summary.ends_with(" valid, 0 invalid"), "{summary}");
        loudly(&format!("OCSF {version}, {} sources: {summary}", sources.len()));
    }
}
