//! The ports of later fragments that were dropped one by one: the log does not have them, but the capture may have told.
//!
//! Kept is what was told of those datagrams alone that the log has fragments of, by time: numbers of datagrams come again. Bounded.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    decode::{Decoded, FRAGMENTS_LIVE_US, FiveTuple, FragmentId, Fragments},
    flow::{self, Sighting},
};

/// Datagrams whose later fragments' ports are sought, and times at which the capture tells of them.
const MAX_DATAGRAMS: usize = 1 << 18;
const MAX_TOLD: usize = 1 << 19;
/// How far the times may lie apart at which the capture and the log have the same packet.
const SAME_US: i64 = 5_000_000;
/// Times before and after a fragment that are looked at.
const NEAR: usize = 4;
/// The 5-tuple of a datagram, as the capture has it from one time to another.
#[derive(Debug, Clone, Copy)]
struct Told {
    tuple: FiveTuple,
    ports_missing: bool,
    until_us: i64,
}

/// What the capture told of the fragments that were dropped.
#[derive(Debug)]
pub(super) struct DroppedFragments {
    /// The datagrams that have later fragments among the drops.
    datagrams: BTreeSet<FragmentId>,
    /// What the capture told of these, by the time at which it began to: of first fragments, and of later ones.
    told: BTreeMap<(FragmentId, bool, i64), Told>,
    /// When it was last looked through for what is needed no more: the time before which that was, and how much is new since.
    needed_us: i64,
    told_since: usize,
    /// The capture's fragments, as they are completed there.
    seen: Fragments,
    /// Later fragments whose ports were not sought, because there were too many.
    pub(super) not_sought: u64,
}

impl Default for DroppedFragments {
    fn default() -> Self {
        Self {
            datagrams: BTreeSet::new(),
            told: BTreeMap::new(),
            needed_us: i64::MIN,
            told_since: 0,
            seen: Fragments::default(),
            not_sought: 0,
        }
    }
}

impl DroppedFragments {
    /// A drop of the log.
    pub(super) fn add(&mut self, drop: &Sighting) {
        if let Some(id) = later(&drop.decoded).filter(|id| !self.datagrams.contains(id)) {
            if self.datagrams.len() < MAX_DATAGRAMS {
                self.datagrams.insert(id);
            } else {
                self.not_sought += 1;
            }
        }
    }

    /// A packet that the capture shows: what it tells of the fragments that were dropped. `pending` is the first window, in
    /// microseconds, that is still to be joined.
    pub(super) fn follow(&mut self, seen: &Sighting, pending: Option<i64>) {
        let Some(fragment) = seen.decoded.fragment else {
            return;
        };
        let mut decoded = seen.decoded;
        self.seen.complete(&mut decoded, seen.time_us);
        let (id, time_us) = (fragment.of_datagram(), flow::held(seen.time_us));
        if !self.datagrams.contains(&id) {
            return;
        }
        let Decoded { tuple, ports_missing, .. } = decoded;
        // Most fragments say what the one before did.
        let last = self.told.range_mut((id, fragment.first, i64::MIN)..=(id, fragment.first, time_us)).next_back();
        if let Some((_, last)) = last.filter(|(_, last)| (last.tuple, last.ports_missing) == (tuple, ports_missing)) {
            last.until_us = last.until_us.max(time_us);
            return;
        }
        if self.told.len() == MAX_TOLD {
            // Behind the windows that are still to be joined nobody asks.
            let needed_us = pending.map_or(i64::MAX, |start| start.saturating_sub(FRAGMENTS_LIVE_US));
            if needed_us > self.needed_us || self.told_since >= MAX_TOLD / 16 {
                self.told.retain(|_, told| told.until_us >= needed_us);
                (self.needed_us, self.told_since) = (needed_us, 0);
            }
            if time_us < needed_us {
                return;
            }
        }
        self.told_since += 1;
        if self.told.len() < MAX_TOLD {
            self.told.insert((id, fragment.first, time_us), Told { tuple, ports_missing, until_us: time_us });
        } else {
            self.not_sought += 1;
        }
    }

    /// A drop with what the capture told of it: of the packet itself, or else of the first fragment of its datagram.
    pub(super) fn completed(&self, mut drop: Sighting) -> Sighting {
        if let Some(id) = later(&drop.decoded)
            && let Some(told) = nearest(&self.told, (id, false), drop.time_us, SAME_US)
                .or_else(|| nearest(&self.told, (id, true), drop.time_us, FRAGMENTS_LIVE_US))
        {
            (drop.decoded.tuple, drop.decoded.ports_missing) = (told.tuple, told.ports_missing);
        }
        drop
    }
}

/// The datagram of a later fragment.
fn later(decoded: &Decoded) -> Option<FragmentId> {
    decoded.fragment.filter(|fragment| !fragment.first).map(FragmentId::of_datagram)
}

/// What was told nearest to a time, within a reach.
fn nearest(
    told: &BTreeMap<(FragmentId, bool, i64), Told>,
    (id, first): (FragmentId, bool),
    time_us: i64,
    reach_us: i64,
) -> Option<Told> {
    let before = told.range((id, first, i64::MIN)..=(id, first, time_us)).rev().take(NEAR);
    let behind = told.range((id, first, time_us)..=(id, first, i64::MAX)).take(NEAR);
    let distance = |(from_us, told): (i64, &Told)| {
        let before = from_us.saturating_sub(time_us).max(0);
        (before.max(time_us.saturating_sub(told.until_us)), *told)
    };
    let near = before.chain(behind).map(|((_, _, from_us), told)| distance((*from_us, told)));
    near.filter(|(distance, _)| *distance <= reach_us).min_by_key(|(distance, _)| *distance).map(|(_, told)| told)
}
