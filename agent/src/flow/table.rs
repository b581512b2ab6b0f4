//! The flow table of one window: entries in order of arrival, in chunks, with a hash index beside them.
//!
//! Chunks, so that growing copies nothing and the oldest entries can be given up without touching the rest. The seed of
//! the hash is random, because an attacker chooses the keys; no result depends on it.

use std::{collections::VecDeque, hash::BuildHasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{capture::Direction, decode::FiveTuple};

/// Entries of a chunk: about 300 KiB.
const CHUNK: usize = 4096;

/// What became of a flow's packets. ACCEPT stands before REJECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    /// Seen on an interface.
    Accept,
    /// Dropped by the firewall, by its own log.
    Reject,
    /// Seen, and refused by a firewall on the way that said so. Recorded as REJECT.
    Prohibited,
}

/// What makes a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Addresses, ports and protocol.
    pub tuple: FiveTuple,
    /// The interface, as the caller numbers them.
    pub interface: u16,
    /// Which way its packets went; `None` when nobody knows.
    pub direction: Option<Direction>,
    /// What became of its packets.
    pub action: Action,
}

/// One flow in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What makes it this flow.
    pub key: Key,
    /// Its packets.
    pub packets: u64,
    /// Its IP bytes.
    pub bytes: u64,
    /// Earliest packet, microseconds from the window's start.
    pub first_us: u32,
    /// Latest packet, likewise.
    pub last_us: u32,
    /// How many of the packets are first fragments.
    pub first_fragments: u32,
    /// How many are later fragments: a firewall that sees datagrams put together does not count these.
    pub later_fragments: u32,
    /// Bytes of headers that only fragments have: these it does not count either.
    pub fragment_bytes: u32,
    /// The packets' recorded flags, joined by OR.
    pub tcp_flags: u8,
}

/// What a flow's record needs of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Its IP bytes.
    pub bytes: u32,
    /// Its recorded flags.
    pub tcp_flags: u8,
    /// Whether it is the first fragment of its datagram.
    pub first_fragment: bool,
    /// Whether it is another one.
    pub later_fragment: bool,
    /// Bytes of its headers that a datagram put together does not have.
    pub fragment_bytes: u16,
}

/// The flows of one window.
#[derive(Debug, Default)]
pub(super) struct Table {
    chunks: VecDeque<Vec<Entry>>,
    /// Number of the first entry of `chunks`, counted from the first entry that the table ever had.
    first: u32,
    index: HashTable<u32>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The entry of a key, if there is one.
    #[inline]
    pub(super) fn find(&mut self, hasher: &RandomState, key: &Key) -> Option<&mut Entry> {
        let hash = hasher.hash_one(key);
        let number = *self.index.find(hash, |number| self.entry(*number).key == *key)?;
        let place = number.wrapping_sub(self.first) as usize;
        Some(&mut self.chunks[place / CHUNK][place % CHUNK])
    }

    /// Adds an entry whose key the table does not have.
    pub(super) fn insert(&mut self, hasher: &RandomState, entry: Entry) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push_back(Vec::new());
        }
        let place = (self.chunks.len() - 1) * CHUNK + self.chunks.back().map_or(0, Vec::len);
        // Numbers may wrap; places, their difference, are bounded by the flow limit.
        let number = self.first.wrapping_add(u32::try_from(place).unwrap_or(u32::MAX));
        let hash = hasher.hash_one(entry.key);
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(entry);
        }
        let (chunks, first) = (&self.chunks, self.first);
        self.index.insert_unique(hash, number, |number| {
            let place = number.wrapping_sub(first) as usize;
            hasher.hash_one(chunks[place / CHUNK][place % CHUNK].key)
        });
    }

    /// Gives up the oldest chunk, and forgets its flows.
    pub(super) fn take_oldest_chunk(&mut self, hasher: &RandomState) -> Vec<Entry> {
        let Some(chunk) = self.chunks.pop_front() else {
            return Vec::new();
        };
        for entry in &chunk {
            let oldest = self.first;
            if let Ok(found) = self.index.find_entry(hasher.hash_one(entry.key), |number| *number == oldest) {
                found.remove();
            }
            self.first = oldest.wrapping_add(1);
        }
        chunk
    }

    /// All entries, in order of arrival.
    pub(super) fn into_chunks(self) -> Vec<Vec<Entry>> {
        self.chunks.into()
    }

    fn entry(&self, number: u32) -> &Entry {
        let place = number.wrapping_sub(self.first) as usize;
        &self.chunks[place / CHUNK][place % CHUNK]
    }
}
