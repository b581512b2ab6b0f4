//! The closer of an interface: joins what its capture threads and the firewall's log hand over, says what is missing, and
//! writes it to the spool. It alone waits for the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    thread,
    time::Duration,
};

use flowlake_common::time;

use super::{
    Event, Say,
    inbox::{Inbox, News},
    marker::Markers,
};
use crate::{
    emit::{Gap, GapSpan, GivenUp, Identity, SpoolWriter},
    flow::{Closed, Drops, LeftOut, Lost, Part, RecordFilter},
};

/// Flows of a window that are written before it closes; of a small table half of it.
const EARLY_FLOWS: usize = 131_072;
/// Microseconds until the firewall's log has told everything of a packet that was seen: the kernel keeps messages back for a
/// second, and their reader looks twice a second.
const VERDICT_SETTLES_US: i64 = 3_000_000;
/// Windows without any traffic that are caught up with one by one; when there are more, nobody watched those before. But while
/// the disk is waited for, the capture goes on: then a day's.
const CATCH_UP: i64 = 3;
const CATCH_UP_AFTER_DISK: i64 = 1440;
const RETRY: Duration = Duration::from_secs(1);
/// How often writing is tried in all after the end.
const LAST_TRIES: usize = 5;

/// What a closer counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) skipped_windows: u64,
    pub(super) verdict_unmatched: u64,
    /// Packets that ICMP messages called refused, but that were not seen.
    pub(super) refused_unseen: u64,
    pub(super) left_out: LeftOut,
    /// Records that could not be written.
    pub(super) given_up: u64,
    /// Finished files that had to make room, and the packets that they told of.
    pub(super) dropped_files: u64,
    pub(super) dropped_packets: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.skipped_windows += other.skipped_windows;
        self.verdict_unmatched += other.verdict_unmatched;
        self.refused_unseen += other.refused_unseen;
        self.left_out.records += other.left_out.records;
        self.left_out.packets += other.left_out.packets;
        self.given_up += other.given_up;
        self.dropped_files += other.dropped_files;
        self.dropped_packets += other.dropped_packets;
    }
}

/// Whose windows are closed, and how.
#[derive(Debug)]
pub(super) struct ClosingOf {
    pub(super) interface: String,
    pub(super) identity: Identity,
    /// Seconds.
    pub(super) interval: u32,
    /// Flows of a full table.
    pub(super) max_flows: usize,
    /// Whether a firewall's log tells what was dropped.
    pub(super) with_firewall: bool,
    pub(super) spool: SpoolWriter,
    pub(super) markers: Markers,
    pub(super) filter: RecordFilter,
    pub(super) say: Say,
}

/// The closer's state.
pub(super) struct Closer {
    of: ClosingOf,
    inbox: Arc<Inbox>,
    interval: i64,
    early_flows: usize,
    pending: BTreeMap<i64, Window>,
    /// The window up to which everything is written.
    next: i64,
    /// The first window in which the interface was watched from its beginning.
    first_whole: i64,
    /// Whether the disk was waited for since windows closed last.
    disk_waited_for: bool,
    tries_after_end: usize,
    /// The first window of which something could not be written.
    given_up: Option<i64>,
    written: Written,
}

#[derive(Debug, Default)]
struct Window {
    /// With the time at which each came, by the monotonic clock.
    parts: Vec<(i64, Part)>,
    lost: Lost,
    /// Something is missing, though nobody can count it.
    skipped: bool,
    /// Whether records of it were written before it closed.
    began: bool,
    /// What was dropped and not yet found among what was seen, when a part of it is written early.
    drops: Drops,
}

impl Closer {
    pub(super) fn new(of: ClosingOf, inbox: Arc<Inbox>) -> Self {
        let interval = i64::from(of.interval);
        let now = time::now();
        let next = now.div_euclid(interval) * interval;
        let first_whole = if next == now { next } else { next + interval };
        Self {
            inbox,
            interval,
            early_flows: EARLY_FLOWS.min(of.max_flows / 2).max(1),
            of,
            pending: BTreeMap::new(),
            next,
            first_whole,
            disk_waited_for: false,
            tries_after_end: 0,
            given_up: None,
            written: Written::default(),
        }
    }

