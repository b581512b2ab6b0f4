//! Other programs read what we write: DuckDB maps the same logs by itself, and the OCSF schema judges every event.

use flowlake_tests::corpus::{self, Version};

use crate::support::{agent, converter, lake_files, loudly, python, repository, run, shared};

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
