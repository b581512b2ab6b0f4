//! The service's loop: once a second what arrived is taken in and what is due is delivered.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use flowlake_common::{progress::Progress, time};

use super::{
    config::{Config, Files, InputConfig},
    event::{Event, Say},
    held::{Backoff, Held},
    lake,
    parked::Parked,
    status::Metrics,
    stop::Stop,
    work::{Around, Step, Target, Work},
};
use crate::{
    aws::Aws,
    batch::{Input, NoInput, Opened},
    deliver::Root,
    failure::Failure,
    ocsf::Mapping,
    source::{Arrival, Folder, Followed, Owned, SpoolFiles},
};

/// Files that are in hand of one input at once: beyond, they are left where they are.
const MAX_HELD: usize = 8192;
/// Seconds between two looks at a folder.
const LOOK_EVERY: i64 = 5;
/// Seconds after which what is new in a file that grows becomes a piece; it waits for others again then.
const LONGEST_CUT: u64 = 60;
const SECOND: i64 = 1_000_000;
/// Seconds that a clock may be wrong before it is said. Signatures are good for 900.
const CLOCK_WRONG: i64 = 60;

/// What a run counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// New rows.
    pub rows: u64,
    /// Rows that were there.
    pub already_there: u64,
    /// New objects.
    pub objects: u64,
    /// Inputs that were delivered.
    pub inputs: u64,
    /// Inputs that were parked.
    pub parked: u64,
    /// Inputs in hand that were not delivered; they come again.
    pub left: u64,
}

/// Where the files of one input come from.
struct Coming {
    spool: Option<SpoolFiles>,
    folder: Option<Folder>,
    /// Its pieces come as a spool's files do.
    followed: Option<Followed>,
    /// What was parked, and comes again.
    again: SpoolFiles,
    looked_us: i64,
    failing: bool,
}

struct Service<'a> {
    config: &'a Config,
    say: Say<'a>,
    root: Root,
    aws: Option<Aws>,
    coming: Vec<Coming>,
    works: Vec<Work>,
    /// Inputs that could not be looked at yet.
    unsorted: VecDeque<(usize, Arrival)>,
    /// Those of them that cannot be read, of which that was said.
    unread: BTreeSet<String>,
    retry_us: i64,
    backoff: Backoff,
    parked: Parked,
    /// What is parked and stays where it is: it comes again when the reason is gone.
    parked_kept: Vec<(usize, String, PathBuf)>,
    rejects: PathBuf,
    clock_said: bool,
    ended: Ended,
    metrics: Metrics,
    /// Whether its state could not be written down; said once.
    status_fails: bool,
}

/// Why it is not known what an input is.
enum Unsorted {
    /// It cannot be read.
    Unread(String),
    /// The ledger cannot be asked.
    NoLedger(Failure),
}

/// Delivers what arrives, until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin.
pub fn run(config: &Config, say: Say<'_>) -> anyhow::Result<Ended> {
    let stop = Stop::on_signals()?;
    fs::create_dir_all(&config.state).with_context(|| format!("cannot make {}", config.state.display()))?;
    let _lock = lock(&config.state)?;
    let (root, aws) = lake::open(config)?;
    let coming = config.inputs.iter().map(|input| coming(config, input)).collect::<anyhow::Result<_>>()?;
    let mut service = Service {
        config,
        say,
        root,
        aws,
        coming,
        works: Vec::new(),
        unsorted: VecDeque::new(),
        unread: BTreeSet::new(),
        retry_us: i64::MIN,
        backoff: Backoff::default(),
        parked: Parked::of(&config.state),
        parked_kept: Vec::new(),
        rejects: config.state.join("rejects"),
        clock_said: false,
        ended: Ended::default(),
        metrics: Metrics::new()?,
        status_fails: false,
    };
    let mut is_start = true;
    loop {
        service.arrivals();
        service.sort();
        service.deliver(is_start);
        is_start = false;
        service.write_status(false);
        if stop.wait(Duration::from_secs(1)) {
            break;
        }
    }
    service.ended.left = service.in_hand();
    service.write_status(true);
    Ok(service.ended)
}

