//! Everything that a firewall's log tells, put in order: its drops by their own time, whatever order the log has them in.
//!
//! What does not fit into memory goes to a file that nobody else sees, in sorted runs; a window is read from all of them. Of a drop
//! that is a later fragment, the capture tells the ports, when it shows that fragment or the first of its datagram.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
};

use super::fragments::DroppedFragments;
use crate::{
    capture::Direction,
    decode::{Decoded, FiveTuple, FragmentId},
    flow::{Action, Sighting},
};

/// Drops of a run, 16 MB.
const RUN: usize = 1 << 18;
/// Windows of all runs together. A year has half a million minutes.
const MAX_WINDOWS: usize = 1 << 20;
/// Drops that are read at once.
const STEP: usize = 64;
/// Bytes of a drop.
const SIZE: usize = 64;

/// The drops of a log.
#[derive(Debug)]
pub(super) struct DropLog {
    interval_us: i64,
    runs: Vec<Run>,
    /// The run that is filled.
    filling: Vec<Sighting>,
    /// The runs before, one behind the other.
    file: Option<File>,
    /// Drops in the file.
    filed: u64,
    windows: usize,
    /// Windows of which something was not taken yet.
    pending: BTreeSet<i64>,
    /// Where reading of a window stands in each run that has drops of it, and where they end there.
    cursors: BTreeMap<i64, Vec<Cursor>>,
    /// What the capture told of the fragments that were dropped.
    pub(super) fragments: DroppedFragments,
}

/// Drops in order.
#[derive(Debug)]
struct Run {
    /// Their place in the file.
    begin: u64,
    drops: u64,
    /// Each window, microseconds, and the place of its first drop in the run.
    windows: Vec<(i64, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    next: u64,
    end: u64,
}

impl DropLog {
    pub(super) fn new(interval_us: i64) -> Self {
        Self {
            interval_us,
            runs: Vec::new(),
            filling: Vec::new(),
            file: None,
            filed: 0,
            windows: 0,
            pending: BTreeSet::new(),
            cursors: BTreeMap::new(),
            fragments: DroppedFragments::default(),
        }
    }

    /// Takes a drop.
    ///
    /// # Errors
    /// When the file cannot be written, or the log has more windows than are believed.
    pub(super) fn add(&mut self, drop: Sighting) -> io::Result<()> {
        self.fragments.add(&drop);
        self.filling.push(drop);
        if self.filling.len() == RUN { self.end_run() } else { Ok(()) }
    }

    /// The log ended.
    ///
    /// # Errors
    /// As those of [`DropLog::add`].
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.end_run()?;
        self.filling = Vec::new();
        Ok(())
    }

