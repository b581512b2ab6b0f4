//! The firewall's log beside a capture: what it dropped, joined with what was seen, window by window.
//!
//! A drop belongs to the window of its own time, whatever order the log and the capture have: clocks are set, and packets come
//! late. Before a window closes, the log is read beyond its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use flowlake_common::progress::Progress;

use super::input::{Input, Source};
use crate::{
    capture::CaptureFile,
    decode::{self, Tunnels},
    flow::{Action, Closed, Drops, Observer, Part, Rules, Sighting},
};

/// Drops that are read beyond a window's end: that many may be out of order.
const AHEAD: usize = 65_536;
/// Windows of which is remembered what was dropped and not seen yet: packets may come late.
const REMEMBERED: usize = 64;
const MICROSECONDS: i64 = 1_000_000;

/// What is done with a window that closed.
type Write<'w> = dyn FnMut(&Closed) -> io::Result<()> + 'w;

/// The log.
pub(super) struct Verdicts {
    capture: CaptureFile<Source>,
    name: String,
    /// Adds the drops up; of the time before the end of the window that closes.
    observer: Observer,
    interval: i64,
    max_flows: usize,
    /// Drops of later windows, by time, then by their order in the log.
    ahead: BTreeMap<(i64, u64), Sighting>,
    /// Those of them that are later fragments, whose ports only the capture tells.
    fragments: BTreeSet<(i64, u64)>,
    /// The latest time that was read.
    read_to: i64,
    read: u64,
    ended: bool,
    /// What was dropped in a window and not seen in it so far.
    unseen: BTreeMap<i64, Drops>,
    /// Why the log ended early; said when it is used up.
    pub(super) damage: Option<String>,
    /// Drops that were taken.
    pub(super) dropped: u64,
    /// Packets of the log that tell no drop of an IP packet.
    pub(super) unread: u64,
    /// Drops of windows that are not remembered any more, and that were not seen.
    unmatched: u64,
}

impl Verdicts {
    /// Opens the log; the message is for the user.
    pub(super) fn open(input: Input, rules: &Rules, progress: &Progress) -> Result<Self, String> {
        let capture = input.open(progress)?;
        let mut verdicts = Self {
            capture,
            name: input.name,
            observer: Observer::new(rules.clone()),
            interval: rules.flow.interval.into(),
            max_flows: rules.flow.max_flows,
            ahead: BTreeMap::new(),
            fragments: BTreeSet::new(),
            read_to: i64::MIN,
            read: 0,
            ended: false,
            unseen: BTreeMap::new(),
            damage: None,
            dropped: 0,
            unread: 0,
            unmatched: 0,
        };
        // The first says what it is.
        if let Some(drop) = verdicts.next_drop() {
            verdicts.keep(drop);
        }
        let interfaces = verdicts.capture.interfaces();
        if !interfaces.is_empty() && interfaces.iter().all(|interface| interface.link_type != decode::LINKTYPE_NFLOG) {
            return Err(format!("{}: no NFLOG capture (link type {})", verdicts.name, decode::LINKTYPE_NFLOG));
        }
        Ok(verdicts)
    }

    /// Gives the fragments that were dropped up to a time the ports of their first ones, which the capture saw lately.
    pub(super) fn complete_fragments(&mut self, time_us: i64, seen: &Observer) {
        while !self.ended && self.ahead.len() < AHEAD && self.read_to <= time_us {
            if let Some(drop) = self.next_drop() {
                self.keep(drop);
            }
        }
        while let Some(key) = self.fragments.first().copied().filter(|(time, _)| *time <= time_us) {
            self.fragments.remove(&key);
            if let Some(drop) = self.ahead.get_mut(&key) {
                seen.look_up_fragment(drop);
            }
        }
    }