fn coming(config: &Config, input: &InputConfig) -> anyhow::Result<Coming> {
    let again = Parked::of(&config.state).again(&input.name);
    fs::create_dir_all(&again).with_context(|| format!("cannot make {}", again.display()))?;
    let (mut spool, mut folder, mut followed) = (None, None, None);
    match &input.files {
        Files::Spool(path) => spool = Some(SpoolFiles::new(path)),
        Files::Folder(path) => {
            let seen = config.state.join("seen");
            fs::create_dir_all(&seen).with_context(|| format!("cannot make {}", seen.display()))?;
            let log = seen.join(&input.name);
            folder = Some(Folder::open(path, &log).with_context(|| format!("cannot read {}", log.display()))?);
        }
        Files::Followed(path) => {
            let pieces = config.state.join("pieces").join(&input.name);
            let kept = config.state.join("followed").join(format!("{}.json", input.name));
            let opened = Followed::open(path, &pieces, &kept);
            followed = Some(opened.with_context(|| format!("cannot follow {} by {}", path.display(), kept.display()))?);
            spool = Some(SpoolFiles::new(&pieces));
        }
    }
    Ok(Coming { spool, folder, followed, again: SpoolFiles::new(&again), looked_us: i64::MIN / 2, failing: false })
}

impl Service<'_> {
    fn in_hand(&self) -> u64 {
        let held = |work: &Work| (0..self.config.inputs.len()).map(|from| work.held_of(from) as u64).sum::<u64>();
        self.works.iter().map(held).sum::<u64>() + self.unsorted.len() as u64
    }

    fn write_status(&mut self, is_last: bool) {
        let (in_hand, ahead) = (self.in_hand(), self.clock_ahead());
        let written = self.metrics.write(&self.config.state, &self.ended, in_hand, ahead, is_last);
        if let Err(error) = &written
            && !self.status_fails
        {
            let message = format!("{}: its status cannot be written: {error}", self.config.state.display());
            (self.say)(&Event::Trouble { message });
        }
        self.status_fails = written.is_err();
    }

    fn clock_ahead(&self) -> i64 {
        self.aws.as_ref().map_or(0, |aws| aws.clock().ahead())
    }

    /// Takes in what arrived, as far as there is room.
    fn arrivals(&mut self) {
        self.unpark();
        let now_us = time::monotonic_us();
        for from in 0..self.coming.len() {
            let in_hand = self.works.iter().map(|work| work.held_of(from)).sum::<usize>()
                + self.unsorted.iter().filter(|(of, _)| *of == from).count();
            let Some(room) = MAX_HELD.checked_sub(in_hand).filter(|room| *room > 0) else {
                continue;
            };
            let coming = &mut self.coming[from];
            let mut trouble = Vec::new();
            if let Some(followed) = &mut coming.followed {
                match followed.look(self.config.lake.wait.min(LONGEST_CUT)) {
                    Ok(looked) => {
                        for message in looked.messages {
                            (self.say)(&Event::OfInput { message });
                        }
                    }
                    Err(error) => {
                        let who = format!("inputs.{}", self.config.inputs[from].name);
                        if !coming.failing {
                            self.metrics.failed(&who, &Failure::of_disk("cannot follow its file".to_owned(), &error));
                        }
                        trouble.push(format!("{who}: {error}"));
                    }
                }
            }
            for spool in coming.spool.iter_mut().chain([&mut coming.again]) {
                match spool.arrivals(room) {
                    Ok(arrivals) => self.unsorted.extend(arrivals.into_iter().map(|arrival| (from, arrival))),
                    Err(error) => trouble.push(format!("inputs.{}: {error}", self.config.inputs[from].name)),
                }
            }
            if let Some(folder) = coming.folder.as_mut().filter(|_| now_us - coming.looked_us >= LOOK_EVERY * SECOND) {
                coming.looked_us = now_us;
                let found = folder.look(room, &[&self.config.state]);
                self.unsorted.extend(found.arrivals.into_iter().map(|arrival| (from, arrival)));
                trouble.extend(found.errors);
                for path in found.grown {
                    (self.say)(&Event::Grown { path });
                }
            }
            // Said once, until it works again.
            if !coming.failing {
                trouble.iter().for_each(|message| (self.say)(&Event::Trouble { message: message.clone() }));
            }
            coming.failing = !trouble.is_empty();
        }
    }

    /// Finds out what the inputs are that arrived, and into which source of the lake they go.
    fn sort(&mut self) {
        if self.retry_us > time::monotonic_us() {
            return;
        }
        // What cannot be read now is looked at again behind the others.
        for _ in 0..self.unsorted.len() {
            let Some((from, arrival)) = self.unsorted.pop_front() else {
                break;
            };
            let Err(unsorted) = self.sort_one(from, arrival) else {
                continue;
            };
            let (arrival, unsorted) = *unsorted;
            let failure = match unsorted {
                Unsorted::Unread(message) => {
                    if self.unread.insert(arrival.name.clone()) {
                        (self.say)(&Event::Trouble { message });
                    }
                    self.unsorted.push_back((from, arrival));
                    continue;
                }
                Unsorted::NoLedger(failure) => failure,
            };
            let seconds = self.backoff.next(time::now_us().unsigned_abs());
            self.retry_us = time::monotonic_us() + i64::try_from(seconds).unwrap_or(1) * SECOND;
            let who = format!("inputs.{}", self.config.inputs[from].name);
            self.metrics.failed(&who, &failure);
            (self.say)(&Event::Waiting { who, failure, seconds });
            self.unsorted.push_front((from, arrival));
            return;
        }
        self.backoff = Backoff::default();
        for input in &self.config.inputs {
            self.metrics.works(&format!("inputs.{}", input.name));
        }
    }

    fn sort_one(&mut self, from: usize, arrival: Arrival) -> Result<(), Box<(Arrival, Unsorted)>> {
        let config = &self.config.inputs[from];
        let unread = |arrival: Arrival, why: &dyn std::fmt::Display| {
            let message = format!("{}: cannot be read: {why}; it is tried again", arrival.name);
            Err(Box::new((arrival, Unsorted::Unread(message))))
        };
        let hash = match arrival.file.sha256() {
            Ok(hash) => hash,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Whoever's it was took it away.
                if let (Owned::Kept(path), Some(folder)) = (&arrival.owned, &mut self.coming[from].folder) {
                    folder.again(path);
                }
                return Ok(());
            }
            Err(error) => return unread(arrival, &error),
        };
        self.unread.remove(&arrival.name);
        if let Owned::Kept(path) = &arrival.owned
            && self.parked.has(&config.name, &hash)
        {
            self.parked_kept.push((from, hash, path.clone()));
            return Ok(());
        }
        let opened = Opened::open(&arrival.file, &arrival.name, &config.settings, &Progress::hidden());
        let mapping = match opened {
            Ok(Ok(opened)) => Ok(opened.mapping),
            Ok(Err(NoInput::Empty)) => {
                self.let_go(from, &arrival.owned, &arrival.name);
                return Ok(());
            }
            Ok(Err(NoInput::Unreadable(why) | NoInput::Unplaced(why))) => Err(why),
            Err(error) => return unread(arrival, &format!("{error:#}")),
        };
        let Arrival { file, name, owned } = arrival;
        let held = Held { input: Input { file, hash, name }, from, owned };
        let back = |held: Held| Arrival { file: held.input.file, name: held.input.name, owned: held.owned };
        let place = match mapping.map(|mapping| self.work(from, mapping)) {
            Err(why) => {
                self.park(held, &why);
                return Ok(());
            }
            Ok(Err(error)) => {
                return match error.downcast::<Failure>() {
                    Ok(failure) if failure.kind.passes() => Err(Box::new((back(held), Unsorted::NoLedger(failure)))),
                    Ok(failure) => {
                        self.park(held, &failure.to_string());
                        Ok(())
                    }
                    Err(error) => {
                        self.park(held, &format!("{error:#}"));
                        Ok(())
                    }
                };
            }
            Ok(Ok(place)) => place,
        };
        let mut step = Step::default();
        let taken = self.works[place].take(held, &mut step);
        self.finish(step);
        taken.map_err(|untaken| {
            let (held, failure) = *untaken;
            Box::new((back(held), Unsorted::NoLedger(failure)))
        })
    }

    /// The place of the lake's source for these rows.
    fn work(&mut self, from: usize, mapping: Mapping) -> anyhow::Result<usize> {
        let source = self.config.inputs[from].source.as_deref().unwrap_or(mapping.origin.source());
        let is_it = |work: &Work| work.target.source == source && work.target.mapping == mapping;
        if let Some(place) = self.works.iter().position(is_it) {
            return Ok(place);
        }
        let kind = format!("rows of {} in OCSF {}", mapping.origin, mapping.version.name());
        let lake = self.root.source(source, &kind)?;
        self.works.push(Work::new(Target { source: source.to_owned(), mapping, lake }));
        Ok(self.works.len() - 1)
    }

    fn deliver(&mut self, is_start: bool) {
        let (wait, max_bytes) = (self.config.lake.wait, self.config.lake.max_bytes);
        for place in 0..self.works.len() {
            let around = Around { inputs: &self.config.inputs, rejects: &self.rejects, wait, max_bytes, is_start };
            let step = self.works[place].step(&around);
            self.finish(step);
        }
        let ahead = self.clock_ahead();
        let is_wrong = ahead.abs() > CLOCK_WRONG;
        if is_wrong && !self.clock_said {
            (self.say)(&Event::Clock { ahead });
        }
        self.clock_said = is_wrong;
    }

    /// Lets go of what was delivered, puts aside what is refused, and says what happened.
    fn finish(&mut self, step: Step) {
        let Step { done, again, parked, events, measured, rows, already_there, objects } = step;
        self.metrics.measured(&measured);
        self.ended.rows += rows;
        self.ended.already_there += already_there;
        self.ended.objects += objects;
        for event in &events {
            match event {
                Event::Waiting { who, failure, .. } => self.metrics.failed(who, failure),
                Event::Works { who } => self.metrics.works(who),
                _ => {}
            }
            (self.say)(event);
        }
        for held in done {
            self.ended.inputs += 1;
            self.let_go(held.from, &held.owned, &held.input.name);
        }
        for held in again {
            let Held { input, from, owned } = held;
            self.unsorted.push_back((from, Arrival { file: input.file, name: input.name, owned }));
        }
        for (held, why) in parked {
            self.park(held, &why);
        }
    }

    fn let_go(&mut self, from: usize, owned: &Owned, name: &str) {
        let gone = match owned {
            Owned::Claimed(claim) => claim.done(),
            Owned::Kept(path) => self.coming[from].folder.as_mut().map_or(Ok(()), |folder| folder.done(path)),
        };
        if let Err(error) = gone {
            (self.say)(&Event::Trouble { message: format!("{name}: delivered, but cannot be let go of: {error}") });
        }
    }

    fn park(&mut self, held: Held, why: &str) {
        let from = &self.config.inputs[held.from].name;
        (self.say)(&Event::Parked { name: held.input.name.clone(), why: why.to_owned() });
        self.ended.parked += 1;
        if let Err(error) = self.parked.park(from, &held, why) {
            (self.say)(&Event::Trouble { message: format!("{}: cannot be parked: {error}", held.input.name) });
        } else if let Owned::Kept(path) = held.owned {
            self.parked_kept.push((held.from, held.input.hash, path));
        }
    }

    /// What is parked no more comes again.
    fn unpark(&mut self) {
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

/// Whether a service has this state now.
///
/// # Errors
/// When that cannot be told.
pub fn is_running(state: &Path) -> std::io::Result<bool> {
    match File::open(state.join("lock")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
    }
}

/// Only one service may have this state: what is parked and seen is its own.
fn lock(state: &Path) -> anyhow::Result<File> {
    let path = state.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    // Whoever asks for the status holds it for a moment.
    let mut tried = lock.try_lock();
    for _ in 0..5 {
        if matches!(tried, Err(TryLockError::WouldBlock)) {
            thread::sleep(Duration::from_millis(100));
            tried = lock.try_lock();
        }
    }
    match tried {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("another converter has {}; give each a `state` of its own", state.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
