//! The captured interfaces: which there are, which of them can be captured now, and what is tried again when.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use flowlake_common::{spool::Spool, time};

use super::{
    Event, Say,
    closer::{Closer, ClosingOf, Written},
    config::{CaptureConfig, Config},
    firewall::{self, ByDevice},
    inbox::Inbox,
    marker::Markers,
    shard::{RING_SETTLES, Shard},
};
use crate::{
    capture::live::{self, Device, FanoutGroups, Tap, TapError, default_route_devices},
    emit::SpoolWriter,
    flow::{Counters, Rules},
    identity,
};

/// Interfaces that are captured at once; each has threads and rings.
const MAX_INTERFACES: usize = 256;
/// Seconds until a device that cannot be opened is tried again, doubled each time up to the second number.
const BACKOFF: (i64, i64) = (1, 60);
/// Microseconds in which a device that was captured under another name is known to have been.
const RENAMED_WITHIN_US: i64 = 60_000_000;
/// Seconds after which an interface of a pattern that is gone is forgotten, so that containers do not pile up.
const FORGOTTEN_AFTER: i64 = time::DAY;

/// Everything that is captured.
pub(super) struct Interfaces {
    config: Config,
    spool: Spool,
    markers: Markers,
    say: Say,
    watched: Vec<Watched>,
    /// The same, as the firewall's log names them.
    named: Arc<Mutex<firewall::Interfaces>>,
    with_firewall: bool,
    /// What interfaces that are captured no more gave.
    before: (Counters, Written),
    /// Devices of which was said that they are not captured.
    said_too_many: HashSet<String>,
    /// Devices whose capture ended lately, and when, by the monotonic clock.
    ended: HashMap<u32, i64>,
    /// Captured no more, and ended at that time of the monotonic clock, in microseconds.
    ending: Vec<(i64, Watched)>,
    /// Devices of which was said that nobody knows whose their drops are.
    said_ambiguous: HashSet<String>,
    /// Interfaces of the configuration of which was said that nothing is there.
    said_missing: HashSet<String>,
    double_counted: Vec<(String, String)>,
}

/// An interface that was selected.
struct Watched {
    number: u16,
    name: String,
    id: String,
    config: CaptureConfig,
    inbox: Arc<Inbox>,
    closer: JoinHandle<Written>,
    state: State,
    up: bool,
    opened_before: bool,
    /// When it was last there, seconds.
    seen: i64,
}

enum State {
    Capturing { device: u32, stop: Arc<AtomicBool>, threads: Vec<JoinHandle<Option<TapError>>> },
    Waiting { retry_at_us: i64, backoff: i64, said: String },
}

impl Interfaces {
    pub(super) fn new(
        config: Config,
        spool: Spool,
        markers: Markers,
        named: Arc<Mutex<firewall::Interfaces>>,
        say: Say,
    ) -> Self {
        Self {
            with_firewall: !config.nflog_groups.is_empty(),
            config,
            spool,
            markers,
            say,
            watched: Vec::new(),
            named,
            before: (Counters::default(), Written::default()),
            said_too_many: HashSet::new(),
            ended: HashMap::new(),
            ending: Vec::new(),
            said_ambiguous: HashSet::new(),
            said_missing: HashSet::new(),
            double_counted: Vec::new(),
        }
    }

