//! Between those who see packets and the one who writes records: bounded, and never waited for by the former.
//!
//! Sources hand over what closed, say what they lost, and up to which time everything of theirs is here. A lock guards it;
//! it is taken when a window or a chunk of 4,096 flows closes and twice a second, never per packet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::flow::{Counters, Lost, Part};

/// The hand-over of one interface.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    news: Condvar,
    /// Flows that may wait or be in writing.
    max_flows: usize,
    interval: i64,
}

#[derive(Debug, Default)]
struct State {
    parts: Vec<Part>,
    /// Flows of `parts`, and of what is being written.
    flows: usize,
    lost: BTreeMap<i64, Lost>,
    reopened: BTreeSet<i64>,
    /// Of each source, the second before which all its windows are closed.
    closed_until: Vec<i64>,
    counters: Vec<Counters>,
    /// Places of sources that gave their last: the next source takes one, so that an interface may flap for months.
    free: Vec<usize>,
    /// What those counted.
    past: Counters,
    ending: bool,
}

/// One of those who hand over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source(usize);

/// What came in.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) parts: Vec<Part>,
    pub(super) lost: BTreeMap<i64, Lost>,
    pub(super) reopened: BTreeSet<i64>,
    /// The second before which every source's windows are closed.
    pub(super) closed_until: i64,
    /// Whether nothing more comes.
    pub(super) ending: bool,
}

/// Flows that may always wait, about 24 MB: with a small table and a firewall, packets wait for their verdict here.
const MIN_WAITING: usize = 262_144;

impl Inbox {
    /// `max_flows` is a table's bound: as many may wait, and as many be in writing.
    pub(super) fn new(max_flows: usize, interval: u32) -> Self {
        let max_flows = max_flows.saturating_mul(2).max(MIN_WAITING);
        Self { state: Mutex::default(), news: Condvar::new(), max_flows, interval: interval.into() }
    }

    /// Flows that may wait or be in writing.
    pub(super) fn max_flows(&self) -> usize {
        self.max_flows
    }

    /// A new source, whose windows before `now` (seconds) need not be waited for.
    pub(super) fn add_source(&self, now: i64) -> Source {
        let mut state = self.lock();
        let place = state.free.pop().unwrap_or_else(|| {
            state.closed_until.push(0);
            state.counters.push(Counters::default());
            state.closed_until.len() - 1
        });
        state.closed_until[place] = self.window(now);
        Source(place)
    }

    /// Hands over what closed. When too much waits it is lost, and counted.
    pub(super) fn hand_over(&self, source: Source, part: Part) {
        let mut state = self.lock();
        let flows = part.flows();
        if state.flows + flows > self.max_flows && state.flows > 0 {
            let lost = part.lost();
            *state.lost.entry(part.start).or_default() += lost;
            state.counters[source.0].lost += lost;
            return;
        }
        state.flows += flows;
        state.parts.push(part);
        drop(state);
        self.news.notify_one();
    }

    /// Says that packets seen between two times (seconds) were lost: of every window that lies there.
    pub(super) fn lose(&self, source: Source, from: i64, to: i64, lost: Lost) {
        /// Windows that are marked at most: the clock may have been set.
        const MARKED: i64 = 1440;
        let mut state = self.lock();
        state.counters[source.0].lost += lost;
        // Nobody knows which window they were of: the count is of the last, the others only lost something.
        let last = self.window(to);
        *state.lost.entry(last).or_default() += lost;
        let mut start = self.window(from).max(last - MARKED * self.interval);
        while start < last {
            state.reopened.insert(start);
            start += self.interval;
        }
    }

    /// Says that capture began again after an interruption.
    pub(super) fn reopened(&self, now: i64) {
        self.lock().reopened.insert(self.window(now));
    }

    /// Says up to which second all windows of a source are here, and what it counted so far.
    pub(super) fn report(&self, source: Source, closed_until: i64, counters: Counters) {
        let mut state = self.lock();
        state.closed_until[source.0] = closed_until;
        let lost = state.counters[source.0].lost;
        state.counters[source.0] = counters;
        state.counters[source.0].lost = lost;
        drop(state);
        self.news.notify_one();
    }

    /// Says that a source will give no more; it must not be used again.
    pub(super) fn finish(&self, source: Source, counters: Counters) {
        self.report(source, i64::MAX, counters);
        let mut state = self.lock();
        let counters = std::mem::take(&mut state.counters[source.0]);
        state.past += counters;
        state.free.push(source.0);
    }

    /// Says that nothing more comes at all.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.news.notify_one();
    }

    /// Whether nothing more comes.
    pub(super) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Everything that came in, after waiting for at most half a second.
    pub(super) fn take(&self) -> News {
        let state = self.lock();
        let quiet = |state: &mut State| state.parts.is_empty() && state.lost.is_empty() && !state.ending;
        let waited = self.news.wait_timeout_while(state, Duration::from_millis(500), quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        News {
            parts: std::mem::take(&mut state.parts),
            lost: std::mem::take(&mut state.lost),
            reopened: std::mem::take(&mut state.reopened),
            closed_until: state.closed_until.iter().copied().min().unwrap_or(i64::MAX),
            ending: state.ending,
        }
    }

    /// Says that flows which were taken were given up.
    pub(super) fn gave_up(&self, lost: Lost) {
        self.lock().past.lost += lost;
    }

    /// Says that flows which were taken are written.
    pub(super) fn written(&self, flows: usize) {
        let mut state = self.lock();
        state.flows = state.flows.saturating_sub(flows);
    }

    /// What all sources counted.
    pub(super) fn counters(&self) -> Counters {
        let state = self.lock();
        let mut sum = state.past;
        for counters in &state.counters {
            sum += *counters;
        }
        sum
    }

    fn window(&self, second: i64) -> i64 {
        second.div_euclid(self.interval) * self.interval
    }

    /// A panic while the lock was held leaves a state that is whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
