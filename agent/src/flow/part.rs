//! What comes out of a window: the flows of one source, and, joined with other sources' and judged, the closed window.
//!
//! Whoever observes packets hands a [`Part`] over as it stands; sorting and the verdict are the work of whoever closes.

use super::{
    table::{Action, Entry, Key},
    verdict,
};

/// The flows that one source saw in one window, or some of them, given up early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The window's first second, Unix time.
    pub start: i64,
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
        Self { start: start_us.div_euclid(1_000_000), chunks }
    }

    /// How many flows it has.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// The packets of flows with an action.
    #[must_use]
    pub fn packets(&self, action: Action) -> u64 {
        let entries = self.chunks.iter().flatten();
        entries.filter(|entry| entry.key.action == action).map(|entry| entry.packets).sum()
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
        Self { start: self.start, chunks: vec![entries.map(alone).collect()] }
    }

    /// Closes the window with what this source saw.
    #[must_use]
    pub fn close(self) -> Closed {
        Closed::join(self.start, vec![self])
    }
}

impl Closed {
    /// Joins the parts of a window: what the firewall dropped is taken off what was seen, and the flows are put in order.
    /// A flow that is in several parts stays several: each is a record of its own.
    #[must_use]
    pub fn join(start: i64, parts: Vec<Part>) -> Self {
        let mut chunks = parts.into_iter().flat_map(|part| part.chunks);
        let mut entries = chunks.next().unwrap_or_default();
        for chunk in chunks {
            entries.extend_from_slice(&chunk);
        }
        let verdict_unmatched = verdict::subtract(&mut entries);
        entries.sort_by_key(|entry| (entry.key.interface, entry.first_us, entry.key.action));
        Self { start, entries, verdict_unmatched }
    }
}