    /// Compares what is captured with what is there, and opens, ends and tries again what has to be. `changed` when the
    /// kernel said that something changed: then nothing waits for its backoff.
    ///
    /// # Errors
    /// When the kernel's devices cannot be read, or a thread cannot be started.
    pub(super) fn reconcile(&mut self, changed: bool) -> io::Result<()> {
        let devices = live::devices()?;
        self.select(&devices);
        let now = time::now();
        let find = |name: &str| devices.iter().find(|device| device.name == name);
        // First what ends: a device may go on under the name of another, and is captured once.
        let now_us = time::monotonic_us();
        for watched in &mut self.watched {
            let device = find(&watched.name);
            if let Some(device) = device {
                watched.seen = now;
                watched.switched(device.up, self.say);
            }
            if watched.closer.is_finished() {
                return Err(defect(&watched.name, "the thread that writes its records failed"));
            }
            self.ended.extend(watched.end_what_is_gone(device, self.say)?.map(|device| (device, now_us)));
        }
        // One that goes on under another name is opened again, perhaps not in the same round.
        self.ended.retain(|_, ended_us| *ended_us + RENAMED_WITHIN_US > now_us);
        for watched in &mut self.watched {
            watched.opened_before |= find(&watched.name).is_some_and(|device| self.ended.contains_key(&device.index));
        }
        // Before any tap opens, which takes a while: the firewall drops meanwhile.
        self.name(&devices);
        for watched in &mut self.watched {
            let device = find(&watched.name);
            watched.open_when_due(device, &self.config.rules, changed, self.say);
            // What is up has traffic perhaps, and nobody sees it.
            if device.is_some_and(|device| device.up) && matches!(watched.state, State::Waiting { .. }) {
                watched.inbox.reopened(now);
            }
        }
        if self.forget() {
            self.name(&devices);
        }
        Ok(())
    }

    /// Interfaces that are selected and not watched yet; and those that a default route left.
    fn select(&mut self, devices: &[Device]) {
        let default_routes = default_route_devices();
        while let Some(index) = self.unselected(devices, &default_routes) {
            let mut watched = self.watched.swap_remove(index);
            (self.say)(&Event::Unselected { interface: watched.name.clone() });
            watched.stop();
            if watched.join().is_err() {
                watched.inbox.reopened(time::now());
            }
            self.end_late(watched);
        }
        for capture in &self.config.capture {
            let there = devices.iter().any(|device| capture.selects(&device.name, &default_routes));
            if !there && self.said_missing.insert(capture.interface.clone()) {
                (self.say)(&Event::NothingSelected { interface: capture.interface.clone() });
            }
            if there {
                self.said_missing.remove(&capture.interface);
            }
        }
        for device in devices {
            if self.watched.iter().any(|watched| watched.name == device.name) {
                continue;
            }
            let Some(config) =
                self.config.capture.iter().find(|capture| capture.selects(&device.name, &default_routes)).cloned()
            else {
                continue;
            };
            // A pattern such as `*` does not mean the loopback, where every packet is this host's own.
            if device.loopback && config.is_pattern() {
                continue;
            }
            if self.watched.len() >= MAX_INTERFACES && !self.give_way() {
                if self.said_too_many.insert(device.name.clone()) {
                    (self.say)(&Event::TooMany { interface: device.name.clone() });
                }
                continue;
            }
            if let Err(error) = self.watch(device, config) {
                // Said once; tried again when something changes, and every second.
                if self.said_too_many.insert(device.name.clone()) {
                    let why = error.to_string();
                    (self.say)(&Event::Waiting { interface: device.name.clone(), why });
                }
            }
        }
        // Names of containers' devices come and go.
        self.said_too_many.retain(|name| devices.iter().any(|device| device.name == *name));
        self.warn_of_double_counting(devices);
    }

    /// An interface that is there and not meant any more. Without any default route the one that was there stays: it may come
    /// back.
    fn unselected(&self, devices: &[Device], default_routes: &[String]) -> Option<usize> {
        self.watched.iter().position(|watched| {
            let name = &watched.name;
            let selected = self.config.capture.iter().any(|capture| capture.selects(name, default_routes));
            !selected && !default_routes.is_empty() && devices.iter().any(|device| device.name == *name)
        })
    }

    /// Forgets the interface of a pattern that is gone longest, so that another can be captured.
    fn give_way(&mut self) -> bool {
        let waiting = |watched: &Watched| matches!(watched.state, State::Waiting { .. }) && watched.config.is_pattern();
        let now = time::now();
        let gone = self.watched.iter().enumerate().filter(|(_, watched)| waiting(watched) && watched.seen < now - 1);
        let Some(index) = gone.min_by_key(|(_, watched)| watched.seen).map(|(index, _)| index) else {
            return false;
        };
        let watched = self.watched.swap_remove(index);
        self.end_late(watched);
        true
    }

