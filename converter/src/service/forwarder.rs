//! A forward's own thread: what waits in its queue is sent, for as long as it takes. One that fails stops nobody else.

use std::{
    fs, io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use flowlake_common::{hash::HashingReader, time, vpc::Format};
use serde::{Deserialize, Serialize};

use super::{
    config::{Config, ForwardConfig, ForwardTo},
    event::Event,
    held::Backoff,
    parked::Parked,
    stop::Stop,
};
use crate::{
    aws::{self, Aws},
    batch::InputSettings,
    deliver::{Bucket, DeliveryStream, LogGroup},
    failure::Failure,
    forward::{About, Counts, Destination, Ended, Entry, FlowLogs, Queue, Sending, Untimely, flow_log_id},
    input::InputFile,
};

/// Microseconds that calls may take after the end was told: a service manager waits no longer for ever.
pub(super) const LAST_CALL_US: i64 = 20_000_000;
/// Inputs that are listed at once.
const LISTED: usize = 256;

/// A forward, as the service sees it.
#[derive(Debug)]
pub(super) struct Forwarder {
    /// `forward.NAME`.
    pub(super) who: String,
    /// The inputs whose records it forwards.
    inputs: Vec<String>,
    pub(super) queue: Arc<Queue>,
    counts: Arc<Mutex<Counts>>,
    thread: JoinHandle<()>,
    /// Why it takes no input now, as it was said.
    pub(super) stopped_by: Option<String>,
}

/// What a forward did since the service began, and what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ForwardStatus {
    /// Records that were taken.
    pub records: u64,
    /// Of them those that may be there twice.
    pub records_again: u64,
    /// Calls that took records, or new files.
    pub batches: u64,
    /// Records that were not taken because of their times; they are parked.
    pub records_untimely: u64,
    /// Lines that are no records, and records without a start.
    pub lines_skipped: u64,
    /// Inputs that wait, without parked ones.
    pub inputs_queued: u64,
    /// Their bytes.
    pub bytes_queued: u64,
}

/// Forwards that are not in the configuration any more, and the inputs that wait for them.
///
/// # Errors
/// When the state cannot be read.
pub fn stray_forwards(config: &Config) -> io::Result<Vec<(String, u64)>> {
    let mut strays = Vec::new();
    let entries = match fs::read_dir(config.state.join("forward")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(strays),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if config.forwards.iter().any(|forward| forward.name == name) || !entry.file_type()?.is_dir() {
            continue;
        }
        let inputs = Queue::count(&entry.path())?;
        if inputs > 0 {
            strays.push((name, inputs));
        }
    }
    Ok(strays)
}

/// What the thread has.
struct Worker {
    who: String,
    queue: Arc<Queue>,
    counts: Arc<Mutex<Counts>>,
    settings: Vec<(String, InputSettings)>,
    format: Format,
    to: Destination,
    parked: Parked,
    events: Sender<Event>,
    stop: Stop,
}

impl Forwarder {
    /// Begins to forward.
    pub(super) fn start(
        config: &Config,
        forward: &ForwardConfig,
        events: Sender<Event>,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let who = format!("forward.{}", forward.name);
        let folder = config.state.join("forward").join(&forward.name);
        let queue = Queue::open(&folder, forward.max_bytes);
        let queue = Arc::new(queue.with_context(|| format!("cannot open {}", folder.display()))?);
        let counts = Arc::<Mutex<Counts>>::default();
        let worker = Worker {
            who: who.clone(),
            queue: queue.clone(),
            counts: counts.clone(),
            settings: config.inputs.iter().map(|input| (input.name.clone(), input.settings.clone())).collect(),
            format: forward.format.clone(),
            to: destination(config, forward)?,
            parked: Parked::of(&config.state),
            events,
            stop,
        };
        let thread = thread::Builder::new().name(who.clone()).spawn(move || worker.run())?;
        Ok(Self { who, inputs: forward.inputs.clone(), queue, counts, thread, stopped_by: None })
    }

    /// Whether it forwards the records of an input.
    pub(super) fn is_of(&self, input: &str) -> bool {
        self.inputs.iter().any(|own| own == input)
    }

