//! What arrived is looked at: whose records it has, whether it was delivered, where it is forwarded, and into which source of the lake it goes.

use std::{collections::BTreeSet, fs, mem};

use flowlake_common::{progress::Progress, time};

use super::{QUEUE_FULL, SECOND, Service, endings::Done};
use crate::{
    batch::{Input, NoInput, Opened},
    failure::Failure,
    forward::About,
    ocsf::{Mapping, Origin},
    service::{
        event::Event,
        forwarder::Forwarder,
        held::{Backoff, Held},
        work::{Step, Target, Work},
    },
    source::{Arrival, Owned},
};

/// Inputs of which one look says what is wrong with them; of more, how many there are.
const TOLD_AT_ONCE: usize = 8;
/// Of so many inputs the status knows that they are gone.
const MAX_GONE: usize = 1024;
pub(super) const GONE: &str = "not delivered, and not at";

/// Why it is not known what an input is.
enum Unsorted {
    /// It cannot be read.
    Unread(String),
    /// The ledger cannot be asked.
    NoLedger(Failure),
    /// A forward cannot take it yet.
    NoRoom,
}

impl Service<'_> {
    /// Says how many more than the first few there were something to be said of.
    pub(super) fn tell_more(&mut self) {
        if let Some(more @ 1..) = mem::take(&mut self.told).checked_sub(TOLD_AT_ONCE) {
            let message = format!("{more} more inputs cannot be read now, or are not where they were claimed");
            (self.say)(&Event::Trouble { message });
        }
    }

    /// Says something of an input, of the first few.
    fn tell(&mut self, message: String) {
        self.told += 1;
        if self.told <= TOLD_AT_ONCE {
            (self.say)(&Event::OfInput { message });
        }
    }

    /// What was claimed is not there any more.
    pub(super) fn is_gone(&mut self, from: usize, name: String, message: String) {
        self.tell(message.clone());
        let gone = &mut self.coming[from].gone;
        if gone.len() < MAX_GONE {
            gone.insert(name, message);
        }
    }

    /// Finds out what the inputs are that arrived, and into which source of the lake they go.
    pub(super) fn sort(&mut self) {
        if self.retry_us > time::monotonic_us() {
            return;
        }
        let mut blocked = BTreeSet::new();
        // What cannot be read now is looked at again behind the others.
        for _ in 0..self.unsorted.len() {
            let Some((from, arrival)) = self.unsorted.pop_front() else {
                break;
            };
            // Others of the same input need not be looked at.
            if blocked.contains(&from) {
                self.unsorted.push_back((from, arrival));
                continue;
            }
            let name = (!self.unread.is_empty()).then(|| arrival.name.clone());
            let Err(unsorted) = self.sort_one(from, arrival) else {
                if let Some(name) = name {
                    self.unread.remove(&name);
                }
                continue;
            };
            let (arrival, unsorted) = *unsorted;
            let failure = match unsorted {
                Unsorted::Unread(message) => {
                    if self.unread.insert(arrival.name.clone()) {
                        self.tell(message);
                    }
                    self.unsorted.push_back((from, arrival));
                    continue;
                }
                Unsorted::NoRoom => {
                    blocked.insert(from);
                    self.unsorted.push_back((from, arrival));
                    continue;
                }
                Unsorted::NoLedger(failure) => failure,
            };
            let seconds = self.backoff.next(time::now_us().unsigned_abs());
            self.retry_us = time::monotonic_us() + i64::try_from(seconds).unwrap_or(1) * SECOND;
            let who = format!("inputs.{}", self.config.inputs[from].name);
            self.metrics.failed(&who, &failure);
            (self.say)(&Event::Waiting { who, failure, seconds });
            self.unsorted.push_front((from, arrival));
            return;
        }
        match self.unread.first() {
            Some(name) => {
                let others = match self.unread.len() - 1 {
                    0 => String::new(),
                    others => format!(", nor can {others} others"),
                };
                self.metrics.waits("files", format!("{name} cannot be read{others}"));
            }
            None => self.metrics.works("files"),
        }
        self.backoff = Backoff::default();
        for (input, coming) in self.config.inputs.iter().zip(&self.coming) {
            self.metrics.troubles(&format!("inputs.{}, what was claimed", input.name), &coming.gone);
        }
        for input in &self.config.inputs {
            self.metrics.works(&format!("inputs.{}", input.name));
        }
    }

    fn sort_one(&mut self, from: usize, arrival: Arrival) -> Result<(), Box<(Arrival, Unsorted)>> {
        let config = &self.config.inputs[from];
        let unread = |arrival: Arrival, why: &dyn std::fmt::Display| {
            let message = format!("{}: cannot be read: {why}; it is tried again", arrival.name);
            Err(Box::new((arrival, Unsorted::Unread(message))))
        };
        // It grew while it waited: it is not finished, and comes again when it stands still.
        let is_as_it_was = |meta: &fs::Metadata| meta.len() == arrival.file.size;
        if matches!(arrival.owned, Owned::Kept(_))
            && !fs::metadata(&arrival.file.path).is_ok_and(|meta| is_as_it_was(&meta))
        {
            self.again(from, &arrival.owned);
            return Ok(());
        }
        let hash = match arrival.file.sha256() {
            Ok(hash) => hash,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Whoever's it was took it away; what is claimed is nobody else's.
                if matches!(arrival.owned, Owned::Claimed(_)) {
                    let place = arrival.file.path.display();
                    let message = format!("{}: {GONE} {place} any more; it comes again when it is back", arrival.name);
                    self.is_gone(from, arrival.name.clone(), message);
                }
                self.again(from, &arrival.owned);
                return Ok(());
            }
            Err(error) => return unread(arrival, &error),
        };
        self.coming[from].gone.remove(&arrival.name);
        if let Owned::Kept(path) = &arrival.owned
            && self.parked.has(&config.name, &hash)
        {
            self.parked_kept.push((from, hash, path.clone()));
            return Ok(());
        }
        let opened = Opened::open(&arrival.file, &arrival.name, &config.settings, &Progress::hidden());
        let mapping = match opened {
            Ok(Ok(opened)) => Ok(opened.mapping),
            Ok(Err(NoInput::Empty)) => {
                self.done.push(Done { from, owned: Some(arrival.owned), name: arrival.name, hash: None });
                return Ok(());
            }
            Ok(Err(NoInput::Unreadable(why) | NoInput::Unplaced(why))) => Err(why),
            Err(error) => return unread(arrival, &format!("{error:#}")),
        };
        let Arrival { file, name, owned } = arrival;
        let held = Held { input: Input { file, hash, name }, from, owned };
        let back = |held: Held| Arrival { file: held.input.file, name: held.input.name, owned: held.owned };
        let place = match mapping.map(|mapping| self.work(from, mapping)) {
            Err(why) => {
                self.unparked.push((held, why));
                return Ok(());
            }
            Ok(Err(error)) => {
                return match error.downcast::<Failure>() {
                    Ok(failure) if failure.kind.passes() => Err(Box::new((back(held), Unsorted::NoLedger(failure)))),
                    Ok(failure) => {
                        self.unparked.push((held, failure.to_string()));
                        Ok(())
                    }
                    Err(error) => {
                        self.unparked.push((held, format!("{error:#}")));
                        Ok(())
                    }
                };
            }
            Ok(Ok(place)) => place,
        };
        if let Err(why) = self.forward(place, &held) {
            return Err(Box::new((back(held), why)));
        }
        let mut step = Step::default();
        let taken = self.works[place].take(held, &mut step);
        self.finish(step);
        taken.map_err(|untaken| {
            let (held, failure) = *untaken;
            Box::new((back(held), Unsorted::NoLedger(failure)))
        })
    }

    /// A file of somebody else's is to be found again.
    pub(super) fn again(&mut self, from: usize, owned: &Owned) {
        if let (Owned::Kept(path), Some(folder)) = (owned, &mut self.coming[from].folder) {
            folder.again(path);
        }
    }

    /// Hands an input to the forwards. What the lake has went to them before.
    fn forward(&mut self, place: usize, held: &Held) -> Result<(), Unsorted> {
        let Held { input: Input { file, hash, name }, from, .. } = held;
        let input = &self.config.inputs[*from].name;
        if !self.forwarders.iter().any(|forwarder| forwarder.is_of(input)) {
            return Ok(());
        }
        let target = &self.works[place].target;
        if matches!(target.mapping.origin, Origin::Zeek | Origin::Suricata) {
            if !mem::replace(&mut self.coming[*from].unforwarded, true) {
                let message = format!("{name}: no VPC flow log records; neither it nor the like is forwarded");
                (self.say)(&Event::OfInput { message });
            }
            return Ok(());
        }
        if target.lake.ledger().is_delivered(hash).map_err(Unsorted::NoLedger)? {
            return Ok(());
        }
        for place in 0..self.forwarders.len() {
            let Forwarder { queue, .. } = &self.forwarders[place];
            if !self.forwarders[place].is_of(input) {
                continue;
            }
            let about = About { from: input.clone(), name: name.clone() };
            let why = if queue.can_take(hash) {
                let added = queue.add(hash, file, &about);
                added.err().map(|error| format!("{name}: cannot be queued: {error}; inputs wait where they are"))
            } else {
                Some(QUEUE_FULL.to_owned())
            };
            if self.stopped_by(place, why) {
                return Err(Unsorted::NoRoom);
            }
        }
        Ok(())
    }

    /// The place of the lake's source for these rows.
    fn work(&mut self, from: usize, mapping: Mapping) -> anyhow::Result<usize> {
        let source = self.config.inputs[from].source.as_deref().unwrap_or(mapping.origin.source());
        let is_it = |work: &Work| work.target.source == source && work.target.mapping == mapping;
        if let Some(place) = self.works.iter().position(is_it) {
            return Ok(place);
        }
        let kind = format!("rows of {} in OCSF {}", mapping.origin, mapping.version.name());
        let lake = self.root.source(source, &kind)?;
        self.works.push(Work::new(Target { source: source.to_owned(), mapping, lake }));
        Ok(self.works.len() - 1)
    }
}
