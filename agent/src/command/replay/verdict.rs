//! The firewall's log beside a capture: what it dropped, in order of time.

use std::collections::BTreeMap;

use flowlake_common::progress::Progress;

use super::input::{Input, Source};
use crate::{
    capture::CaptureFile,
    decode::{self, Tunnels},
    flow::{Action, Sighting},
};

/// Drops that are read ahead and put in order of their times: the clock may have been set back while they were logged.
const AHEAD: usize = 4096;

/// The log, read some drops ahead.
pub(super) struct Verdicts {
    capture: CaptureFile<Source>,
    name: String,
    /// By time, then by their order in the log. Of two keys of one time the later comes later.
    ahead: BTreeMap<(i64, u64), Sighting>,
    read: u64,
    ended: bool,
    /// Why the log ended early; said when it is used up.
    pub(super) damage: Option<String>,
    /// Drops that were taken.
    pub(super) dropped: u64,
    /// Packets of the log that tell no drop of an IP packet.
    pub(super) unread: u64,
}

impl Verdicts {
    /// Opens the log; the message is for the user.
    pub(super) fn open(input: Input, progress: &Progress) -> Result<Self, String> {
        let capture = input.open(progress)?;
        let mut verdicts = Self {
            capture,
            name: input.name,
            ahead: BTreeMap::new(),
            read: 0,
            ended: false,
            damage: None,
            dropped: 0,
            unread: 0,
        };
        verdicts.read_ahead();
        let interfaces = verdicts.capture.interfaces();
        if !interfaces.is_empty() && interfaces.iter().all(|interface| interface.link_type != decode::LINKTYPE_NFLOG) {
            return Err(format!("{}: no NFLOG capture (link type {})", verdicts.name, decode::LINKTYPE_NFLOG));
        }
        Ok(verdicts)
    }

    /// The next drop, if it came no later than this.
    pub(super) fn next_until(&mut self, time_us: i64) -> Option<Sighting> {
        let first = *self.ahead.first_entry()?.key();
        let next = if first.0 <= time_us {
            self.ahead.remove(&first)
        } else if self.ahead.len() == AHEAD && !self.ended {
            // All of them lie in the future: the one that is farthest off is recorded in its own window now.
            self.ahead.pop_last().map(|(_, farthest)| farthest)
        } else {
            None
        };
        if next.is_some() {
            self.read_ahead();
            self.dropped += 1;
        }
        next
    }

    fn read_ahead(&mut self) {
        while !self.ended && self.ahead.len() < AHEAD {
            let packet = match self.capture.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(damage) => {
                    self.damage = Some(format!("{}: {damage}; drops after it are not known", self.name));
                    self.ended = true;
                    break;
                }
            };
            // What the firewall drops is judged by its outermost header, whatever the flows are made of.
            match decode::decode(packet.link_type, packet.data, packet.wire_length, Tunnels::default()) {
                Ok(decoded) if decoded.dropped.is_some() => {
                    let time_us = decoded.time_us.unwrap_or(packet.time_us);
                    let drop = Sighting { decoded, time_us, direction: decoded.direction, action: Action::Reject };
                    self.ahead.insert((time_us, self.read), drop);
                    self.read += 1;
                }
                _ => self.unread += 1,
            }
        }
    }
}
