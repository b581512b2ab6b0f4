//! One input on its way to where it is forwarded. An attempt that fails is repeated: what was taken is not sent again.

use std::io::{self, Seek, SeekFrom, Write};

use flowlake_common::{
    progress::Progress,
    vpc::{self, Field, Format, Record, write_header, write_line},
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{
    Entry, FlowLogs,
    batches::{EventBatch, Records, Streams, stream_of},
    flow_logs::Files,
};
use crate::{
    batch::InputSettings,
    deliver::{DeliveryStream, LogEvent, LogGroup, Untaken},
    failure::{Failure, Kind},
    input::{self, Item},
    lake::is_partition_word,
    ocsf::milliseconds,
};

/// Another number whenever the same records make other batches: nobody goes on from another version's.
const BATCHING: u32 = 1;

/// Where records are forwarded to.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Files in a bucket.
    FlowLogs(FlowLogs),
    /// Events in a log group, a stream for each interface, at the time of the record's start.
    LogGroup(LogGroup),
    /// Records in a delivery stream of Firehose: lines with their ends.
    DeliveryStream(DeliveryStream),
}

/// What was forwarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were taken.
    pub records: u64,
    /// Of them those that were sent again after nobody knew whether they had been taken: they may be there twice.
    pub again: u64,
    /// Calls that took them, or new files.
    pub batches: u64,
    /// Records that were not taken because of their times.
    pub untimely: u64,
    /// Lines that are no records, and records without a start; the lake's rejects have them too.
    pub skipped: u64,
}

/// Why an attempt ended before its end.
#[derive(Debug)]
pub enum Ended {
    /// Whoever called wants it so.
    Stopped,
    /// It failed.
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Records that were not taken because of their times: a flow log file with a header.
#[derive(Debug)]
pub struct Untimely {
    /// The file.
    pub file: NamedTempFile,
    /// How many there are.
    pub records: u64,
    /// Why, of the first.
    pub why: &'static str,
}

/// Whoever is told between two batches how far an input is, as [`Sending::sent`] has it, and says whether to stop.
pub type Between<'b> = dyn Fn(Option<Vec<u8>>) -> bool + 'b;

/// An input on its way.
#[derive(Debug)]
pub struct Sending<'a> {
    entry: &'a Entry,
    settings: &'a InputSettings,
    format: &'a Format,
    to: &'a Destination,
    /// Batches that were taken.
    taken: u64,
    /// Of the batch behind them the records that were not, when some were.
    left: Option<Vec<usize>>,
    /// Whether that batch may have been taken.
    in_doubt: bool,
    /// What was not taken of the last batch because of its times, and is not put aside yet.
    refused: Vec<u8>,
    untimely_why: Option<&'static str>,
    /// What came of it so far.
    pub counts: Counts,
    /// What is to be put aside.
    pub untimely: Option<Untimely>,
}

/// How far an input is sent, for whoever goes on after a restart: the same records make the same batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    /// To where, and in which format.
    way: String,
    taken: u64,
    left: Option<Vec<usize>>,
}

impl<'a> Sending<'a> {
    /// Begins; `settings` are those of the input that it came from.
    #[must_use]
    pub fn new(entry: &'a Entry, settings: &'a InputSettings, format: &'a Format, to: &'a Destination) -> Self {
        Self {
            entry,
            settings,
            format,
            to,
            taken: 0,
            left: None,
            in_doubt: false,
            refused: Vec::new(),
            untimely_why: None,
            counts: Counts::default(),
            untimely: None,
        }
    }

    /// How far it is; what is to be put aside is not in it. `None` when something of it is not put aside yet.
    #[must_use]
    pub fn sent(&self) -> Option<Vec<u8>> {
        if !self.refused.is_empty() {
            return None;
        }
        let sent = Sent { way: self.way(), taken: self.taken, left: self.left.clone() };
        serde_json::to_vec(&sent).ok()
    }

    /// Goes on where another one stopped, when its batches were the same.
    pub fn go_on(&mut self, sent: &[u8]) {
        if let Ok(Sent { way, taken, left }) = serde_json::from_slice(sent)
            && way == self.way()
        {
            (self.taken, self.left) = (taken, left);
        }
    }

    /// By what its batches are as they are.
    fn way(&self) -> String {
        let mut header = Vec::new();
        write_header(self.format, &mut header);
        let header = format!("{BATCHING} {} {:?}", String::from_utf8_lossy(&header), self.settings.log_format);
        match self.to {
            Destination::FlowLogs(_) => header,
            Destination::LogGroup(group) => format!("{} {header}", group.place()),
            Destination::DeliveryStream(stream) => format!("{} {header}", stream.place()),
        }
    }

