//! The mapping's documentation is what the tables say, and names every difference from what others published.

use std::{collections::BTreeSet, fs};

use flowlake_tests::mapping::{DIFFERENCES, document};

use crate::support::{converter, loudly, python, repository, run, shared};

#[test]
fn the_document_is_what_the_tables_say() {
    let written = fs::read_to_string(repository().join("docs/mapping.md")).unwrap();
    assert!(written == document(), "docs/mapping.md is old: `flowlake-generate mapping docs/mapping.md 0 0`");
}

#[test]
fn every_difference_from_published_mappings_is_listed() {
    let (Some(data), Some(mut python)) = (shared("data"), python()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    python.arg(repository().join("tests/it/mapping/differences.py"));
    let examples = "ocsf_examples/mappings/markdown";
    let tenzir = "tenzir_library/amazon/tests";
    for (name, raw, gold, options) in [
        (
            "AWS",
            format!("vpcflow/{examples}/AWS/v1.1.0/VPC_Flowlogs/samples/vpcflowlog.raw"),
            format!("{examples}/AWS/v1.1.0/VPC_Flowlogs/samples/vpcflowlog.ocsf"),
            &[][..],
        ),
        (
            "AWS",
            format!("vpcflow/{examples}/AWS/v1.1.0/VPC_Flowlogs/samples/vpcflowlog.raw"),
            "ocsf_examples/encodings/ilf/example_logs/1_1_0_vpcflowlog.ocsf".to_owned(),
            &[],
        ),
        (
            "Tenzir",
            format!("vpcflow/{tenzir}/inputs/cloudwatch-v2.ndjson"),
            format!("{tenzir}/vpc_flow/ocsf.txt"),
            &["--region", "us-east-1"],
        ),
        (
            "Zeek",
            format!("zeek/{examples}/Zeek/v1.3.0/conn_log/samples/conn_log.raw"),
            format!("{examples}/Zeek/v1.3.0/conn_log/samples/conn_log.ocsf"),
            &["--region", "us-east-1", "--account-id", "123456789012", "--ocsf-version", "1.3.0"],
        ),
    ] {
        let lake = folder.path().join(gold.replace('/', "_"));
        run(converter().arg("convert").arg(data.join(raw)).arg("--lake").arg(&lake).args(options)).ended(0);
        python.arg(name).arg(lake).arg(data.join("ocsf").join(gold));
    }
    let said = run(&mut python).ended(0).text();
    let found: BTreeSet<(&str, &str)> = said.lines().filter_map(|line| line.split_once('\t')).collect();
    let matches = |pattern: &str, attribute: &str| match pattern.strip_suffix('*') {
        Some(begin) => attribute.starts_with(begin),
        None => attribute == pattern,
    };
    let listed = |published: &str, attribute: &str| {
        DIFFERENCES.iter().any(|(whose, attributes, _)| {
            *whose == published && attributes.iter().any(|pattern| matches(pattern, attribute))
        })
    };
    let missing: Vec<_> = found.iter().filter(|(published, attribute)| !listed(published, attribute)).collect();
    assert!(missing.is_empty(), "not in docs/mapping.md: {missing:?}");
    for (published, attributes, _) in DIFFERENCES {
        for pattern in attributes {
            let is_found = found.iter().any(|(whose, attribute)| *whose == published && matches(pattern, attribute));
            assert!(is_found, "docs/mapping.md lists {pattern} of {published}, which is no difference any more");
        }
    }
    loudly(&format!("published mappings: {} differences, each listed", found.len()));
}
