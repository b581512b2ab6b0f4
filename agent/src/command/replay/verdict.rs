//! The firewall's log beside a capture: what it dropped, joined with what was seen, window by window.
//!
//! A drop belongs to the window of its own time, whatever order the log and the capture have: clocks are set, and packets come
//! late. Memory is bounded: by what [`DropLog`] holds, and by the flows that may be dropped in a window and not be seen so far.

use std::{collections::BTreeMap, convert::Infallible, io};

use flowlake_common::progress::Progress;

use super::{drops::DropLog, input::Input};
use crate::{
    decode::{self, Fragments, Tunnels},
    flow::{self, Action, Closed, Drops, Observer, Part, Rules, Sighting},
};

/// How much later than the packet itself the log may tell of it.
const LOG_LATER_US: i64 = 100_000;
/// Flows of drops that are added up at once.
const MAX_FLOWS: usize = 65_536;
const MICROSECONDS: i64 = 1_000_000;

/// What is done with a window that closed.
type Write<'w> = dyn FnMut(&Closed) -> io::Result<()> + 'w;

/// The log, joined with a capture.
pub(super) struct Verdicts {
    log: DropLog,
    /// Adds up the drops of one window at a time.
    observer: Observer,
    interval_us: i64,
    /// The latest time that the capture showed in each window that it has open, in microseconds.
    seen_to: BTreeMap<i64, i64>,
    /// What was dropped in a window and not seen in it so far, where there is such: packets may come late. Windows are named by their
    /// first microsecond. With when it was joined last.
    unseen: BTreeMap<i64, (u64, Drops)>,
    /// These windows, by when each was joined last.
    joined: BTreeMap<u64, i64>,
    joins: u64,
    /// Flows that were dropped and not seen so far, and how many there may be.
    unseen_flows: usize,
    max_unseen: usize,
    /// How many dropped packets of a window had to be forgotten, when it was not open.
    given_up: BTreeMap<i64, u64>,
    /// Windows in which the capture showed nothing, and how many packets were dropped in them that should have been seen.
    flushed: BTreeMap<i64, u64>,
    /// Why the log ended early.
    pub(super) damage: Option<String>,
    /// Drops that were taken.
    pub(super) dropped: u64,
    /// Those of them that were cut off before their ports.
    pub(super) cut_off: u64,
    /// Packets of the log that tell no drop of an IP packet.
    pub(super) unread: u64,
    /// Drops of windows that are not remembered any more, and that were not seen.
    unmatched: u64,
    /// Those of them that had to be forgotten, there being too many, although packets of their window were to come.
    pub(super) forgotten: u64,
}

