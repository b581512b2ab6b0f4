//! The command line: one module per command, and the only place that speaks to the user.

mod fields;
mod replay;
mod summary;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use clap::{Parser, Subcommand};
use flowlake_common::{arguments, outcome::Outcome};

/// Packets on this server become VPC flow log records.
#[derive(Debug, Parser)]
#[command(name = "flowlake-agent", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one for each run of the program")]
enum Command {
    Replay(replay::Arguments),
    /// List the flow log fields that can be written
    Fields,
}

/// Runs the command that the arguments ask for (the first is the program's name) and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Outcome {
    let arguments: Arguments = match arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(outcome) => return outcome,
    };
    match arguments.command {
        Command::Replay(arguments) => replay::run(arguments),
        Command::Fields => fields::run(),
    }
}

/// A line of standard error: what failed or what a person should know.
#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn say(message: &str) {
    // With nobody to tell, the work goes on.
    drop(writeln!(io::stderr(), "flowlake-agent: {message}"));
}