    /// Closes windows until nothing more comes.
    pub(super) fn run(mut self) -> Written {
        loop {
            let news = self.inbox.take();
            let (until, ending) = (news.closed_until, news.ending);
            self.sort_in(news, time::monotonic_us());
            self.write_early(time::monotonic_us());
            if ending {
                break;
            }
            self.close_until(until, time::now(), time::monotonic_us(), false);
        }
        self.close_until(i64::MAX, time::now(), time::monotonic_us(), true);
        if self.given_up.is_none() {
            let removed = self.of.markers.remove(self.id());
            self.marker(removed);
        }
        self.written
    }

    fn sort_in(&mut self, news: News, now_us: i64) {
        for part in news.parts {
            self.pending.entry(part.start).or_default().parts.push((now_us, part));
        }
        for (start, lost) in news.lost {
            self.pending.entry(start).or_default().lost += lost;
        }
        for start in news.reopened {
            self.pending.entry(start).or_default().skipped = true;
        }
    }

    /// Flows are written before their window closes when they are many: but what was seen not before the firewall's log had
    /// time to tell what became of it.
    fn write_early(&mut self, now_us: i64) {
        let with_firewall = self.of.with_firewall;
        let is_ready = |arrived: i64| !with_firewall || arrived + VERDICT_SETTLES_US <= now_us;
        let ready_flows = |window: &Window| {
            let ready = window.parts.iter().filter(|(arrived, _)| is_ready(*arrived));
            ready.map(|(_, part)| part.flows()).sum::<usize>()
        };
        let many: Vec<i64> = self
            .pending
            .iter()
            .filter(|(_, window)| ready_flows(window) >= self.early_flows)
            .map(|(start, _)| *start)
            .collect();
        for start in many {
            let Some(mut window) = self.pending.remove(&start) else {
                continue;
            };
            // What was dropped may have been seen earlier, and is wanted now.
            let taken = |(arrived, part): &(i64, Part)| is_ready(*arrived) || !part.is_seen();
            let (ready, waiting) = window.parts.into_iter().partition(taken);
            window.parts = ready;
            window.began |= self.write(start, &mut window, &[], None);
            window.parts = waiting;
            // Of what ICMP messages say nothing is owed: it only marks what was seen.
            if window.drops.refused_flows() > self.inbox.max_flows() {
                self.written.refused_unseen += window.drops.forget_refused();
            }
            if window.drops.logged_flows() > self.inbox.max_flows() {
                self.written.verdict_unmatched += window.drops.unmatched();
                self.written.refused_unseen += window.drops.refused_unseen();
                window.drops = Drops::default();
                window.skipped = true;
            }
            self.pending.insert(start, window);
        }
    }

    /// Closes every window that ended before `until`, the second up to which everything is here; the others that are pending
    /// too when that is the end.
    fn close_until(&mut self, until: i64, now: i64, now_us: i64, ending: bool) {
        let current = now.div_euclid(self.interval) * self.interval;
        if self.next > current + self.interval {
            // The clock was set back: what it shows now is watched from the next window on.
            (self.next, self.first_whole) = (current, current + self.interval);
        }
        let until = until.min(now);
        let is_due = |start: i64, window: &Window, closer: &Self| {
            // A time that is neither now nor near was closed by its sources at once: nobody reports it.
            let near = (now - 10 * closer.interval..=now + closer.interval).contains(&start);
            let settled = window.parts.iter().all(|(arrived, _)| arrived + VERDICT_SETTLES_US <= now_us);
            ending || (!near && settled) || start + closer.interval <= until
        };
        let due: BTreeSet<i64> = self
            .pending
            .iter()
            .filter(|(start, window)| is_due(**start, window, self))
            .map(|(start, _)| *start)
            .collect();
        let end = if ending { self.next } else { until.div_euclid(self.interval) * self.interval };
        let mut quiet: BTreeSet<i64> = BTreeSet::new();
        if end > self.next {
            let disk_waited_for = std::mem::take(&mut self.disk_waited_for);
            let catch_up = if disk_waited_for { CATCH_UP_AFTER_DISK } else { CATCH_UP };
            let first = self.next.max(end - catch_up * self.interval);
            if first > self.next && first > self.first_whole {
                // The machine slept, or the clock was set: what was seen of that time has records of its own.
                self.close_unwatched(self.next, first - 1);
            }
            let mut start = first.max(self.first_whole);
            while start < end {
                quiet.insert(start);
                start += self.interval;
            }
        }
        for start in due.union(&quiet).copied().collect::<Vec<_>>() {
            let window = self.pending.remove(&start).unwrap_or_default();
            self.close(start, window, quiet.contains(&start), ending.then_some(now));
        }
        if end > self.next {
            self.next = end;
            self.note(self.next);
        } else if ending && let Some(given_up) = self.given_up {
            self.note(given_up);
        }
    }

