//! What happens in the service, in the words in which it is said.

use std::{fmt, path::PathBuf};

use crate::failure::Failure;

/// Whoever is told.
pub type Say<'s> = &'s dyn Fn(&Event);

/// Something that a person should know.
#[derive(Debug)]
pub enum Event {
    /// A batch is in the lake.
    Delivered {
        /// The lake source.
        source: String,
        /// Inputs of the batch.
        inputs: usize,
        /// Rows that are new.
        rows: u64,
        /// Rows that were there.
        already_there: u64,
        /// New objects.
        objects: u64,
    },
    /// A batch cannot be delivered now.
    Waiting {
        /// The lake source, or the input.
        who: String,
        /// Why.
        failure: Failure,
        /// Seconds until the next attempt.
        seconds: u64,
    },
    /// Delivery works again.
    Works {
        /// The lake source, or the input.
        who: String,
    },
    /// An input is put aside until somebody retries it.
    Parked {
        /// The input.
        name: String,
        /// Why.
        why: String,
    },
    /// A batch that somebody began cannot be finished here.
    Unfinished {
        /// The lake source and the batch.
        who: String,
        /// How many of its inputs are not here.
        missing: usize,
        /// Where its plan is.
        plan: String,
    },
    /// A file grew after it was delivered.
    Grown {
        /// The file.
        path: PathBuf,
    },
    /// Something of an input that a person should look at.
    OfInput {
        /// What.
        message: String,
    },
    /// A place cannot be read or written now.
    Trouble {
        /// What and why.
        message: String,
    },
    /// This machine's clock is too far from the servers'.
    Clock {
        /// Seconds that it is ahead.
        ahead: i64,
    },
}

impl Event {
    /// Why a batch waits, and what to do.
    pub(super) fn why_unfinished(missing: usize, plan: &str) -> String {
        format!(
            "begun, and cannot be finished: {missing} of its inputs are not here; give them back as they were, stop other converters that have them, or give the batch up, as docs/delivery.md says; its plan is {plan}"
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { source, inputs, rows, already_there, objects } => {
                write!(f, "{source}: {inputs} inputs delivered, {rows} rows in {objects} new lake files")?;
                if *already_there > 0 {
                    write!(f, "; {already_there} rows were there")?;
                }
                Ok(())
            }
            Self::Waiting { who, failure, seconds } => {
                write!(f, "{who}: {failure}; {}; next attempt in {seconds} s", failure.kind)
            }
            Self::Works { who } => write!(f, "{who}: works again"),
            Self::Parked { name, why } => {
                write!(f, "{name}: not delivered: {why}; it is parked; mend it, then flowlake-converter retry")
            }
            Self::Unfinished { who, missing, plan } => {
                write!(f, "{who}: {}", Self::why_unfinished(*missing, plan))
            }
            Self::Grown { path } => write!(
                f,
                "{}: grew after it was delivered; what is new in it is not delivered. A folder is for finished files",
                path.display()
            ),
            Self::OfInput { message } | Self::Trouble { message } => f.write_str(message),
            Self::Clock { ahead } => {
                let (seconds, way) = (ahead.abs(), if *ahead > 0 { "ahead of" } else { "behind" });
                write!(
                    f,
                    "this machine's clock is {seconds} s {way} the server's; set it: requests are refused beyond 900 s"
                )
            }
        }
    }
}
