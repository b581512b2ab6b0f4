//! The service's loop: once a second what arrived is taken in and what is due is delivered.

mod sort;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, mem,
    path::PathBuf,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use anyhow::{Context, bail};
use flowlake_common::time;

use super::{
    config::{Config, Files, InputConfig},
    event::{Event, Say},
    forwarder::{Forwarder, LAST_CALL_US, stray_forwards},
    held::{Backoff, Held},
    lake, lock,
    parked::Parked,
    status::Metrics,
    stop::Stop,
    work::{Around, Step, Work},
};
use crate::{
    aws::Aws,
    deliver::Root,
    source::{Arrival, Folder, Followed, Owned, SpoolFiles},
};

/// Files that are in hand of one input at once: beyond, they are left where they are.
const MAX_HELD: usize = 8192;
/// And so many batches' bytes of them: what is not claimed its agent may give up, when its spool is full.
const HELD_BATCHES: u64 = 4;
const QUEUE_FULL: &str = "its queue is full (queue-mib); inputs wait where they are, for the lake too";
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
    /// Lines that could not be converted; they are in `state`/rejects.
    pub rejects: u64,
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
    /// What cannot be read of it now, by what makes it the same as before; and what could not when its folder was looked at last.
    troubles: BTreeMap<String, String>,
    of_folder: BTreeSet<String>,
    /// Whether what was delivered could not be let go of, which was said.
    kept: bool,
    /// Whether it was said that what comes of it is not forwarded.
    unforwarded: bool,
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
    forwarders: Vec<Forwarder>,
    /// What these say.
    heard: Receiver<Event>,
    ended: Ended,
    metrics: Metrics,
    /// Whether its state could not be written down; said once.
    status_fails: bool,
}

/// Delivers what arrives, until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot begin.
pub fn run(config: &Config, say: Say<'_>) -> anyhow::Result<Ended> {
    let stop = Stop::on_signals()?;
    fs::create_dir_all(&config.state).with_context(|| format!("cannot make {}", config.state.display()))?;
    let _lock = lock::lock(&config.state)?;
    let (root, aws) = lake::open(config)?;
    let coming = config.inputs.iter().map(|input| coming(config, input)).collect::<anyhow::Result<_>>()?;
    let (tell, heard) = mpsc::channel();
    let start = |forward| Forwarder::start(config, forward, tell.clone(), stop.clone());
    let forwarders = config.forwards.iter().map(start).collect::<anyhow::Result<_>>()?;
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
        forwarders,
        heard,
        ended: Ended::default(),
        metrics: Metrics::new()?,
        status_fails: false,
    };
    for (name, inputs) in stray_forwards(config)? {
        let message = format!(
            "forward.{name}: {inputs} inputs wait for it, and it is not in the configuration; give it back, or remove {}",
            config.state.join("forward").join(&name).display()
        );
        say(&Event::Trouble { message });
    }
    let (mut is_start, mut dead) = (true, None);
    loop {
        service.arrivals();
        service.sort();
        service.deliver(is_start);
        is_start = false;
        service.listen();
        service.write_status(false);
        if stop.wait(Duration::from_secs(1)) {
            break;
        }
        // Whoever manages the service starts it anew.
        let is_dead = |forwarder: &&Forwarder| forwarder.is_dead() && !stop.wait(Duration::ZERO);
        dead = service.forwarders.iter().find(is_dead).map(|forwarder| forwarder.who.clone());
        if dead.is_some() {
            break;
        }
    }
    service.ended.left = service.in_hand();
    stop.tell();
    let deadline = time::monotonic_us() + LAST_CALL_US;
    let ended: Vec<_> = service.forwarders.iter().filter_map(|forwarder| forwarder.wait(deadline).err()).collect();
    service.listen();
    for message in ended {
        say(&Event::Trouble { message });
    }
    service.write_status(true);
    if let Some(who) = dead {
        bail!("{who}: ended by a defect of flowlake's; please report it");
    }
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
    Ok(Coming {
        spool,
        folder,
        followed,
        again: SpoolFiles::new(&again),
        looked_us: i64::MIN / 2,
        troubles: BTreeMap::new(),
        of_folder: BTreeSet::new(),
        kept: false,
        unforwarded: false,
    })
}