    fn end_run(&mut self) -> io::Result<()> {
        self.filling.sort_by_key(|drop| drop.time_us);
        let mut windows: Vec<(i64, u32)> = Vec::new();
        for (place, drop) in (0..).zip(&self.filling) {
            let start = self.start(drop.time_us);
            if windows.last().is_none_or(|(last, _)| *last != start) {
                windows.push((start, place));
            }
        }
        self.windows += windows.len();
        if self.windows > MAX_WINDOWS {
            return Err(io::Error::other(format!("drops of more than {MAX_WINDOWS} windows")));
        }
        self.pending.extend(windows.iter().map(|(start, _)| *start));
        let mut bytes = Vec::with_capacity(self.filling.len() * SIZE);
        for drop in &self.filling {
            bytes.extend_from_slice(&to_bytes(drop));
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        file.write_all_at(&bytes, self.filed * SIZE as u64)?;
        let drops = self.filling.len() as u64;
        self.runs.push(Run { begin: self.filed, drops, windows });
        self.filed += drops;
        self.filling.clear();
        Ok(())
    }

    fn start(&self, time_us: i64) -> i64 {
        time_us.saturating_sub(time_us.rem_euclid(self.interval_us))
    }

    /// A packet that the capture shows, before its window is joined.
    pub(super) fn follow(&mut self, seen: &Sighting) {
        self.fragments.follow(seen, self.pending.first().copied());
    }

    /// The first window before a time, in microseconds, of which something was not taken yet, but for those that are open.
    pub(super) fn pending_before(&self, time_us: i64, is_open: impl Fn(i64) -> bool) -> Option<i64> {
        self.pending.range(..time_us).copied().find(|start| !is_open(*start))
    }

    /// Begins a window anew.
    pub(super) fn rewind(&mut self, start: i64) {
        self.cursors.remove(&start);
        self.pending.insert(start);
    }

    /// The next drop of a window up to a time, in microseconds; a few at once, `None` when there are no more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn take(&mut self, start: i64, until_us: i64) -> io::Result<Option<Vec<Sighting>>> {
        if !self.pending.contains(&start) {
            return Ok(None);
        }
        let cursors = self.cursors.entry(start).or_insert_with(|| cursors(&self.runs, start));
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut bytes = [0; STEP * SIZE];
        for cursor in cursors.iter_mut().filter(|cursor| cursor.next < cursor.end) {
            let count = usize::try_from(cursor.end - cursor.next).unwrap_or(STEP).min(STEP);
            let bytes = &mut bytes[..count * SIZE];
            file.read_exact_at(bytes, cursor.next * SIZE as u64)?;
            let drops = bytes.chunks_exact(SIZE).filter_map(|bytes| of_bytes(bytes.try_into().ok()?));
            let due: Vec<Sighting> = drops.take_while(|drop| drop.time_us <= until_us).collect();
            if !due.is_empty() {
                cursor.next += due.len() as u64;
                return Ok(Some(due.into_iter().map(|drop| self.fragments.completed(drop)).collect()));
            }
        }
        if cursors.iter().all(|cursor| cursor.next == cursor.end) {
            self.cursors.remove(&start);
            self.pending.remove(&start);
        }
        Ok(None)
    }
}

fn cursors(runs: &[Run], start: i64) -> Vec<Cursor> {
    let of_run = |run: &Run| {
        let place = run.windows.binary_search_by_key(&start, |(window, _)| *window).ok()?;
        let next = run.begin + u64::from(run.windows[place].1);
        let end = run.windows.get(place + 1).map_or(run.drops, |(_, first)| u64::from(*first));
        Some(Cursor { next, end: run.begin + end })
    };
    runs.iter().filter_map(of_run).collect()
}

