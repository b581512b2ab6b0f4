//! What a replay says at its end: where every packet went, and what the firewall's log told.

use std::fmt;

use crate::flow::Counters;

/// Counts of one replay beside those of its packets.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) records: u64,
    /// What the firewall's log told, when one was read beside the capture.
    pub(super) verdict: Option<Verdict>,
    /// Drops that were not seen on the way in.
    pub(super) verdict_unmatched: u64,
}

/// Counts of the firewall's log; not among the packets.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Drops that it told.
    pub(super) dropped: u64,
    /// Those of them that were cut off before their ports.
    pub(super) cut_off: u64,
    /// Its packets that told no drop of an IP packet.
    pub(super) unread: u64,
}

impl Summary {
    /// The text, with the counts of the packets.
    pub(super) fn with<'a>(&'a self, counters: &'a Counters) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{counters}\n{} flow records", self.records)?;
            if let Some(Verdict { dropped, cut_off, unread }) = &self.verdict {
                let unmatched = self.verdict_unmatched;
                write!(f, "\n{dropped} drops in the firewall's log, recorded as REJECT; {unmatched} of them were not")?;
                write!(f, " seen on their way in;")?;
                if *cut_off > 0 {
                    write!(f, " {cut_off} were cut off before their ports and have port 0;")?;
                }
                write!(f, " {unread} packets of the log tell no drop")?;
            }
            Ok(())
        })
    }
}