    /// Says SKIPDATA of a time that nobody watched.
    fn close_unwatched(&mut self, start: i64, end: i64) {
        self.written.skipped_windows += 1;
        self.write(start, &mut Window::default(), &[(Gap::SkipData, start, end)], None);
    }

    /// `ended`: the second in which everything ended, and with it the window.
    fn close(&mut self, start: i64, mut window: Window, whole: bool, ended: Option<i64>) {
        let last = start + self.interval - 1;
        let end = ended.map_or(last, |ended| last.min(ended).max(start));
        let began = window.began;
        let mut gaps: Vec<GapSpan> = Vec::new();
        if window.skipped || !window.lost.is_none() {
            gaps.push((Gap::SkipData, start, end));
            self.written.skipped_windows += 1;
        }
        if !window.lost.is_none() {
            (self.of.say)(&Event::Loss { interface: self.of.interface.clone(), window: start, lost: window.lost });
        }
        let quiet = (whole && !began && gaps.is_empty()).then_some((Gap::NoData, start, last));
        self.write(start, &mut window, &gaps, quiet);
        let unmatched = window.drops.unmatched();
        self.written.verdict_unmatched += unmatched;
        self.written.refused_unseen += window.drops.refused_unseen();
        if began && unmatched > 0 && gaps.is_empty() {
            // What was written early may have been called accepted before its drop was known.
            self.written.skipped_windows += 1;
            self.write(start, &mut Window::default(), &[(Gap::SkipData, start, end)], None);
        }
    }

    /// Writes the records of a window's parts, or that it was `quiet` when the filter leaves none. Says whether there were any.
    fn write(&mut self, start: i64, window: &mut Window, gaps: &[GapSpan], quiet: Option<GapSpan>) -> bool {
        let parts: Vec<Part> = std::mem::take(&mut window.parts).into_iter().map(|(_, part)| part).collect();
        let flows = parts.iter().map(Part::flows).sum();
        let mut lost = Lost::default();
        for part in &parts {
            lost += part.lost();
        }
        let mut closed = Closed::join_some(start, parts, &mut window.drops);
        let left_out = self.of.filter.apply(&mut closed);
        let quiet = if closed.entries.is_empty() { quiet } else { None };
        let gaps: Vec<GapSpan> = gaps.iter().copied().chain(quiet).collect();
        let records = closed.entries.len() + gaps.len();
        if records == 0 || self.write_stubbornly(&closed, &gaps) {
            self.written.records += records as u64;
            self.written.left_out.records += left_out.records;
            self.written.left_out.packets += left_out.packets;
        } else {
            self.written.given_up += records as u64;
            self.given_up = Some(self.given_up.map_or(start, |first| first.min(start)));
            self.inbox.gave_up(lost);
            (self.of.say)(&Event::GivenUp { interface: self.of.interface.clone(), records });
        }
        self.inbox.written(flows);
        records > 0
    }

