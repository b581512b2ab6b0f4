//! The firewall's log beside a capture: what it dropped, in order of time.

use flowlake_common::progress::Progress;

use super::input::{Input, Source};
use crate::{
    capture::CaptureFile,
    decode::{self, Tunnels},
    flow::{Action, Sighting},
};

/// The log, read one drop ahead.
pub(super) struct Verdicts {
    capture: CaptureFile<Source>,
    name: String,
    next: Option<Sighting>,
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
        let mut verdicts = Self { capture, name: input.name, next: None, damage: None, dropped: 0, unread: 0 };
        verdicts.read_ahead();
        let interfaces = verdicts.capture.interfaces();
        if !interfaces.is_empty() && interfaces.iter().all(|interface| interface.link_type != decode::LINKTYPE_NFLOG) {
            return Err(format!("{}: no NFLOG capture (link type {})", verdicts.name, decode::LINKTYPE_NFLOG));
        }
        Ok(verdicts)
    }

    /// The next drop, if it came no later than this.
    pub(super) fn next_until(&mut self, time_us: i64) -> Option<Sighting> {
        let next = self.next.filter(|next| next.time_us <= time_us)?;
        self.read_ahead();
        self.dropped += 1;
        Some(next)
    }

    fn read_ahead(&mut self) {
        self.next = loop {
            let packet = match self.capture.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break None,
                Err(damage) => {
                    self.damage = Some(format!("{}: {damage}; drops after it are not known", self.name));
                    break None;
                }
            };
            // What the firewall drops is judged by its outermost header, whatever the flows are made of.
            match decode::decode(packet.link_type, packet.data, packet.wire_length, Tunnels::default()) {
                Ok(decoded) if decoded.dropped.is_some() => {
                    let time_us = decoded.time_us.unwrap_or(packet.time_us);
                    break Some(Sighting { decoded, time_us, direction: decoded.direction, action: Action::Reject });
                }
                _ => self.unread += 1,
            }
        };
    }
}
