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
    emit::{Gap, GapSpan, Identity, SpoolWriter},
    flow::{Closed, LeftOut, Lost, Part, RecordFilter},
};

/// Flows given up early that are kept together in one file.
const EARLY_FLOWS: usize = 131_072;
/// Windows without any traffic that are caught up with; when there are more the clock was set, and nobody watched them.
const CATCH_UP: i64 = 3;
const RETRY: Duration = Duration::from_secs(1);
/// How often writing is tried after the end.
const LAST_TRIES: usize = 5;

/// What a closer counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) skipped_windows: u64,
    pub(super) verdict_unmatched: u64,
    pub(super) left_out: LeftOut,
    /// Records that could not be written.
    pub(super) given_up: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.skipped_windows += other.skipped_windows;
        self.verdict_unmatched += other.verdict_unmatched;
        self.left_out.records += other.left_out.records;
        self.left_out.packets += other.left_out.packets;
        self.given_up += other.given_up;
    }
}

/// The closer's state.
pub(super) struct Closer {
    interface: String,
    identity: Identity,
    interval: i64,
    inbox: Arc<Inbox>,
    spool: SpoolWriter,
    markers: Markers,
    filter: RecordFilter,
    say: Say,
    pending: BTreeMap<i64, Window>,
    /// The window up to which everything is written.
    next: i64,
    /// The first window in which the interface was watched from its beginning.
    first_whole: i64,
    written: Written,
}

#[derive(Debug, Default)]
struct Window {
    parts: Vec<Part>,
    lost: Lost,
    /// Something is missing, though nobody can count it.
    skipped: bool,
}

impl Closer {
    #[expect(clippy::too_many_arguments, reason = "it is made in one place, from what stands there by name")]
    pub(super) fn new(
        interface: String,
        identity: Identity,
        interval: u32,
        inbox: Arc<Inbox>,
        spool: SpoolWriter,
        markers: Markers,
        filter: RecordFilter,
        say: Say,
    ) -> Self {
        let interval = i64::from(interval);
        let now = time::now();
        let next = now.div_euclid(interval) * interval;
        let first_whole = if next == now { next } else { next + interval };
        Self {
            interface,
            identity,
            interval,
            inbox,
            spool,
            markers,
            filter,
            say,
            pending: BTreeMap::new(),
            next,
            first_whole,
            written: Written::default(),
        }
    }

    /// Closes windows until nothing more comes.
    pub(super) fn run(mut self) -> Written {
        loop {
            let news = self.inbox.take();
            let (until, ending) = (news.closed_until, news.ending);
            self.sort_in(news);
            self.write_early();
            if ending {
                break;
            }
            self.close_until(until.min(time::now()), false);
        }
        self.close_until(i64::MAX, true);
        if self.written.given_up == 0 {
            let id = self.id().to_owned();
            let removed = self.markers.remove(&id);
            self.marker(removed);
        }
        self.written
    }

    fn sort_in(&mut self, news: News) {
        for part in news.parts {
            self.pending.entry(part.start).or_default().parts.push(part);
        }
        for (start, lost) in news.lost {
            self.pending.entry(start).or_default().lost += lost;
        }
        for start in news.reopened {
            self.pending.entry(start).or_default().skipped = true;
        }
    }

    /// Flows that a full table gave up are written before their window closes: they are many.
    fn write_early(&mut self) {
        let flows = |window: &Window| window.parts.iter().map(Part::flows).sum::<usize>();
        let many: Vec<i64> =
            self.pending.iter().filter(|(_, window)| flows(window) >= EARLY_FLOWS).map(|(start, _)| *start).collect();
        for start in many {
            let parts =
                self.pending.get_mut(&start).map(|window| std::mem::take(&mut window.parts)).unwrap_or_default();
            self.write(start, parts, &[], false);
        }
    }

