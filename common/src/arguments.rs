//! Reading the command line, the same for both binaries.

use std::ffi::OsString;

use clap::Parser;

use crate::outcome::Outcome;

/// Reads arguments; the first is the program's name.
///
/// # Errors
/// How the program is to end when there is nothing to run: help and version end well, anything wrong is said on standard
/// error and is [`Outcome::Usage`].
pub fn parse<A: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<A, Outcome> {
    A::try_parse_from(arguments).map_err(|error| {
        // Nobody is left to be told when the terminal is gone.
        drop(error.print());
        if error.use_stderr() { Outcome::Usage } else { Outcome::Clean }
    })
}
