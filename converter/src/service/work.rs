//! What is on its way into one source of the lake: inputs that wait for others, the batch that is delivered, and batches that somebody
//! began and did not finish.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::Path,
};

use flowlake_common::time;

use super::{
    config::InputConfig,
    event::Event,
    flight::{Ended, Flight},
    held::Held,
    status::Measured,
};
use crate::{
    deliver::{Batch, Lake, MAX_INPUTS, Plan, State},
    failure::Failure,
    ocsf::Mapping,
};

/// Seconds after which a batch that somebody else began is taken to be left to us, or its missing inputs to be gone.
const LEFT_AFTER: i64 = 60;
/// Seconds between two looks at such a batch.
const LOOK_EVERY: i64 = 5;
const SECOND: i64 = 1_000_000;

/// One source of the lake, and how rows of it are mapped.
pub(super) struct Target {
    pub(super) source: String,
    pub(super) mapping: Mapping,
    pub(super) lake: Lake,
}

/// What is on its way there.
pub(super) struct Work {
    pub(super) target: Target,
    /// Inputs that wait for others, since when the first does, and their bytes.
    waiting: Vec<Held>,
    since_us: i64,
    bytes: u64,
    /// The batch that is delivered.
    flight: Option<Flight>,
    /// Batches that were begun, by their names, as far as their inputs are here.
    unfinished: BTreeMap<String, Unfinished>,
}

struct Unfinished {
    held: Vec<Held>,
    since_us: i64,
    look_us: i64,
    /// Whether it is said that it waits, or that it cannot be looked at.
    said: bool,
    failed: bool,
}

/// What a step came to, for whoever owns the inputs.
#[derive(Default)]
pub(super) struct Step {
    /// Delivered: they can be let go of.
    pub(super) done: Vec<Held>,
    /// To be looked at anew.
    pub(super) again: Vec<Held>,
    /// To be put aside, and why.
    pub(super) parked: Vec<(Held, String)>,
    pub(super) events: Vec<Event>,
    pub(super) measured: Measured,
    /// New rows, rows that were there, lines that could not be converted, and new objects.
    pub(super) rows: u64,
    pub(super) rejects: u64,
    pub(super) already_there: u64,
    pub(super) objects: u64,
}

/// What deliveries need that is not the source's own.
pub(super) struct Around<'a> {
    pub(super) inputs: &'a [InputConfig],
    pub(super) rejects: &'a Path,
    /// Seconds that inputs wait for others, and bytes after which they do no more.
    pub(super) wait: u64,
    pub(super) max_bytes: u64,
    /// Whether this is the first look after the start: what was begun then is ours.
    pub(super) is_start: bool,
}

impl Work {
    pub(super) fn new(target: Target) -> Self {
        Self { target, waiting: Vec::new(), since_us: 0, bytes: 0, flight: None, unfinished: BTreeMap::new() }
    }

    /// The sizes of inputs in hand of one of the configuration's. Those of batches that others began have none: what is missing of them may
    /// never come, and stops nobody.
    pub(super) fn held_of(&self, from: usize) -> impl Iterator<Item = u64> {
        let flying = self.flight.iter().flat_map(|flight| &flight.held);
        let unfinished = self.unfinished.values().flat_map(|unfinished| &unfinished.held);
        let sized = self.waiting.iter().chain(flying).map(|held| (held, held.input.file.size));
        let all = sized.chain(unfinished.map(|held| (held, 0)));
        all.filter(move |(held, _)| held.from == from).map(|(_, size)| size)
    }

