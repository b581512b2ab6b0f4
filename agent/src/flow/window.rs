//! Windows of time: which packet belongs to which, and when a window closes.
//!
//! A packet belongs to the window of its own timestamp, floor(time / interval). Up to four windows are open at once; when
//! a fifth is needed the oldest closes. A window needed again after closing is opened again: a second record of a flow in
//! a window is legal, a lost packet is not.

use foldhash::fast::RandomState;

use super::{
    Part,
    table::{Entry, Key, Seen, Table},
};

/// Windows open at once.
const MAX_OPEN: usize = 4;

/// How packets are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Length of a window in seconds: 60 or 600, as AWS has them.
    pub interval: u32,
    /// Flows held at once, over all open windows. When there are more, the oldest are given up early.
    pub max_flows: usize,
}

impl Default for Settings {
    /// A minute (what Nitro interfaces deliver), and a million flows: about 100 MB.
    fn default() -> Self {
        Self { interval: 60, max_flows: 1_000_000 }
    }
}

/// The open windows of a capture.
#[derive(Debug)]
pub struct Windows {
    settings: Settings,
    interval_us: i64,
    hasher: RandomState,
    /// Sorted by start.
    open: Vec<Window>,
    flows: usize,
}

#[derive(Debug)]
struct Window {
    start_us: i64,
    table: Table,
}

