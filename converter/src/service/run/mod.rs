//! The service's loop: once a second what arrived is taken in and what is due is delivered.

mod arrivals;
mod endings;
mod sort;

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::PathBuf,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use anyhow::{Context, bail};
use flowlake_common::time;

use arrivals::Coming;
use endings::Done;

use super::{
    config::Config,
    event::{Event, Say},
    forwarder::{Forwarder, LAST_CALL_US, stray_forwards},
    held::{Backoff, Held},
    lake, lock,
    parked::Parked,
    status::Metrics,
    stop::Stop,
    work::{Around, Work},
};
use crate::{aws::Aws, deliver::Root, source::Arrival};

const QUEUE_FULL: &str = "its queue is full (queue-mib); inputs wait where they are, for the lake too";
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
    /// How many of them something was to be said of, in this look.
    told: usize,
    retry_us: i64,
    backoff: Backoff,
    parked: Parked,
    /// What is to be put aside, and why; and whether it was said that it cannot be now.
    unparked: Vec<(Held, String)>,
    unparked_said: bool,
    park_us: i64,
    /// What is to be let go of; and whether it was said that it cannot be now.
    done: Vec<Done>,
    done_said: bool,
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
    let coming = config.inputs.iter().map(|input| Coming::open(config, input)).collect::<anyhow::Result<_>>()?;
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
        told: 0,
        retry_us: i64::MIN,
        backoff: Backoff::default(),
        parked: Parked::of(&config.state),
        unparked: Vec::new(),
        unparked_said: false,
        park_us: i64::MIN,
        done: Vec::new(),
        done_said: false,
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
        service.let_go();
        service.put_aside();
        service.tell_more();
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

impl Service<'_> {
    fn in_hand(&self) -> u64 {
        let held =
            |work: &Work| (0..self.config.inputs.len()).map(|from| work.held_of(from).count() as u64).sum::<u64>();
        self.works.iter().map(held).sum::<u64>() + (self.unsorted.len() + self.unparked.len() + self.done.len()) as u64
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
}
