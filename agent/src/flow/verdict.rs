//! The firewall's verdict: what it dropped on its way in was seen on the interface first, and is no accepted traffic.
//!
//! On closing, a window's ACCEPT entries lose what its REJECT entries count, and vanish when nothing is left. What was
//! dropped on its way out never reached an interface and is not subtracted. What a firewall elsewhere refused was seen too.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::table::{Action, Entry, Key};
use crate::capture::Direction;

/// Subtracts. Gives the packets that were dropped but not seen in this window: translated before the drop, a part of the
/// window given up early, or a log without its interface.
pub(super) fn subtract(entries: &mut Vec<Entry>) -> u64 {
    let of_reject = |entry: &&Entry| match entry.key.action {
        Action::Accept => false,
        Action::Reject => entry.key.direction != Some(Direction::Egress),
        Action::Prohibited => true,
    };
    let mut dropped: HashMap<Key, (u64, u64), RandomState> = HashMap::default();
    for entry in entries.iter().filter(of_reject) {
        let sums = dropped.entry(undirected(entry.key)).or_default();
        sums.0 += entry.packets;
        sums.1 += entry.bytes;
    }
    if dropped.is_empty() {
        return 0;
    }
    // What came in is taken first. A direction that was guessed from addresses may call a forwarded packet egress.
    for outgoing in [false, true] {
        entries.retain_mut(|entry| {
            let is_outgoing = entry.key.direction == Some(Direction::Egress);
            if entry.key.action != Action::Accept || is_outgoing != outgoing {
                return true;
            }
            let Some((packets, bytes)) = dropped.get_mut(&undirected(entry.key)) else {
                return true;
            };
            let taken = (entry.packets.min(*packets), entry.bytes.min(*bytes));
            *packets -= taken.0;
            *bytes -= taken.1;
            entry.packets -= taken.0;
            entry.bytes -= taken.1;
            entry.packets > 0
        });
    }
    dropped.values().map(|(packets, _)| packets).sum()
}

/// The flow whichever way its packets were seen to go: a tap may not know.
fn undirected(key: Key) -> Key {
    Key { direction: None, action: Action::Accept, ..key }
}
