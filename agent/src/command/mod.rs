//! The command line: one module per command, and the only place that speaks to the user.

mod fields;
mod interfaces;
mod replay;
mod run;
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
enum Command {
    Replay(Box<replay::Arguments>),
    /// Capture live, as `agent.toml` says, until SIGTERM
    Run(run::Arguments),
    /// Check the configuration, and say what it would capture
    Check(run::Arguments),
    /// List the interfaces, and whether this process may capture them
    Interfaces,
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
        Command::Replay(arguments) => replay::run(*arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => run::check(&arguments),
        Command::Interfaces => interfaces::run(),
        Command::Fields => fields::run(),
    }
}

/// A line of standard error: what failed or what a person should know.
#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn say(message: &str) {
    // With nobody to tell, the work goes on.
    drop(writeln!(io::stderr(), "flowlake-agent: {message}"));
}
