//! What happens in the service, in the words in which it is said.

use std::{fmt, path::PathBuf};

use flowlake_common::time;

use crate::{capture::live::TapError, emit::GivenUp, flow::Lost};

/// Whoever is told.
pub type Say = fn(&Event);

/// Something that a person should know.
#[derive(Debug)]
pub enum Event {
    /// Capture of an interface began.
    Opened {
        /// Its name.
        interface: String,
        /// Its `interface-id`.
        id: String,
        /// Whether it was captured before.
        again: bool,
    },
    /// An interface cannot be captured now; it is tried again.
    Waiting {
        /// Its name.
        interface: String,
        /// Why.
        why: String,
    },
    /// An interface was switched off, or on again.
    Switched {
        /// Its name.
        interface: String,
        /// Whether it is on.
        up: bool,
    },
    /// Packets of a window were lost.
    Loss {
        /// Its name.
        interface: String,
        /// The window's first second.
        window: i64,
        /// What was lost.
        lost: Lost,
    },
    /// The firewall's log cannot be read now; it is tried again.
    VerdictLost {
        /// Why.
        why: TapError,
    },
    /// Somebody hung up.
    Hangup,
    /// The firewall's log is read again.
    VerdictAgain,
    /// Nothing is there now that a `[[capture]]` means.
    NothingSelected {
        /// Its `interface`.
        interface: String,
    },
    /// The default route leaves by another interface.
    Unselected {
        /// The one that is captured no more.
        interface: String,
    },
    /// Finished records cannot be written; it is tried again every second.
    SpoolFailed {
        /// Its name.
        interface: String,
        /// Why, and which file.
        why: String,
    },
    /// Finished files were given up, because there was no room.
    SpoolFull {
        /// What, and why.
        given_up: GivenUp,
    },
    /// Writing works again.
    SpoolWorks {
        /// Its name.
        interface: String,
    },
    /// Records were given up at the end, because they could not be written.
    GivenUp {
        /// Its name.
        interface: String,
        /// How many.
        records: usize,
    },
    /// An earlier run ended without closing its windows.
    Crashed {
        /// The interface's `interface-id`.
        id: String,
        /// The first second that was not written.
        since: i64,
    },
    /// A crash marker that cannot be read or written.
    Marker {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The same packets are captured on two interfaces.
    DoubleCounting {
        /// The upper one: a bond, a bridge, a VLAN.
        upper: String,
        /// The one below it.
        lower: String,
    },
    /// A device that is not captured has several captured parts: the firewall may log drops on it without saying of which.
    WhichPort {
        /// A bridge or a bond.
        device: String,
    },
    /// More interfaces are selected than are captured.
    TooMany {
        /// The one that is left out.
        interface: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { interface, id, again: false } => write!(f, "{interface}: captured as {id}"),
            Self::Opened { interface, id, again: true } => {
                write!(f, "{interface}: captured again as {id}; this window is SKIPDATA")
            }
            Self::Waiting { interface, why } => {
                write!(f, "{interface}: not captured: {why}; it is tried again when it changes")
            }
            Self::Switched { interface, up: false } => write!(f, "{interface}: down"),
            Self::Switched { interface, up: true } => write!(f, "{interface}: up again"),
            Self::Loss { interface, window, lost } => {
                let Lost { kernel, interface: device, queue, queue_bytes: _, queue_drops, verdict } = lost;
                write!(f, "{interface}: lost in the window of {}:", time::format(*window, "%Y-%m-%dT%H:%M:%SZ"))?;
                for (count, what, advice) in [
                    (kernel, "packets for which the ring had no room", "raise ring-mib or threads"),
                    (device, "packets dropped by the interface or its driver", "look at ethtool -S"),
                    (queue, "packets of records that waited too long to be written", "the disk is too slow"),
                    (queue_drops, "drops of the firewall that waited too long to be written", "the disk is too slow"),
                    (verdict, "or more drops of the firewall, whose log overflowed", "log fewer packets"),
                ] {
                    if *count > 0 {
                        write!(f, " {count} {what} ({advice});")?;
                    }
                }
                write!(f, " it is SKIPDATA")
            }
            Self::VerdictLost { why } => write!(
                f,
                "the firewall's log cannot be read: {why}; windows until then are SKIPDATA, and their ACCEPT is not certain"
            ),
            Self::Hangup => {
                write!(f, "SIGHUP changes nothing: the configuration is read at the start; restart to change it")
            }
            Self::VerdictAgain => write!(f, "the firewall's log is read again; this window is SKIPDATA"),
            Self::NothingSelected { interface } => {
                write!(f, "capture '{interface}': no such interface now; it is captured as soon as it is there")
            }
            Self::Unselected { interface } => {
                write!(f, "{interface}: not captured any more: the default route leaves by another")
            }
            Self::SpoolFailed { interface, why } => {
                write!(f, "{interface}: cannot write records: {why}; it is tried again every second")
            }
            Self::SpoolFull { given_up: GivenUp { why, files, records, packets } } => write!(
                f,
                "the spool was full ({why}): its oldest {files} files, {records} records of {packets} packets, were given up \
                 and are SKIPDATA; look after the converter, or change the spool- keys of agent.toml"
            ),
            Self::SpoolWorks { interface } => write!(f, "{interface}: records are written again"),
            Self::GivenUp { interface, records } => {
                write!(f, "{interface}: {records} records were not written; the next start says SKIPDATA for them")
            }
            Self::Crashed { id, since } => {
                let since = time::format(*since, "%Y-%m-%dT%H:%M:%SZ");
                write!(f, "{id}: an earlier run ended suddenly; SKIPDATA from {since} until now")
            }
            Self::Marker { path, why } => {
                write!(f, "{}: {why}; after a crash its SKIPDATA would be wrong", path.display())
            }
            Self::DoubleCounting { upper, lower } => {
                write!(f, "{lower} is part of {upper}: what crosses both is counted twice; capture one of them")
            }
            Self::WhichPort { device } => write!(
                f,
                "{device} is not captured, but a part of it is: what the firewall drops on {device} without logging \
                 the port (a bridge without br_netfilter) is nobody's, and stays ACCEPT on the part that saw it; capture {device} instead"
            ),
            Self::TooMany { interface } => write!(f, "{interface}: not captured: too many interfaces are selected"),
        }
    }
}