    fn watch(&mut self, device: &Device, config: CaptureConfig) -> io::Result<()> {
        // Two that write the same interface's records would take each other's marker.
        if let Some(index) = self.ending.iter().position(|(_, watched)| watched.name == device.name) {
            let (_, watched) = self.ending.swap_remove(index);
            self.end(watched);
        }
        let id = config.interface_id.clone().unwrap_or_else(|| identity::interface_id(device));
        let flow = self.config.rules.flow;
        let inbox = Arc::new(Inbox::new(flow.max_flows, flow.interval));
        let of = ClosingOf {
            interface: device.name.clone(),
            identity: self.config.identity_of(&id, Some(&device.name)),
            interval: flow.interval,
            max_flows: flow.max_flows,
            with_firewall: self.with_firewall,
            spool: SpoolWriter::new(self.spool.clone(), flow.interval),
            markers: self.markers.clone(),
            filter: self.config.records.clone(),
            say: self.say,
        };
        let closer = Closer::new(of, Arc::clone(&inbox));
        if let Err(error) = self.markers.write(&id, time::now()) {
            (self.say)(&Event::Marker { path: self.markers.path(&id), why: error.to_string() });
        }
        let ending = self.ending.iter().map(|(_, watched)| watched.number);
        let taken: HashSet<u16> = self.watched.iter().map(|watched| watched.number).chain(ending).collect();
        let number = (0..=u16::MAX).find(|number| !taken.contains(number)).unwrap_or(u16::MAX);
        if self.with_firewall {
            lock(&self.named).add(number, Arc::clone(&inbox));
        }
        let spawned = thread::Builder::new().name(format!("close-{}", device.name)).spawn(|| closer.run());
        let closer = spawned.inspect_err(|_| lock(&self.named).remove(number))?;
        self.watched.push(Watched {
            number,
            name: device.name.clone(),
            id,
            config,
            inbox,
            closer,
            state: State::Waiting { retry_at_us: 0, backoff: BACKOFF.0, said: String::new() },
            up: true,
            opened_before: false,
            seen: time::now(),
        });
        Ok(())
    }

    fn warn_of_double_counting(&mut self, devices: &[Device]) {
        let is_watched = |name: &str| self.watched.iter().any(|watched| watched.name == name);
        for upper in devices.iter().filter(|device| is_watched(&device.name)) {
            for lower in devices.iter().filter(|lower| is_watched(&lower.name) && upper.is_above(&lower.name, devices))
            {
                let pair = (upper.name.clone(), lower.name.clone());
                if !self.double_counted.contains(&pair) {
                    (self.say)(&Event::DoubleCounting { upper: pair.0.clone(), lower: pair.1.clone() });
                    self.double_counted.push(pair);
                }
            }
        }
    }

    /// Tells the firewall's thread which devices are whose: a captured one is its own; else what is captured below or above
    /// it, because a packet of a VLAN or a bridge is seen on the device under it.
    fn name(&mut self, devices: &[Device]) {
        if !self.with_firewall {
            return;
        }
        let number =
            |name: &str| self.watched.iter().find(|watched| watched.name == name).map(|watched| watched.number);
        let (mut by_device, mut ambiguous) = (ByDevice::default(), Vec::new());
        for device in devices {
            if let Some(number) = number(&device.name) {
                by_device.own.insert(device.index, number);
                continue;
            }
            let captured = |is_related: &dyn Fn(&Device) -> bool| -> Vec<u16> {
                devices.iter().filter(|other| is_related(other)).filter_map(|other| number(&other.name)).collect()
            };
            let below = captured(&|other| device.is_above(&other.name, devices));
            let above = captured(&|other| other.is_above(&device.name, devices));
            match (below.as_slice(), above.as_slice()) {
                ([], [number]) => {
                    by_device.related.insert(device.index, *number);
                }
                ([], _) => {}
                // Which of its parts saw a packet, nobody can tell.
                _ if has_parts(device, devices) => ambiguous.push(device.name.clone()),
                // A VLAN, say: nearest below.
                ([nearest, ..], _) => {
                    by_device.related.insert(device.index, *nearest);
                }
            }
        }
        lock(&self.named).name(by_device, time::monotonic_us());
        self.said_ambiguous.retain(|name| ambiguous.contains(name));
        for device in ambiguous {
            if self.said_ambiguous.insert(device.clone()) {
                (self.say)(&Event::WhichPort { device });
            }
        }
    }

