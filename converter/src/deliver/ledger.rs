//! The ledger: which batch each input belongs to, and what becomes of that batch. It makes delivery exact: beside the lake, never in it.
//!
//! Every entry is written once and for ever, by whoever comes first; so any number of converters may share a ledger, and each may
//! be killed at any instruction. For a source there are
//! - `batches/<batch>`: the inputs that whoever began the batch had in mind. A batch is named by them, so it needs no entry when it has one;
//! - `claims/<input>.<n>`: the batch that an input belongs to, after `n` batches that went without it;
//! - `plans/<batch>`: the inputs that are the batch's own, and the objects that these make. Nothing is published before;
//! - `done/<batch>`: every object of the plan is published.

use std::collections::BTreeSet;

use flowlake_common::hash;

use super::{Object, Store};
use crate::failure::Failure;

/// Inputs of a batch.
pub const MAX_INPUTS: usize = 4096;

/// A source's ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Store,
    source: String,
}

/// A batch as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its name, which its objects' keys begin with.
    pub id: String,
    /// The inputs that it was begun with, sorted; not all of them need be its own.
    pub inputs: Vec<String>,
}

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing of it can have been published.
    Begun,
    /// Some of it may be published.
    Planned(Plan),
    /// All of it is published.
    Done(Plan),
}

/// What a batch is to have in the end. A batch that was given up has nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Its own inputs, sorted. What else was claimed for it is free again.
    pub inputs: Vec<String>,
    /// Key and rows of each object, sorted.
    pub objects: Vec<(String, usize)>,
}

impl Batch {
    /// The batch of so many inputs.
    #[must_use]
    pub fn of(inputs: &[String]) -> Self {
        let inputs: Vec<String> = inputs.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        Self { id: Object::digest(&inputs), inputs }
    }
}

impl Plan {
    /// The plan of so many inputs and objects.
    #[must_use]
    pub fn of(inputs: &[String], objects: impl IntoIterator<Item = (String, usize)>) -> Self {
        let mut plan = Self { inputs: inputs.to_vec(), objects: objects.into_iter().collect() };
        plan.inputs.sort();
        plan.objects.sort();
        plan
    }

    fn to_text(&self) -> String {
        let inputs = self.inputs.iter().map(|input| format!("{input}\n"));
        inputs.chain(self.objects.iter().map(|(key, rows)| format!("{key} {rows}\n"))).collect()
    }

    /// Keys have no spaces, and neither have names of inputs: only an object's line has one.
    fn of_text(text: &str) -> Option<Self> {
        let mut plan = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some((key, rows)) => plan.objects.push((key.to_owned(), rows.parse().ok()?)),
                None => plan.inputs.push(line.to_owned()),
            }
        }
        Some(plan)
    }
}

