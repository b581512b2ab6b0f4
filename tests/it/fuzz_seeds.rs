//! The fuzz targets' seeds, and every finding so far, through the same functions. A finding is kept as a seed.

use std::fs;

use flowlake_tests::fuzz::TARGETS;

use crate::support::{repository, tree};

#[test]
fn seeds_and_findings_find_nothing() {
    for (name, target) in TARGETS {
        let seeds = tree(&repository().join("fuzz/seeds").join(name));
        assert!(!seeds.is_empty(), "no seeds for {name}");
        seeds.values().for_each(|bytes| target(bytes));
    }
    // A target that nobody runs finds nothing.
    for file in fs::read_dir(repository().join("fuzz/fuzz_targets")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|(target, _)| name == format!("{target}.rs")), "{name}");
    }
}
