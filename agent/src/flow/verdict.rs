//! The firewall's verdict: what it dropped on its way in was seen on the interface first, and is no accepted traffic.
//!
//! On closing, a window's ACCEPT entries lose what its REJECT entries count, and vanish when nothing is left. What was
//! dropped on its way out never reached an interface and is not subtracted. What a firewall elsewhere refused was seen too.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::table::{Action, Entry, Key};
use crate::capture::Direction;

/// Packets of a flow that were dropped.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    packets: u64,
    bytes: u64,
    /// Bytes of packets that were taken for dropped ones, and were larger: a part of the window that comes later has the others.
    owed: u64,
    /// As in [`Entry`].
    first_fragments: u32,
    later_fragments: u32,
    fragment_bytes: u32,
    /// Whether fragments are among them: this firewall drops them one by one, and does not put datagrams together.
    one_by_one: bool,
}

/// The least bytes that a packet has.
const LEAST_IPV4: u64 = 20;
const LEAST_IPV6: u64 = 40;

/// What was dropped in a window and not found among the packets that were seen, so far.
#[derive(Debug, Clone, Default)]
pub struct Drops {
    /// By the firewall's own log.
    logged: HashMap<Key, Sums, RandomState>,
    /// By what a firewall on the way said. Anybody may say so: it counts only as far as it was seen.
    prohibited: HashMap<Key, Sums, RandomState>,
}

impl Drops {
    /// Packets that the firewall dropped on their way in, but that no interface saw: translated before the drop, or logged
    /// without their interface.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.logged.values().map(|sums| sums.packets).sum()
    }

    /// Packets of which an ICMP message said that they were refused, but that no interface saw.
    #[must_use]
    pub fn refused_unseen(&self) -> u64 {
        self.prohibited.values().map(|sums| sums.packets).sum()
    }

    /// How many flows the firewall's own log tells of.
    #[must_use]
    pub fn logged_flows(&self) -> usize {
        self.logged.len()
    }

    /// How many flows ICMP messages tell of.
    #[must_use]
    pub fn refused_flows(&self) -> usize {
        self.prohibited.len()
    }

    /// Forgets what ICMP messages said; gives how many packets that was.
    pub fn forget_refused(&mut self) -> u64 {
        let packets = self.refused_unseen();
        self.prohibited.clear();
        packets
    }

    /// Takes what the REJECT entries count, now or before, off the ACCEPT entries.
    pub(super) fn take_off(&mut self, entries: &mut Vec<Entry>) {
        let mut logged_now: HashMap<Key, Sums, RandomState> = HashMap::default();
        for entry in entries.iter() {
            if entry.key.action == Action::Reject && entry.key.direction != Some(Direction::Egress) {
                add(&mut logged_now, entry);
                add(&mut self.logged, entry);
            }
        }
        // A firewall of this host that drops and says so is heard twice; its log counts.
        entries.retain_mut(|entry| {
            if entry.key.action != Action::Prohibited {
                return true;
            }
            take(entry, &mut logged_now);
            if entry.packets > 0 {
                add(&mut self.prohibited, entry);
            }
            false
        });
        if self.logged.is_empty() && self.prohibited.is_empty() {
            return;
        }
        let mut refused = Vec::new();
        // What came in is taken first. A direction that was guessed from addresses may call a forwarded packet egress.
        for outgoing in [false, true] {
            entries.retain_mut(|entry| {
                let is_outgoing = entry.key.direction == Some(Direction::Egress);
                if entry.key.action != Action::Accept || is_outgoing != outgoing {
                    return true;
                }
                if take(entry, &mut self.logged) == Taken::OfWhole && is_rest_of_fragments(entry) {
                    return false;
                }
                refused.extend(refuse(entry, &mut self.prohibited));
                entry.packets > 0
            });
        }
        // What was left of too many bytes is of those that remain.
        for entry in entries.iter_mut().filter(|entry| entry.key.action == Action::Accept) {
            if let Some(sums) = self.logged.get_mut(&undirected(entry.key)).filter(|sums| sums.one_by_one) {
                entry.bytes += std::mem::take(&mut sums.owed);
            }
        }
        entries.append(&mut refused);
        self.logged.retain(|_, sums| sums.packets > 0 || sums.bytes > 0 || sums.owed > 0);
        self.prohibited.retain(|_, sums| sums.packets > 0);
    }
}