    /// A full disk is no reason to lose records: they wait, and the inbox bounds how many.
    fn write_stubbornly(&mut self, closed: &Closed, gaps: &[GapSpan]) -> bool {
        let mut failed = false;
        loop {
            let Self { of, written, .. } = self;
            let mut tell = |given_up: GivenUp| {
                written.dropped_files += given_up.files;
                written.dropped_packets += given_up.packets;
                (of.say)(&Event::SpoolFull { given_up });
            };
            match of.spool.write(&of.identity, closed, gaps, &mut tell) {
                Ok(()) => {
                    if failed {
                        (self.of.say)(&Event::SpoolWorks { interface: self.of.interface.clone() });
                    }
                    return true;
                }
                Err(error) if !failed => {
                    (failed, self.disk_waited_for) = (true, true);
                    let why = error.to_string();
                    (self.of.say)(&Event::SpoolFailed { interface: self.of.interface.clone(), why });
                }
                Err(_) => {}
            }
            if self.inbox.is_ending() {
                self.tries_after_end += 1;
                if self.tries_after_end >= LAST_TRIES {
                    return false;
                }
            }
            thread::sleep(RETRY);
        }
    }

    fn id(&self) -> &str {
        self.of.identity.interface_ids.first().map_or("-", String::as_str)
    }

    /// Notes durably up to where everything is written.
    fn note(&self, until: i64) {
        let until = self.given_up.map_or(until, |given_up| until.min(given_up));
        self.marker(self.of.markers.write(self.id(), until));
    }