impl Ledger {
    /// The ledger of a source, in a store of its own.
    #[must_use]
    pub fn new(store: Store, source: &str) -> Self {
        Self { store, source: source.to_owned() }
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}/{kind}/{name}", self.source)
    }

    /// Where the plan of a batch is, for a person.
    #[must_use]
    pub fn place_of_plan(&self, id: &str) -> String {
        format!(
            "{}{}{}",
            self.store,
            if self.store.to_string().ends_with('/') { "" } else { "/" },
            self.key("plans", id)
        )
    }

    fn text(&self, key: &str) -> Result<Option<String>, Failure> {
        let Some(content) = self.store.read(key)? else {
            return Ok(None);
        };
        let text = String::from_utf8(content);
        text.map(Some)
            .map_err(|_| Failure::refused(key.to_owned(), "an entry of the ledger that is no text".to_owned()))
    }

    /// Writes down what rows the source has, once and for ever; gives what was written before, when it is something else.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub fn kind(&self, kind: &str) -> Result<Option<String>, Failure> {
        let key = format!("{}/kind", self.source);
        if self.store.create(&key, kind.as_bytes())? {
            return Ok(None);
        }
        Ok(self.text(&key)?.filter(|there| there != kind))
    }

    /// Writes the batch of these inputs down, and claims them for it. What others had claimed is not its own.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub fn begin(&self, inputs: &[String]) -> Result<Batch, Failure> {
        let mut batch = Batch::of(inputs);
        let mut list: String = batch.inputs.iter().map(|input| format!("{input}\n")).collect();
        for again in 1_u32.. {
            match self.state(&batch.id)? {
                // The batch of these inputs was without some of them before, and is another.
                State::Planned(plan) | State::Done(plan) if plan.inputs != batch.inputs => {
                    list.push_str(&format!("again {again}\n"));
                    batch.id = hash::sha256(list.as_bytes());
                }
                _ => break,
            }
        }
        if batch.inputs != [batch.id.as_str()] {
            self.store.create(&self.key("batches", &batch.id), list.as_bytes())?;
        }
        self.claim(&batch)?;
        Ok(batch)
    }

    /// Claims the inputs of a batch for it, as far as nobody did.
    fn claim(&self, batch: &Batch) -> Result<(), Failure> {
        for input in &batch.inputs {
            for number in 0_u32.. {
                let key = self.key("claims", &format!("{input}.{number}"));
                if self.store.create(&key, batch.id.as_bytes())? {
                    break;
                }
                let other = self.text(&key)?.unwrap_or_default();
                if other == batch.id || self.has(&other, input)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether a batch that an input was claimed for has it, or may have it yet.
    fn has(&self, id: &str, input: &str) -> Result<bool, Failure> {
        Ok(match self.state(id)? {
            State::Begun => true,
            State::Planned(plan) | State::Done(plan) => plan.inputs.iter().any(|own| own == input),
        })
    }

    /// The batch that an input belongs to; `None` when it is free.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn batch_of(&self, input: &str) -> Result<Option<String>, Failure> {
        for number in 0_u32.. {
            let Some(id) = self.text(&self.key("claims", &format!("{input}.{number}")))? else {
                break;
            };
            if self.has(&id, input)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Whether all rows of an input are published.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn is_delivered(&self, input: &str) -> Result<bool, Failure> {
        match self.batch_of(input)? {
            Some(id) => Ok(matches!(self.state(&id)?, State::Done(_))),
            None => Ok(false),
        }
    }

    /// A batch that somebody began.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn batch(&self, id: &str) -> Result<Batch, Failure> {
        let list = self.text(&self.key("batches", id))?;
        let inputs = list.map_or_else(
            || vec![id.to_owned()],
            |list| list.lines().filter(|line| !line.contains(' ')).map(str::to_owned).collect(),
        );
        Ok(Batch { id: id.to_owned(), inputs })
    }

    /// The inputs that are a batch's own as it stands, each being claimed by somebody. The first plan that is written settles it.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub fn members(&self, batch: &Batch) -> Result<Vec<String>, Failure> {
        self.claim(batch)?;
        let mut members = Vec::new();
        for input in &batch.inputs {
            if self.batch_of(input)?.as_ref() == Some(&batch.id) {
                members.push(input.clone());
            }
        }
        Ok(members)
    }

    /// How far a batch is.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn state(&self, id: &str) -> Result<State, Failure> {
        let key = self.key("plans", id);
        let Some(plan) = self.text(&key)? else {
            return Ok(State::Begun);
        };
        let plan = Plan::of_text(&plan);
        let plan = plan.ok_or_else(|| Failure::refused(key, "not a plan of flowlake's".to_owned()))?;
        let is_done = plan.objects.is_empty() || self.store.read(&self.key("done", id))?.is_some();
        Ok(if is_done { State::Done(plan) } else { State::Planned(plan) })
    }

    /// Writes a batch's plan down, unless it has one; gives how it stands. The plan of a batch that is given up is empty: nothing of
    /// it was published, and never will be.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub fn plan(&self, id: &str, plan: &Plan) -> Result<State, Failure> {
        self.store.create(&self.key("plans", id), plan.to_text().as_bytes())?;
        self.state(id)
    }

    /// Writes down that every object of a batch is published.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn done(&self, id: &str) -> Result<(), Failure> {
        self.store.create(&self.key("done", id), b"").map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::Directory;

    fn ledger(folder: &std::path::Path) -> Ledger {
        Ledger::new(Store::Directory(Directory::new(folder.to_owned())), "source")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn objects(of: &Batch) -> Vec<(String, usize)> {
        vec![(format!("region=r/{}-00000.parquet", of.id), 7)]
    }

    #[test]
    fn an_input_is_in_one_batch() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let first = ledger.begin(&names(&["b", "a"])).unwrap();
        assert_eq!(ledger.begin(&names(&["a", "b", "a"])).unwrap(), first);
        let second = ledger.begin(&names(&["b", "c"])).unwrap();
        assert_eq!(ledger.members(&first).unwrap(), ["a", "b"]);
        assert_eq!(ledger.members(&second).unwrap(), ["c"]);
        assert_eq!(ledger.batch_of("b").unwrap(), Some(first.id.clone()));
        assert_eq!(ledger.batch_of("d").unwrap(), None);
        let plan = Plan::of(&names(&["a", "b"]), objects(&first));
        assert_eq!(ledger.plan(&first.id, &plan).unwrap(), State::Planned(plan.clone()));
        // Another one comes too late.
        assert_eq!(ledger.plan(&first.id, &Plan::default()).unwrap(), State::Planned(plan.clone()));
        ledger.done(&first.id).unwrap();
        assert_eq!(ledger.state(&first.id).unwrap(), State::Done(plan));
        assert_eq!(ledger.batch(&second.id).unwrap(), second);
    }

    #[test]
    fn what_a_batch_went_without_is_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let first = ledger.begin(&names(&["a", "b"])).unwrap();
        assert_eq!(ledger.plan(&first.id, &Plan::default()).unwrap(), State::Done(Plan::default()));
        assert_eq!(ledger.batch_of("b").unwrap(), None);
        let second = ledger.begin(&names(&["b", "c"])).unwrap();
        assert_eq!(ledger.members(&second).unwrap(), ["b", "c"]);
        // The same inputs as once before are another batch, also when one of them is elsewhere by now.
        let third = ledger.begin(&names(&["a", "b"])).unwrap();
        assert_ne!(third.id, first.id);
        assert_eq!(ledger.members(&third).unwrap(), ["a"]);
        // `b` was claimed for neither; a batch's plan says that it has no `b`, though it claims it once it is free.
        ledger.plan(&third.id, &Plan::of(&names(&["a"]), objects(&third))).unwrap();
        ledger.plan(&second.id, &Plan::of(&names(&["c"]), objects(&second))).unwrap();
        assert_eq!(ledger.members(&third).unwrap(), ["a"]);
        assert_eq!(ledger.batch_of("b").unwrap(), None);
        let alone = ledger.begin(&names(&["b"])).unwrap();
        assert_eq!((alone.id.as_str(), ledger.members(&alone).unwrap()), ("b", names(&["b"])));
    }
}
