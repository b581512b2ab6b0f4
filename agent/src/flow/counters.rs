//! Where every packet went. Invariant: packets = recorded + each named loss.

use std::{fmt, ops::AddAssign};

use crate::decode::Undecoded;

/// Packets that were there to see, but that no capture gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// The kernel had no room for them in the ring.
    pub kernel: u64,
    /// The interface or its driver dropped them.
    pub interface: u64,
    /// Recorded in a flow that was given up, because records could not be written, or not fast enough.
    pub queue: u64,
    /// Their IP bytes.
    pub queue_bytes: u64,
    /// Drops of the firewall in flows that were given up likewise.
    pub queue_drops: u64,
    /// Messages of the firewall's log that overflowed: at least as many drops are not known.
    pub verdict: u64,
}

/// Counts of a replay, or of a capture since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that the capture gave.
    pub packets: u64,
    /// Those that are in a record.
    pub recorded: u64,
    /// Their IP bytes.
    pub ip_bytes: u64,
    undecoded: [u64; Undecoded::ALL.len()],
    /// Packets of a pcapng whose interface the file never described.
    pub without_interface: u64,
    /// Recorded, but with port 0 because the ports were not there to see.
    pub ports_missing: u64,
    /// Recorded in their own windows, but not believed: before 2010 or from 2100 on.
    pub odd_times: u64,
    /// Packets that the capture did not give, or that were lost later.
    pub lost: Lost,
}

impl Counters {
    /// Counts a packet that has no flow.
    pub fn lost(&mut self, reason: Undecoded) {
        self.undecoded[reason as usize] += 1;
    }

    /// How many packets have no flow for this reason.
    #[must_use]
    pub const fn count(&self, reason: Undecoded) -> u64 {
        self.undecoded[reason as usize]
    }
}

impl Lost {
    /// Whether nothing was lost.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.kernel += other.kernel;
        self.interface += other.interface;
        self.queue += other.queue;
        self.queue_bytes += other.queue_bytes;
        self.queue_drops += other.queue_drops;
        self.verdict += other.verdict;
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.recorded += other.recorded;
        self.ip_bytes += other.ip_bytes;
        for (mine, theirs) in self.undecoded.iter_mut().zip(other.undecoded) {
            *mine += theirs;
        }
        self.without_interface += other.without_interface;
        self.ports_missing += other.ports_missing;
        self.odd_times += other.odd_times;
        self.lost += other.lost;
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A capture does not give what the kernel or the interface dropped; it was there all the same.
        let packets = self.packets + self.lost.kernel + self.lost.interface;
        writeln!(f, "{packets:>12} packets read")?;
        let (recorded, bytes) = (self.recorded - self.lost.queue, self.ip_bytes - self.lost.queue_bytes);
        write!(f, "{recorded:>12} recorded, of {bytes} IP bytes")?;
        let mut losses: Vec<(u64, &str)> = Undecoded::ALL.map(|reason| (self.count(reason), reason.name())).to_vec();
        losses.extend([
            (self.without_interface, "of an interface that the capture does not describe"),
            (self.lost.kernel, "dropped by the kernel, because the ring was full"),
            (self.lost.interface, "dropped by the interface or its driver"),
            (self.lost.queue, "given up, because their records could not be written, or not fast enough"),
        ]);
        for (count, reason) in losses {
            if count > 0 {
                write!(f, "\n{count:>12} not recorded: {reason}")?;
            }
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