    fn marker(&self, result: io::Result<()>) {
        if let Err(error) = result {
            (self.of.say)(&Event::Marker { path: self.of.markers.path(self.id()), why: error.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use flowlake_common::spool::{Limits, Spool};

    use super::*;
    use crate::{
        capture::Direction,
        decode::FiveTuple,
        flow::{Action, Key, Seen, Settings, Windows},
    };

    /// A minute's first second, and a time in the middle of the monotonic clock.
    const START: i64 = 1_700_000_040;
    const CLOCK: i64 = 1_000_000_000;

    struct Lab {
        folder: tempfile::TempDir,
        closer: Closer,
        inbox: Arc<Inbox>,
    }

    impl Lab {
        fn new(max_flows: usize, with_firewall: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let inbox = Arc::new(Inbox::new(max_flows, 60));
            let of = ClosingOf {
                interface: "test0".to_owned(),
                identity: Identity { interface_ids: vec!["eni-1".to_owned()], ..Identity::default() },
                interval: 60,
                max_flows,
                with_firewall,
                spool: SpoolWriter::new(Spool::open(&folder.path().join("spool"), Limits::default()).unwrap(), 60),
                markers: Markers::open(folder.path()).unwrap(),
                filter: RecordFilter::default(),
                say: |_| (),
            };
            let mut closer = Closer::new(of, Arc::clone(&inbox));
            (closer.next, closer.first_whole) = (START, START);
            Self { folder, closer, inbox }
        }

        /// Hands over flows of one packet each, numbered from `first` on.
        fn hand_over(&mut self, action: Action, start: i64, flows: std::ops::Range<u16>, arrived: i64) {
            let mut windows = Windows::new(Settings::default());
            let mut parts = Vec::new();
            for port in flows {
                let tuple = FiveTuple {
                    source: [1; 16],
                    destination: [2; 16],
                    source_port: port,
                    destination_port: 80,
                    protocol: 17,
                    ipv6: false,
                };
                let key = Key { tuple, interface: 0, direction: Some(Direction::Ingress), action };
                let Ok(()) = windows.observe(start * 1_000_000, key, Seen { bytes: 100, ..Seen::default() }, |_| {
                    Ok::<(), std::convert::Infallible>(())
                });
            }
            let Ok(()) = windows.close_all(|part| {
                parts.push(part);
                Ok::<(), std::convert::Infallible>(())
            });
            self.closer.sort_in(News { parts, ..News::default() }, arrived);
        }

        /// Words of every record in the spool: start, end, action and status.
        fn records(&self) -> Vec<String> {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(self.folder.path().join("spool")).unwrap() {
                let file = std::fs::File::open(entry.unwrap().path()).unwrap();
                let mut text = String::new();
                let mut decoder = flowlake_common::codec::Decoder::new(file, 1 << 30).unwrap();
                io::Read::read_to_string(&mut decoder, &mut text).unwrap();
                let words =
                    text.lines().skip(1).map(|line| line.split(' ').skip(10).take(4).collect::<Vec<_>>().join(" "));
                found.extend(words);
            }
            found.sort();
            found
        }

        fn count(&self, word: &str) -> usize {
            self.records().iter().filter(|record| record.contains(word)).count()
        }
    }

    #[test]
    fn many_flows_are_written_early_and_their_window_is_not_called_quiet() {
        let mut lab = Lab::new(1000, false);
        lab.hand_over(Action::Accept, START, 0..600, CLOCK);
        lab.closer.write_early(CLOCK);
        assert_eq!(lab.count("OK"), 600);
        lab.closer.close_until(START + 60, START + 63, CLOCK, false);
        assert_eq!((lab.count("OK"), lab.records().len()), (600, 600));
        lab.closer.close_until(START + 120, START + 123, CLOCK, false);
        assert_eq!(lab.count("NODATA"), 1);
    }

    #[test]
    fn what_was_seen_waits_for_the_firewalls_word() {
        let mut lab = Lab::new(1000, true);
        lab.hand_over(Action::Accept, START, 0..600, CLOCK);
        lab.closer.write_early(CLOCK + 1_000_000);
        assert!(lab.records().is_empty());
        lab.hand_over(Action::Reject, START, 0..600, CLOCK + 1_000_000);
        lab.closer.write_early(CLOCK + 4_000_000);
        lab.closer.close_until(START + 60, START + 63, CLOCK + 5_000_000, false);
        assert_eq!((lab.count("REJECT"), lab.count("ACCEPT"), lab.records().len()), (600, 0, 600));
        // Too late a word: what it was about is written, and may be wrong.
        lab.hand_over(Action::Accept, START + 60, 0..600, CLOCK);
        lab.closer.write_early(CLOCK + 4_000_000);
        lab.hand_over(Action::Reject, START + 60, 0..10, CLOCK + 4_000_000);
        lab.closer.close_until(START + 120, START + 123, CLOCK + 5_000_000, false);
        assert_eq!((lab.closer.written.verdict_unmatched, lab.count("REJECT")), (10, 610));
        assert_eq!(lab.count("SKIPDATA"), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_part_what_was_seen_from_its_verdict() {
        let mut lab = Lab::new(100_000, true);
        lab.closer.next = START + 3600;
        lab.hand_over(Action::Accept, START, 0..100, CLOCK);
        lab.closer.close_until(START, START + 62, CLOCK, false);
        assert!(lab.records().is_empty());
        lab.hand_over(Action::Reject, START, 0..100, CLOCK + 500_000);
        lab.closer.close_until(START + 60, START + 63, CLOCK + 500_000, false);
        assert_eq!((lab.count("REJECT"), lab.count("ACCEPT"), lab.closer.written.verdict_unmatched), (100, 0, 0));
    }

    #[test]
    fn a_time_that_nobody_watched_is_skipdata() {
        let mut lab = Lab::new(1000, false);
        lab.closer.close_until(START + 600, START + 603, CLOCK, false);
        assert_eq!(lab.count("SKIPDATA"), 1);
        assert!(lab.records().contains(&format!("{START} {} - SKIPDATA", START + 7 * 60 - 1)), "{:?}", lab.records());
        assert_eq!(lab.count("NODATA"), 3);
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_said_at_the_next_start() {
        let mut lab = Lab::new(1000, false);
        let spool = lab.folder.path().join("spool");
        std::fs::remove_dir(&spool).unwrap();
        std::fs::write(&spool, b"").unwrap();
        lab.inbox.end();
        lab.closer.tries_after_end = LAST_TRIES;
        lab.hand_over(Action::Accept, START, 0..5, CLOCK);
        lab.hand_over(Action::Accept, START + 60, 0..5, CLOCK);
        lab.closer.next = START + 120;
        lab.closer.close_until(i64::MAX, START + 130, CLOCK, true);
        assert_eq!((lab.closer.written.given_up, lab.inbox.counters().lost.queue), (10, 10));
        let left = lab.closer.of.markers.left().unwrap();
        assert_eq!(left, [Ok(("eni-1".to_owned(), START))]);
    }
}