impl Verdicts {
    /// Reads the log; the message is for the user.
    pub(super) fn open(input: Input, rules: &Rules, progress: &Progress) -> Result<Self, String> {
        let mut capture = input.open(progress)?;
        let name = input.name;
        let mut of_drops = rules.clone();
        of_drops.flow.max_flows = MAX_FLOWS.min(rules.flow.max_flows);
        let interval_us = i64::from(rules.flow.interval) * MICROSECONDS;
        let mut verdicts = Self {
            log: DropLog::new(interval_us),
            observer: Observer::new(of_drops),
            interval_us,
            seen_to: BTreeMap::new(),
            unseen: BTreeMap::new(),
            joined: BTreeMap::new(),
            joins: 0,
            unseen_flows: 0,
            // What waits in a full table, and what is read before it has.
            max_unseen: rules.flow.max_flows.saturating_add(rules.flow.max_flows / 2),
            given_up: BTreeMap::new(),
            flushed: BTreeMap::new(),
            damage: None,
            dropped: 0,
            cut_off: 0,
            unread: 0,
            unmatched: 0,
            forgotten: 0,
        };
        let cannot = |error: io::Error| format!("{name}: its drops cannot be put in order: {error}");
        // The firewall may log a first fragment, too.
        let mut fragments = Fragments::default();
        loop {
            match capture.next_packet() {
                // What the firewall drops is judged by its outermost header, whatever the flows are made of.
                Ok(Some(packet)) => {
                    match decode::decode(packet.link_type, packet.data, packet.wire_length, Tunnels::default()) {
                        Ok(mut decoded) if decoded.dropped.is_some() => {
                            let time_us = flow::held(decoded.time_us.unwrap_or(packet.time_us));
                            fragments.complete(&mut decoded, time_us);
                            let direction = decoded.direction;
                            let drop = Sighting { decoded, time_us, direction, action: Action::Reject };
                            verdicts.log.add(drop).map_err(cannot)?;
                            verdicts.dropped += 1;
                            verdicts.cut_off += u64::from(decoded.ports_missing && decoded.fragment.is_none());
                        }
                        _ => verdicts.unread += 1,
                    }
                }
                Ok(None) => break,
                Err(damage) => {
                    verdicts.damage = Some(format!("{name}: {damage}; drops after it are not known"));
                    break;
                }
            }
            let interfaces = capture.interfaces();
            if verdicts.dropped == 0
                && !interfaces.is_empty()
                && interfaces.iter().all(|interface| interface.link_type != decode::LINKTYPE_NFLOG)
            {
                return Err(format!("{name}: no NFLOG capture (link type {})", decode::LINKTYPE_NFLOG));
            }
        }
        verdicts.log.end().map_err(cannot)?;
        Ok(verdicts)
    }

    /// A packet that the capture shows, before it is added.
    pub(super) fn follow(&mut self, seen: &Sighting) {
        self.log.follow(seen);
        let time_us = flow::held(seen.time_us);
        let start = time_us.saturating_sub(time_us.rem_euclid(self.interval_us));
        let seen_to = self.seen_to.entry(start).or_insert(time_us);
        *seen_to = time_us.max(*seen_to);
    }

    /// Closes a window of the capture, or a part of one: what was dropped in it is taken off what was seen. Windows before it
    /// in which only the log saw anything come first.
    pub(super) fn close(&mut self, part: Part, write: &mut Write<'_>) -> io::Result<()> {
        let start = part.start.saturating_mul(MICROSECONDS);
        let mut until_us = i64::MAX;
        if part.early {
            // What is given up is what was seen first. Later drops are read later, or there might be too many.
            until_us = self.seen_to.get(&start).map_or(i64::MAX, |seen_to| seen_to.saturating_add(LOG_LATER_US));
        }
        self.flush_before(start, write)?;
        // Its packets are here after all.
        self.forgotten += self.given_up.remove(&start).unwrap_or(0);
        self.recall(start)?;
        self.join_drops(start, until_us, Some(part), write)
    }

    /// Behind the capture's end: what else the log tells.
    pub(super) fn finish(&mut self, write: &mut Write<'_>) -> io::Result<()> {
        self.flush_before(i64::MAX, write)
    }

    /// Dropped fragments whose ports were not sought: there were too many.
    pub(super) fn not_sought(&self) -> u64 {
        self.log.fragments.not_sought
    }

    /// Drops that were not seen on the way in.
    pub(super) fn unmatched(&self) -> u64 {
        let unseen: u64 = self.unseen.values().map(|(_, drops)| drops.unmatched()).sum();
        self.unmatched + unseen + self.flushed.values().sum::<u64>()
    }

    /// Writes what is left of the windows before one.
    fn flush_before(&mut self, start: i64, write: &mut Write<'_>) -> io::Result<()> {
        // Behind the capture's end none is open.
        let is_open = |seen_to: &BTreeMap<i64, i64>, before| start < i64::MAX && seen_to.contains_key(&before);
        while let Some(before) = self.log.pending_before(start, |before| is_open(&self.seen_to, before)) {
            if self.seen_to.contains_key(&before) || self.unseen.contains_key(&before) {
                self.join_drops(before, i64::MAX, None, write)?;
                continue;
            }
            let mut unmatched = 0;
            self.add_up(before, i64::MAX, &mut |_, part| {
                let mut drops = Drops::default();
                write(&Closed::join_some(part.start, vec![part], &mut drops))?;
                unmatched += drops.unmatched();
                Ok(())
            })?;
            self.flushed.insert(before, unmatched);
        }
        Ok(())
    }