    /// Closes every window that ended before a second; the others that are pending too when that is the end.
    fn close_until(&mut self, until: i64, ending: bool) {
        let is_due = |start: i64, closer: &Self| {
            // A time that is neither now nor near was closed by the source at once: it is not waited for.
            let near = start <= time::now() + closer.interval;
            ending || !near || start + closer.interval <= until || start < closer.next
        };
        let due: BTreeSet<i64> = self.pending.keys().copied().filter(|start| is_due(*start, self)).collect();
        let end = if ending { self.next } else { until.div_euclid(self.interval) * self.interval };
        let mut quiet: BTreeSet<i64> = BTreeSet::new();
        if end > self.next {
            let first = self.next.max(end - CATCH_UP * self.interval).max(self.first_whole);
            let mut start = first;
            while start < end {
                quiet.insert(start);
                start += self.interval;
            }
        }
        for start in due.union(&quiet).copied().collect::<Vec<_>>() {
            let window = self.pending.remove(&start).unwrap_or_default();
            self.close(start, window, quiet.contains(&start), ending);
        }
        if end > self.next {
            self.next = end;
            let id = self.id().to_owned();
            let noted = self.markers.write(&id, end);
            self.marker(noted);
        }
    }

    fn close(&mut self, start: i64, window: Window, whole: bool, ending: bool) {
        let mut end = start + self.interval - 1;
        if ending {
            end = end.min(time::now()).max(start);
        }
        let mut gaps: Vec<GapSpan> = Vec::new();
        if window.skipped || !window.lost.is_none() {
            gaps.push((Gap::SkipData, start, end));
            self.written.skipped_windows += 1;
        }
        if !window.lost.is_none() {
            (self.say)(&Event::Loss { interface: self.interface.clone(), window: start, lost: window.lost });
        }
        self.write(start, window.parts, &gaps, whole);
    }

    /// Writes the records of a window; when there are none of a whole window, that.
    fn write(&mut self, start: i64, parts: Vec<Part>, gaps: &[GapSpan], whole: bool) {
        let flows = parts.iter().map(Part::flows).sum();
        let mut closed = Closed::join(start, parts);
        self.written.verdict_unmatched += closed.verdict_unmatched;
        let left_out = self.filter.apply(&mut closed);
        self.written.left_out.records += left_out.records;
        self.written.left_out.packets += left_out.packets;
        let mut gaps = gaps.to_vec();
        if closed.entries.is_empty() && gaps.is_empty() {
            if !whole {
                self.inbox.written(flows);
                return;
            }
            gaps.push((Gap::NoData, start, start + self.interval - 1));
        }
        let records = closed.entries.len() + gaps.len();
        if self.write_stubbornly(&closed, &gaps) {
            self.written.records += records as u64;
        } else {
            self.written.given_up += records as u64;
            (self.say)(&Event::GivenUp { interface: self.interface.clone(), records });
        }
        self.inbox.written(flows);
    }

    /// A full disk is no reason to lose records: they wait, and the inbox bounds how many.
    fn write_stubbornly(&self, closed: &Closed, gaps: &[GapSpan]) -> bool {
        let mut tries_after_end = 0;
        let mut failed = false;
        loop {
            match self.spool.write(&self.identity, closed, gaps) {
                Ok(()) => {
                    if failed {
                        (self.say)(&Event::SpoolWorks { interface: self.interface.clone() });
                    }
                    return true;
                }
                Err(error) if !failed => {
                    failed = true;
                    let why = error.to_string();
                    (self.say)(&Event::SpoolFailed { interface: self.interface.clone(), why });
                }
                Err(_) => {}
            }
            if self.inbox.is_ending() {
                tries_after_end += 1;
            }
            if tries_after_end >= LAST_TRIES {
                return false;
            }
            thread::sleep(RETRY);
        }
    }

    fn id(&self) -> &str {
        self.identity.interface_ids.first().map_or("-", String::as_str)
    }

    fn marker(&self, result: io::Result<()>) {
        if let Err(error) = result {
            (self.say)(&Event::Marker { path: self.markers.path(self.id()), why: error.to_string() });
        }
    }
}