fn add(sums: &mut HashMap<Key, Sums, RandomState>, entry: &Entry) {
    let sum = sums.entry(undirected(entry.key)).or_default();
    sum.packets += entry.packets;
    sum.bytes += entry.bytes;
    sum.one_by_one |= entry.first_fragments > 0 || entry.later_fragments > 0;
    sum.first_fragments = sum.first_fragments.saturating_add(entry.first_fragments);
    sum.later_fragments = sum.later_fragments.saturating_add(entry.later_fragments);
    sum.fragment_bytes = sum.fragment_bytes.saturating_add(entry.fragment_bytes);
}

/// What was taken off an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Nothing,
    /// Datagrams that the firewall had put together: an interface sees more packets of them.
    OfWhole,
    /// Packet for packet.
    Packets,
}

/// Takes off an entry what is in the sums of its flow, as far as it goes: packets of each kind for as many of the kind, or other
/// entries would keep theirs. A firewall that puts datagrams together logs one packet for all fragments of each, and so no more of an
/// entry's packets are taken than it has datagrams.
fn take(entry: &mut Entry, sums: &mut HashMap<Key, Sums, RandomState>) -> Taken {
    let Some(sums) = sums.get_mut(&undirected(entry.key)) else {
        return Taken::Nothing;
    };
    let before = (entry.packets, entry.bytes);
    let later = entry.later_fragments.min(sums.later_fragments);
    let first = entry.first_fragments.min(sums.first_fragments);
    let in_fragments = |first: u32, later: u32| u64::from(first) + u64::from(later);
    let whole = |packets: u64, first, later| packets.saturating_sub(in_fragments(first, later));
    let wholes = whole(sums.packets, sums.first_fragments, sums.later_fragments);
    let fragments = in_fragments(if sums.one_by_one { entry.first_fragments } else { 0 }, entry.later_fragments);
    let datagrams = entry.packets.saturating_sub(fragments);
    let packets = in_fragments(first, later) + datagrams.min(wholes);
    let mut fragment_bytes = entry.fragment_bytes.min(sums.fragment_bytes);
    let mut bytes = 0;
    if sums.one_by_one && packets == 0 {
        fragment_bytes = 0;
    } else {
        let least = if entry.key.tuple.ipv6 { LEAST_IPV6 } else { LEAST_IPV4 };
        // What is left has its headers at least: the drop may have been a larger packet, which another part of the window has.
        let kept = least.saturating_mul(entry.packets - packets).max((entry.fragment_bytes - fragment_bytes).into());
        bytes = entry.bytes.saturating_sub(kept).min(sums.bytes);
    }
    sums.packets -= packets;
    sums.bytes -= bytes;
    sums.first_fragments -= first;
    sums.later_fragments -= later;
    sums.fragment_bytes -= fragment_bytes;
    entry.packets -= packets;
    entry.bytes -= bytes;
    entry.first_fragments -= first;
    entry.later_fragments -= later;
    entry.fragment_bytes -= fragment_bytes;
    if entry.packets == 0 {
        // Headers that only its fragments had are nobody else's.
        sums.owed += std::mem::take(&mut entry.bytes).saturating_sub(entry.fragment_bytes.into());
    } else {
        entry.bytes += std::mem::take(&mut sums.owed);
    }
    if (entry.packets, entry.bytes) == before {
        Taken::Nothing
    } else if sums.one_by_one {
        Taken::Packets
    } else {
        Taken::OfWhole
    }
}

/// Splits off an entry what a firewall on the way refused of it.
fn refuse(entry: &mut Entry, sums: &mut HashMap<Key, Sums, RandomState>) -> Option<Entry> {
    let Sums { packets, bytes, .. } = sums.get_mut(&undirected(entry.key))?;
    let refused = entry.packets.min(*packets);
    // The message quotes a length, and may lie.
    let refused_bytes = if refused == entry.packets { entry.bytes } else { entry.bytes.min(*bytes) };
    *packets -= refused;
    *bytes = bytes.saturating_sub(refused_bytes);
    entry.packets -= refused;
    entry.bytes -= refused_bytes;
    let key = Key { action: Action::Prohibited, ..entry.key };
    (refused > 0).then_some(Entry { key, packets: refused, bytes: refused_bytes, ..*entry })
}

/// The firewall sees datagrams put together, an interface their fragments: when all bytes but the later fragments' headers were
/// dropped, these were dropped too.
fn is_rest_of_fragments(entry: &Entry) -> bool {
    entry.packets <= entry.later_fragments.into() && entry.bytes <= entry.fragment_bytes.into()
}

/// The flow whichever way its packets were seen to go: a tap may not know.
fn undirected(key: Key) -> Key {
    Key { direction: None, action: Action::Accept, ..key }
}
