//! `flowlake-converter convert`: flow logs in, a lake out, each input exactly once.

mod settings;

use std::path::PathBuf;

use anyhow::{Context, bail};
use flowlake_common::{outcome::Outcome, progress::Progress};

use self::settings::{Destination, Settings};
use super::say;
use crate::{
    aws::Aws,
    batch::{self, Input, Made, NoInput, Opened},
    deliver::{Batch, Delivered, Lake, Root, Settled},
    failure::Failure,
    input::{self, InputFile},
    ocsf::{Mapping, Origin},
};

pub(super) use settings::Arguments;

/// Converts and says how it ended.
pub(super) fn run(arguments: Arguments) -> Outcome {
    let mut settings = match Settings::try_from(arguments) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!("{error:#}"));
            return Outcome::Usage;
        }
    };
    let (root, aside) = match root(&mut settings) {
        Ok(root) => root,
        Err(error) => {
            say(&format!("--lake: {error:#}"));
            return Outcome::Failed;
        }
    };
    // Where the lake or the rejects lie inside an input folder, they are no inputs.
    let local = match &settings.lake {
        Destination::Directory(folder) => folder.clone(),
        Destination::S3(_) => PathBuf::new(),
    };
    let (files, errors) = input::collect(&settings.inputs, &[&local, &settings.rejects]);
    let progress = Progress::new(Some(files.iter().map(|file| file.size).sum()));
    let (lakes, totals) = (Vec::new(), Totals::default());
    let mut convert = Convert { settings, root, lakes, progress, totals, outcome: Outcome::Clean, gave_up: false };
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
    drop(aside);
    convert.outcome
}

/// The lake, and the folder that is there as long as files of it are written aside.
fn root(settings: &mut Settings) -> anyhow::Result<(Root, Option<tempfile::TempDir>)> {
    match &settings.lake {
        Destination::Directory(folder) => Ok((Root::directory(folder)?, None)),
        Destination::S3(url) => {
            let aside = tempfile::Builder::new().prefix("flowlake-").tempdir()?;
            let aws = Aws::new(settings.aws.clone())?;
            let Some(region) = aws.region() else {
                bail!("no Region is known; set AWS_REGION, or `region` in the profile");
            };
            // The partition's is the bucket's.
            settings.input.lake_region.get_or_insert_with(|| region.to_owned());
            Ok((Root::s3(&aws, url, aside.path()), Some(aside)))
        }
    }
}

struct Convert {
    settings: Settings,
    root: Root,
    /// The lake's sources that rows went to so far.
    lakes: Vec<(Origin, Lake)>,
    progress: Progress,
    totals: Totals,
    outcome: Outcome,
    /// Whether the lake failed in a way in which it would fail for every input.
    gave_up: bool,
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
        let sources: Vec<String> = lakes.iter().map(|(_, lake)| lake.objects().to_string()).collect();
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
        if self.gave_up {
            self.failed(&format!("{name}: not converted, because the lake cannot be reached"));
            return;
        }
        self.progress.say(name.clone());
        if let Err(error) = self.convert(file, &name) {
            let failure = error.downcast_ref::<Failure>().filter(|failure| failure.kind.passes());
            self.gave_up = failure.is_some();
            let advice = failure.map_or_else(
                || "if something failed that can be mended, mend it and convert it again".to_owned(),
                |failure| format!("{}, and convert it again", failure.kind),
            );
            self.failed(&format!("{name}: {error:#}; {advice}"));
        }
    }

    fn convert(&mut self, file: &InputFile, name: &str) -> anyhow::Result<()> {
        let hash = file.sha256().context("cannot be read")?;
        let opened = match Opened::open(file, name, &self.settings.input, &self.progress)? {
            Ok(opened) => opened,
            // An empty file says nothing, and that is no fault.
            Err(NoInput::Empty) => return Ok(()),
            Err(NoInput::Unreadable(why)) => {
                self.failed(&format!("{name}: {why}"));
                return Ok(());
            }
            Err(NoInput::Unplaced(missing)) => {
                self.usage(&format!("{name}: {missing}"));
                return Ok(());
            }
        };
        let mapping = opened.mapping;
        let lake = self.lake(mapping)?;
        let input = Input { file: file.clone(), hash: hash.clone(), name: name.to_owned() };
        let hashes = [hash];
        let batch = Batch::of(&hashes).id;
        let made = batch::make(
            &batch,
            &hashes,
            [(&input, opened, &self.settings.input)],
            mapping,
            (self.lakes[lake].1.aside(), &self.settings.rejects),
        )?;
        let Made { staged, rejects, rejects_files, others, messages, notes, damages, rows: _ } = made;
        for note in notes {
            self.progress.suspend(|| say(&note));
        }
        for message in messages {
            self.failed(&message);
        }
        self.totals.others += others;
        self.totals.rejects += rejects;
        // Also when every line was rejected: they are converted from their own file, and must not come twice.
        if !staged.is_empty() || rejects > 0 {
            let lake = &self.lakes[lake].1;
            let ledger = lake.ledger();
            let belongs = ledger.begin(&hashes).and_then(|begun| Ok((ledger.batch_of(&hashes[0])?, begun)))?;
            let (Some(id), begun) = belongs else {
                bail!("the ledger of the lake is not as it was written");
            };
            if id != batch || begun.id != batch {
                bail!("a service delivers it, or did, with others; nothing was added");
            }
            if lake.settle(&batch, &hashes, &staged)? != Settled::AsPlanned {
                bail!(
                    "it was delivered before, with other options or other rows, as {} says; nothing was added. Lines that were \
                     rejected then are converted from their own file in --rejects; to deliver all of it anew, remove its \
                     objects and the ledger's entries of it",
                    ledger.place_of_plan(&batch)
                );
            }
        }
        for file in rejects_files {
            self.failed(&file.keep()?);
        }
        for file in &staged {
            let new = file.rows as u64;
            match self.lakes[lake].1.publish(file, &hashes)? {
                Delivered::Published => {
                    self.totals.published += 1;
                    self.totals.rows += new;
                }
                Delivered::AlreadyThere => self.totals.already_there += new,
            }
        }
        if !staged.is_empty() {
            self.lakes[lake].1.ledger().done(&batch)?;
        }
        for damage in damages {
            self.failed(&damage);
        }
        Ok(())
    }

    /// The place of the lake's source for these rows.
    fn lake(&mut self, mapping: Mapping) -> anyhow::Result<usize> {
        if let Some(place) = self.lakes.iter().position(|(origin, _)| *origin == mapping.origin) {
            return Ok(place);
        }
        let source = self.settings.source.as_deref().unwrap_or(mapping.origin.source());
        let kind = format!("rows of {} in OCSF {}", mapping.origin, mapping.version.name());
        self.lakes.push((mapping.origin, self.root.source(source, &kind)?));
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