    pub(super) fn status(&self) -> ForwardStatus {
        let Counts { records, again, batches, untimely, skipped } = *lock(&self.counts);
        let (inputs_queued, bytes_queued) = self.queue.size();
        ForwardStatus {
            records,
            records_again: again,
            batches,
            records_untimely: untimely,
            lines_skipped: skipped,
            inputs_queued,
            bytes_queued,
        }
    }

    /// Waits until it has ended, once it was told to; no longer than until a time of the monotonic clock, in microseconds.
    pub(super) fn wait(&self, deadline: i64) -> Result<(), String> {
        while !self.thread.is_finished() {
            if time::monotonic_us() > deadline {
                // The process ends, and the call with it.
                return Err(format!("{}: ended in the middle of a call; what that sent may be there twice", self.who));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether it ended though nobody told it to.
    pub(super) fn is_dead(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Each forward has a way to AWS of its own: what one waits for does not stop another.
fn destination(config: &Config, forward: &ForwardConfig) -> anyhow::Result<Destination> {
    let region = forward.region.clone().or_else(|| config.aws.region.clone());
    let aws = Aws::new(aws::Settings { region, ..config.aws.clone() })?;
    Ok(match &forward.to {
        ForwardTo::LogGroup(name) => Destination::LogGroup(LogGroup::new(aws, name.clone())),
        ForwardTo::DeliveryStream(name) => Destination::DeliveryStream(DeliveryStream::new(aws, name.clone())),
        ForwardTo::Bucket { url, file_format, partitions } => Destination::FlowLogs(FlowLogs {
            bucket: Bucket::new(aws, url.clone()),
            file_format: *file_format,
            partitions: *partitions,
            flow_log_id: flow_log_id(&forward.name),
            aside: config.state.join("aside"),
        }),
    })
}

impl Worker {
    fn run(self) {
        let mut failing = false;
        while !self.stop.wait(Duration::from_secs(1)) {
            // What is parked stays where it is until its reason is taken away.
            let entries = self.queue.oldest(LISTED, |hash| !self.parked.has(&self.who, hash));
            match entries {
                Ok(entries) => {
                    if mem::take(&mut failing) {
                        self.say(Event::Works { who: self.who.clone() });
                    }
                    for entry in entries {
                        if self.stop.wait(Duration::ZERO) || !self.send(&entry) {
                            return;
                        }
                    }
                }
                Err(error) if !failing => {
                    failing = true;
                    let failure = Failure::of_disk("cannot read its queue".to_owned(), &error);
                    self.say(Event::Waiting { who: self.who.clone(), failure, seconds: 1 });
                }
                Err(_) => {}
            }
        }
    }

    /// Sends one input; false when it is to end.
    fn send(&self, entry: &Entry) -> bool {
        let settings = self.settings.iter().find(|(name, _)| *name == entry.about.from);
        let Some((_, settings)) = settings else {
            self.park(entry, &format!("its input {} is no longer in the configuration", entry.about.from));
            return true;
        };
        let mut sending = Sending::new(entry, settings, &self.format, &self.to);
        if let Some(sent) = self.queue.remembered(entry) {
            sending.go_on(&sent);
        }
        let between = |sent: Option<Vec<u8>>| {
            if let Some(sent) = sent {
                // Only whoever is killed misses it, and sends some records again.
                drop(self.queue.remember(entry, &sent));
            }
            self.stop.wait(Duration::ZERO)
        };
        let (mut backoff, mut failed, mut told) = (Backoff::default(), false, Counts::default());
        let refused = loop {
            let taken_before = sending.counts.records;
            let ended = sending.attempt(&between);
            self.add(&mut told, sending.counts);
            let failure = match ended {
                Ok(()) => break None,
                Err(Ended::Stopped) => {
                    self.stopped(entry, sending);
                    return false;
                }
                Err(Ended::Failed(failure)) => failure,
            };
            if !failure.kind.passes() {
                break Some(failure);
            }
            // It works, if slowly.
            if sending.counts.records > taken_before {
                backoff = Backoff::default();
            }
            failed = true;
            let seconds = backoff.next(time::now_us().unsigned_abs());
            self.say(Event::Waiting { who: self.who.clone(), failure, seconds });
            if self.stop.wait(Duration::from_secs(seconds)) {
                self.stopped(entry, sending);
                return false;
            }
        };
        if failed {
            self.say(Event::Works { who: self.who.clone() });
        }
        if let Some(failure) = refused {
            self.stopped(entry, sending);
            self.park(entry, &failure.to_string());
            return true;
        }
        let name = &entry.about.name;
        let is_done = match sending.untimely.take() {
            Some(untimely) => self.until(&format!("{name}: cannot park {} records of it", untimely.records), || {
                self.keep(entry, &untimely)
            }),
            None => Some(true),
        };
        // Until that is written down, it would come again, and be sent again.
        match is_done {
            Some(true) => {
                self.until(&format!("{name}: forwarded, but cannot be let go of"), || self.queue.done(entry)).is_some()
            }
            Some(false) => true,
            None => false,
        }
    }

    /// Does something on the disk, as often as it takes; `None` when it is to end before.
    fn until<T>(&self, what: &str, on_disk: impl Fn() -> io::Result<T>) -> Option<T> {
        let (mut backoff, mut failed) = (Backoff::default(), false);
        loop {
            match on_disk() {
                Ok(done) => {
                    if failed {
                        self.say(Event::Works { who: self.who.clone() });
                    }
                    return Some(done);
                }
                Err(error) => {
                    failed = true;
                    let seconds = backoff.next(time::now_us().unsigned_abs());
                    let failure = Failure::of_disk(what.to_owned(), &error);
                    self.say(Event::Waiting { who: self.who.clone(), failure, seconds });
                    if self.stop.wait(Duration::from_secs(seconds)) {
                        return None;
                    }
                }
            }
        }
    }

    /// Writes down how far an input is: the next start goes on from there.
    fn stopped(&self, entry: &Entry, mut sending: Sending<'_>) {
        // What was not taken first: it is not sent again.
        let settled = sending.settle().map_err(io::Error::other);
        let sent = sending.sent().unwrap_or_default();
        let kept =
            settled.and_then(|()| sending.untimely.take().map_or(Ok(true), |untimely| self.keep(entry, &untimely)));
        // What is parked as a whole is to be sent from its beginning.
        let kept = kept.and_then(|is_other| if is_other { self.queue.remember(entry, &sent) } else { Ok(()) });
        if let Err(error) = kept {
            let message = format!(
                "{}: {}: how far it is cannot be written down, and it is sent again from its beginning: {error}",
                self.who, entry.about.name
            );
            self.say(Event::Trouble { message });
        }
    }

    /// What an attempt added.
    fn add(&self, told: &mut Counts, now: Counts) {
        let mut counts = lock(&self.counts);
        counts.records += now.records - told.records;
        counts.again += now.again - told.again;
        counts.batches += now.batches - told.batches;
        counts.untimely += now.untimely - told.untimely;
        counts.skipped += now.skipped.saturating_sub(told.skipped);
        *told = now;
    }

    /// Puts aside the records that were not taken: an input of its own, parked; or the same again, which stays then.
    fn keep(&self, entry: &Entry, untimely: &Untimely) -> io::Result<bool> {
        let Untimely { file, records, why } = untimely;
        file.as_file().sync_all()?;
        let hash = HashingReader::new(file.reopen()?).finish()?;
        let about = About { name: format!("{records} records of {}", entry.about.name), ..entry.about.clone() };
        let input = InputFile { path: file.path().to_owned(), size: file.as_file().metadata()?.len() };
        // The reason is there first: it is not sent before somebody wants it.
        self.parked.park_as(&self.who, &hash, &about.name, why, None)?;
        if hash == entry.hash {
            // Wanted again, it is sent from its beginning.
            self.queue.remember(entry, b"")?;
        } else {
            self.queue.add(&hash, &input, &about)?;
            self.queue.let_go(&hash)?;
        }
        self.say(Event::Parked { name: format!("{}: {}", self.who, about.name), why: (*why).to_owned() });
        Ok(hash != entry.hash)
    }

    fn park(&self, entry: &Entry, why: &str) {
        let name = &entry.about.name;
        let park = || self.parked.park_as(&self.who, &entry.hash, name, why, None);
        if self.until(&format!("{name}: cannot be parked; {why}"), park).is_some() {
            self.say(Event::Parked { name: format!("{}: {name}", self.who), why: why.to_owned() });
        }
    }

    fn say(&self, event: Event) {
        // Nobody listens only when the service has ended.
        drop(self.events.send(event));
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
