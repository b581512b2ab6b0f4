//! The firewall's log beside a capture: what it dropped, joined with what was seen, window by window.
//!
//! A drop belongs to the window of its own time, whatever order the log and the capture have: clocks are set, and packets come
//! late. Before a window closes, the log is read beyond its end; before a part of one is given up early, as far as the capture was
//! read. Memory is bounded: by [`AHEAD`], and by the flows that may be dropped and not seen.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
};

use flowlake_common::progress::Progress;

use super::input::{Input, Source};
use crate::{
    capture::CaptureFile,
    decode::{self, FRAGMENTS_LIVE_US, FragmentId, Fragments, Tunnels},
    flow::{Action, Closed, Drops, Observer, Part, Rules, Sighting},
};

/// Drops that are read beyond what is joined: that many may be out of order.
const AHEAD: usize = 65_536;
/// The log was read as far as the capture when its last so many drops are all later.
const BEYOND: usize = 64;
/// How much later than the packet itself the log may tell of it.
const LOG_LATER_US: i64 = 100_000;
/// Flows of drops that are added up at once.
const MAX_FLOWS: usize = 65_536;
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
    /// Flows that may be dropped and not seen so far.
    max_unseen: usize,
    /// Drops of later windows, by time, then by their order in the log.
    ahead: BTreeMap<Place, Sighting>,
    /// Those of them that are later fragments, whose ports only the capture tells and did not tell yet.
    fragments: BTreeSet<(FragmentId, Place)>,
    /// The first fragments that the capture showed lately.
    firsts: Fragments,
    /// The latest time that the capture showed.
    seen_to: i64,
    /// The times of the last drops that were read, and the earliest of them.
    recent: VecDeque<i64>,
    earliest_recent: i64,
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
    /// Those of them that had to be forgotten: there were too many.
    pub(super) forgotten: u64,
}

/// A drop's time, and its number in the log.
type Place = (i64, u64);