    /// Forgets what is gone for long, and ends what waited for the firewall's last word. Says whether there was any.
    fn forget(&mut self) -> bool {
        let (now, now_us) = (time::now(), time::monotonic_us());
        let before = (self.watched.len(), self.ending.len());
        let is_forgotten = |watched: &Watched| {
            let waiting = matches!(watched.state, State::Waiting { .. });
            waiting && watched.config.is_pattern() && now - watched.seen > FORGOTTEN_AFTER
        };
        while let Some(index) = self.watched.iter().position(is_forgotten) {
            let watched = self.watched.swap_remove(index);
            self.end_late(watched);
        }
        while let Some(index) = self.ending.iter().position(|(until_us, _)| *until_us <= now_us) {
            let (_, watched) = self.ending.swap_remove(index);
            self.end(watched);
        }
        before != (self.watched.len(), self.ending.len())
    }

    /// Ends every capture; then, when the firewall's log was read to its end, everything else.
    ///
    /// # Errors
    /// When a capture thread panicked.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        for watched in &self.watched {
            watched.stop();
        }
        let mut result = Ok(());
        for watched in &mut self.watched {
            result = result.and(watched.join().map(drop));
        }
        result
    }

    /// Waits until everything is written, and says what was counted.
    pub(super) fn finish(mut self) -> (Counters, Written) {
        for watched in &self.watched {
            watched.inbox.end();
        }
        for (_, watched) in std::mem::take(&mut self.ending) {
            self.end(watched);
        }
        while let Some(watched) = self.watched.pop() {
            self.end(watched);
        }
        self.before
    }

    /// Ends an interface that is captured no more, once the firewall's log has told of its last packets.
    fn end_late(&mut self, watched: Watched) {
        if self.with_firewall {
            self.ending.push((time::monotonic_us() + firewall::LATE_S * 1_000_000, watched));
        } else {
            self.end(watched);
        }
    }

    fn end(&mut self, watched: Watched) {
        if self.with_firewall {
            lock(&self.named).remove(watched.number);
        }
        watched.inbox.end();
        // A closer that panicked leaves its marker, and the next start says SKIPDATA.
        let written = watched.closer.join().unwrap_or(Written { given_up: 1, ..Written::default() });
        self.before.0 += watched.inbox.counters();
        self.before.1 += written;
    }
}

impl Watched {
    fn switched(&mut self, up: bool, say: Say) {
        if up != self.up && matches!(self.state, State::Capturing { .. }) {
            say(&Event::Switched { interface: self.name.clone(), up });
        }
        self.up = up;
    }

    /// Ends a capture whose device is gone, was renamed, or was made anew under the same name; gives the device's number.
    fn end_what_is_gone(&mut self, device: Option<&Device>, say: Say) -> io::Result<Option<u32>> {
        let State::Capturing { device: captured, threads, .. } = &self.state else {
            return Ok(None);
        };
        let captured = *captured;
        let same = device.is_some_and(|device| device.index == captured);
        if same && threads.iter().all(|thread| !thread.is_finished()) {
            return Ok(None);
        }
        self.stop();
        let why = self.join()?.unwrap_or_else(|| "it is gone or was renamed".to_owned());
        self.wait(why, 0, BACKOFF.0, say);
        Ok(Some(captured))
    }