impl Windows {
    /// No window is open yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let interval_us = i64::from(settings.interval) * 1_000_000;
        Self { settings, interval_us, hasher: RandomState::default(), open: Vec::with_capacity(MAX_OPEN), flows: 0 }
    }

    /// Adds a packet. `closed` is called for what had to close to make room, before the packet is added; each call is
    /// complete in itself, in the order in which records are to be written.
    ///
    /// # Errors
    /// What `closed` gives back. The packet is then not added.
    #[inline]
    pub fn observe<E>(
        &mut self,
        time_us: i64,
        key: Key,
        seen: Seen,
        closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let Seen { bytes, tcp_flags, first_fragment, later_fragment, fragment_bytes } = seen;
        let offset_us = time_us.rem_euclid(self.interval_us);
        let start_us = time_us.saturating_sub(offset_us);
        // At most 600 s in microseconds: fits.
        let offset_us = u32::try_from(offset_us).unwrap_or(u32::MAX);
        if let Some(window) = self.open.iter_mut().rev().find(|window| window.start_us == start_us)
            && let Some(entry) = window.table.find(&self.hasher, &key)
        {
            entry.packets += 1;
            entry.bytes += u64::from(bytes);
            entry.first_us = entry.first_us.min(offset_us);
            entry.last_us = entry.last_us.max(offset_us);
            entry.first_fragments = entry.first_fragments.saturating_add(first_fragment.into());
            entry.later_fragments = entry.later_fragments.saturating_add(later_fragment.into());
            entry.fragment_bytes = entry.fragment_bytes.saturating_add(fragment_bytes.into());
            entry.tcp_flags |= tcp_flags;
            return Ok(());
        }
        let entry = Entry {
            key,
            packets: 1,
            bytes: bytes.into(),
            first_us: offset_us,
            last_us: offset_us,
            first_fragments: first_fragment.into(),
            later_fragments: later_fragment.into(),
            fragment_bytes: fragment_bytes.into(),
            tcp_flags,
        };
        self.insert(start_us, entry, closed)
    }

    /// Closes every window, oldest first.
    ///
    /// # Errors
    /// What `closed` gives back; the windows after that one stay open.
    pub fn close_all<E>(&mut self, mut closed: impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        while !self.open.is_empty() {
            closed(self.close(0))?;
        }
        Ok(())
    }

    /// Closes, oldest first, every window that a live capture needs no more at this time: what ended `grace_us` ago, and
    /// what lies in the future because the clock was set back.
    ///
    /// # Errors
    /// What `closed` gives back; the windows after that one stay open.
    pub fn close_due<E>(
        &mut self,
        now_us: i64,
        grace_us: i64,
        mut closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let interval_us = self.interval_us;
        let is_due = |window: &Window| {
            let ended = window.start_us.saturating_add(interval_us).saturating_add(grace_us) <= now_us;
            ended || window.start_us > now_us.saturating_add(interval_us)
        };
        while let Some(place) = self.open.iter().position(is_due) {
            closed(self.close(place))?;
        }
        Ok(())
    }

    fn insert<E>(
        &mut self,
        start_us: i64,
        entry: Entry,
        mut closed: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.flows >= self.settings.max_flows {
            closed(self.give_up_oldest_chunk())?;
        }
        let place = match self.open.binary_search_by_key(&start_us, |window| window.start_us) {
            Ok(place) => place,
            Err(_) => {
                if self.open.len() == MAX_OPEN {
                    closed(self.close(0))?;
                }
                let place = self.open.partition_point(|window| window.start_us < start_us);
                self.open.insert(place, Window { start_us, table: Table::default() });
                place
            }
        };
        self.open[place].table.insert(&self.hasher, entry);
        self.flows += 1;
        Ok(())
    }

    fn close(&mut self, place: usize) -> Part {
        let window = self.open.remove(place);
        self.flows -= window.table.len();
        Part::new(window.start_us, window.table.into_chunks())
    }

    fn give_up_oldest_chunk(&mut self) -> Part {
        let window = &mut self.open[0];
        let entries = window.table.take_oldest_chunk(&self.hasher);
        self.flows -= entries.len();
        let (start_us, is_all) = (window.start_us, window.table.len() == 0);
        if is_all {
            self.open.remove(0);
        }
        let part = Part::new(start_us, vec![entries]);
        // With later windows open, a window that is empty closed; alone it goes on.
        if is_all && !self.open.is_empty() { part } else { part.given_up_early() }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, convert::Infallible};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        capture::Direction,
        decode::FiveTuple,
        flow::{Action, Closed},
    };

    fn key(number: u8) -> Key {
        let tuple = FiveTuple {
            source: [number; 16],
            destination: [0; 16],
            source_port: 1,
            destination_port: 2,
            protocol: 6,
            ipv6: true,
        };
        Key { tuple, interface: u16::from(number % 3), direction: None, action: Action::Accept }
    }

    fn sight(bytes: u32, tcp_flags: u8) -> Seen {
        Seen { bytes, tcp_flags, ..Seen::default() }
    }

    fn run(settings: Settings, packets: &[(i64, u8)]) -> Vec<Closed> {
        let mut windows = Windows::new(settings);
        let mut all = Vec::new();
        let mut keep = |part: Part| {
            all.push(part.close());
            Ok::<(), Infallible>(())
        };
        for (time_us, number) in packets {
            windows.observe(*time_us, key(*number), sight(10, *number), &mut keep).unwrap();
        }
        windows.close_all(&mut keep).unwrap();
        all
    }

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_window_holds_the_packets_of_its_minute() {
        let all = run(Settings::default(), &[(0, 1), (59_999_999, 1), (60 * SECOND, 1), (-1, 1)]);
        let starts: Vec<i64> = all.iter().map(|closed| closed.start).collect();
        assert_eq!(starts, [-60, 0, 60]);
        let entry = all[1].entries[0];
        assert_eq!((entry.packets, entry.bytes, entry.first_us, entry.last_us), (2, 20, 0, 59_999_999));
    }

    #[test]
    fn a_fifth_window_closes_the_oldest_and_a_late_packet_opens_it_again() {
        let all = run(
            Settings::default(),
            &[(0, 1), (60, 1), (120, 1), (180, 1), (240, 1), (1, 1)].map(|(s, n)| (s * SECOND, n)),
        );
        let starts: Vec<i64> = all.iter().map(|closed| closed.start).collect();
        assert_eq!(starts, [0, 60, 0, 120, 180, 240]);
    }

    #[test]
    fn live_a_window_closes_after_its_grace_or_when_the_clock_was_set_back() {
        let mut windows = Windows::new(Settings::default());
        let starts = |windows: &mut Windows, now: i64| {
            let mut starts = Vec::new();
            windows
                .close_due(now * SECOND, 2 * SECOND, |part| {
                    starts.push(part.close().start);
                    Ok::<(), Infallible>(())
                })
                .unwrap();
            starts
        };
        for time in [0, 60, 3600] {
            windows.observe(time * SECOND, key(1), sight(1, 0), |_| Ok::<(), Infallible>(())).unwrap();
        }
        assert_eq!(starts(&mut windows, 61), [3600]);
        assert_eq!(starts(&mut windows, 62), [0]);
        assert_eq!(starts(&mut windows, 121), [0; 0]);
        assert_eq!(starts(&mut windows, 122), [60]);
    }

    #[test]
    fn a_full_table_gives_its_oldest_up_and_loses_nothing() {
        let settings = Settings { max_flows: 2, ..Settings::default() };
        let all = run(settings, &[(0, 1), (1, 2), (2, 3), (3, 1)]);
        let packets: u64 = all.iter().flat_map(|closed| &closed.entries).map(|entry| entry.packets).sum();
        assert_eq!(packets, 4);
        assert!(all.len() > 1);
    }

    #[test]
    fn what_the_firewall_dropped_on_its_way_in_is_not_accepted() {
        let (ingress, egress) = (Some(Direction::Ingress), Some(Direction::Egress));
        let (seen, dropped) = (Action::Accept, Action::Reject);
        for (packets, expected, unmatched) in [
            // Seen three times, dropped twice: one was accepted.
            (vec![(ingress, seen, 3), (ingress, dropped, 2)], vec![(seen, 1), (dropped, 2)], 0),
            // A tap that does not know directions.
            (vec![(None, seen, 3), (ingress, dropped, 3)], vec![(dropped, 3)], 0),
            // Dropped on its way out: the tap never saw it.
            (vec![(egress, seen, 3), (egress, dropped, 2)], vec![(seen, 3), (dropped, 2)], 0),
            // More dropped than seen.
            (vec![(ingress, seen, 1), (ingress, dropped, 3)], vec![(dropped, 3)], 2),
        ] {
            let mut windows = Windows::new(Settings::default());
            for (direction, action, count) in packets {
                for _ in 0..count {
                    let key = Key { direction, action, ..key(1) };
                    windows.observe(0, key, sight(100, 0), |_| Ok::<(), Infallible>(())).unwrap();
                }
            }
            let mut all = Vec::new();
            windows
                .close_all(|part| {
                    all.push(part.close());
                    Ok::<(), Infallible>(())
                })
                .unwrap();
            let found: Vec<_> = all[0].entries.iter().map(|entry| (entry.key.action, entry.packets)).collect();
            assert_eq!((found, all[0].verdict_unmatched), (expected, unmatched));
            assert!(all[0].entries.iter().all(|entry| entry.bytes == entry.packets * 100));
        }
    }

    fn entry(direction: Option<Direction>, action: Action, packets: u64, bytes: u64) -> Entry {
        let key = Key { direction, action, ..key(1) };
        Entry {
            key,
            packets,
            bytes,
            first_us: 0,
            last_us: 0,
            first_fragments: 0,
            later_fragments: 0,
            fragment_bytes: 0,
            tcp_flags: 0,
        }
    }

    fn join_all(parts: Vec<Vec<Entry>>) -> (Vec<(Action, u64)>, u64) {
        let parts = parts.into_iter().map(|entries| Part::new(0, vec![entries])).collect();
        let closed = Closed::join(0, parts);
        (closed.entries.iter().map(|entry| (entry.key.action, entry.packets)).collect(), closed.verdict_unmatched)
    }

    #[test]
    fn what_was_dropped_of_a_flow_is_one_record() {
        let piece = |packets| vec![entry(INGRESS, Action::Reject, packets, packets * 100)];
        assert_eq!(join_all(vec![piece(1), piece(2), piece(3)]), (vec![(Action::Reject, 6)], 6));
    }

    const INGRESS: Option<Direction> = Some(Direction::Ingress);

    /// A firewall that logs, drops and answers "prohibited" is heard twice.
    #[test]
    fn what_was_logged_and_answered_is_rejected_once() {
        let seen = vec![entry(INGRESS, Action::Accept, 5, 500), entry(INGRESS, Action::Prohibited, 4, 400)];
        let logged = vec![entry(INGRESS, Action::Reject, 4, 400)];
        assert_eq!(join_all(vec![seen, logged]), (vec![(Action::Accept, 1), (Action::Reject, 4)], 0));
    }

    /// Two datagrams in three fragments each; the firewall drops one, or both, put together.
    #[test]
    fn fragments_of_dropped_datagrams_are_not_accepted() {
        // 4,000 bytes of payload each. Of IPv6 every fragment has a header of 8 bytes more, of IPv4 the later ones one of 20.
        for (ipv6, seen, one_dropped, fragment_bytes) in
            [(true, 2 * (4008 + 3 * 48), 4048, 2 * (3 * 8 + 2 * 40)), (false, 2 * (4008 + 3 * 20), 4028, 2 * 2 * 20)]
        {
            let of = |entry: Entry| {
                let tuple = FiveTuple { ipv6, ..entry.key.tuple };
                Entry { key: Key { tuple, ..entry.key }, ..entry }
            };
            let fragments = || {
                let entry = entry(INGRESS, Action::Accept, 6, seen);
                vec![of(Entry { later_fragments: 4, fragment_bytes, ..entry })]
            };
            let both = vec![of(entry(INGRESS, Action::Reject, 2, 2 * one_dropped))];
            assert_eq!(join_all(vec![fragments(), both]), (vec![(Action::Reject, 2)], 0));
            let one = vec![of(entry(INGRESS, Action::Reject, 1, one_dropped))];
            assert_eq!(join_all(vec![fragments(), one]), (vec![(Action::Accept, 5), (Action::Reject, 1)], 0));
        }
    }

    /// A firewall that drops fragments one by one, and lets empty datagrams of the same flow pass.
    #[test]
    fn fragments_that_were_dropped_one_by_one_leave_the_others() {
        let seen = Entry { later_fragments: 2, fragment_bytes: 104, ..entry(INGRESS, Action::Accept, 5, 1600) };
        let dropped = Entry { later_fragments: 2, fragment_bytes: 104, ..entry(INGRESS, Action::Reject, 3, 1504) };
        assert_eq!(join_all(vec![vec![seen], vec![dropped]]), (vec![(Action::Accept, 2), (Action::Reject, 3)], 0));
    }

    /// Live, such a firewall's log is told in pieces; and of what it lets pass a part may be seen by another thread.
    #[test]
    fn fragments_dropped_one_by_one_are_told_in_pieces_and_seen_in_parts() {
        let fragments = |action, first: u32, later: u32, bytes| Entry {
            first_fragments: first,
            later_fragments: later,
            fragment_bytes: later * 20,
            ..entry(INGRESS, action, u64::from(first + later), bytes)
        };
        let pieces = || vec![fragments(Action::Reject, 1, 2, 3028), fragments(Action::Reject, 1, 2, 3028)];
        let seen = vec![fragments(Action::Accept, 4, 8, 4 * 3028)];
        let expected = vec![(Action::Accept, 6), (Action::Reject, 6)];
        assert_eq!(join_all(vec![seen, pieces()]), (expected, 0));
        // First fragments and whole datagrams were dropped.
        let dropped = vec![fragments(Action::Reject, 1, 0, 1500), entry(INGRESS, Action::Reject, 3, 3 * 1428)];
        let whole = vec![entry(INGRESS, Action::Accept, 3, 3 * 1428)];
        let seen = vec![fragments(Action::Accept, 1, 2, 3068)];
        for parts in [[whole.clone(), seen.clone()], [seen, whole]] {
            let parts =
                [parts[0].clone(), parts[1].clone(), dropped.clone()].map(|entries| Part::new(0, vec![entries]));
            let closed = Closed::join(0, parts.to_vec());
            let of = |action| -> (u64, u64) {
                let entries = closed.entries.iter().filter(|entry| entry.key.action == action);
                entries.fold((0, 0), |(packets, bytes), entry| (packets + entry.packets, bytes + entry.bytes))
            };
            assert_eq!((of(Action::Accept), of(Action::Reject)), ((2, 1568), (4, 1500 + 3 * 1428)));
        }
    }

    /// Datagrams without payload are not taken for what is left of fragments.
    #[test]
    fn empty_datagrams_that_were_not_dropped_stay_accepted() {
        let empty = vec![entry(INGRESS, Action::Accept, 10, 480)];
        let dropped = vec![entry(INGRESS, Action::Reject, 4, 192)];
        assert_eq!(join_all(vec![empty, dropped]), (vec![(Action::Accept, 6), (Action::Reject, 4)], 0));
    }

    /// An ICMP message makes a record only of what was seen, whatever it quotes.
    #[test]
    fn what_is_said_to_be_refused_counts_as_far_as_it_was_seen() {
        let seen = vec![entry(INGRESS, Action::Accept, 5, 500)];
        for (packets, bytes, expected) in [
            (2, 200, vec![(Action::Accept, 3, 300), (Action::Prohibited, 2, 200)]),
            (2, 120_000, vec![(Action::Accept, 3, 0), (Action::Prohibited, 2, 500)]),
            (9, 40, vec![(Action::Prohibited, 5, 500)]),
        ] {
            let said = vec![entry(None, Action::Prohibited, packets, bytes)];
            let closed = Closed::join(0, vec![Part::new(0, vec![seen.clone(), said])]);
            let found: Vec<_> =
                closed.entries.iter().map(|entry| (entry.key.action, entry.packets, entry.bytes)).collect();
            assert_eq!(found, expected);
        }
        let forged = vec![entry(INGRESS, Action::Prohibited, 7, 420_000)];
        assert_eq!(join_all(vec![forged]), (Vec::new(), 0));
    }

    /// Of a part that is written early, what was dropped and not seen yet is taken off the parts that come later.
    #[test]
    fn drops_are_taken_off_what_is_seen_later() {
        let mut drops = crate::flow::Drops::default();
        let part = |entries| vec![Part::new(0, vec![entries])];
        let early = Closed::join_some(0, part(vec![entry(INGRESS, Action::Reject, 3, 300)]), &mut drops);
        assert_eq!((early.entries.len(), drops.unmatched()), (1, 3));
        let late = Closed::join_some(0, part(vec![entry(None, Action::Accept, 4, 400)]), &mut drops);
        assert_eq!((late.entries[0].packets, drops.unmatched(), drops.logged_flows()), (1, 0, 0));
    }

    type Sums = HashMap<(i64, Key), (u64, u64, i64, i64, u8)>;

    fn join(sums: &mut Sums, at: (i64, Key), packets: u64, bytes: u64, first: i64, last: i64, flags: u8) {
        let sum = sums.entry(at).or_insert((0, 0, i64::MAX, i64::MIN, 0));
        *sum = (sum.0 + packets, sum.1 + bytes, sum.2.min(first), sum.3.max(last), sum.4 | flags);
    }

    proptest! {
        /// Against a model that keeps every window for ever: the same packets, bytes, times and flags per window and flow,
        /// however late packets come and however small the table is.
        #[test]
        fn windows_add_up_like_a_naive_model(
            packets in prop::collection::vec((-200 * SECOND..1_000 * SECOND, 0_u8..20), 0..300),
            max_flows in 1_usize..40,
            interval in prop_oneof![Just(60_u32), Just(600)],
        ) {
            let mut expected = Sums::new();
            for (time, number) in &packets {
                let length = i64::from(interval) * SECOND;
                let start = time.div_euclid(length) * length;
                join(&mut expected, (start / SECOND, key(*number)), 1, 10, *time, *time, *number);
            }
            let mut found = Sums::new();
            for closed in run(Settings { interval, max_flows }, &packets) {
                let order: Vec<_> = closed.entries.iter().map(|entry| (entry.key.interface, entry.first_us)).collect();
                prop_assert!(order.is_sorted());
                for entry in closed.entries {
                    let at = |offset: u32| closed.start * SECOND + i64::from(offset);
                    let (first, last) = (at(entry.first_us), at(entry.last_us));
                    join(&mut found, (closed.start, entry.key), entry.packets, entry.bytes, first, last, entry.tcp_flags);
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