impl Verdicts {
    /// Opens the log; the message is for the user.
    pub(super) fn open(input: Input, rules: &Rules, progress: &Progress) -> Result<Self, String> {
        let capture = input.open(progress)?;
        let mut of_drops = rules.clone();
        of_drops.flow.max_flows = MAX_FLOWS.min(rules.flow.max_flows);
        let mut verdicts = Self {
            capture,
            name: input.name,
            observer: Observer::new(of_drops),
            interval: rules.flow.interval.into(),
            // What waits in a full table, and what is read before it has.
            max_unseen: rules.flow.max_flows.saturating_add(rules.flow.max_flows / 2),
            ahead: BTreeMap::new(),
            fragments: BTreeSet::new(),
            firsts: Fragments::default(),
            seen_to: i64::MIN,
            recent: VecDeque::new(),
            earliest_recent: i64::MIN,
            read: 0,
            ended: false,
            unseen: BTreeMap::new(),
            damage: None,
            dropped: 0,
            unread: 0,
            unmatched: 0,
            forgotten: 0,
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

    /// Reads the log as far as a packet of the capture. A first fragment gives those that were dropped of its datagram their
    /// ports, whichever of both came first.
    pub(super) fn follow(&mut self, seen: &Sighting) {
        self.seen_to = self.seen_to.max(seen.time_us);
        while !self.ended && self.ahead.len() < AHEAD && self.earliest_recent <= seen.time_us {
            if let Some(drop) = self.next_drop() {
                self.keep(drop);
            }
        }
        let Some(id) = seen.decoded.fragment.filter(|fragment| fragment.first) else {
            return;
        };
        self.firsts.complete(&mut seen.decoded.clone(), seen.time_us);
        let id = id.of_datagram();
        let from = (id, (seen.time_us.saturating_sub(FRAGMENTS_LIVE_US), 0));
        let to = (id, (seen.time_us.saturating_add(FRAGMENTS_LIVE_US), u64::MAX));
        let waiting = self.fragments.range(from..=to);
        let waiting: Vec<Place> = waiting.map(|(_, place)| *place).collect();
        for place in waiting {
            if let Some(drop) = self.ahead.get_mut(&place)
                && self.firsts.look_up(&mut drop.decoded, drop.time_us)
            {
                self.fragments.remove(&(id, place));
            }
        }
    }

    /// Closes a window of the capture, or a part of one: what was dropped in it is taken off what was seen. Windows before it
    /// in which only the log saw anything come first.
    pub(super) fn close(&mut self, part: Part, write: &mut Write<'_>) -> io::Result<()> {
        let start = part.start;
        let mut parts = vec![part];
        let end_us = (start + self.interval).saturating_mul(MICROSECONDS);
        for drops in self.read_until(end_us.min(self.seen_to.saturating_add(LOG_LATER_US)), write)? {
            if drops.start == start {
                parts.push(drops);
            } else {
                self.join(drops.start, vec![drops], write)?;
            }
        }
        self.join(start, parts, write)
    }

    /// The capture ended: windows close with all that the log tells of them.
    pub(super) fn capture_ended(&mut self) {
        self.seen_to = i64::MAX;
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
        loop {
            let too_many = flows(&self.unseen) > self.max_unseen;
            if self.unseen.len() <= REMEMBERED && !too_many {
                break;
            }
            if let Some((_, oldest)) = self.unseen.pop_first() {
                self.unmatched += oldest.unmatched();
                self.forgotten += if too_many { oldest.unmatched() } else { 0 };
            }
        }
        write(&closed)
    }

    /// The drops before a time, window by window.
    fn read_until(&mut self, end_us: i64, write: &mut Write<'_>) -> io::Result<Vec<Part>> {
        while let Some(first) = self.ahead.first_entry().filter(|first| first.key().0 < end_us) {
            let (place, drop) = first.remove_entry();
            self.forget_fragment(&drop, place);
            self.add(drop, write)?;
        }
        // As far at least as the capture was read: where its clock was ahead, that of the log was too.
        let until = end_us.max(self.seen_to);
        while !self.ended && (self.ahead.len() < AHEAD || self.earliest_recent < until) {
            match self.next_drop() {
                Some(drop) if drop.time_us < end_us => self.add(drop, write)?,
                Some(drop) => {
                    self.keep(drop);
                    // What is farthest ahead gives way, to be remembered as not seen so far.
                    if self.ahead.len() > AHEAD
                        && let Some((place, last)) = self.ahead.pop_last()
                    {
                        self.forget_fragment(&last, place);
                        self.add(last, write)?;
                    }
                }
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
    fn add(&mut self, mut drop: Sighting, write: &mut Write<'_>) -> io::Result<()> {
        self.dropped += 1;
        self.firsts.look_up(&mut drop.decoded, drop.time_us);
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

    fn keep(&mut self, mut drop: Sighting) {
        let place = (drop.time_us, self.read);
        self.read += 1;
        // What the capture showed before is known.
        if let Some(id) = drop.decoded.fragment.filter(|fragment| !fragment.first)
            && !self.firsts.look_up(&mut drop.decoded, drop.time_us)
        {
            self.fragments.insert((id.of_datagram(), place));
        }
        self.ahead.insert(place, drop);
    }

    fn forget_fragment(&mut self, drop: &Sighting, place: Place) {
        if let Some(id) = drop.decoded.fragment.filter(|fragment| !fragment.first) {
            self.fragments.remove(&(id.of_datagram(), place));
        }
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
                // The last of all times ends no window.
                let time_us = decoded.time_us.unwrap_or(packet.time_us).min(i64::MAX - 1);
                if self.recent.len() == BEYOND {
                    self.recent.pop_front();
                }
                self.recent.push_back(time_us);
                if self.recent.len() == BEYOND {
                    self.earliest_recent = self.recent.iter().copied().min().unwrap_or(i64::MIN);
                }
                Some(Sighting { decoded, time_us, direction: decoded.direction, action: Action::Reject })
            }
            _ => {
                self.unread += 1;
                None
            }
        }
    }
}
