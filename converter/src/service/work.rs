//! What is on its way into one source of the lake: inputs that wait for others, the batch that is delivered, and batches that somebody
//! began and did not finish.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::Path,
};

use flowlake_common::{progress::Progress, time};

use super::{
    config::InputConfig,
    event::Event,
    held::{Backoff, Held},
};
use crate::{
    batch::{self, Input, Made, Opened},
    deliver::{Batch, Delivered, Lake, MAX_INPUTS, Plan, Settled, State},
    failure::{Failure, Kind},
    ocsf::Mapping,
};

/// Seconds after which a batch that somebody else began is taken to be left to us, or its missing inputs to be gone.
const LEFT_AFTER: i64 = 60;
/// Seconds between two looks at such a batch.
const LOOK_EVERY: i64 = 5;
const SECOND: i64 = 1_000_000;

/// One source of the lake.
pub(super) struct Work {
    pub(super) source: String,
    pub(super) mapping: Mapping,
    pub(super) lake: Lake,
    /// Inputs that wait for others, since when the first does, and their bytes.
    waiting: Vec<Held>,
    since_us: i64,
    bytes: u64,
    /// The batch that is delivered.
    flight: Option<Flight>,
    /// Batches that were begun, by their names, as far as their inputs are here.
    unfinished: BTreeMap<String, Unfinished>,
}

/// A batch on its way.
struct Flight {
    batch: Batch,
    held: Vec<Held>,
    /// Its own inputs, once they are known.
    members: Option<Vec<String>>,
    made: Option<Made>,
    /// Whether it is in the ledger.
    is_begun: bool,
    next_us: i64,
    backoff: Backoff,
    failed: bool,
}

struct Unfinished {
    held: Vec<Held>,
    since_us: i64,
    look_us: i64,
    said: bool,
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
    /// New rows, rows that were there, and new objects.
    pub(super) rows: u64,
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

/// Why an attempt did not come to its end.
enum Ended {
    /// It is tried again.
    Failed(Failure),
    /// The inputs are looked at anew.
    Again(String),
    /// They are put aside.
    Park(String),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        if failure.kind.passes() { Self::Failed(failure) } else { Self::Park(failure.to_string()) }
    }
}

impl Work {
    pub(super) fn new(source: String, mapping: Mapping, lake: Lake) -> Self {
        Self {
            source,
            mapping,
            lake,
            waiting: Vec::new(),
            since_us: 0,
            bytes: 0,
            flight: None,
            unfinished: BTreeMap::new(),
        }
    }

    /// How many inputs are in hand of one of the configuration's.
    pub(super) fn held_of(&self, from: usize) -> usize {
        let of = |held: &[Held]| held.iter().filter(|held| held.from == from).count();
        of(&self.waiting)
            + self.flight.as_ref().map_or(0, |flight| of(&flight.held))
            + self.unfinished.values().map(|unfinished| of(&unfinished.held)).sum::<usize>()
    }

    /// Takes an input. One that belongs to a batch already goes there.
    ///
    /// # Errors
    /// The input again, when the ledger cannot be asked now.
    pub(super) fn take(&mut self, held: Held, step: &mut Step) -> Result<(), Box<(Held, Failure)>> {
        let hash = &held.input.hash;
        let known = self.lake.ledger().batch_of(hash).and_then(|id| match id {
            Some(id) => Ok(Some((self.lake.ledger().state(&id)?, id))),
            None => Ok(None),
        });
        let now_us = time::monotonic_us();
        match known {
            Err(failure) => return Err(Box::new((held, failure))),
            Ok(None) if self.is_in_hand(hash) => {
                // The same content twice: the first of the two is delivered.
                step.events.push(Event::Known { name: held.input.name.clone() });
                step.done.push(held);
            }
            Ok(None) => {
                if self.waiting.is_empty() {
                    self.since_us = now_us;
                }
                self.bytes += held.input.file.size;
                self.waiting.push(held);
            }
            Ok(Some((State::Done(_), _))) => step.done.push(held),
            Ok(Some((_, id))) if self.flight.as_ref().is_some_and(|flight| flight.batch.id == id) => {
                step.done.push(held);
            }
            Ok(Some((_, id))) => {
                let new = || Unfinished { held: Vec::new(), since_us: now_us, look_us: now_us, said: false };
                self.unfinished.entry(id).or_insert_with(new).held.push(held);
            }
        }
        Ok(())
    }

