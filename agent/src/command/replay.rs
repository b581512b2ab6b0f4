//! `flowlake-agent replay`: captures in, flow records out, deterministically.
//!
//! Reads no clock and no identity of this machine: the same input and options give the same bytes.

mod drops;
mod fragments;
mod input;
mod settings;
mod verdict;

use std::io;

use flowlake_common::{hash, outcome::Outcome, progress::Progress};

use self::{input::Source, settings::Settings, verdict::Verdicts};
use super::{say, summary::Summary};
use crate::{
    capture::{CaptureFile, Packet},
    decode::{self, Undecoded},
    emit::{Identity, LogDirectory, Output, QuietWindows, TextStream},
    flow::{Closed, Observer, Part},
};

pub(super) use settings::Arguments;

/// Replays and says how it ended.
pub(super) fn run(arguments: Arguments) -> Outcome {
    let settings = match Settings::try_from(arguments) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!("{error:#}"));
            return Outcome::Usage;
        }
    };
    match replay(settings) {
        Ok(outcome) => outcome,
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Clean,
        Err(error) => {
            say(&format!(
                "cannot write the records: {error}; what was finished before stays, replay again for the rest"
            ));
            Outcome::Failed
        }
    }
}

/// The state of a replay: everything that packets run through.
struct Replay {
    settings: Settings,
    identity: Identity,
    verdicts: Option<Verdicts>,
    observer: Observer,
    written: Written,
    outcome: Outcome,
}

/// Where the records go, and how many went there.
struct Written {
    output: Output<Box<dyn io::Write>>,
    summary: Summary,
    quiet: Option<QuietWindows>,
}

impl Written {
    /// Closes a window, or a part of one, with what the firewall's log says of it.
    fn part(&mut self, identity: &Identity, verdicts: Option<&mut Verdicts>, part: Part) -> io::Result<()> {
        match verdicts {
            Some(verdicts) => verdicts.close(part, &mut |closed| self.window(identity, closed)),
            None => self.window(identity, &part.close()),
        }
    }

    fn window(&mut self, identity: &Identity, closed: &Closed) -> io::Result<()> {
        if let Some(quiet) = &mut self.quiet {
            let interfaces = u16::try_from(identity.interface_ids.len()).unwrap_or(u16::MAX);
            for (interface, span) in quiet.before(closed, interfaces) {
                self.summary.records += 1;
                self.output.write_gap(identity, interface, span)?;
            }
        }
        self.summary.records += closed.entries.len() as u64;
        self.summary.verdict_unmatched += closed.verdict_unmatched;
        self.output.write(identity, closed)
    }
}

fn replay(settings: Settings) -> io::Result<Outcome> {
    let progress = Progress::new(input::total_size(&settings.files));
    let output = match &settings.output {
        Some(delivery) => Output::Directory(LogDirectory::new(
            delivery.clone(),
            settings.format.clone(),
            settings.rules.flow.interval,
        )),
        None => Output::Stream(TextStream::new(standard_output(), settings.format.clone())?),
    };
    let identity = Identity {
        account_id: settings.account_id.clone(),
        region: settings.region.clone(),
        interface_ids: if settings.per_interface { Vec::new() } else { vec![settings.interface_id.clone()] },
        ..Identity::default()
    };
    let quiet = settings.nodata.then(|| QuietWindows::new(settings.rules.flow.interval));
    let written = Written { output, summary: Summary::default(), quiet };
    let mut replay = Replay {
        observer: Observer::new(settings.rules.clone()),
        settings,
        identity,
        verdicts: None,
        written,
        outcome: Outcome::Clean,
    };
    if let Some(path) = replay.settings.verdict.clone() {
        match Verdicts::open(input::Input::of(&path), &replay.settings.rules, &Progress::hidden()) {
            Ok(verdicts) => replay.verdicts = Some(verdicts),
            // Without its verdicts the replay would say ACCEPT of what was dropped.
            Err(message) => {
                progress.finish();
                say(&format!("--verdict: {message}; nothing was replayed"));
                return Ok(Outcome::Failed);
            }
        }
    }
    for input in input::in_order(&replay.settings.files) {
        let read = match input.and_then(|input| Ok((input.open(&progress)?, input.name))) {
            Ok((capture, name)) => replay.file(capture, &name, &progress),
            Err(message) => {
                replay.failed(&progress, &message);
                Ok(())
            }
        };
        if let Err(error) = read {
            progress.finish();
            return Err(error);
        }
    }
    progress.finish();
    replay.finish()
}

