//! A capture thread: its taps, its flow table, and nothing that it would have to wait for.

use std::{
    convert::Infallible,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flowlake_common::time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::inbox::{Inbox, Source};
use crate::{
    capture::live::{Tap, TapError, dropped_by_device},
    flow::{Lost, Observer, Part, Rules},
};

/// Microseconds after a window's end at which it closes: packets wait for a tenth of a second in the ring, and the
/// firewall's log for a second in the kernel.
const GRACE_US: i64 = 2_000_000;
/// Microseconds between two looks at the clock and the drop counters.
pub(super) const HOUSEKEEPING_US: i64 = 500_000;
/// How long a poll lasts when nothing comes.
pub(super) const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// Longer than the kernel keeps a block that is not full.
pub(super) const RING_SETTLES: Duration = Duration::from_millis(250);
/// Rounds in which a ring is emptied at the end: more packets than any ring holds.
const LAST_ROUNDS: usize = 10_000;

/// A capture thread's state.
pub(super) struct Shard {
    taps: Vec<Tap>,
    observer: Observer,
    inbox: Arc<Inbox>,
    source: Source,
    stop: Arc<AtomicBool>,
    interval: i64,
    /// The device for whose own drops it answers: one of an interface's shards does.
    device: Option<String>,
    device_dropped: u64,
    /// When the drop counters were read last, in seconds.
    loss_read: i64,
}

impl Shard {
    /// `device` is given to the one of an interface's shards that answers for the device's own drops.
    pub(super) fn new(
        taps: Vec<Tap>,
        rules: Rules,
        inbox: Arc<Inbox>,
        stop: Arc<AtomicBool>,
        device: Option<String>,
    ) -> Self {
        let now = time::now();
        let interval = rules.flow.interval.into();
        let source = inbox.add_source(now);
        let device_dropped = device.as_deref().and_then(dropped_by_device).unwrap_or_default();
        Self {
            taps,
            observer: Observer::new(rules),
            inbox,
            source,
            stop,
            interval,
            device,
            device_dropped,
            loss_read: now,
        }
    }

    /// Captures until it is told to stop or the device goes away; gives the reason for the latter.
    pub(super) fn run(mut self) -> Option<TapError> {
        let mut next_housekeeping = 0;
        let mut gone = None;
        while gone.is_none() && !self.stop.load(Ordering::Relaxed) {
            self.wait();
            gone = self.dispatch().1;
            if time::monotonic_us() >= next_housekeeping {
                next_housekeeping = time::monotonic_us() + HOUSEKEEPING_US;
                self.housekeeping();
            }
        }
        // What is in the ring was seen, also when the device is gone.
        thread::sleep(RING_SETTLES);
        for _ in 0..LAST_ROUNDS {
            let (count, error) = self.dispatch();
            gone = gone.or(error);
            if count == 0 {
                break;
            }
        }
        self.read_loss();
        let (inbox, source) = (&self.inbox, self.source);
        let Ok(()) = self.observer.windows().close_all(|part| hand_over(inbox, source, part));
        self.inbox.finish(self.source, self.observer.counters);
        gone
    }

    fn wait(&self) {
        let mut polled: Vec<PollFd<'_>> =
            self.taps.iter().map(|tap| PollFd::from_borrowed_fd(tap.as_fd(), PollFlags::IN)).collect();
        // Interrupted or not, the taps are looked at next.
        let ready = poll(&mut polled, Some(&POLL));
        // A device that went down is an error once, and its descriptor stays; one that is gone fails when it is read.
        if ready.is_ok() && polled.iter().any(|one| one.revents().contains(PollFlags::ERR)) {
            thread::sleep(RING_SETTLES);
        }
    }

    /// Takes what is in the rings: how many packets, and why a device gives no more. The others' packets are there all the same.
    fn dispatch(&mut self) -> (usize, Option<TapError>) {
        let (mut count, mut gone) = (0, None);
        let (observer, inbox, source) = (&mut self.observer, &self.inbox, self.source);
        for tap in &mut self.taps {
            let result = tap.dispatch(|packet| {
                if let Some(sighting) = observer.decode(packet) {
                    let mut hand_over = |part| hand_over(inbox, source, part);
                    let Ok(()) = observer.mark_prohibited(packet, &sighting, 0, &mut hand_over);
                    let Ok(()) = observer.add(sighting, 0, hand_over);
                }
            });
            match result {
                Ok(taken) => count += taken,
                Err(error) => gone = gone.or(Some(error)),
            }
        }
        (count, gone)
    }

    fn housekeeping(&mut self) {
        let now_us = time::now_us();
        self.read_loss();
        let (inbox, source) = (&self.inbox, self.source);
        let Ok(()) = self.observer.windows().close_due(now_us, GRACE_US, |part| hand_over(inbox, source, part));
        self.inbox.report(self.source, closed_until(now_us, self.interval), self.observer.counters);
    }

    fn read_loss(&mut self) {
        let now = time::now();
        let mut lost = Lost::default();
        for tap in &mut self.taps {
            lost.kernel += tap.dropped();
        }
        if let Some(device) = &self.device {
            // A device that is gone has lost nothing more; one that was made anew begins again.
            let dropped = dropped_by_device(device).unwrap_or(self.device_dropped);
            lost.interface = dropped.saturating_sub(self.device_dropped);
            self.device_dropped = dropped;
        }
        if !lost.is_none() {
            self.inbox.lose(self.source, self.loss_read, now, lost);
        }
        self.loss_read = now;
    }
}

/// The second before which every window is closed: a source closes them when their grace is over.
pub(super) fn closed_until(now_us: i64, interval: i64) -> i64 {
    (now_us - GRACE_US).div_euclid(1_000_000).div_euclid(interval) * interval
}

fn hand_over(inbox: &Inbox, source: Source, part: Part) -> Result<(), Infallible> {
    inbox.hand_over(source, part);
    Ok(())
}