    fn is_in_hand(&self, hash: &str) -> bool {
        self.waiting.iter().any(|held| held.input.hash == hash)
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
            match self.attempt(&mut flight, around, &mut step) {
                Ok(()) => {
                    if flight.failed {
                        step.events.push(Event::Works { who: self.source.clone() });
                    }
                    let members = flight.members.unwrap_or_default();
                    let (own, others) = flight.held.into_iter().partition(|held| members.contains(&held.input.hash));
                    step.done = own;
                    step.again.extend::<Vec<Held>>(others);
                }
                Err(Ended::Failed(failure)) => {
                    let seconds = flight.backoff.next(time::now_us().unsigned_abs());
                    flight.next_us = time::monotonic_us() + i64::try_from(seconds).unwrap_or(1) * SECOND;
                    flight.failed = true;
                    step.events.push(Event::Waiting { who: self.source.clone(), failure, seconds });
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
            match self.look_at(&id, &mut unfinished, is_left, step) {
                Ok(Some(batch)) => {
                    self.flight = Some(Flight::new(batch, unfinished.held));
                    return;
                }
                Ok(None) if unfinished.held.is_empty() => {}
                Ok(None) => drop(self.unfinished.insert(id, unfinished)),
                Err(failure) => {
                    let seconds = u64::try_from(LOOK_EVERY).unwrap_or(1);
                    step.events.push(Event::Waiting { who: self.source.clone(), failure, seconds });
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
        let ledger = self.lake.ledger();
        let state = ledger.state(id)?;
        let plan = match state {
            State::Done(_) => {
                // Whoever began it was not dead. What is not its own is free.
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
            return Ok(Some(batch));
        }
        match plan {
            // Every object is there, only nobody wrote it down.
            Some(plan) if self.lake.has_all(&plan)? => {
                ledger.done(id)?;
                step.again.append(&mut unfinished.held);
            }
            Some(_) if !unfinished.said => {
                unfinished.said = true;
                step.events.push(Event::Unfinished { source: self.source.clone(), batch: id.to_owned(), missing });
            }
            Some(_) => {}
            None if time::monotonic_us() - unfinished.since_us >= LEFT_AFTER * SECOND => {
                // Nothing was published of it, and nothing will be: its inputs are free.
                ledger.plan(id, &Plan::default())?;
                step.again.append(&mut unfinished.held);
            }
            None => {}
        }
        Ok(None)
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
        self.flight = Some(Flight::new(Batch::of(&hashes), now));
    }

    fn attempt(&self, flight: &mut Flight, around: &Around<'_>, step: &mut Step) -> Result<(), Ended> {
        let ledger = self.lake.ledger();
        if flight.members.is_none() {
            flight.batch = match ledger.state(&flight.batch.id)? {
                State::Planned(plan) => {
                    flight.members = Some(plan.inputs);
                    ledger.batch(&flight.batch.id)?
                }
                _ if flight.is_begun => ledger.batch(&flight.batch.id)?,
                _ => ledger.begin(&flight.batch.inputs)?,
            };
            flight.is_begun = true;
        }
        loop {
            let members = match &flight.members {
                Some(members) => members.clone(),
                None => ledger.members(&flight.batch)?,
            };
            flight.members = Some(members.clone());
            if members.is_empty() {
                // Others have them all.
                ledger.plan(&flight.batch.id, &Plan::default())?;
                return Ok(());
            }
            if members.iter().any(|input| !flight.held.iter().any(|held| held.input.hash == *input)) {
                return Err(Ended::Again(format!("{}: a batch grew; its inputs are looked at anew", self.source)));
            }
            if flight.made.is_none() {
                flight.made = Some(self.make(flight, &members, around)?);
            }
            let staged = flight.made.as_ref().map_or(&[][..], |made| &made.staged[..]);
            match self.lake.settle(&flight.batch.id, &members, staged)? {
                Settled::AsPlanned => break,
                Settled::Of(inputs) => {
                    flight.members = Some(inputs);
                    flight.made = None;
                }
                Settled::Otherwise => {
                    return Err(Ended::Park(format!(
                        "it was delivered in part before, with other options or other rows, as {} says",
                        ledger.place_of_plan(&flight.batch.id)
                    )));
                }
            }
        }
        let (Some(members), Some(made)) = (&flight.members, &flight.made) else {
            return Ok(());
        };
        let mut refused = None;
        for file in &made.staged {
            match self.lake.publish(file, members) {
                Ok(Delivered::Published) => {
                    step.rows += file.rows as u64;
                    step.objects += 1;
                }
                Ok(Delivered::AlreadyThere) => step.already_there += file.rows as u64,
                // The others are no worse for it.
                Err(failure) if failure.kind == Kind::Refused => refused = Some(failure),
                Err(failure) => return Err(failure.into()),
            }
        }
        if let Some(failure) = refused {
            return Err(failure.into());
        }
        if !made.staged.is_empty() {
            ledger.done(&flight.batch.id)?;
        }
        let messages = made.messages.iter().chain(&made.damages).chain(&made.notes);
        step.events.extend(messages.map(|message| Event::OfInput { message: message.clone() }));
        step.events.push(Event::Delivered {
            source: self.source.clone(),
            inputs: members.len(),
            rows: step.rows,
            already_there: step.already_there,
            objects: step.objects,
        });
        Ok(())
    }

    fn make(&self, flight: &Flight, members: &[String], around: &Around<'_>) -> Result<Made, Ended> {
        let mut opened = Vec::new();
        let mut own: Vec<&Held> = flight.held.iter().filter(|held| members.contains(&held.input.hash)).collect();
        own.sort_by(|one, other| one.input.hash.cmp(&other.input.hash));
        own.dedup_by(|one, other| one.input.hash == other.input.hash);
        for held in own {
            let Input { file, name, .. } = &held.input;
            let settings = &around.inputs[held.from].settings;
            match Opened::open(file, name, settings, &Progress::hidden()) {
                Ok(Ok(log)) => opened.push((&held.input, log, settings)),
                Ok(Err(_)) | Err(_) => return Err(Ended::Again(format!("{name}: is not what it was"))),
            }
        }
        let made = batch::make(&flight.batch.id, members, opened, self.mapping, (self.lake.aside(), around.rejects));
        made.map_err(|error| match error.downcast_ref::<batch::Changed>() {
            Some(_) => Ended::Again(format!("{error:#}")),
            None => Ended::Failed(Failure {
                kind: Kind::Disk,
                what: "cannot make lake files".to_owned(),
                why: format!("{error:#}"),
            }),
        })
    }
}

impl Flight {
    fn new(batch: Batch, held: Vec<Held>) -> Self {
        Self {
            batch,
            held,
            members: None,
            made: None,
            is_begun: false,
            next_us: i64::MIN,
            backoff: Backoff::default(),
            failed: false,
        }
    }
}