fn to_bytes(drop: &Sighting) -> [u8; SIZE] {
    let Sighting { decoded, time_us, direction, action: _ } = *drop;
    let FiveTuple { source, destination, source_port, destination_port, protocol, ipv6 } = decoded.tuple;
    let way = match direction {
        None => 0,
        Some(Direction::Ingress) => 1,
        Some(Direction::Egress) => 2,
    };
    let flag = |is_set: bool, place: u8| u8::from(is_set) << place;
    let fragment = decoded.fragment;
    let bits = way
        | flag(ipv6, 2)
        | flag(decoded.ports_missing, 3)
        | flag(fragment.is_some(), 4)
        | flag(fragment.is_some_and(|fragment| fragment.first), 5);
    let mut bytes = [0; SIZE];
    let mut at = 0;
    for part in [
        &time_us.to_le_bytes()[..],
        &source,
        &destination,
        &source_port.to_le_bytes(),
        &destination_port.to_le_bytes(),
        &[protocol, decoded.tcp_flags, bits, fragment.map_or(0, |fragment| fragment.protocol)],
        &decoded.ip_bytes.to_le_bytes(),
        &fragment.map_or(0, |fragment| fragment.number).to_le_bytes(),
        &fragment.map_or(0, |fragment| fragment.header_bytes).to_le_bytes(),
    ] {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    bytes
}

/// `None` is for bytes that were not made here.
fn of_bytes(bytes: [u8; SIZE]) -> Option<Sighting> {
    let mut rest = &bytes[..];
    let mut next = |count: usize| rest.split_off(..count);
    let time_us = i64::from_le_bytes(next(8)?.try_into().ok()?);
    let source: [u8; 16] = next(16)?.try_into().ok()?;
    let destination: [u8; 16] = next(16)?.try_into().ok()?;
    let source_port = u16::from_le_bytes(next(2)?.try_into().ok()?);
    let destination_port = u16::from_le_bytes(next(2)?.try_into().ok()?);
    let [protocol, tcp_flags, bits, of_fragment] = next(4)?.try_into().ok()?;
    let ip_bytes = u32::from_le_bytes(next(4)?.try_into().ok()?);
    let datagram = u32::from_le_bytes(next(4)?.try_into().ok()?);
    let header_bytes = u16::from_le_bytes(next(2)?.try_into().ok()?);
    let is_set = |place: u8| bits >> place & 1 == 1;
    let direction = match bits & 3 {
        1 => Some(Direction::Ingress),
        2 => Some(Direction::Egress),
        _ => None,
    };
    let tuple = FiveTuple { source, destination, source_port, destination_port, protocol, ipv6: is_set(2) };
    let fragment = is_set(4).then_some(FragmentId {
        source,
        destination,
        number: datagram,
        protocol: of_fragment,
        first: is_set(5),
        header_bytes,
    });
    let ports_missing = is_set(3);
    let decoded =
        Decoded { tuple, ip_bytes, tcp_flags, direction, dropped: None, time_us: None, ports_missing, fragment };
    Some(Sighting { decoded, time_us, direction, action: Action::Reject })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop_at(time_us: i64, port: u16) -> Sighting {
        let tuple = FiveTuple {
            source: [1; 16],
            destination: [2; 16],
            source_port: port,
            destination_port: 80,
            protocol: 17,
            ipv6: true,
        };
        let number = u32::from(port);
        let (source, destination) = (tuple.source, tuple.destination);
        let fragment = (port % 2 == 1).then_some(FragmentId {
            source,
            destination,
            number,
            protocol: 0,
            first: port.is_multiple_of(3),
            header_bytes: 48,
        });
        let direction = if port.is_multiple_of(5) { Some(Direction::Egress) } else { Some(Direction::Ingress) };
        let decoded = Decoded {
            tuple,
            ip_bytes: 70_000,
            tcp_flags: 3,
            direction,
            dropped: None,
            time_us: None,
            ports_missing: port.is_multiple_of(7),
            fragment,
        };
        Sighting { decoded, time_us, direction, action: Action::Reject }
    }

    #[test]
    fn a_drop_is_the_same_after_its_bytes() {
        for port in 0..200 {
            let drop = drop_at(i64::from(port) - 100, port);
            assert_eq!(of_bytes(to_bytes(&drop)), Some(drop));
        }
    }

    #[test]
    fn every_drop_is_in_its_window_whatever_the_order() {
        let mut log = DropLog::new(60);
        for number in 0..i64::try_from(2 * RUN + 5).unwrap() {
            // Through all windows, again and again.
            log.add(drop_at(number * 7 % 6000, 4)).unwrap();
        }
        log.end().unwrap();
        let mut count = 0;
        while let Some(start) = log.pending_before(i64::MAX, |_| false) {
            while let Some(drops) = log.take(start, start + 30).unwrap() {
                assert!(drops.iter().all(|drop| (start..=start + 30).contains(&drop.time_us)));
                count += drops.len();
            }
            while let Some(drops) = log.take(start, i64::MAX).unwrap() {
                assert!(drops.iter().all(|drop| (start + 31..start + 60).contains(&drop.time_us)));
                count += drops.len();
            }
        }
        assert_eq!(count, 2 * RUN + 5);
        log.rewind(60);
        assert_eq!(log.take(60, i64::MAX).unwrap().map(|drops| drops.len()), Some(STEP));
    }
}