    /// Takes an input. One that belongs to a batch already goes there.
    ///
    /// # Errors
    /// The input again, when the ledger cannot be asked now.
    pub(super) fn take(&mut self, held: Held, step: &mut Step) -> Result<(), Box<(Held, Failure)>> {
        let hash = &held.input.hash;
        let known = self.target.lake.ledger().batch_of(hash).and_then(|id| match id {
            Some(id) => Ok(Some((self.target.lake.ledger().state(&id)?, id))),
            None => Ok(None),
        });
        let now_us = time::monotonic_us();
        match known {
            Err(failure) => return Err(Box::new((held, failure))),
            Ok(None) => {
                if self.waiting.is_empty() {
                    self.since_us = now_us;
                }
                self.bytes += held.input.file.size;
                self.waiting.push(held);
            }
            Ok(Some((State::Done(_), _))) => step.done.push(held),
            Ok(Some((_, id))) => {
                // A copy of what is on its way is let go of with it.
                if let Some(flight) = self.flight.as_mut().filter(|flight| flight.batch.id == id) {
                    flight.held.push(held);
                    return Ok(());
                }
                let new =
                    || Unfinished { held: Vec::new(), since_us: now_us, look_us: now_us, said: false, failed: false };
                self.unfinished.entry(id).or_insert_with(new).held.push(held);
            }
        }
        Ok(())
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn step(&mut self, around: &Around<'_>) -> Step {
        let mut step = Step::default();
        if self.flight.is_none() {
            self.choose_unfinished(around, &mut step);
        }
        if self.flight.is_none() {
            self.begin(around);
        }
        if let Some(mut flight) = self.flight.take_if(|flight| flight.next_us <= time::monotonic_us()) {
            let ended = flight.attempt(&self.target, around, &mut step);
            if flight.failed && !matches!(ended, Err(Ended::Failed(_))) {
                step.events.push(Event::Works { who: self.target.source.clone() });
            }
            match ended {
                Ok(()) => {
                    let waited_us = time::monotonic_us() - flight.since_us;
                    step.measured.waits_s.push(u64::try_from(waited_us / SECOND).unwrap_or(0));
                    let members = flight.members.unwrap_or_default();
                    let (own, others) = flight.held.into_iter().partition(|held| members.contains(&held.input.hash));
                    step.done = own;
                    step.again.extend::<Vec<Held>>(others);
                }
                Err(Ended::Failed(failure)) => {
                    let seconds = flight.backoff.next(time::now_us().unsigned_abs());
                    flight.next_us = time::monotonic_us() + i64::try_from(seconds).unwrap_or(1) * SECOND;
                    flight.failed = true;
                    step.events.push(Event::Waiting { who: self.target.source.clone(), failure, seconds });
                    self.flight = Some(flight);
                }
                Err(Ended::Again(message)) => {
                    step.events.push(Event::Trouble { message });
                    step.again.append(&mut flight.held);
                }
                Err(Ended::Park(why)) => step.parked.extend(flight.held.into_iter().map(|held| (held, why.clone()))),
            }
        }
        step
    }

    /// A batch that somebody began, all of whose inputs are here; or one of which nothing is published, and whose inputs do not come.
    fn choose_unfinished(&mut self, around: &Around<'_>, step: &mut Step) {
        let now_us = time::monotonic_us();
        let due: Vec<String> = self
            .unfinished
            .iter()
            .filter(|(_, unfinished)| around.is_start || unfinished.look_us <= now_us)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let Some(mut unfinished) = self.unfinished.remove(&id) else {
                continue;
            };
            unfinished.look_us = now_us + LOOK_EVERY * SECOND;
            let is_left = around.is_start || now_us - unfinished.since_us >= LEFT_AFTER * SECOND;
            let before = step.events.len();
            let looked = self.look_at(&id, &mut unfinished, is_left, step);
            if looked.is_ok() && mem::take(&mut unfinished.failed) {
                step.events.insert(before, Event::Works { who: self.name_of(&id) });
            }
            match looked {
                Ok(Some(batch)) => {
                    self.flight = Some(Flight::new(batch, unfinished.held, unfinished.since_us));
                    return;
                }
                Ok(None) if unfinished.held.is_empty() => {}
                Ok(None) => drop(self.unfinished.insert(id, unfinished)),
                Err(failure) => {
                    let seconds = u64::try_from(LOOK_EVERY).unwrap_or(1);
                    step.events.push(Event::Waiting { who: self.name_of(&id), failure, seconds });
                    (unfinished.said, unfinished.failed) = (false, true);
                    self.unfinished.insert(id, unfinished);
                }
            }
        }
    }