impl Service<'_> {
    fn in_hand(&self) -> u64 {
        let held =
            |work: &Work| (0..self.config.inputs.len()).map(|from| work.held_of(from).count() as u64).sum::<u64>();
        self.works.iter().map(held).sum::<u64>() + self.unsorted.len() as u64
    }

    fn write_status(&mut self, is_last: bool) {
        let (in_hand, ahead) = (self.in_hand(), self.clock_ahead());
        let forwards = self.forwarders.iter().map(|forwarder| (forwarder.who.clone(), forwarder.status()));
        let inputs = self.config.inputs.iter().zip(&self.coming);
        let followed =
            inputs.filter_map(|(input, coming)| Some((input.name.clone(), coming.followed.as_ref()?.status())));
        let written =
            self.metrics.write(&self.config.state, &self.ended, (in_hand, ahead), forwards, followed, is_last);
        if let Err(error) = &written
            && !self.status_fails
        {
            let message = format!("{}: its status cannot be written: {error}", self.config.state.display());
            (self.say)(&Event::Trouble { message });
        }
        self.status_fails = written.is_err();
    }

    /// Says what the forwards say.
    fn listen(&mut self) {
        for event in self.heard.try_iter() {
            match &event {
                Event::Waiting { who, failure, .. } => self.metrics.failed(who, failure),
                Event::Works { who } => self.metrics.works(who),
                Event::Parked { .. } => self.ended.parked += 1,
                _ => {}
            }
            (self.say)(&event);
        }
    }

    fn clock_ahead(&self) -> i64 {
        self.aws.as_ref().map_or(0, |aws| aws.clock().ahead())
    }

    /// Takes in what arrived, as far as there is room.
    fn arrivals(&mut self) {
        self.unpark();
        let now_us = time::monotonic_us();
        for from in 0..self.coming.len() {
            // What cannot be read stops nobody.
            let size = |arrival: &Arrival| if self.unread.contains(&arrival.name) { 0 } else { arrival.file.size };
            let unsorted = self.unsorted.iter().filter(|(of, _)| *of == from).map(|(_, arrival)| size(arrival));
            let (mut room, mut bytes) = (MAX_HELD, self.config.lake.max_bytes.saturating_mul(HELD_BATCHES));
            for size in self.works.iter().flat_map(|work| work.held_of(from)).chain(unsorted) {
                (room, bytes) = (room.saturating_sub(1), bytes.saturating_sub(size));
            }
            if room == 0 || bytes == 0 {
                continue;
            }
            let who = format!("inputs.{}", self.config.inputs[from].name);
            let coming = &mut self.coming[from];
            let mut troubles = BTreeMap::new();
            if let Some(followed) = &mut coming.followed {
                match followed.look(self.config.lake.wait.min(LONGEST_CUT)) {
                    Ok(looked) => {
                        looked.messages.into_iter().for_each(|message| (self.say)(&Event::OfInput { message }));
                    }
                    Err(error) => {
                        // The system's words may have the random name of a file in them.
                        let message = format!("{who}: cannot follow it, or write its pieces: {error}");
                        troubles.insert("followed".to_owned(), message);
                    }
                }
            }
            for spool in coming.spool.iter_mut().chain([&mut coming.again]) {
                let mut arrivals = Vec::new();
                if let Err(error) = spool.arrivals(room, bytes, &mut arrivals) {
                    let message = format!("{who}: {error}");
                    troubles.insert(message.clone(), message);
                }
                self.unsorted.extend(arrivals.into_iter().map(|arrival| (from, arrival)));
            }
            if let Some(folder) = coming.folder.as_mut().filter(|_| now_us - coming.looked_us >= LOOK_EVERY * SECOND) {
                coming.looked_us = now_us;
                let found = folder.look(room, &[&self.config.state]);
                self.unsorted.extend(found.arrivals.into_iter().map(|arrival| (from, arrival)));
                coming.of_folder = found.errors.into_iter().collect();
                for path in found.grown {
                    (self.say)(&Event::Grown { path });
                }
            }
            troubles.extend(coming.of_folder.iter().map(|message| (message.clone(), message.clone())));
            // Said once, for as long as it lasts.
            for (_, message) in troubles.iter().filter(|(key, _)| !coming.troubles.contains_key(*key)) {
                (self.say)(&Event::Trouble { message: message.clone() });
            }
            let who = format!("{who}, its files");
            match troubles.values().next() {
                Some(first) => self.metrics.waits(&who, format!("{first} ({} in all)", troubles.len())),
                None => self.metrics.works(&who),
            }
            coming.troubles = troubles;
        }
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
            self.ended.inputs += 1;
            self.let_go(held.from, &held.owned, &held.input.name, Some(&held.input.hash));
        }
        for held in again {
            let Held { input, from, owned } = held;
            self.unsorted.push_back((from, Arrival { file: input.file, name: input.name, owned }));
        }
        for (held, why) in parked {
            self.park(held, &why);
        }
    }

    /// Says why a forward takes no input, when that is news; whether it takes none.
    fn stopped_by(&mut self, place: usize, why: Option<String>) -> bool {
        let forwarder = &mut self.forwarders[place];
        let waiter = format!("{}'s inputs", forwarder.who);
        match &why {
            Some(why) if forwarder.stopped_by.is_none() => {
                self.metrics.waits(&waiter, why.clone());
                (self.say)(&Event::Trouble { message: format!("{}: {why}", forwarder.who) });
            }
            None if forwarder.stopped_by.is_some() => self.metrics.works(&waiter),
            _ => {}
        }
        forwarder.stopped_by = why;
        forwarder.stopped_by.is_some()
    }

    fn let_go(&mut self, from: usize, owned: &Owned, name: &str, hash: Option<&str>) {
        let gone = match owned {
            Owned::Claimed(claim) => claim.done(),
            Owned::Kept(path) => self.coming[from].folder.as_mut().map_or(Ok(()), |folder| folder.done(path)),
        };
        // Only then the forwards may forget that they had it.
        let gone = gone.and_then(|()| {
            let forgotten = |hash| self.forwarders.iter().try_for_each(|forwarder| forwarder.queue.let_go(hash));
            hash.map_or(Ok(()), forgotten)
        });
        // It comes again, and so does this: said of one.
        let was_kept = mem::replace(&mut self.coming[from].kept, gone.is_err());
        if let Err(error) = gone
            && !was_kept
        {
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
