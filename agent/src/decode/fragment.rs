//! The ports of fragmented datagrams: only the first fragment carries them.
//!
//! A bounded, time-limited memory. Which entry gives way depends on order alone, never on hashes, so that replay stays
//! deterministic.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::{Decoded, FiveTuple};

/// Datagrams remembered at once.
const CAPACITY: usize = 4096;
/// How long, by packet time: Linux gives up reassembly after as long (ipfrag_time).
pub const FRAGMENTS_LIVE_US: i64 = 30_000_000;

/// Which datagram a fragment is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentId {
    /// Source address, as in [`FiveTuple`].
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// The datagram's identification.
    pub number: u32,
    /// The protocol, part of the identity in IPv4 only.
    pub protocol: u8,
    /// Whether this is the first fragment. No part of the datagram's identity.
    pub first: bool,
    /// Bytes of this packet's headers that the datagram put together does not have. No part of its identity either.
    pub header_bytes: u16,
}

impl FragmentId {
    /// The same for every fragment of a datagram.
    #[must_use]
    pub fn of_datagram(self) -> Self {
        Self { first: true, header_bytes: 0, ..self }
    }
}

/// First fragments seen lately.
#[derive(Debug)]
pub struct Fragments {
    hasher: RandomState,
    index: HashTable<u32>,
    slots: Vec<Slot>,
    /// The slot that is used next: the oldest, once all are taken.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    id: FragmentId,
    time_us: i64,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { hasher: RandomState::default(), index: HashTable::new(), slots: Vec::new(), next: 0 }
    }
}

impl Fragments {
    /// Remembers a first fragment; gives a later one its first's protocol and ports, where that came before. Does nothing
    /// to packets that are no fragments.
    #[inline]
    pub fn complete(&mut self, decoded: &mut Decoded, time_us: i64) {
        let Some(id) = decoded.fragment else {
            return;
        };
        if id.first {
            if !decoded.ports_missing {
                self.remember(id.of_datagram(), &decoded.tuple, time_us);
            }
            return;
        }
        self.look_up(decoded, time_us);
    }

    /// Gives a later fragment its first's protocol and ports, where that came before; says whether it did.
    pub fn look_up(&self, decoded: &mut Decoded, time_us: i64) -> bool {
        let Some(id) = decoded.fragment.filter(|fragment| !fragment.first) else {
            return false;
        };
        let found = self
            .find(&id.of_datagram())
            .filter(|slot| time_us.abs_diff(slot.time_us) <= FRAGMENTS_LIVE_US.unsigned_abs());
        if let Some(slot) = found {
            decoded.tuple.protocol = slot.protocol;
            decoded.tuple.source_port = slot.source_port;
            decoded.tuple.destination_port = slot.destination_port;
            decoded.ports_missing = false;
        }
        found.is_some()
    }

    fn find(&self, id: &FragmentId) -> Option<Slot> {
        let found = self.index.find(self.hasher.hash_one(id), |slot| self.slots[*slot as usize].id == *id)?;
        Some(self.slots[*found as usize])
    }

    fn remember(&mut self, id: FragmentId, tuple: &FiveTuple, time_us: i64) {
        let FiveTuple { protocol, source_port, destination_port, .. } = *tuple;
        let slot = Slot { id, time_us, protocol, source_port, destination_port };
        let hash = self.hasher.hash_one(id);
        if let Some(known) = self.index.find(hash, |known| self.slots[*known as usize].id == id) {
            self.slots[*known as usize] = slot;
            return;
        }
        let place = self.next;
        self.next = (place + 1) % CAPACITY;
        let number = u32::try_from(place).unwrap_or(0);
        if place < self.slots.len() {
            let old_hash = self.hasher.hash_one(self.slots[place].id);
            if let Ok(old) = self.index.find_entry(old_hash, |known| *known == number) {
                old.remove();
            }
            self.slots[place] = slot;
        } else {
            self.slots.push(slot);
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let entry = self.index.entry(
            hash,
            |known| slots[*known as usize].id == id,
            |known| hasher.hash_one(slots[*known as usize].id),
        );
        if let Entry::Vacant(vacant) = entry {
            vacant.insert(number);
        }
    }
}
