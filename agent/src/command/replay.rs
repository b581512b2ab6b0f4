//! `flowlake-agent replay`: captures in, flow records out, deterministically.
//!
//! Reads no clock and no identity of this machine: the same input and options give the same bytes.

mod input;
mod settings;
mod verdict;

use std::io;

use flowlake_common::{hash, outcome::Outcome, progress::Progress};

use self::{input::Source, settings::Settings, verdict::Verdicts};
use super::{say, summary::Summary};
use crate::{
    capture::{CaptureFile, Direction, Packet},
    decode::{self, Decoded, Fragments, Undecoded},
    emit::{Identity, LogDirectory, Output, TextStream},
    flow::{Action, Closed, Key, Windows},
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
    fragments: Fragments,
    verdicts: Option<Verdicts>,
    windows: Windows,
    output: Output<Box<dyn io::Write>>,
    summary: Summary,
    outcome: Outcome,
}

fn replay(settings: Settings) -> io::Result<Outcome> {
    let progress = Progress::new(input::total_size(&settings.files));
    let output = match &settings.output {
        Some(folder) => {
            Output::Directory(LogDirectory::new(folder.clone(), settings.format.clone(), settings.flow.interval))
        }
        None => Output::Stream(TextStream::new(standard_output(), settings.format.clone())?),
    };
    let identity = Identity {
        account_id: settings.account_id.clone(),
        region: settings.region.clone(),
        interface_ids: if settings.per_interface { Vec::new() } else { vec![settings.interface_id.clone()] },
    };
    let mut replay = Replay {
        windows: Windows::new(settings.flow),
        settings,
        identity,
        fragments: Fragments::default(),
        verdicts: None,
        output,
        summary: Summary::default(),
        outcome: Outcome::Clean,
    };
    if let Some(path) = replay.settings.verdict.clone() {
        match Verdicts::open(input::Input::of(&path), &Progress::hidden()) {
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
        let unknown_before = self.summary.count(Undecoded::UnknownLinkType);
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
        let unknown = self.summary.count(Undecoded::UnknownLinkType) - unknown_before;
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
            self.summary.packets += without;
            self.summary.without_interface += without;
            self.failed(
                progress,
                &format!("{name}: {without} packets of an interface that the capture does not describe"),
            );
        }
    }

    #[inline]
    fn packet(&mut self, interface: u16, packet: &Packet<'_>) -> io::Result<()> {
        self.summary.packets += 1;
        let tunnels = self.settings.decapsulate;
        let decoded = match decode::decode(packet.link_type, packet.data, packet.wire_length, tunnels) {
            Ok(decoded) => decoded,
            Err(reason) => {
                self.summary.lost(reason);
                return Ok(());
            }
        };
        let time_us = decoded.time_us.unwrap_or(packet.time_us);
        self.drops_until(time_us)?;
        let direction = decoded.direction.or(packet.direction).or_else(|| self.settings.direction(&decoded.tuple));
        let action = if decoded.dropped { Action::Reject } else { Action::Accept };
        let ports_missing = self.observe(time_us, decoded, interface, direction, action)?;
        self.summary.recorded += 1;
        self.summary.ip_bytes += u64::from(decoded.ip_bytes);
        self.summary.ports_missing += u64::from(ports_missing);
        self.summary.odd_times += u64::from(!settings::LIKELY_TIMES.contains(&time_us));
        Ok(())
    }

    /// Takes what the firewall's log says up to a time.
    #[inline]
    fn drops_until(&mut self, time_us: i64) -> io::Result<()> {
        while let Some(dropped) = self.verdicts.as_mut().and_then(|verdicts| verdicts.next_until(time_us)) {
            let direction = dropped.decoded.direction;
            self.observe(dropped.time_us, dropped.decoded, 0, direction, Action::Reject)?;
            self.summary.dropped += 1;
        }
        Ok(())
    }

    /// Adds a packet to its window. Says whether its ports are missing.
    #[inline]
    fn observe(
        &mut self,
        time_us: i64,
        mut decoded: Decoded,
        interface: u16,
        direction: Option<Direction>,
        action: Action,
    ) -> io::Result<bool> {
        let time_us = time_us.clamp(settings::TIMES_HELD.0, settings::TIMES_HELD.1);
        self.fragments.complete(&mut decoded, time_us);
        let key = Key { tuple: decoded.tuple, interface, direction, action };
        let (output, identity, summary) = (&mut self.output, &self.identity, &mut self.summary);
        self.windows.observe(time_us, key, decoded.ip_bytes, decoded.tcp_flags, |closed| {
            write(output, identity, summary, &closed)
        })?;
        Ok(decoded.ports_missing)
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
        self.drops_until(i64::MAX)?;
        if let Some(verdicts) = self.verdicts.take() {
            self.summary.verdict_log = true;
            self.summary.drops_unread = verdicts.unread;
            if let Some(damage) = verdicts.damage {
                say(&damage);
                self.outcome = Outcome::Failed;
            }
        }
        let (output, identity, summary) = (&mut self.output, &self.identity, &mut self.summary);
        self.windows.close_all(|closed| write(output, identity, summary, &closed))?;
        self.output.finish()?;
        say(&format!("replay\n{}", self.summary));
        Ok(self.outcome)
    }
}

fn write(
    output: &mut Output<Box<dyn io::Write>>,
    identity: &Identity,
    summary: &mut Summary,
    closed: &Closed,
) -> io::Result<()> {
    summary.records += closed.entries.len() as u64;
    summary.verdict_unmatched += closed.verdict_unmatched;
    output.write(identity, closed)
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
