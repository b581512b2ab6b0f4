//! The exit codes, the same for both binaries. Scripts rely on them.

use std::process::ExitCode;

/// How a command ended. Ordered by severity, so that several ends join with [`Ord::max`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All well: exit code 0.
    Clean,
    /// Something in the input or on the way failed; it was said, and the rest was done: exit code 1.
    Failed,
    /// Wrong usage or configuration: exit code 64 (`EX_USAGE`).
    Usage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Clean => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 64,
        })
    }
}
