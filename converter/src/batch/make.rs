//! Reading inputs into a batch's lake files.

use std::path::Path;

use anyhow::Context;
use flowlake_common::{progress::Progress, vpc};

use super::{
    InputSettings,
    placement::{Cannot, Placer},
    rejects::{Rejects, RejectsFile},
};
use crate::{
    input::{self, FlowLog, InputFile, Item, Reject, Source},
    lake::{Stage, Staged},
    ocsf::Mapping,
};

/// An input: a file, and the SHA-256 of its bytes.
#[derive(Debug, Clone)]
pub struct Input {
    /// Where it is.
    pub file: InputFile,
    /// Its name in the lake.
    pub hash: String,
    /// Its name for a person, and where account and Region may stand.
    pub name: String,
}

/// An input that is not what it was when it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changed while it was read")]
pub struct Changed;

/// An input whose beginning was read.
#[derive(Debug)]
pub struct Opened {
    log: FlowLog<Source>,
    /// How its records are mapped.
    pub mapping: Mapping,
}

/// Why an input gives nothing.
#[derive(Debug)]
pub enum NoInput {
    /// It has nothing in it, and that is no fault.
    Empty,
    /// It cannot be read, as it is.
    Unreadable(String),
    /// An option is missing.
    Unplaced(String),
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Made {
    /// Its lake files.
    pub staged: Vec<Staged>,
    /// Their rows.
    pub rows: u64,
    /// Lines that could not be converted.
    pub rejects: u64,
    /// They, a file for each input that has some: to be kept once it is certain that the rows are delivered.
    pub rejects_files: Vec<RejectsFile>,
    /// Events of other kinds in logs of Suricata.
    pub others: u64,
    /// What a person should know, in order; something failed when there is any.
    pub messages: Vec<String>,
    /// Columns that were left out, likewise, but nothing failed.
    pub notes: Vec<String>,
    /// The messages for when all was delivered.
    pub damages: Vec<String>,
}

impl Opened {
    /// Reads an input's beginning. The outer error is that the file cannot be read now.
    ///
    /// # Errors
    /// When the file cannot be read; the inner result when it gives nothing.
    pub fn open(
        file: &InputFile,
        name: &str,
        settings: &InputSettings,
        progress: &Progress,
    ) -> anyhow::Result<Result<Self, NoInput>> {
        let log = match file.open(settings.log_format.as_ref(), progress).context("cannot be read")? {
            Ok(Ok(Some(log))) => log,
            Ok(Ok(None)) => return Ok(Err(NoInput::Empty)),
            Ok(Err(no_log)) => return Ok(Err(NoInput::Unreadable(no_log.to_string()))),
            Err(damage) => return Ok(Err(NoInput::Unreadable(damage.to_string()))),
        };
        let mapping = settings.mapping_of(log.sensor());
        let path = vpc::origin(name);
        if let Err(missing) = Placer::new(settings, mapping.origin, &path).can_place(log.header()) {
            return Ok(Err(NoInput::Unplaced(missing)));
        }
        Ok(Ok(Self { log, mapping }))
    }
}

/// Reads inputs, whose names are `inputs` and which are sorted by them, into files of the batch, written aside.
/// Lines that cannot be converted go to the folder `rejects`.
///
/// # Errors
/// When one of them cannot be read, is not what it was, or something cannot be written; nothing was staged then.
pub fn make<'a>(
    batch: &str,
    inputs: &[String],
    opened: impl IntoIterator<Item = (&'a Input, Opened, &'a InputSettings)>,
    mapping: Mapping,
    (aside, rejects): (&Path, &Path),
) -> anyhow::Result<Made> {
    let mut made = Made::default();
    let mut stage = Stage::new(batch, inputs, mapping, aside);
    for (input, opened, settings) in opened {
        read(input, opened, settings, &mut stage, rejects, &mut made).with_context(|| input.name.clone())?;
    }
    made.staged = stage.finish()?;
    Ok(made)
}

fn read(
    input: &Input,
    opened: Opened,
    settings: &InputSettings,
    stage: &mut Stage<'_>,
    rejects_folder: &Path,
    made: &mut Made,
) -> anyhow::Result<()> {
    let Opened { mut log, mapping } = opened;
    let name = &input.name;
    if !log.left_out().is_empty() {
        made.notes.push(format!("{name}: left out, because no field is a list: {}", log.left_out().join(", ")));
    }
    let path = vpc::origin(name);
    let placer = Placer::new(settings, mapping.origin, &path);
    let mut rejects = Rejects::new(rejects_folder, name, &input.hash);
    let (mut rows, mut damaged) = (0, None);
    loop {
        let reject = match log.next_item() {
            Ok(Some(Item::Record { line, text, record, header })) => match placer.place(&record) {
                Ok(placed) => {
                    let partition = (placed.lake_region, placed.lake_account.as_ref());
                    stage.add(&record, header, text, placed.row, partition)?;
                    rows += 1;
                    continue;
                }
                Err(Cannot(reason)) => Reject { line, reason, bytes: text.as_bytes(), header, whole: true },
            },
            Ok(Some(Item::Reject(reject))) => reject,
            Ok(Some(Item::Header | Item::Comment)) => continue,
            Ok(None) => break,
            Err(damage) => {
                damaged = Some(damage);
                break;
            }
        };
        made.messages.extend(rejects.keep(&reject)?);
    }
    made.others += log.others();
    // Damage inside the file is part of what its hash names. A file that was cut or failed meanwhile is another one.
    let read = input::finish(log.into_source()).context("cannot be read to its end")?;
    if read != input.hash {
        return Err(Changed.into());
    }
    made.rows += rows;
    made.rejects += rejects.count();
    made.rejects_files.extend(rejects.finish()?);
    if let Some(damage) = damaged {
        made.damages.push(format!("{name}: {damage}; the {rows} records before are in the lake"));
    }
    Ok(())
}