    /// Closes a window of the capture, or a part of one: what was dropped in it is taken off what was seen. Windows before it
    /// in which only the log saw anything come first.
    pub(super) fn close(&mut self, part: Part, write: &mut Write<'_>) -> io::Result<()> {
        let start = part.start;
        let mut parts = vec![part];
        for drops in self.read_until((start + self.interval).saturating_mul(MICROSECONDS), write)? {
            if drops.start == start {
                parts.push(drops);
            } else {
                self.join(drops.start, vec![drops], write)?;
            }
        }
        self.join(start, parts, write)
    }

    /// Behind the capture's end: what else the log tells.
    pub(super) fn finish(&mut self, write: &mut Write<'_>) -> io::Result<()> {
        for drops in self.read_until(i64::MAX, write)? {
            self.join(drops.start, vec![drops], write)?;
        }
        Ok(())
    }

    /// Drops that were not seen on the way in.
    pub(super) fn unmatched(&self) -> u64 {
        self.unmatched + self.unseen.values().map(Drops::unmatched).sum::<u64>()
    }

    fn join(&mut self, start: i64, parts: Vec<Part>, write: &mut Write<'_>) -> io::Result<()> {
        let unseen = self.unseen.entry(start).or_default();
        let closed = Closed::join_some(start, parts, unseen);
        let flows = |unseen: &BTreeMap<i64, Drops>| unseen.values().map(Drops::logged_flows).sum::<usize>();
        while self.unseen.len() > REMEMBERED || self.unseen.len() > 1 && flows(&self.unseen) > self.max_flows {
            if let Some((_, oldest)) = self.unseen.pop_first() {
                self.unmatched += oldest.unmatched();
            }
        }
        write(&closed)
    }

    /// The drops before a time, window by window.
    fn read_until(&mut self, end_us: i64, write: &mut Write<'_>) -> io::Result<Vec<Part>> {
        while self.ahead.first_key_value().is_some_and(|((time_us, _), _)| *time_us < end_us) {
            if let Some((key, drop)) = self.ahead.pop_first() {
                self.fragments.remove(&key);
                self.add(drop, write)?;
            }
        }
        while !self.ended && self.ahead.len() < AHEAD {
            match self.next_drop() {
                Some(drop) if drop.time_us < end_us => self.add(drop, write)?,
                Some(drop) => self.keep(drop),
                None => {}
            }
        }
        let mut parts = Vec::new();
        let Ok(()) = self.observer.windows().close_all(|part| {
            parts.push(part);
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(parts)
    }

    /// Adds a drop up. Windows of the log that close for want of room are written.
    fn add(&mut self, drop: Sighting, write: &mut Write<'_>) -> io::Result<()> {
        self.dropped += 1;
        let mut closed = Vec::new();
        let Ok(_) = self.observer.observe(drop, 0, |part| {
            closed.push(part);
            Ok::<(), std::convert::Infallible>(())
        });
        for part in closed {
            self.join(part.start, vec![part], write)?;
        }
        Ok(())
    }

    fn keep(&mut self, drop: Sighting) {
        let key = (drop.time_us, self.read);
        if drop.decoded.fragment.is_some_and(|fragment| !fragment.first) {
            self.fragments.insert(key);
        }
        self.ahead.insert(key, drop);
        self.read += 1;
    }

    /// The next drop of the log; `None` for what tells none, and at the end.
    fn next_drop(&mut self) -> Option<Sighting> {
        let packet = match self.capture.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => {
                self.ended = true;
                return None;
            }
            Err(damage) => {
                self.damage = Some(format!("{}: {damage}; drops after it are not known", self.name));
                self.ended = true;
                return None;
            }
        };
        // What the firewall drops is judged by its outermost header, whatever the flows are made of.
        match decode::decode(packet.link_type, packet.data, packet.wire_length, Tunnels::default()) {
            Ok(decoded) if decoded.dropped.is_some() => {
                let time_us = decoded.time_us.unwrap_or(packet.time_us);
                self.read_to = self.read_to.max(time_us);
                Some(Sighting { decoded, time_us, direction: decoded.direction, action: Action::Reject })
            }
            _ => {
                self.unread += 1;
                None
            }
        }
    }
}
