//! `flowlake-converter validate`: do lake files keep the rules?

use std::{collections::HashMap, path::PathBuf};

use clap::Args;
use flowlake_common::outcome::Outcome;

use super::say;
use crate::{input, lake, ocsf::Version};

/// Check lake files against the column tree and Security Lake's rules
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Parquet files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let (files, errors) = input::collect(&arguments.paths, &[]);
    let mut outcome = Outcome::Clean;
    for error in &errors {
        say(error);
        outcome = Outcome::Failed;
    }
    let (mut rows, mut bad) = (0, 0);
    // All files of a source are one table.
    let mut versions: HashMap<PathBuf, Version> = HashMap::new();
    for file in &files {
        let mut report = lake::validate(&file.path);
        // Below the source's folder lie Region, account and day.
        if let Some(source) = file.path.ancestors().nth(4) {
            let first = *versions.entry(source.to_owned()).or_insert(report.version);
            if first != report.version {
                let (first, other) = (first.name(), report.version.name());
                report.problems.push(format!("of OCSF {other}, where other files of its source are of {first}"));
            }
        }
        rows += report.rows;
        bad += usize::from(!report.problems.is_empty());
        for problem in &report.problems {
            say(&format!("{}: {problem}", file.path.display()));
            outcome = Outcome::Failed;
        }
    }
    if files.is_empty() {
        say("no lake file found");
        outcome = Outcome::Failed;
    }
    say(&format!("validated {} files with {rows} rows: {bad} bad", files.len()));
    outcome
}
