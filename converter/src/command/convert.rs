//! `flowlake-converter convert`: flow logs in, a lake out, each input exactly once.

mod placement;
mod settings;

use std::fs;

use anyhow::Context;
use flowlake_common::{outcome::Outcome, progress::Progress, vpc};

use self::{
    placement::{Cannot, Placer},
    settings::Settings,
};
use super::{rejects::Rejects, say};
use crate::{
    deliver::{Delivered, Lake},
    input::{self, InputFile, Item, Reject, Sensor},
    lake::Stage,
    ocsf::{Mapping, Origin},
};

pub(super) use settings::Arguments;

/// Converts and says how it ended.
pub(super) fn run(arguments: Arguments) -> Outcome {
    let settings = match Settings::try_from(arguments) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!("{error:#}"));
            return Outcome::Usage;
        }
    };
    if let Err(error) = fs::create_dir_all(&settings.lake) {
        say(&format!("--lake: cannot make {}: {error}", settings.lake.display()));
        return Outcome::Failed;
    }
    // Where the lake or the rejects lie inside an input folder, they are no inputs.
    let (files, errors) = input::collect(&settings.inputs, &[&settings.lake, &settings.rejects]);
    let progress = Progress::new(Some(files.iter().map(|file| file.size).sum()));
    let (lakes, totals) = (Vec::new(), Totals::default());
    let mut convert = Convert { settings, lakes, progress, totals, outcome: Outcome::Clean };
    for error in errors {
        convert.failed(&error);
    }
    if files.is_empty() {
        convert.failed("no input file found");
    }
    for file in &files {
        convert.file(file);
    }
    convert.progress.finish();
    convert.totals.say(files.len(), &convert.lakes);
    convert.outcome
}

struct Convert {
    settings: Settings,
    /// The lake's sources that rows went to so far.
    lakes: Vec<(Origin, Lake)>,
    progress: Progress,
    totals: Totals,
    outcome: Outcome,
}

/// Counts over all inputs. Lines that are no header = rows + rows already there + rejects, unless an input failed.
#[derive(Default)]
struct Totals {
    rows: u64,
    rejects: u64,
    published: u64,
    /// Rows that an earlier conversion of the same input delivered.
    already_there: u64,
    /// Events of other kinds in logs of Suricata.
    others: u64,
}

impl Totals {
    fn say(&self, inputs: usize, lakes: &[(Origin, Lake)]) {
        let Self { rows, rejects, published, already_there, others } = self;
        let sources: Vec<String> = lakes.iter().map(|(_, lake)| lake.source().display().to_string()).collect();
        let sources = if sources.is_empty() { "no source".to_owned() } else { sources.join(", ") };
        let others = if *others > 0 {
            format!("{others:>12} events that are no flows, or tell them again\n")
        } else {
            String::new()
        };
        say(&format!(
            "convert\n{inputs:>12} inputs\n{rows:>12} new rows\n{already_there:>12} rows already there\n\
             {rejects:>12} rejected lines\n{others}{published:>12} lake files published in {sources}"
        ));
    }
}

impl Convert {
    fn file(&mut self, file: &InputFile) {
        let name = file.path.display().to_string();
        self.progress.say(name.clone());
        if let Err(error) = self.convert(file, &name) {
            self.failed(&format!(
                "{name}: {error:#}; if something failed that can be mended, mend it and convert it again"
            ));
        }
    }

    fn convert(&mut self, file: &InputFile, name: &str) -> anyhow::Result<()> {
        let hash = file.sha256().context("cannot be read")?;
        let mut log = match file.open(self.settings.log_format.as_ref(), &self.progress).context("cannot be read")? {
            Ok(Ok(Some(log))) => log,
            // An empty file says nothing, and that is no fault.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(no_log)) => {
                self.failed(&format!("{name}: {no_log}"));
                return Ok(());
            }
            Err(damage) => {
                self.failed(&format!("{name}: {damage}"));
                return Ok(());
            }
        };
        if !log.left_out().is_empty() {
            let columns = log.left_out().join(", ");
            self.progress.suspend(|| say(&format!("{name}: left out, because no field is a list: {columns}")));
        }
        let mapping = self.mapping(log.sensor());
        let lake = self.lake(mapping)?;
        let path = vpc::origin(name);
        let placer = Placer::new(&self.settings, mapping.origin, &path);
        if let Err(missing) = placer.can_place(log.header()) {
            self.usage(&format!("{name}: {missing}"));
            return Ok(());
        }
        let rejects_folder = self.settings.rejects.clone();
        let mut rejects = Rejects::new(&rejects_folder, name, &hash);
        let mut said = Vec::new();
        let mut stage = Stage::new(&hash, mapping, self.lakes[lake].1.aside());
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
            said.extend(rejects.keep(&reject)?);
        }
        let staged = stage.finish()?;
        let others = log.others();
        // Damage inside the file is part of what its hash names. A file that was cut or failed meanwhile is another one.
        let read = input::finish(log.into_source()).context("cannot be read to its end")?;
        anyhow::ensure!(read == hash, "changed while it was read");
        for message in said {
            self.failed(&message);
        }
        self.totals.others += others;
        let rejected = rejects.count();
        self.totals.rejects += rejected;
        if let Some((count, path)) = rejects.finish()? {
            self.failed(&format!("{name}: {count} lines could not be converted; they are kept in {}; the lines there that are no comments can be corrected and converted", path.display()));
        }
        // Also when every line was rejected: they are converted from their own file, and must not come twice.
        if !staged.is_empty() || rejected > 0 {
            self.lakes[lake].1.settle(&hash, &staged)?;
        }
        for file in staged {
            let new = file.rows as u64;
            match self.lakes[lake].1.publish(file)? {
                Delivered::Published => {
                    self.totals.published += 1;
                    self.totals.rows += new;
                }
                Delivered::AlreadyThere => self.totals.already_there += new,
            }
        }
        if let Some(damage) = damaged {
            self.failed(&format!("{name}: {damage}; the {rows} records before are in the lake"));
        }
        Ok(())
    }

    /// How a sensor's records are mapped.
    fn mapping(&self, sensor: Sensor) -> Mapping {
        let of_flow_logs = self.settings.mapping;
        let origin = match sensor {
            Sensor::FlowLog => of_flow_logs.origin,
            Sensor::Zeek => Origin::Zeek,
            Sensor::Suricata => Origin::Suricata,
        };
        Mapping { origin, ..of_flow_logs }
    }

    /// The place of the lake's source for these rows.
    fn lake(&mut self, mapping: Mapping) -> anyhow::Result<usize> {
        if let Some(place) = self.lakes.iter().position(|(origin, _)| *origin == mapping.origin) {
            return Ok(place);
        }
        let source = self.settings.source.as_deref().unwrap_or(mapping.origin.source());
        let kind = format!("rows of {} in OCSF {}", mapping.origin, mapping.version.name());
        self.lakes.push((mapping.origin, Lake::open(&self.settings.lake, source, &kind)?));
        Ok(self.lakes.len() - 1)
    }

    fn failed(&mut self, message: &str) {
        self.progress.suspend(|| say(message));
        self.outcome = self.outcome.max(Outcome::Failed);
    }

    fn usage(&mut self, message: &str) {
        self.failed(message);
        self.outcome = Outcome::Usage;
    }
}