    fn open_when_due(&mut self, device: Option<&Device>, rules: &Rules, changed: bool, say: Say) {
        let State::Waiting { retry_at_us, backoff, .. } = &self.state else {
            return;
        };
        let (retry_at_us, backoff) = (*retry_at_us, *backoff);
        let Some(device) = device else {
            self.wait("there is no such interface".to_owned(), 0, BACKOFF.0, say);
            return;
        };
        if !changed && time::monotonic_us() < retry_at_us {
            return;
        }
        match self.open(device, rules) {
            Ok(state) => {
                self.state = state;
                if self.opened_before {
                    self.inbox.reopened(time::now());
                }
                let (interface, id) = (self.name.clone(), self.id.clone());
                say(&Event::Opened { interface, id, again: self.opened_before });
                self.opened_before = true;
            }
            Err(error) => {
                let retry_at_us = time::monotonic_us() + backoff * 1_000_000;
                self.wait(error.to_string(), retry_at_us, (backoff * 2).min(BACKOFF.1), say);
            }
        }
    }

    /// Waits for a change; says why, once.
    fn wait(&mut self, why: String, retry_at_us: i64, backoff: i64, say: Say) {
        let said_before = match &self.state {
            State::Waiting { said, .. } => *said == why,
            State::Capturing { .. } => false,
        };
        if !said_before {
            say(&Event::Waiting { interface: self.name.clone(), why: why.clone() });
        }
        self.state = State::Waiting { retry_at_us, backoff, said: why };
    }

    /// Opens all taps, then starts the threads.
    fn open(&self, device: &Device, rules: &Rules) -> Result<State, TapError> {
        let count = self.config.threads;
        let mut groups = FanoutGroups::default();
        let mut taps = Vec::new();
        for _ in 0..count {
            taps.push(Tap::open(device, &self.config.tap, (count > 1).then_some(&mut groups))?);
        }
        if count > 1 {
            thread::sleep(RING_SETTLES);
            taps.iter_mut().flatten().try_for_each(Tap::begin)?;
        }
        let mut rules = rules.clone();
        rules.flow.max_flows = (rules.flow.max_flows / usize::from(count)).max(1);
        if !self.config.tap.mirror {
            // The kernel tells the direction; addresses would only guess it.
            rules.local_networks.clear();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (index, taps) in taps.into_iter().enumerate() {
            let answers_for = (index == 0).then(|| device.name.clone());
            let shard = Shard::new(taps, rules.clone(), Arc::clone(&self.inbox), Arc::clone(&stop), answers_for);
            match thread::Builder::new().name(format!("{}-{index}", self.name)).spawn(|| shard.run()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(TapError::Other(format!("cannot start a thread: {error}")));
                }
            }
        }
        Ok(State::Capturing { device: device.index, stop, threads })
    }

    fn stop(&self) {
        if let State::Capturing { stop, .. } = &self.state {
            stop.store(true, Ordering::Relaxed);
        }
    }

    /// Waits for the capture threads; gives the reason when one of them ended by itself.
    ///
    /// # Errors
    /// When one panicked: what it had seen is lost, and its window is SKIPDATA.
    fn join(&mut self) -> io::Result<Option<String>> {
        let State::Capturing { threads, .. } = &mut self.state else {
            return Ok(None);
        };
        let mut reason = None;
        let mut panicked = false;
        for thread in std::mem::take(threads) {
            match thread.join() {
                Ok(None) => {}
                Ok(Some(error)) => reason = Some(error.to_string()),
                Err(_) => panicked = true,
            }
        }
        if panicked {
            self.inbox.reopened(time::now());
            return Err(defect(&self.name, "a capture thread failed"));
        }
        Ok(reason)
    }
}

/// Whether a device, or one on the only way down from it, is made of several.
fn has_parts(device: &Device, devices: &[Device]) -> bool {
    const LEVELS: usize = 8;
    let mut device = device;
    for _ in 0..LEVELS {
        let [only] = device.lower.as_slice() else {
            return device.lower.len() > 1;
        };
        let Some(below) = devices.iter().find(|other| other.name == *only) else {
            return false;
        };
        device = below;
    }
    true
}

/// The agent ends, and its service manager starts it again.
fn defect(interface: &str, what: &str) -> io::Error {
    io::Error::other(format!("{interface}: {what}; this is a defect, please report it"))
}

fn lock(named: &Mutex<firewall::Interfaces>) -> std::sync::MutexGuard<'_, firewall::Interfaces> {
    named.lock().unwrap_or_else(PoisonError::into_inner)
}
