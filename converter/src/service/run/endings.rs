//! Inputs leave the hand: delivered, to be looked at anew, or put aside.

use std::{io, mem};

use flowlake_common::time;

use super::{SECOND, Service, sort::GONE};
use crate::{
    service::{
        event::{Event, Say},
        held::Held,
        work::Step,
    },
    source::{Arrival, Owned, Troubles},
};

/// Seconds between two attempts to park what cannot be.
const PARK_EVERY: i64 = 30;

/// An input that is in the lake, or has nothing.
pub(super) struct Done {
    pub(super) from: usize,
    /// Until it is gone: another one may have its place then.
    pub(super) owned: Option<Owned>,
    pub(super) name: String,
    /// When it was delivered.
    pub(super) hash: Option<String>,
}

impl Service<'_> {
    /// Lets go of what was delivered, puts aside what is refused, and says what happened.
    pub(super) fn finish(&mut self, step: Step) {
        let Step { done, again, parked, events, measured, rows, rejects, already_there, objects } = step;
        self.metrics.measured(&measured);
        self.ended.rows += rows;
        self.ended.rejects += rejects;
        self.ended.already_there += already_there;
        self.ended.objects += objects;
        for event in &events {
            match event {
                Event::Waiting { who, failure, .. } => self.metrics.failed(who, failure),
                Event::Works { who } => self.metrics.works(who),
                Event::Unfinished { who, missing, plan } => {
                    self.metrics.waits(who, Event::why_unfinished(*missing, plan));
                }
                _ => {}
            }
            (self.say)(event);
        }
        for Held { input, from, owned } in done {
            self.ended.inputs += 1;
            self.done.push(Done { from, owned: Some(owned), name: input.name, hash: Some(input.hash) });
        }
        for held in again {
            let Held { input, from, owned } = held;
            self.unsorted.push_back((from, Arrival { file: input.file, name: input.name, owned }));
        }
        self.unparked.extend(parked);
    }

    /// Lets go of what is in the lake; what cannot be let go of waits for that.
    pub(super) fn let_go(&mut self) {
        let mut failed = Troubles::new();
        for mut done in mem::take(&mut self.done) {
            let gone = match &done.owned {
                Some(Owned::Claimed(claim)) => claim.done(),
                Some(Owned::Kept(path)) => {
                    self.coming[done.from].folder.as_mut().map_or(Ok(()), |folder| folder.done(path))
                }
                None => Ok(()),
            };
            // Only then the forwards may forget that they had it.
            let gone = gone.and_then(|()| {
                done.owned = None;
                let forgotten =
                    |hash: &String| self.forwarders.iter().try_for_each(|forwarder| forwarder.queue.let_go(hash));
                done.hash.as_ref().map_or(Ok(()), forgotten)
            });
            if let Err(error) = gone {
                let message = format!("{}: delivered, but cannot be let go of: {error}", done.name);
                failed.insert(done.name.clone(), message);
                self.done.push(done);
            }
        }
        tell(&mut self.done_said, &failed, self.say);
        self.metrics.troubles("what was delivered", &failed);
    }

    /// Puts aside what is to be; what cannot be waits for that.
    pub(super) fn put_aside(&mut self) {
        let now_us = time::monotonic_us();
        if now_us < self.park_us {
            return;
        }
        let mut failed = Troubles::new();
        let mut waiting = mem::take(&mut self.unparked).into_iter();
        while let Some((held, why)) = waiting.next() {
            let (from, name) = (held.from, held.input.name.clone());
            match self.parked.park(&self.config.inputs[from].name, &held, &why) {
                Ok(()) => {
                    self.ended.parked += 1;
                    (self.say)(&Event::Parked { name, why });
                    if let Owned::Kept(path) = held.owned {
                        self.parked_kept.push((from, held.input.hash, path));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.again(from, &held.owned);
                    let place = held.input.file.path.display();
                    self.is_gone(from, name.clone(), format!("{name}: {GONE} {place} any more; it is refused: {why}"));
                }
                Err(error) => {
                    failed.insert(name.clone(), format!("{name}: cannot be parked: {error}; {why}"));
                    self.unparked.push((held, why));
                    // It may be a copy of much.
                    self.park_us = now_us + PARK_EVERY * SECOND;
                    if error.kind() == io::ErrorKind::WouldBlock {
                        // Nor can the others.
                        self.unparked.extend(waiting);
                        break;
                    }
                }
            }
        }
        tell(&mut self.unparked_said, &failed, self.say);
        self.metrics.troubles("parking", &failed);
    }

    /// What is parked no more comes again.
    pub(super) fn unpark(&mut self) {
        let Self { parked, config, coming, parked_kept, .. } = self;
        parked_kept.retain(|(from, hash, path)| {
            let stays = parked.has(&config.inputs[*from].name, hash);
            if !stays && let Some(folder) = &mut coming[*from].folder {
                folder.again(path);
            }
            stays
        });
    }
}

/// Says the first of some troubles, unless there were some before.
fn tell(was_said: &mut bool, troubles: &Troubles, say: Say<'_>) {
    let was_said = mem::replace(was_said, !troubles.is_empty());
    if let Some(message) = troubles.values().next().filter(|_| !was_said) {
        say(&Event::Trouble { message: message.clone() });
    }
}
