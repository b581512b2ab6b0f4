//! Inputs leave the hand: delivered, to be looked at anew, or put aside.

use std::{io, mem};

use super::Service;
use crate::{
    service::{event::Event, held::Held, work::Step},
    source::{Arrival, Owned, Troubles},
};

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
        for held in done {
            let is_gone = self.let_go(held.from, &held.owned, &held.input.name, Some(&held.input.hash));
            self.ended.inputs += u64::from(is_gone);
        }
        for held in again {
            let Held { input, from, owned } = held;
            self.unsorted.push_back((from, Arrival { file: input.file, name: input.name, owned }));
        }
        self.unparked.extend(parked);
    }

    /// Lets go of what was delivered; whether it is gone for good. What is not comes again.
    pub(super) fn let_go(&mut self, from: usize, owned: &Owned, name: &str, hash: Option<&str>) -> bool {
        let gone = match owned {
            Owned::Claimed(claim) => claim.done(),
            Owned::Kept(path) => self.coming[from].folder.as_mut().map_or(Ok(()), |folder| folder.done(path)),
        };
        // Only then the forwards may forget that they had it.
        let gone = gone.and_then(|()| {
            let forgotten = |hash| self.forwarders.iter().try_for_each(|forwarder| forwarder.queue.let_go(hash));
            hash.map_or(Ok(()), forgotten)
        });
        let is_gone = gone.is_ok();
        let kept = &mut self.coming[from].kept;
        let was_said = !kept.is_empty();
        match gone {
            Ok(()) => drop(kept.remove(name)),
            Err(error) => {
                let message = format!("{name}: delivered, but cannot be let go of: {error}");
                kept.insert(name.to_owned(), message.clone());
                // Of many, the first.
                if !was_said {
                    (self.say)(&Event::Trouble { message });
                }
            }
        }
        self.metrics.troubles(&format!("inputs.{}, what was delivered", self.config.inputs[from].name), kept);
        is_gone
    }

    /// Puts aside what is to be; what cannot be waits for that.
    pub(super) fn put_aside(&mut self) {
        let mut failed = Troubles::new();
        for (held, why) in mem::take(&mut self.unparked) {
            let (from, name) = (&self.config.inputs[held.from].name, &held.input.name);
            match self.parked.park(from, &held, &why) {
                // What is gone meanwhile was refused all the same.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    failed.insert(name.clone(), format!("{name}: cannot be parked: {error}; {why}"));
                    self.unparked.push((held, why));
                }
                _ => {
                    self.ended.parked += 1;
                    (self.say)(&Event::Parked { name: name.clone(), why });
                    if let Owned::Kept(path) = held.owned {
                        self.parked_kept.push((held.from, held.input.hash, path));
                    }
                }
            }
        }
        let was_said = mem::replace(&mut self.unparked_said, !failed.is_empty());
        if let Some(message) = failed.values().next().filter(|_| !was_said) {
            (self.say)(&Event::Trouble { message: message.clone() });
        }
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
