//! Why something could not be delivered, and so what is done about it.

use std::{fmt, io};

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Failure {
    /// What is done about it.
    pub kind: Kind,
    /// What was tried: the operation and the object.
    pub what: String,
    /// What the server, or the system, said.
    pub why: String,
}

/// What is done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The server wants fewer requests: wait, longer each time.
    Throttled,
    /// Line, name service or server failed: wait, and try again.
    Transient,
    /// The clock of this machine or of the server is wrong.
    Clock,
    /// Nobody knows who asks: credentials are missing, wrong or have expired.
    Credentials,
    /// Who asks may not.
    Denied,
    /// There is no such bucket or stream, or it is in another Region.
    NotFound,
    /// Security Lake does not know the source yet.
    Unregistered,
    /// The disk is full, cannot be written, or fails.
    Disk,
    /// This one object is refused, whatever is waited for.
    Refused,
}

impl Kind {
    /// Whether the same thing is to be tried again, for as long as it takes: nobody else could do better.
    #[must_use]
    pub fn passes(self) -> bool {
        self != Self::Refused
    }

    /// Its name, for counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Clock => "clock",
            Self::Credentials => "credentials",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Unregistered => "unregistered",
            Self::Disk => "disk",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Kind {
    /// What a person can do about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "the server asks for patience",
            Self::Transient => "the line or the server failed",
            Self::Clock => "set this machine's clock: it is too far from the server's",
            Self::Credentials => {
                "give valid credentials: keys, a profile, or the role and external id that are assumed"
            }
            Self::Denied => "give the role, and the bucket, what is denied here",
            Self::NotFound => "check the name, and the Region",
            Self::Unregistered => "register it: flowlake-converter provision",
            Self::Disk => "make room on the disk, or make it writable",
            Self::Refused => "the object is refused",
        })
    }
}

impl Failure {
    /// A failure of the file system.
    #[must_use]
    pub fn of_disk(what: String, error: &io::Error) -> Self {
        Self { kind: Kind::Disk, what, why: error.to_string() }
    }

    /// Something that no attempt will change.
    #[must_use]
    pub fn refused(what: String, why: String) -> Self {
        Self { kind: Kind::Refused, what, why }
    }
}