    /// Gives the batch when it is to be delivered now; takes the inputs away when they are done with, or are to be looked at anew.
    fn look_at(
        &self,
        id: &str,
        unfinished: &mut Unfinished,
        is_left: bool,
        step: &mut Step,
    ) -> Result<Option<Batch>, Failure> {
        let ledger = self.target.lake.ledger();
        let state = ledger.state(id)?;
        let plan = match state {
            State::Done(_) => {
                // Whoever began it was not dead, or it was given up. What is not its own is free.
                self.works(id, unfinished, step);
                step.again.append(&mut unfinished.held);
                return Ok(None);
            }
            _ if !is_left => return Ok(None),
            State::Planned(plan) => Some(plan),
            State::Begun => None,
        };
        let batch = ledger.batch(id)?;
        let members = match &plan {
            Some(plan) => plan.inputs.clone(),
            None => ledger.members(&batch)?,
        };
        let here: BTreeSet<&str> = unfinished.held.iter().map(|held| held.input.hash.as_str()).collect();
        let missing = members.iter().filter(|input| !here.contains(input.as_str())).count();
        if missing == 0 {
            self.works(id, unfinished, step);
            return Ok(Some(batch));
        }
        match plan {
            // Every object is there, only nobody wrote it down.
            Some(plan) if self.target.lake.has_all(&plan)? => {
                ledger.done(id)?;
                self.works(id, unfinished, step);
                step.again.append(&mut unfinished.held);
            }
            Some(_) if !unfinished.said => {
                unfinished.said = true;
                let plan = ledger.place_of_plan(id);
                step.events.push(Event::Unfinished { who: self.name_of(id), missing, plan });
            }
            Some(_) => {}
            None if time::monotonic_us() - unfinished.since_us >= LEFT_AFTER * SECOND => {
                // Nothing was published of it, and nothing will be: its inputs are free.
                ledger.plan(id, &Plan::default())?;
                self.works(id, unfinished, step);
                step.again.append(&mut unfinished.held);
            }
            None => {}
        }
        Ok(None)
    }

    fn name_of(&self, id: &str) -> String {
        format!("{}, batch {id}", self.target.source)
    }

    /// Says that a batch waits no more, when it was said that it does.
    fn works(&self, id: &str, unfinished: &Unfinished, step: &mut Step) {
        if unfinished.said {
            step.events.push(Event::Works { who: self.name_of(id) });
        }
    }

    /// Makes a batch of what waits, when it waited for long enough.
    fn begin(&mut self, around: &Around<'_>) {
        let waited_us = time::monotonic_us() - self.since_us;
        let is_due = waited_us >= i64::try_from(around.wait).unwrap_or(i64::MAX / SECOND).saturating_mul(SECOND)
            || self.bytes >= around.max_bytes
            || self.waiting.len() >= MAX_INPUTS;
        if self.waiting.is_empty() || !is_due {
            return;
        }
        let mut rest = mem::take(&mut self.waiting);
        let mut now = Vec::new();
        let mut bytes = 0;
        // At least one, and no more than is due.
        while let Some(held) =
            (now.len() < MAX_INPUTS && (now.is_empty() || bytes < around.max_bytes)).then(|| rest.pop()).flatten()
        {
            bytes += held.input.file.size;
            now.push(held);
        }
        self.bytes = rest.iter().map(|held| held.input.file.size).sum();
        self.waiting = rest;
        let hashes: Vec<String> = now.iter().map(|held| held.input.hash.clone()).collect();
        self.flight = Some(Flight::new(Batch::of(&hashes), now, self.since_us));
    }
}
