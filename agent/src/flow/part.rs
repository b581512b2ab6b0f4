//! What comes out of a window: the flows of one source, and, joined with other sources' and judged, the closed window.
//!
//! Whoever observes packets hands a [`Part`] over as it stands; sorting and the verdict are the work of whoever closes.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{
    Lost,
    table::{Action, Entry, Key},
    verdict::Drops,
};

/// The flows that one source saw in one window, or some of them, given up early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The window's first second, Unix time.
    pub start: i64,
    /// Whether it was given up early, for want of room, and the window stays open.
    pub early: bool,
    /// In order of arrival.
    chunks: Vec<Vec<Entry>>,
}

/// A window that closed, or a part of one that was given up early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The window's first second, Unix time.
    pub start: i64,
    /// Its flows, by interface, then by first packet, then ACCEPT before REJECT, then by arrival.
    pub entries: Vec<Entry>,
    /// Packets that the firewall dropped on their way in, but that no interface saw in this window.
    pub verdict_unmatched: u64,
}

impl Part {
    pub(super) fn new(start_us: i64, chunks: Vec<Vec<Entry>>) -> Self {
        Self { start: start_us.div_euclid(1_000_000), early: false, chunks }
    }

    pub(super) fn given_up_early(self) -> Self {
        Self { early: true, ..self }
    }

    /// How many flows it has.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// What is lost when it is given up.
    #[must_use]
    pub fn lost(&self) -> Lost {
        let mut lost = Lost::default();
        for entry in self.chunks.iter().flatten() {
            match entry.key.action {
                Action::Accept => {
                    lost.queue += entry.packets;
                    lost.queue_bytes += entry.bytes;
                }
                Action::Reject => lost.queue_drops += entry.packets,
                // Its packet was counted when it was seen.
                Action::Prohibited => {}
            }
        }
        lost
    }

    /// Whether it tells of packets that were seen, which are accepted unless the firewall dropped them.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.chunks.iter().flatten().any(|entry| entry.key.action == Action::Accept)
    }

    /// Its interfaces, each once.
    #[must_use]
    pub fn interfaces(&self) -> Vec<u16> {
        let mut interfaces: Vec<u16> = self.chunks.iter().flatten().map(|entry| entry.key.interface).collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        interfaces
    }

    /// A copy of the flows of one interface, as those of interface 0: whoever closes it has no other.
    #[must_use]
    pub fn of_interface(&self, interface: u16) -> Self {
        let entries = self.chunks.iter().flatten().filter(|entry| entry.key.interface == interface);
        let alone = |entry: &Entry| Entry { key: Key { interface: 0, ..entry.key }, ..*entry };
        Self { start: self.start, early: self.early, chunks: vec![entries.map(alone).collect()] }
    }

    /// Closes the window with what this source saw.
    #[must_use]
    pub fn close(self) -> Closed {
        Closed::join(self.start, vec![self])
    }
}

impl Closed {
    /// Joins the parts of a window: what the firewall dropped is taken off what was seen, and the flows are put in order.
    /// A flow that was seen by several threads, or given up early, stays several: each is a record of its own.
    #[must_use]
    pub fn join(start: i64, parts: Vec<Part>) -> Self {
        let mut drops = Drops::default();
        let mut closed = Self::join_some(start, parts, &mut drops);
        closed.verdict_unmatched = drops.unmatched();
        closed
    }

    /// As [`Closed::join`], of some of a window's parts: what was dropped but not seen in them is left in `drops`, for the
    /// parts that come later.
    #[must_use]
    pub fn join_some(start: i64, parts: Vec<Part>, drops: &mut Drops) -> Self {
        let mut chunks = parts.into_iter().flat_map(|part| part.chunks);
        let mut entries = chunks.next().unwrap_or_default();
        for chunk in chunks {
            entries.extend_from_slice(&chunk);
        }
        merge_drops(&mut entries);
        drops.take_off(&mut entries);
        entries.sort_by_key(|entry| (entry.key.interface, entry.first_us, entry.key.action));
        Self { start, entries, verdict_unmatched: 0 }
    }
}

/// The firewall's log is told piece by piece, twice a second: what was dropped of a flow is one record.
fn merge_drops(entries: &mut Vec<Entry>) {
    let mut sums: HashMap<Key, Entry, RandomState> = HashMap::default();
    let mut pieces = 0;
    for entry in entries.iter().filter(|entry| entry.key.action == Action::Reject) {
        pieces += 1;
        let sum = sums.entry(entry.key).or_insert(Entry {
            packets: 0,
            bytes: 0,
            first_fragments: 0,
            later_fragments: 0,
            fragment_bytes: 0,
            ..*entry
        });
        sum.packets += entry.packets;
        sum.bytes += entry.bytes;
        sum.first_fragments = sum.first_fragments.saturating_add(entry.first_fragments);
        sum.later_fragments = sum.later_fragments.saturating_add(entry.later_fragments);
        sum.fragment_bytes = sum.fragment_bytes.saturating_add(entry.fragment_bytes);
        sum.first_us = sum.first_us.min(entry.first_us);
        sum.last_us = sum.last_us.max(entry.last_us);
        sum.tcp_flags |= entry.tcp_flags;
    }
    if sums.len() == pieces {
        return;
    }
    // The first piece of each becomes all of it.
    entries.retain_mut(|entry| {
        if entry.key.action != Action::Reject {
            return true;
        }
        match sums.remove(&entry.key) {
            Some(sum) => {
                *entry = sum;
                true
            }
            None => false,
        }
    });
}
