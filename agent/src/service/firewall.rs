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
    shard::{HOUSEKEEPING_US, POLL, closed_until},
};
use crate::{
    capture::live::{Tap, TapError},
    decode::Dropped,
    flow::{Counters, Lost, Observer, Part, Rules},
};

/// Messages of the log between two looks at the clock.
const ROUNDS: usize = 1024;
/// The kernel keeps messages back for up to a second.
const LOG_SETTLES_US: i64 = 1_200_000;
/// Until the log is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Interface numbers by the kernel's numbers of devices.
#[derive(Debug, Default)]
pub(super) struct ByDevice {
    /// Of the captured devices themselves.
    pub(super) own: HashMap<u32, u16>,
    /// Of those that a captured one is made of, or that are made of it.
    pub(super) related: HashMap<u32, u16>,
}

impl ByDevice {
    fn of(&self, own: bool) -> &HashMap<u32, u16> {
        if own { &self.own } else { &self.related }
    }
}

/// The captured interfaces, as the firewall's log may name them. Shared with the supervisor, which changes it when devices
/// come and go.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    by_device: ByDevice,
    /// What was so until lately: the kernel keeps messages of its log back, and they tell of devices that are gone since.
    past: Vec<Past>,
    inboxes: HashMap<u16, (Arc<Inbox>, Source)>,
}

/// A device that was a captured interface's until some time.
#[derive(Debug, Clone, Copy)]
struct Past {
    device: u32,
    /// Whether it was the captured device itself.
    own: bool,
    number: u16,
    /// By the monotonic clock: the other may be set.
    until_us: i64,
}

/// How long late messages are waited for.
pub(super) const LATE_S: i64 = 3;

impl Interfaces {
    /// Names the devices anew, at a time by the monotonic clock.
    pub(super) fn name(&mut self, by_device: ByDevice, now_us: i64) {
        let before = std::mem::replace(&mut self.by_device, by_device);
        self.past.retain(|past| past.until_us + LATE_S * 1_000_000 > now_us);
        for own in [true, false] {
            for (device, number) in before.of(own) {
                if self.by_device.of(own).get(device) != Some(number) {
                    self.past.push(Past { device: *device, own, number: *number, until_us: now_us });
                }
            }
        }
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

    /// Whose a drop is; its time is by the monotonic clock.
    fn number(&self, dropped: Dropped, time_us: i64) -> Option<u16> {
        for own in [true, false] {
            for device in [dropped.device, dropped.port] {
                // A port of a bridge saw the packet, not the other ports.
                if !own && device == dropped.device && dropped.port != 0 {
                    continue;
                }
                let is_it = |past: &&Past| (past.device, past.own) == (device, own) && time_us <= past.until_us;
                let past = self.past.iter().find(is_it).map(|past| past.number);
                if let Some(number) = past.or_else(|| self.by_device.of(own).get(&device).copied()) {
                    return Some(number);
                }
            }
        }
        None
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
    /// `None` while it cannot be read.
    tap: Option<Tap>,
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
        let interval = rules.flow.interval.into();
        let observer = Observer::new(rules.clone());
        Ok(Self {
            groups,
            tap: Some(tap),
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
                if !self.tap.as_ref().is_some_and(|tap| is_readable(tap, &timeout)) {
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
        let Some(tap) = tap else {
            return Ok(());
        };
        // Once for a message of many packets.
        let interfaces = lock(interfaces);
        // The packets' times are by the clock that may be set.
        let set_by = time::now_us() - time::monotonic_us();
        tap.dispatch(|packet| {
            let sighting = observer.decode(packet);
            let Some((sighting, dropped)) = sighting.and_then(|seen| Some((seen, seen.decoded.dropped?))) else {
                drops.unread += 1;
                return;
            };
            let Some(number) = interfaces.number(dropped, sighting.time_us.saturating_sub(set_by)) else {
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
        self.read_loss(1);
        // The kernel lets a group go when its reader is closed.
        self.tap = None;
        while !self.stop.load(Ordering::Relaxed) {
            match Tap::open_nflog(&self.groups) {
                Ok(tap) => {
                    self.tap = Some(tap);
                    (self.say)(&Event::VerdictAgain);
                    break;
                }
                Err(_) => thread::sleep(RETRY),
            }
            self.read_loss(1);
            self.housekeeping();
        }
        self.read_loss(1);
    }

    fn housekeeping(&mut self) {
        self.read_loss(0);
        let now_us = time::now_us();
        let interfaces = lock(&self.interfaces);
        let mut hand_over = |part: Part| interfaces.hand_over(&part);
        // Every drop is told at once, not when its window closes: what was seen waits for it only so long.
        let Ok(()) = self.observer.windows().close_all(&mut hand_over);
        let closed_until = closed_until(now_us, self.interval);
        for (inbox, source) in interfaces.inboxes.values() {
            inbox.report(*source, closed_until, Counters::default());
        }
    }

    /// An overflow is only known to have happened, and of which interface nobody knows.
    fn read_loss(&mut self, more: u64) {
        let now = time::now();
        let verdict = self.tap.as_mut().map_or(0, Tap::dropped) + more;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A bridge that is not captured with two ports, the second of which is.
    #[test]
    fn a_drop_belongs_to_the_port_that_saw_it() {
        let mut interfaces = Interfaces::default();
        interfaces.name(ByDevice { own: HashMap::from([(11, 1), (12, 2)]), related: HashMap::from([(10, 1)]) }, 0);
        for (device, port, number) in
            [(10, 12, Some(2)), (10, 0, Some(1)), (10, 13, None), (12, 11, Some(2)), (13, 0, None)]
        {
            assert_eq!(interfaces.number(Dropped { device, port }, 1), number);
        }
    }

    /// The log comes late: a drop from before a device vanished, or changed its name, is that of whose it was.
    #[test]
    fn a_late_drop_belongs_to_whose_the_device_was() {
        const SECOND: i64 = 1_000_000;
        let mut interfaces = Interfaces::default();
        let own = |own: &[(u32, u16)]| ByDevice { own: own.iter().copied().collect(), ..ByDevice::default() };
        let dropped = Dropped { device: 11, port: 0 };
        interfaces.name(own(&[(11, 1)]), 0);
        interfaces.name(own(&[(11, 2)]), 5 * SECOND);
        assert_eq!(interfaces.number(dropped, 5 * SECOND), Some(1));
        assert_eq!(interfaces.number(dropped, 6 * SECOND), Some(2));
        interfaces.name(own(&[]), 7 * SECOND);
        assert_eq!(interfaces.number(dropped, 7 * SECOND), Some(2));
        assert_eq!(interfaces.number(dropped, 8 * SECOND), None);
        interfaces.name(own(&[]), 20 * SECOND);
        assert_eq!(interfaces.number(dropped, 7 * SECOND), None);
    }

    /// A bridge's first port is deleted: what its other port saw was never the first one's.
    #[test]
    fn a_port_that_is_there_is_not_taken_for_one_that_is_gone() {
        let mut interfaces = Interfaces::default();
        interfaces.name(ByDevice { own: HashMap::from([(11, 1), (12, 2)]), related: HashMap::from([(10, 1)]) }, 0);
        interfaces.name(ByDevice { own: HashMap::from([(12, 2)]), related: HashMap::from([(10, 2)]) }, 5);
        assert_eq!(interfaces.number(Dropped { device: 10, port: 12 }, 3), Some(2));
        assert_eq!(interfaces.number(Dropped { device: 10, port: 11 }, 3), Some(1));
    }
}
