//! Where every packet of a replay went. Invariant: packets = recorded + each named loss.

use std::fmt;

use crate::decode::Undecoded;

/// Counts of one replay.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) packets: u64,
    pub(super) recorded: u64,
    pub(super) ip_bytes: u64,
    pub(super) records: u64,
    /// Packets of a pcapng whose interface the file never described.
    pub(super) without_interface: u64,
    undecoded: [u64; Undecoded::ALL.len()],
    /// Recorded, but with port 0 because the ports were not there to see.
    pub(super) ports_missing: u64,
    /// Whether the firewall's log was read beside the capture.
    pub(super) verdict_log: bool,
    /// Drops that it told; not among the packets.
    pub(super) dropped: u64,
    /// Its packets that told no drop of an IP packet.
    pub(super) drops_unread: u64,
    /// Drops that were not seen on the way in.
    pub(super) verdict_unmatched: u64,
    /// Recorded in their own windows, but not believed: before 2010 or from 2100 on.
    pub(super) odd_times: u64,
}

impl Undecoded {
    const ALL: [Self; 4] = [Self::NotIp, Self::UnknownLinkType, Self::CutOff, Self::Malformed];

    fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not IP",
            Self::UnknownLinkType => "unknown link type",
            Self::CutOff => "captured too short for addresses and protocol",
            Self::Malformed => "malformed headers",
        }
    }
}

impl Summary {
    pub(super) fn lost(&mut self, reason: Undecoded) {
        self.undecoded[reason as usize] += 1;
    }

    pub(super) fn count(&self, reason: Undecoded) -> u64 {
        self.undecoded[reason as usize]
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>12} packets read", self.packets)?;
        write!(f, "{:>12} recorded, in {} flow records of {} IP bytes", self.recorded, self.records, self.ip_bytes)?;
        let mut losses: Vec<(u64, &str)> = Undecoded::ALL.map(|reason| (self.count(reason), reason.name())).to_vec();
        losses.push((self.without_interface, "of an interface that the capture does not describe"));
        for (count, reason) in losses {
            if count > 0 {
                write!(f, "\n{count:>12} not recorded: {reason}")?;
            }
        }
        if self.verdict_log {
            let Self { dropped, drops_unread, verdict_unmatched, .. } = self;
            write!(
                f,
                "\n{dropped} drops in the firewall's log, recorded as REJECT; {verdict_unmatched} of them were not"
            )?;
            write!(f, " seen on their way in; {drops_unread} packets of the log tell no drop")?;
        }
        for (count, note) in [
            (self.ports_missing, "recorded with port 0: cut off, or a fragment whose first was not seen"),
            (self.odd_times, "recorded with an unlikely time: before 2010 or after 2099"),
        ] {
            if count > 0 {
                write!(f, "\nof these {count} {note}")?;
            }
        }
        Ok(())
    }
}
