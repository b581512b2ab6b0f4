//! The questions of packaging: asked on the demo's lake, in DuckDB, they find what was planted there and nothing else.

use std::fs;

use crate::support::{agent, converter, loudly, python, repository, run};

#[test]
fn questions_find_what_the_demo_planted_and_nothing_else() {
    let Some(mut python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (flows, lake) = (folder.path().join("flows"), folder.path().join("lake"));
    let fixtures = repository().join("tests/fixtures/demo");
    // As tests/demo/demo.sh does.
    for (capture, interface, networks) in [
        ("onprem.pcap.gz", "eni-00000000000000000", "10.20.1.10,2001:db8:20:1::10"),
        ("backup.pcap.gz", "eni-f0000000000000060", "10.20.1.60"),
    ] {
        let mut replay = agent();
        replay.args(["replay", "--log-format", "all", "--account-id", "111122223333", "--region", "eu-central-1"]);
        replay.args(["--interface-id", interface, "--local-networks", networks, "--output"]).arg(&flows);
        run(replay.arg(fixtures.join(capture))).ended(0);
    }
    run(converter().args(["convert", "--origin", "on-premises"]).arg(&flows).arg("--lake").arg(&lake)).ended(0);
    run(converter().arg("convert").arg(fixtures.join("cloud")).arg("--lake").arg(&lake)).ended(0);
    let ran = run(python.arg("-B").arg(repository().join("tests/it/questions/check.py")).arg(&lake));
    assert_eq!(ran.code, 0, "{}\n{}", ran.text(), ran.stderr);
    loudly(&format!("questions: {}", ran.text().trim()));

    // The script that ships with them shows each under its question.
    for entry in fs::read_dir(repository().join("packaging/duckdb/questions")).unwrap() {
        let question = entry.unwrap().path();
        let title = fs::read_to_string(&question).unwrap().lines().next().unwrap().replacen("-- ", "\n", 1);
        let mut query = self::python().unwrap();
        let ran = run(query.arg(repository().join("packaging/duckdb/query.py")).arg(&lake).arg(&question)).ended(0);
        assert!(ran.text().starts_with(&format!("{title}\n  ")) && ran.text().lines().count() > 3, "{}", ran.text());
    }
}

/// The capture of the one-way conversation is what its script makes.
#[test]
fn the_one_way_capture_is_made_by_its_script() {
    let Some(mut python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.pcap.gz");
    run(python.arg(repository().join("tests/demo/one_way.py")).arg(&made)).ended(0);
    // Not byte by byte: another zlib may pack them otherwise.
    let records = |capture| run(agent().args(["replay", "--log-format", "all"]).arg(capture)).ended(0).text();
    let committed = records(repository().join("tests/fixtures/demo/backup.pcap.gz"));
    assert_eq!(committed.lines().count(), 1 + 7);
    assert_eq!(records(made), committed);
}
