//! The thread that reads the firewall's log, and gives each captured interface the drops that are its own.

use std::{
    collections::HashMap,
    convert::Infallible,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flowlake_common::time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Event, Say,
    inbox::{Inbox, Source},
    shard::{GRACE_US, HOUSEKEEPING_US, POLL, closed_until},
};
use crate::{
    capture::live::{Tap, TapError},
    decode::{Dropped, Tunnels},
    flow::{Counters, Lost, Observer, Part, Rules},
};

/// Messages of the log between two looks at the clock.
const ROUNDS: usize = 1024;
/// The kernel keeps messages back for up to a second.
const LOG_SETTLES_US: i64 = 1_200_000;
/// Until the log is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The captured interfaces, as the firewall's log may name them. Shared with the supervisor, which changes it when devices
/// come and go.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    /// Interface numbers by the kernel's number of the device, or of one that it is made of or that is made of it.
    by_device: HashMap<u32, u16>,
    inboxes: HashMap<u16, (Arc<Inbox>, Source)>,
}

impl Interfaces {
    /// Names the devices anew.
    pub(super) fn name(&mut self, by_device: HashMap<u32, u16>) {
        self.by_device = by_device;
    }

    /// An interface that is captured from now on.
    pub(super) fn add(&mut self, number: u16, inbox: Arc<Inbox>) {
        let source = inbox.add_source(time::now());
        self.inboxes.insert(number, (inbox, source));
    }

    /// An interface that is captured no more.
    pub(super) fn remove(&mut self, number: u16) {
        if let Some((inbox, source)) = self.inboxes.remove(&number) {
            inbox.finish(source, Counters::default());
        }
    }

    /// Gives each interface what is its own.
    fn hand_over(&self, part: &Part) -> Result<(), Infallible> {
        for number in part.interfaces() {
            if let Some((inbox, source)) = self.inboxes.get(&number) {
                inbox.hand_over(*source, part.of_interface(number));
            }
        }
        Ok(())
    }

    fn number(&self, dropped: Dropped) -> Option<u16> {
        self.by_device.get(&dropped.device).or_else(|| self.by_device.get(&dropped.port)).copied()
    }
}

/// Counts of the firewall's log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drops {
    /// Recorded as REJECT.
    pub(super) recorded: u64,
    /// On interfaces that are not captured.
    pub(super) elsewhere: u64,
    /// Packets of the log that tell no drop of an IP packet.
    pub(super) unread: u64,
}

/// The thread's state.
pub(super) struct Firewall {
    groups: Vec<u16>,
    tap: Tap,
    observer: Observer,
    interfaces: Arc<Mutex<Interfaces>>,
    stop: Arc<AtomicBool>,
    say: Say,
    interval: i64,
    loss_read: i64,
    drops: Drops,
}

impl Firewall {
    /// Opens the log.
    ///
    /// # Errors
    /// When it cannot be read: nothing may be called accepted then.
    pub(super) fn open(
        groups: Vec<u16>,
        rules: &Rules,
        interfaces: Arc<Mutex<Interfaces>>,
        stop: Arc<AtomicBool>,
        say: Say,
    ) -> Result<Self, TapError> {
        let tap = Tap::open_nflog(&groups)?;
        // What the firewall drops is judged by its outermost header, whatever the flows are made of.
        let rules = Rules { decapsulate: Tunnels::default(), ..rules.clone() };
        let interval = rules.flow.interval.into();
        let observer = Observer::new(rules);
        Ok(Self {
            groups,
            tap,
            observer,
            interfaces,
            stop,
            say,
            interval,
            loss_read: time::now(),
            drops: Drops::default(),
        })
    }

    /// Reads until it is told to stop, and a little longer: the kernel keeps messages back.
    pub(super) fn run(mut self) -> Drops {
        let mut next_housekeeping = 0;
        let mut stop_at = i64::MAX;
        loop {
            let now = time::monotonic_us();
            if stop_at == i64::MAX && self.stop.load(Ordering::Relaxed) {
                stop_at = now + LOG_SETTLES_US;
            }
            if now >= stop_at {
                break;
            }
            // Bounded, so that a flood of drops does not keep the clock from being looked at.
            let mut timeout = POLL;
            for _ in 0..ROUNDS {
                if !is_readable(&self.tap, &timeout) {
                    break;
                }
                timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
                if let Err(why) = self.dispatch() {
                    self.reopen(why);
                }
            }
            if now >= next_housekeeping {
                next_housekeeping = now + HOUSEKEEPING_US;
                self.housekeeping();
            }
        }
        self.read_loss(0);
        let mut interfaces = lock(&self.interfaces);
        let Ok(()) = self.observer.windows().close_all(|part| interfaces.hand_over(&part));
        for (_, (inbox, source)) in interfaces.inboxes.drain() {
            inbox.finish(source, Counters::default());
        }
        self.drops
    }

    fn dispatch(&mut self) -> Result<(), TapError> {
        let Self { tap, observer, interfaces, drops, .. } = self;
        // Once for a message of many packets.
        let interfaces = lock(interfaces);
        tap.dispatch(|packet| {
            let sighting = observer.decode(packet);
            let Some((sighting, dropped)) = sighting.and_then(|seen| Some((seen, seen.decoded.dropped?))) else {
                drops.unread += 1;
                return;
            };
            let Some(number) = interfaces.number(dropped) else {
                drops.elsewhere += 1;
                return;
            };
            let Ok(()) = observer.add(sighting, number, |part| interfaces.hand_over(&part));
            drops.recorded += 1;
        })
        .map(drop)
    }

    /// Without the log nothing is known of drops: the windows are SKIPDATA until it is back.
    fn reopen(&mut self, why: TapError) {
        (self.say)(&Event::VerdictLost { why });
        while !self.stop.load(Ordering::Relaxed) {
            self.read_loss(1);
            self.housekeeping();
            match Tap::open_nflog(&self.groups) {
                Ok(tap) => {
                    self.tap = tap;
                    break;
                }
                Err(_) => thread::sleep(RETRY),
            }
        }
        self.read_loss(1);
    }

    fn housekeeping(&mut self) {
        self.read_loss(0);
        let now_us = time::now_us();
        let interfaces = lock(&self.interfaces);
        let Ok(()) = self.observer.windows().close_due(now_us, GRACE_US, |part| interfaces.hand_over(&part));
        let closed_until = closed_until(now_us, self.interval);
        for (inbox, source) in interfaces.inboxes.values() {
            inbox.report(*source, closed_until, Counters::default());
        }
    }

    /// An overflow is only known to have happened, and of which interface nobody knows.
    fn read_loss(&mut self, more: u64) {
        let now = time::now();
        let verdict = self.tap.loss().kernel + more;
        if verdict > 0 {
            for (inbox, source) in lock(&self.interfaces).inboxes.values() {
                inbox.lose(*source, self.loss_read, now, Lost { verdict, ..Lost::default() });
            }
        }
        self.loss_read = now;
    }
}

/// libpcap takes reading an empty log for an error. A poll that fails was interrupted.
fn is_readable(tap: &Tap, timeout: &Timespec) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(tap.as_fd(), PollFlags::IN)];
    poll(&mut polled, Some(timeout)).is_ok_and(|ready| ready > 0)
}

fn lock(interfaces: &Mutex<Interfaces>) -> std::sync::MutexGuard<'_, Interfaces> {
    interfaces.lock().unwrap_or_else(PoisonError::into_inner)
}
