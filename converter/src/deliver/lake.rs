//! A source of the lake: `<root>/ext/<source>/region=…/accountId=…/eventDay=…/`, and the ledger of what is in it.

use std::path::{Path, PathBuf};

use super::{Ledger, Object, Plan, State, Store};
use crate::{failure::Failure, lake::Staged};

/// A source of the lake.
#[derive(Debug, Clone)]
pub struct Lake {
    /// Where its objects lie, keys beginning with `region=`.
    objects: Store,
    ledger: Ledger,
    /// Where files are written before they are published.
    aside: PathBuf,
}

/// What publishing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The object is new.
    Published,
    /// It was delivered before.
    AlreadyThere,
}

/// How a batch's plan stands against what was made of its inputs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// As it was written down.
    AsPlanned,
    /// Others of its inputs are its own: it is to be made of these.
    Of(Vec<String>),
    /// It was written down otherwise: with other options, or other rows.
    Otherwise,
}

impl Lake {
    /// A source, and the places of its ledger and of files not yet published.
    #[must_use]
    pub fn new(objects: Store, ledger: Ledger, aside: &Path) -> Self {
        Self { objects, ledger, aside: aside.to_owned() }
    }

    /// Where its objects lie: what a reader of the lake is pointed at.
    #[must_use]
    pub fn objects(&self) -> &Store {
        &self.objects
    }

    /// What was promised.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The folder for files that are not published yet.
    #[must_use]
    pub fn aside(&self) -> &Path {
        &self.aside
    }

    /// Writes down, once and for ever, what a batch's objects are, before the first is published. The same inputs with other
    /// options or on another day may have other rows in other places: that would double what is there.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub fn settle(&self, batch: &str, inputs: &[String], staged: &[Staged]) -> Result<Settled, Failure> {
        let objects = staged.iter().map(|file| (file.key(), file.rows));
        let plan = Plan::of(inputs, objects);
        let (State::Planned(there) | State::Done(there)) = self.ledger.plan(batch, &plan)? else {
            return Ok(Settled::AsPlanned);
        };
        Ok(if there == plan {
            Settled::AsPlanned
        } else if there.inputs == plan.inputs {
            Settled::Otherwise
        } else {
            Settled::Of(there.inputs)
        })
    }

    /// Publishes a file under its name, durably, unless it is there already.
    ///
    /// # Errors
    /// When it cannot be, or when something else has its name.
    pub fn publish(&self, staged: &Staged, inputs: &[String]) -> Result<Delivered, Failure> {
        let object = Object { inputs: Object::digest(inputs), rows: staged.rows };
        let key = staged.key();
        if self.objects.publish(&key, &staged.file, &object)? {
            return Ok(Delivered::Published);
        }
        match self.objects.published(&key) {
            Ok(Some(there)) if there == object => Ok(Delivered::AlreadyThere),
            Err(failure) if failure.kind.passes() => Err(failure),
            _ => Err(Failure::refused(
                format!("cannot publish {key}"),
                format!("what has its name in {} is not a lake file of this input; move it away", self.objects),
            )),
        }
    }

    /// Whether every object of a plan is published.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub fn has_all(&self, plan: &Plan) -> Result<bool, Failure> {
        let inputs = Object::digest(&plan.inputs);
        for (key, rows) in &plan.objects {
            if self.objects.published(key)? != Some(Object { inputs: inputs.clone(), rows: *rows }) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
