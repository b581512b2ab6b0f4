//! A batch on its way into the lake: claimed, made, planned, published, and written down as done; each step may be repeated.

use flowlake_common::{progress::Progress, time};

use super::{
    event::Event,
    held::{Backoff, Held},
    work::{Around, Step, Target},
};
use crate::{
    batch::{self, Input, Made, Opened},
    deliver::{Batch, Delivered, Plan, Settled, State},
    failure::{Failure, Kind},
};

/// A batch on its way.
pub(super) struct Flight {
    pub(super) batch: Batch,
    pub(super) held: Vec<Held>,
    /// Its own inputs, once they are known.
    pub(super) members: Option<Vec<String>>,
    made: Option<Made>,
    /// Whether it is in the ledger.
    is_begun: bool,
    /// Since when its first input waits.
    pub(super) since_us: i64,
    pub(super) next_us: i64,
    pub(super) backoff: Backoff,
    pub(super) failed: bool,
}

/// Why an attempt did not come to its end.
pub(super) enum Ended {
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

impl Flight {
    /// Begins with the next attempt.
    pub(super) fn new(batch: Batch, held: Vec<Held>, since_us: i64) -> Self {
        Self {
            batch,
            held,
            members: None,
            made: None,
            is_begun: false,
            since_us,
            next_us: i64::MIN,
            backoff: Backoff::default(),
            failed: false,
        }
    }

    /// Goes on with it as far as it can. What was done once is done again with no effect.
    pub(super) fn attempt(&mut self, target: &Target, around: &Around<'_>, step: &mut Step) -> Result<(), Ended> {
        let ledger = target.lake.ledger();
        if self.members.is_none() {
            self.batch = match ledger.state(&self.batch.id)? {
                State::Planned(plan) => {
                    self.members = Some(plan.inputs);
                    ledger.batch(&self.batch.id)?
                }
                _ if self.is_begun => ledger.batch(&self.batch.id)?,
                _ => ledger.begin(&self.batch.inputs)?,
            };
            self.is_begun = true;
        }
        loop {
            let members = match &self.members {
                Some(members) => members.clone(),
                None => ledger.members(&self.batch)?,
            };
            self.members = Some(members.clone());
            if members.is_empty() {
                // Others have them all.
                ledger.plan(&self.batch.id, &Plan::default())?;
                return Ok(());
            }
            if members.iter().any(|input| !self.held.iter().any(|held| held.input.hash == *input)) {
                return Err(Ended::Again(format!("{}: a batch grew; its inputs are looked at anew", target.source)));
            }
            if self.made.is_none() {
                self.made = Some(self.make(target, &members, around)?);
            }
            let staged = self.made.as_ref().map_or(&[][..], |made| &made.staged[..]);
            match target.lake.settle(&self.batch.id, &members, staged)? {
                Settled::AsPlanned => break,
                Settled::Of(inputs) => {
                    self.members = Some(inputs);
                    self.made = None;
                }
                Settled::Otherwise => {
                    return Err(Ended::Park(format!(
                        "it was delivered in part before, with other options or other rows, as {} says",
                        ledger.place_of_plan(&self.batch.id)
                    )));
                }
            }
        }
        let (Some(members), Some(made)) = (&self.members, &self.made) else {
            return Ok(());
        };
        let mut rejected = Vec::new();
        for file in &made.rejects_files {
            let kept = file.keep().map_err(|error| disk("cannot keep what was rejected", &error))?;
            rejected.push(Event::OfInput { message: kept });
        }
        let mut refused = None;
        for file in &made.staged {
            let before_us = time::monotonic_us();
            let published = target.lake.publish(file, members);
            let took_us = time::monotonic_us() - before_us;
            match published {
                Ok(Delivered::Published) => {
                    let lag = time::now() - file.newest.div_euclid(1000);
                    step.measured.puts_ms.push(u64::try_from(took_us / 1000).unwrap_or(0));
                    step.measured.lags_s.push(u64::try_from(lag).unwrap_or(0));
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
            ledger.done(&self.batch.id)?;
        }
        step.rejects += made.rejects;
        step.events.append(&mut rejected);
        let messages = made.messages.iter().chain(&made.damages).chain(&made.notes);
        step.events.extend(messages.map(|message| Event::OfInput { message: message.clone() }));
        step.events.push(Event::Delivered {
            source: target.source.clone(),
            inputs: members.len(),
            rows: step.rows,
            already_there: step.already_there,
            objects: step.objects,
        });
        Ok(())
    }

    fn make(&self, target: &Target, members: &[String], around: &Around<'_>) -> Result<Made, Ended> {
        let mut opened = Vec::new();
        let mut own: Vec<&Held> = self.held.iter().filter(|held| members.contains(&held.input.hash)).collect();
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
        let made = batch::make(&self.batch.id, members, opened, target.mapping, (target.lake.aside(), around.rejects));
        made.map_err(|error| match error.downcast_ref::<batch::Changed>() {
            Some(_) => Ended::Again(format!("{error:#}")),
            None => disk("cannot make lake files", &error),
        })
    }
}

fn disk(what: &str, error: &anyhow::Error) -> Ended {
    Ended::Failed(Failure { kind: Kind::Disk, what: what.to_owned(), why: format!("{error:#}") })
}