impl Replay {
    fn file(&mut self, mut capture: CaptureFile<Source>, name: &str, progress: &Progress) -> io::Result<()> {
        progress.say(name.to_owned());
        // The file's interfaces, by our numbers.
        let mut interfaces: Vec<u16> = Vec::new();
        let unknown_before = self.observer.counters.count(Undecoded::UnknownLinkType);
        loop {
            let known = interfaces.len();
            let interface = match capture.next_packet() {
                Ok(Some(packet)) if packet.interface < known => {
                    self.packet(interfaces[packet.interface], &packet)?;
                    continue;
                }
                // First packet of an interface: seen below, once the borrow of the packet has ended.
                Ok(Some(packet)) => (packet.interface, OwnedPacket::from(&packet)),
                Ok(None) => break,
                Err(damage) => {
                    self.failed(progress, &format!("{name}: {damage}; what came before is recorded"));
                    break;
                }
            };
            let (number, packet) = interface;
            for interface in &capture.interfaces()[known..=number] {
                interfaces.push(self.interface(&interface.name));
            }
            self.packet(interfaces[number], &packet.borrow())?;
        }
        self.after(&capture, name, unknown_before, progress);
        Ok(())
    }

    /// What is only known at a file's end.
    fn after(&mut self, capture: &CaptureFile<Source>, name: &str, unknown_before: u64, progress: &Progress) {
        let unknown = self.observer.counters.count(Undecoded::UnknownLinkType) - unknown_before;
        if unknown > 0 {
            let mut types: Vec<u16> = capture.interfaces().iter().map(|interface| interface.link_type).collect();
            types.retain(|link_type| !decode::knows_link_type(*link_type));
            types.sort_unstable();
            types.dedup();
            let types: Vec<String> = types.iter().map(u16::to_string).collect();
            let types = types.join(", ");
            self.failed(progress, &format!("{name}: {unknown} packets of link type {types}, which is not decoded"));
        }
        let without = capture.packets_without_interface();
        if without > 0 {
            self.observer.counters.packets += without;
            self.observer.counters.without_interface += without;
            self.failed(
                progress,
                &format!("{name}: {without} packets of an interface that the capture does not describe"),
            );
        }
    }

    #[inline]
    fn packet(&mut self, interface: u16, packet: &Packet<'_>) -> io::Result<()> {
        let Some(sighting) = self.observer.decode(packet) else {
            return Ok(());
        };
        let Self { observer, verdicts, written, identity, .. } = self;
        if let Some(verdicts) = verdicts {
            verdicts.follow(&sighting);
        }
        observer.add(sighting, interface, |part| written.part(identity, verdicts.as_mut(), part))
    }

    /// Our number of an interface, by its name; the same name in two files is the same interface.
    fn interface(&mut self, name: &str) -> u16 {
        if !self.settings.per_interface {
            return 0;
        }
        let digits = hash::sha256(name.as_bytes());
        let id = format!("eni-f{}", digits.get(..16).unwrap_or_default());
        let ids = &mut self.identity.interface_ids;
        let number = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            ids.push(id);
            ids.len() - 1
        });
        // Nobody has that many interfaces; those of a hostile file share the last number.
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    fn failed(&mut self, progress: &Progress, message: &str) {
        progress.suspend(|| say(message));
        self.outcome = Outcome::Failed;
    }

    fn finish(mut self) -> io::Result<Outcome> {
        let Self { observer, verdicts, written, identity, .. } = &mut self;
        observer.windows().close_all(|part| written.part(identity, verdicts.as_mut(), part))?;
        if let Some(mut verdicts) = self.verdicts.take() {
            let (written, identity) = (&mut self.written, &self.identity);
            verdicts.finish(&mut |closed| written.window(identity, closed))?;
            self.written.summary.verdict_unmatched = verdicts.unmatched();
            let Verdicts { dropped, cut_off, unread, .. } = verdicts;
            self.written.summary.verdict = Some(super::summary::Verdict { dropped, cut_off, unread });
            if verdicts.forgotten > 0 {
                say(&format!(
                    "--verdict: {} dropped packets were of more flows than are held without having been seen; where the \
                     capture shows them, they are ACCEPT; replay a shorter time at once",
                    verdicts.forgotten
                ));
                self.outcome = Outcome::Failed;
            }
            if verdicts.not_sought() > 0 {
                say(&format!(
                    "--verdict: {} times a dropped fragment was not looked up in the capture, there being too many; where it \
                     shows them, they are ACCEPT; replay a shorter time at once",
                    verdicts.not_sought()
                ));
                self.outcome = Outcome::Failed;
            }
            if let Some(damage) = verdicts.damage {
                say(&damage);
                self.outcome = Outcome::Failed;
            }
        }
        self.written.output.finish()?;
        say(&format!("replay\n{}", self.written.summary.with(&self.observer.counters)));
        Ok(self.outcome)
    }
}

/// A packet copied out of the reader's buffer: only the first of each interface is.
struct OwnedPacket {
    packet: Packet<'static>,
    data: Vec<u8>,
}

impl From<&Packet<'_>> for OwnedPacket {
    fn from(packet: &Packet<'_>) -> Self {
        Self { packet: Packet { data: &[], ..*packet }, data: packet.data.to_vec() }
    }
}

impl OwnedPacket {
    fn borrow(&self) -> Packet<'_> {
        Packet { data: &self.data, ..self.packet }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the command layer")]
fn standard_output() -> Box<dyn io::Write> {
    Box::new(io::BufWriter::with_capacity(64 * 1024, io::stdout()))
}
