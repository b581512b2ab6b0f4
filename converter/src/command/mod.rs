//! The command line: one module per command, and the only place that speaks to the user.

mod convert;
mod inspect;
mod provision;
mod run;
mod status;
mod validate;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use clap::{Parser, Subcommand};
use flowlake_common::{arguments, outcome::Outcome};

/// Flow logs become OCSF Network Activity in a lake.
#[derive(Debug, Parser)]
#[command(name = "flowlake-converter", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Convert(convert::Arguments),
    Inspect(inspect::Arguments),
    Validate(validate::Arguments),
    /// Deliver what arrives, as `converter.toml` says, until SIGTERM
    Run(run::Arguments),
    /// Check the configuration
    Check(run::Arguments),
    /// Say what the service does, what it waits for, and what it put aside
    Status(run::Arguments),
    /// Let come again what was put aside
    Retry(run::Arguments),
    Provision(provision::Arguments),
}

/// Runs the command that the arguments ask for (the first is the program's name) and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Outcome {
    let arguments: Arguments = match arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(outcome) => return outcome,
    };
    match arguments.command {
        Command::Convert(arguments) => convert::run(arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => run::check(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Retry(arguments) => run::retry(&arguments),
        Command::Provision(arguments) => provision::run(arguments),
    }
}

/// A line of standard error: what failed or what a person should know.
#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn say(message: &str) {
    // With nobody to tell, the work goes on.
    drop(writeln!(io::stderr(), "flowlake-converter: {message}"));
}
