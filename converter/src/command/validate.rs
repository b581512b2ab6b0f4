//! `flowlake-converter validate`: do lake files keep the rules?

use std::path::PathBuf;

use clap::Args;
use flowlake_common::outcome::Outcome;

use super::say;
use crate::{input, lake};

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
    for file in &files {
        let report = lake::validate(&file.path);
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