    /// Sends what is not taken yet. Before each batch `between` is told how far it is, where there is anything to tell, and says whether to stop.
    ///
    /// # Errors
    /// When it is stopped, or fails; then it can be tried again.
    pub fn attempt(&mut self, between: &Between<'_>) -> Result<(), Ended> {
        self.counts.skipped = 0;
        match self.to {
            Destination::FlowLogs(to) => self.send_files(to),
            Destination::LogGroup(group) => self.send_events(group, between),
            Destination::DeliveryStream(stream) => self.send_records(stream, between),
        }
    }

    /// Counts a batch; whether it is to be sent, not being taken yet.
    fn is_next(&self, number: &mut u64, between: &Between<'_>) -> Result<bool, Ended> {
        *number += 1;
        if *number <= self.taken {
            return Ok(false);
        }
        let is_told = self.taken > 0 && self.untimely.is_none();
        if between(if is_told { self.sent() } else { None }) { Err(Ended::Stopped) } else { Ok(true) }
    }

    /// Tries once more to put aside what the disk did not take.
    ///
    /// # Errors
    /// When it does not take it now.
    pub fn settle(&mut self) -> Result<(), Failure> {
        match self.put_aside() {
            Err(Ended::Failed(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    fn send_files(&mut self, to: &FlowLogs) -> Result<(), Ended> {
        let path = vpc::origin(&self.entry.about.name);
        let settings = self.settings;
        let mut files = Files::new(to, self.format);
        let (mut records, mut nowhere) = (0, 0);
        let skipped = self.each(|record| {
            let account = record.text(Field::AccountId).filter(|account| *account != "unknown");
            let account = settings.account_id.as_deref().or(account).or(path.account_id.as_deref());
            let region = settings.region.as_deref().or(record.text(Field::Region)).or(path.region.as_deref());
            // What has no place in a path is a reject of the lake's, too.
            let (Some(account), Some(region)) = (account.filter(in_path), region.filter(in_path)) else {
                nowhere += 1;
                return Ok(());
            };
            records += 1;
            files.add(record, account, region).map_err(Ended::from)
        })?;
        self.counts.batches = files.publish(self.entry)?;
        (self.counts.records, self.counts.skipped) = (records, skipped + nowhere);
        Ok(())
    }

    fn send_events(&mut self, group: &LogGroup, between: &Between<'_>) -> Result<(), Ended> {
        self.put_aside()?;
        let (mut streams, mut stream, mut line) = (Streams::default(), String::new(), Vec::new());
        let (mut number, mut timeless) = (0, 0);
        let (entry, format) = (self.entry, self.format);
        let skipped = each(entry, self.settings, |record| {
            let Some(start) = record.int(Field::Start) else {
                timeless += 1;
                return Ok(());
            };
            line.clear();
            write_line(format, record, &mut line);
            stream_of(record, &mut stream);
            let message = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            for batch in streams.add(&stream, LogEvent { time_ms: milliseconds(start), message }) {
                self.put_events(group, &batch, &mut number, between)?;
            }
            Ok(())
        })?;
        for batch in streams.rest() {
            self.put_events(group, &batch, &mut number, between)?;
        }
        self.counts.skipped = skipped + timeless;
        Ok(())
    }

    fn put_events(
        &mut self,
        group: &LogGroup,
        (stream, events): &EventBatch,
        number: &mut u64,
        between: &Between<'_>,
    ) -> Result<(), Ended> {
        if !self.is_next(number, between)? {
            return Ok(());
        }
        let untimely = group.put(stream, events).map_err(|failure| self.failed(failure))?;
        let mut refused = 0;
        for (range, why) in untimely {
            refused += range.len() as u64;
            self.untimely_why.get_or_insert(why);
            for event in events.get(range).unwrap_or_default() {
                self.refused.extend_from_slice(event.message.as_bytes());
                self.refused.push(b'\n');
            }
        }
        self.counts.untimely += refused;
        // Whatever becomes of these, the others are taken.
        self.taken(events.len() as u64 - refused);
        self.put_aside()
    }

    fn send_records(&mut self, stream: &DeliveryStream, between: &Between<'_>) -> Result<(), Ended> {
        let (mut records, mut line, mut number) = (Records::default(), Vec::new(), 0);
        let (entry, format) = (self.entry, self.format);
        let skipped = each(entry, self.settings, |record| {
            line.clear();
            write_line(format, record, &mut line);
            match records.add(&line) {
                Some(batch) => self.put_records(stream, &batch, &mut number, between),
                None => Ok(()),
            }
        })?;
        let rest = records.rest();
        if !rest.is_empty() {
            self.put_records(stream, &rest, &mut number, between)?;
        }
        self.counts.skipped = skipped;
        Ok(())
    }

    fn put_records(
        &mut self,
        stream: &DeliveryStream,
        lines: &[Vec<u8>],
        number: &mut u64,
        between: &Between<'_>,
    ) -> Result<(), Ended> {
        if !self.is_next(number, between)? {
            return Ok(());
        }
        let left = self.left.clone().unwrap_or_else(|| (0..lines.len()).collect());
        let batch: Vec<&[u8]> = left.iter().filter_map(|at| lines.get(*at)).map(Vec::as_slice).collect();
        let untaken = stream.put(&batch).map_err(|failure| self.failed(failure))?;
        let Some(Untaken { at, why }) = untaken else {
            self.left = None;
            self.taken(batch.len() as u64);
            return Ok(());
        };
        let taken = (batch.len() - at.len()) as u64;
        self.counts.records += taken;
        self.counts.again += if self.in_doubt { taken } else { 0 };
        // What the server named is not there.
        self.in_doubt = false;
        self.left = Some(at.iter().filter_map(|at| left.get(*at)).copied().collect());
        Err(Ended::Failed(Failure {
            kind: Kind::Throttled,
            what: stream.what(),
            why: format!("{} records: {why}", at.len()),
        }))
    }

    fn failed(&mut self, failure: Failure) -> Ended {
        // Nobody answered, or a server that failed: it may have been taken all the same.
        self.in_doubt |= failure.kind == Kind::Transient;
        Ended::Failed(failure)
    }

    fn taken(&mut self, records: u64) {
        self.counts.records += records;
        self.counts.again += if self.in_doubt { records } else { 0 };
        self.counts.batches += 1;
        self.taken += 1;
        self.in_doubt = false;
    }

    /// Puts aside what was not taken of the last batch; none of it, when the disk does not take all.
    fn put_aside(&mut self) -> Result<(), Ended> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let written = self.write_aside();
        written.map_err(|error| Failure::of_disk("cannot put aside what is untimely".to_owned(), &error))?;
        self.refused.clear();
        Ok(())
    }

    fn write_aside(&mut self) -> io::Result<()> {
        let untimely = match &mut self.untimely {
            Some(untimely) => untimely,
            None => {
                let file = NamedTempFile::new_in(self.entry.file.path.parent().unwrap_or(&self.entry.file.path))?;
                let why = self.untimely_why.unwrap_or_default();
                self.untimely.insert(Untimely { file, records: 0, why })
            }
        };
        let file = untimely.file.as_file_mut();
        let length = file.metadata()?.len();
        let mut text = Vec::new();
        if length == 0 {
            write_header(self.format, &mut text);
        }
        text.extend_from_slice(&self.refused);
        if let Err(error) = file.write_all(&text) {
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            return Err(error);
        }
        untimely.records += self.refused.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(())
    }

    fn each(&self, take: impl FnMut(&Record<'_>) -> Result<(), Ended>) -> Result<u64, Ended> {
        each(self.entry, self.settings, take)
    }
}

fn in_path(word: &&str) -> bool {
    is_partition_word(word)
}

/// Gives each record of an input, up to where it is damaged; gives how many lines are none. It is known only at the end that the disk gave
/// the right bytes.
fn each(
    entry: &Entry,
    settings: &InputSettings,
    mut take: impl FnMut(&Record<'_>) -> Result<(), Ended>,
) -> Result<u64, Ended> {
    let cannot = |error: &io::Error| Failure::of_disk(format!("cannot read {}", entry.about.name), error);
    let refused = |why: String| Failure::refused(entry.about.name.clone(), why);
    let opened = entry.file.open(settings.log_format.as_ref(), &Progress::hidden()).map_err(|error| cannot(&error))?;
    let mut log = match opened {
        Ok(Ok(Some(log))) => log,
        Ok(Ok(None)) => return Ok(0),
        Ok(Err(no_log)) => return Err(refused(no_log.to_string()).into()),
        Err(damage) => return Err(refused(damage.to_string()).into()),
    };
    let mut skipped = 0;
    loop {
        match log.next_item() {
            Ok(Some(Item::Record { record, .. })) => take(&record)?,
            Ok(Some(Item::Reject(_))) => skipped += 1,
            Ok(Some(Item::Header | Item::Comment)) => {}
            // Whoever converts it for the lake says what is damaged.
            Ok(None) | Err(_) => break,
        }
    }
    // A disk that failed is another thing than damage, which is part of what the hash names.
    let read = input::finish(log.into_source()).map_err(|error| cannot(&error))?;
    if read == entry.hash {
        Ok(skipped)
    } else {
        Err(refused("its bytes changed since it was queued".to_owned()).into())
    }
}