    /// Where the capture shows packets of a window after all, its drops are remembered again. They are written.
    fn recall(&mut self, start: i64) -> io::Result<()> {
        if self.flushed.remove(&start).is_none() {
            return Ok(());
        }
        self.log.rewind(start);
        self.add_up(start, i64::MAX, &mut |verdicts, part| {
            verdicts.join_some(start, vec![part]);
            Ok(())
        })
    }

    /// Joins the drops of a window up to a time, and a part of what was seen in it.
    fn join_drops(&mut self, start: i64, until_us: i64, seen: Option<Part>, write: &mut Write<'_>) -> io::Result<()> {
        let mut parts: Vec<Part> = seen.into_iter().collect();
        self.add_up(start, until_us, &mut |verdicts, part| {
            if part.early {
                return verdicts.join(start, vec![part], write);
            }
            parts.push(part);
            Ok(())
        })?;
        if until_us == i64::MAX {
            // What is not seen now comes late, if at all.
            self.seen_to.remove(&start);
        }
        if parts.is_empty() { Ok(()) } else { self.join(start, parts, write) }
    }

    fn join(&mut self, start: i64, parts: Vec<Part>, write: &mut Write<'_>) -> io::Result<()> {
        let closed = self.join_some(start, parts);
        write(&closed)
    }

    /// Joins parts of a window, and remembers what was dropped and not seen in them. Where there is too much of it, what is of the
    /// window that was joined longest ago is forgotten.
    fn join_some(&mut self, start: i64, parts: Vec<Part>) -> Closed {
        let mut drops = self.recollect(start);
        let closed = Closed::join_some(start.div_euclid(MICROSECONDS), parts, &mut drops);
        let flows = drops.logged_flows();
        if flows > 0 {
            self.joins += 1;
            self.unseen_flows += flows;
            self.joined.insert(self.joins, start);
            self.unseen.insert(start, (self.joins, drops));
        }
        while self.unseen_flows > self.max_unseen
            && let Some((_, oldest)) = self.joined.pop_first()
        {
            let unmatched = self.recollect(oldest).unmatched();
            self.unmatched += unmatched;
            if self.seen_to.contains_key(&oldest) {
                self.forgotten += unmatched;
            } else {
                *self.given_up.entry(oldest).or_default() += unmatched;
            }
        }
        closed
    }

    /// Takes what is remembered of a window.
    fn recollect(&mut self, start: i64) -> Drops {
        let Some((joined, drops)) = self.unseen.remove(&start) else {
            return Drops::default();
        };
        self.joined.remove(&joined);
        self.unseen_flows -= drops.logged_flows();
        drops
    }

    /// Adds up the drops of a window up to a time; gives them in parts, of which all but the last are early.
    fn add_up(
        &mut self,
        start: i64,
        until_us: i64,
        take: &mut dyn FnMut(&mut Self, Part) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(drops) = self.log.take(start, until_us)? {
            let mut parts = Vec::new();
            for drop in drops {
                let Ok(()) = self.observer.add_up(drop, 0, |part| {
                    parts.push(part);
                    Ok::<(), Infallible>(())
                });
            }
            for part in parts {
                take(self, part)?;
            }
        }
        let mut parts = Vec::new();
        let Ok(()) = self.observer.windows().close_all(|part| {
            parts.push(part);
            Ok::<(), Infallible>(())
        });
        for part in parts {
            take(self, part)?;
        }
        Ok(())
    }
}
